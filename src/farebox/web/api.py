"""The API's endpoints: each reads a request, asks the service, and writes the answer's data."""

from collections.abc import Sequence
from typing import Final

import msgspec
from litestar.types import HTTPScope, Receive
from msgspec import Struct

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.money import format_amount
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from farebox.service import inputs
from farebox.service.access import ParsedKey
from farebox.service.errors import Forbidden, InvalidInput, InvalidKey, Refused, ServiceError
from farebox.service.merchants import Merchants
from farebox.service.operations import Operations
from farebox.service.queries import Balances, Queries
from farebox.web import bodies, security
from farebox.web.endpoint import Answer, Handler, decode_body, read_body
from farebox.web.envelope import INTERNAL_ERROR_MESSAGE, ApiError, Headers, api_error, success_body

MERCHANT: Final = frozenset({KeyKind.MERCHANT})
SERVICE: Final = frozenset({KeyKind.SERVICE})
SUPPORT: Final = frozenset({KeyKind.SUPPORT})

_REPLAY: Final[Headers] = [(b"idempotent-replay", b"true")]
_NO_HEADERS: Final[Headers] = []


class Services(Struct, frozen=True):
    """What the API is built on."""

    balances: Balances
    queries: Queries
    operations: Operations
    merchants: Merchants


class Route(Struct, frozen=True):
    """One endpoint: where it is, who may use it, what it takes and gives, and by which names it refuses."""

    method: str
    path: str
    handler: Handler
    summary: str
    keys: frozenset[KeyKind]
    data: type
    request: type | None = None
    refusals: tuple[Code, ...] = ()


def routes(services: Services) -> list[Route]:
    """List the API's endpoints; the application and its OpenAPI document are both made from this."""
    api = _Api(services)
    return [
        Route("GET", "/api/balance", api.balance, "Read the available balance", MERCHANT, str),
        Route("GET", "/api/account", api.account, "Read the whole account", MERCHANT, bodies.AccountData),
        Route(
            "POST",
            "/api/charges",
            api.charge,
            "Deduct the cost of a request",
            SERVICE,
            bodies.ChargeData,
            bodies.ChargeRequest,
            (
                Code.MERCHANT_NOT_FOUND,
                Code.IDEMPOTENCY_CONFLICT,
                Code.MERCHANT_FROZEN,
                Code.UNKNOWN_TYPE,
                Code.AMOUNT_REQUIRED,
                Code.AMOUNT_NOT_ALLOWED,
                Code.AMOUNT_TOO_LARGE,
                Code.BALANCE_LIMIT_EXCEEDED,
                Code.INSUFFICIENT_BALANCE,
            ),
        ),
        Route(
            "POST",
            "/api/admin/merchants",
            api.create_merchant,
            "Add a merchant",
            SUPPORT,
            bodies.MerchantData,
            bodies.MerchantRequest,
        ),
        Route(
            "POST",
            "/api/admin/merchants/{merchant_id:str}/topups",
            api.top_up,
            "Top a merchant up",
            SUPPORT,
            bodies.TopUpData,
            bodies.TopUpRequest,
            (Code.MERCHANT_NOT_FOUND, Code.IDEMPOTENCY_CONFLICT, Code.BALANCE_LIMIT_EXCEEDED),
        ),
    ]


class _Api:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._charge_decoder = msgspec.json.Decoder(bodies.ChargeRequest)
        self._merchant_decoder = msgspec.json.Decoder(bodies.MerchantRequest)
        self._top_up_decoder = msgspec.json.Decoder(bodies.TopUpRequest)

    async def balance(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Answer the one question clients have asked for years; its three answers never change."""
        key = security.api_key(scope)
        if key is None:
            raise InvalidKey
        try:
            if key.merchant_id is None:
                await self._authorize(scope, MERCHANT)
            available = await self._services.balances.available(key)
        except (InvalidKey, Forbidden):
            raise
        except ServiceError as error:
            # Clients in the field know 200, 401 and 500 here and nothing else; the headers say more.
            cause = api_error(error)
            raise ApiError(500, cause.code, INTERNAL_ERROR_MESSAGE, cause.headers) from error
        if available is None:
            raise InvalidKey
        return Answer(success_body(b'"%b"' % format_amount(available).encode()))

    async def account(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Show a merchant its own account."""
        key = await self._authorize(scope, MERCHANT)
        view = await self._services.queries.account_view(key.merchant_id or 0)
        account, runway = view.account, view.runway
        return _answer(
            bodies.AccountData(
                merchant_id=ids.public_id(ids.MERCHANT, account.merchant_id),
                name=view.merchant.name,
                currency=account.currency,
                posted=format_amount(account.posted),
                held=format_amount(account.held),
                available=format_amount(account.available),
                credit_limit=format_amount(account.credit_limit),
                is_frozen=account.is_frozen,
                thresholds=_thresholds(account.thresholds),
                runway=None
                if runway is None
                else bodies.RunwayData(
                    runway.days,
                    runway.days_low,
                    runway.days_high,
                    inputs.format_time(runway.until),
                    format_amount(runway.burn_per_day),
                ),
            )
        )

    async def charge(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Deduct the cost of a request; the key is looked up in the charge's own transaction."""
        key = security.api_key(scope)
        if key is None:
            raise InvalidKey
        try:
            request = decode_body(await read_body(scope, receive), self._charge_decoder)
            outcome = await self._services.operations.charge(
                merchant=request.merchant,
                request_type=request.type,
                quantity=request.quantity,
                idempotency_key=request.idempotency_key,
                amount=request.amount,
                reference=request.reference,
                caller=key.caller,
            )
        except (ApiError, InvalidInput):
            # Whoever may not charge is told so first, whatever was wrong with what came along.
            await self._authorize(scope, SERVICE)
            raise
        if not outcome.is_ok and outcome.code is Code.MERCHANT_NOT_FOUND:
            await self._authorize(scope, SERVICE)
        transfer = _transfer(outcome)
        data = (
            f'{{"transferId":"{transfer.id}","cost":"{format_amount(transfer.amount)}",'
            f'"balance":"{format_amount(transfer.posted_after)}","available":"{format_amount(transfer.wallet_after)}"}}'
        )
        return Answer(success_body(data.encode()), _REPLAY if outcome.is_replay else _NO_HEADERS)

    async def create_merchant(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Add a merchant and show its first key, this once."""
        await self._authorize(scope, SUPPORT)
        request = decode_body(await read_body(scope, receive), self._merchant_decoder)
        if request.threshold is not None and request.thresholds is not None:
            raise InvalidInput("thresholds", "name one threshold, or a list of thresholds, not both")
        thresholds = request.thresholds or []
        if request.threshold is not None:
            inputs.amount("threshold", request.threshold)
            thresholds = [request.threshold]
        merchant, account, key = await self._services.merchants.create(
            name=request.name, currency=request.currency, thresholds=thresholds, credit_limit=request.credit_limit
        )
        return _answer(
            bodies.MerchantData(
                merchant_id=ids.public_id(ids.MERCHANT, merchant.merchant_id),
                name=merchant.name,
                currency=account.currency,
                credit_limit=format_amount(account.credit_limit),
                thresholds=_thresholds(account.thresholds),
                api_key=key.text,
            )
        )

    async def top_up(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Add money that the merchant has paid."""
        key = await self._authorize(scope, SUPPORT)
        request = decode_body(await read_body(scope, receive), self._top_up_decoder)
        outcome = await self._services.operations.top_up(
            _merchant_id(scope),
            amount=request.amount,
            reference=request.reference,
            note=request.note,
            caller=key.caller,
        )
        transfer = _transfer(outcome)
        data = bodies.TopUpData(
            transfer.id,
            format_amount(transfer.amount),
            format_amount(transfer.posted_after),
            format_amount(transfer.wallet_after),
        )
        return _answer(data, _REPLAY if outcome.is_replay else _NO_HEADERS)

    async def _authorize(self, scope: HTTPScope, kinds: frozenset[KeyKind]) -> ParsedKey:
        """Let the request pass if its key is good and of one of these kinds."""
        key = security.api_key(scope)
        if key is None:
            raise InvalidKey
        await self._services.queries.authorize(key, kinds)
        return key


def _answer(data: Struct, headers: Headers = _NO_HEADERS) -> Answer:
    return Answer(success_body(msgspec.json.encode(data)), headers)


def _transfer(outcome: Outcome) -> Transfer:
    """Return the transfer of a command that moved money, or raise its refusal."""
    if outcome.transfer is None:
        raise Refused(outcome)
    return outcome.transfer


def _thresholds(thresholds: Sequence[Threshold]) -> list[bodies.ThresholdData]:
    return [bodies.ThresholdData(format_amount(item.amount), item.is_armed) for item in thresholds]


def _merchant_id(scope: HTTPScope) -> int:
    """Read the merchant's id out of the path; what is no id names no merchant."""
    text: str = scope["path_params"]["merchant_id"]
    try:
        return ids.parse_public_id(ids.MERCHANT, text)
    except ids.InvalidId as error:
        raise Refused(refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id")) from error
