"""What every endpoint is made of: its line in the table of routes, who may use it, and how outcomes are answered."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, Literal

import msgspec
from msgspec import Struct
from starlette.types import Scope

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.approvals import Approval, ApprovalState
from farebox.core.commands import KeyKind
from farebox.core.money import format_amount
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.pricing import Price
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from farebox.service import inputs
from farebox.service.errors import Missing, Refused
from farebox.service.people.api_keys import ParsedKey, Principal
from farebox.services import Services
from farebox.web import security
from farebox.web.client_address import Addresses
from farebox.web.endpoint import BODY_BYTES_MAX, Answer, Handler
from farebox.web.envelope import Headers, success_body
from farebox.web.schemas.admin import ApprovalData, MoveData, PriceData
from farebox.web.schemas.common import ThresholdData

MERCHANT: Final = frozenset({KeyKind.MERCHANT})
SERVICE: Final = frozenset({KeyKind.SERVICE})
SUPPORT: Final = frozenset({KeyKind.SUPPORT})

NO_HEADERS: Final[Headers] = []
_STATE_WORDS: Final[dict[ApprovalState, Literal["pending", "approved", "rejected"]]] = {
    ApprovalState.PENDING: "pending",
    ApprovalState.APPROVED: "approved",
    ApprovalState.REJECTED: "rejected",
}
REPLAY: Final[Headers] = [(b"idempotent-replay", b"true")]


class Route(Struct, frozen=True):
    """One endpoint: where it is, who may use it, what it takes and gives, and by which names it refuses.

    `accepted` is what it gives with 202, for what is to be done later. `query` is the type of the query's parameters.
    `media` are the types of content that a success may have beside JSON. `missing` and `conflicts` tell that what is
    named may not be there, or be there already, beyond the ledger's own refusals. `body_bytes_max` is how long a body
    may be.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    keys: frozenset[KeyKind]
    data: type
    request: type | None = None
    refusals: tuple[Code, ...] = ()
    accepted: type[Struct] | None = None
    query: type[Struct] | None = None
    description: str = ""
    media: tuple[str, ...] = ()
    missing: bool = False
    conflicts: bool = False
    body_bytes_max: int = BODY_BYTES_MAX


class Endpoints:
    """What the endpoints of one audience share."""

    def __init__(self, services: Services, addresses: Addresses) -> None:
        """Answer from these services; `addresses` tells where requests come from."""
        self._services = services
        self._addresses = addresses

    async def _authorize(self, scope: Scope, kinds: frozenset[KeyKind]) -> ParsedKey:
        """Let the request pass if its key is good and of one of these kinds.

        Raises:
            InvalidKey: the key opens nothing.
            Forbidden: it is of another kind.
        """
        key = security.required_key(scope)
        await self._services.queries.authorize(key, kinds)
        return key

    async def _support(self, scope: Scope) -> Principal:
        """Let the request pass if its key is support's, and tell whose it is.

        Raises:
            InvalidKey: the key opens nothing.
            Forbidden: it is of another kind.
        """
        key = security.required_key(scope)
        record = await self._services.queries.authorize(key, SUPPORT)
        return Principal(record.name or "", key.caller, record.key_id, self._addresses.of(scope))


def answer(data: Struct, headers: Headers = NO_HEADERS) -> Answer:
    """Answer a success with its data."""
    return Answer(success_body(msgspec.json.encode(data)), headers)


def replay_headers(outcome: Outcome) -> Headers:
    """Mark the first answer given again."""
    return REPLAY if outcome.is_replay else NO_HEADERS


def transfer_of(outcome: Outcome) -> Transfer:
    """Return the transfer of a command that moved money, or raise its refusal."""
    if outcome.transfer is None:
        raise Refused(outcome)
    return outcome.transfer


def thresholds_data(thresholds: Sequence[Threshold]) -> list[ThresholdData]:
    """Write thresholds as they stand in JSON."""
    return [ThresholdData(format_amount(item.amount), item.is_armed) for item in thresholds]


def merchant_in_path(scope: Scope) -> int:
    """Read the merchant's id out of the path; what is no id names no merchant.

    Raises:
        Refused: merchant_not_found.
    """
    number = _number_in_path(scope, "merchant_id", ids.MERCHANT)
    if number is None:
        raise Refused(refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id"))
    return number


def approval_in_path(scope: Scope) -> int:
    """Read an approval's id out of the path.

    Raises:
        Refused: approval_not_found.
    """
    number = _number_in_path(scope, "approval_id", ids.APPROVAL)
    if number is None:
        raise Refused(refused(Code.APPROVAL_NOT_FOUND, "No request for approval has this id"))
    return number


def key_in_path(scope: Scope) -> int:
    """Read an API key's id out of the path.

    Raises:
        Missing: no key has it.
    """
    number = _number_in_path(scope, "key_id", ids.KEY)
    if number is None:
        raise Missing("no key has this id")
    return number


def price_data(price: Price) -> PriceData:
    """Write a version of a price as it stands in JSON."""
    return PriceData(
        price_id=ids.public_id(ids.PRICE, price.price_id),
        type=price.request_type,
        unit_price=None if price.unit_price is None else format_amount(price.unit_price),
        starts_at=inputs.format_time(price.starts_at),
        merchant_id=None if price.merchant_id is None else ids.public_id(ids.MERCHANT, price.merchant_id),
    )


def _number_in_path(scope: Scope, name: str, prefix: str) -> int | None:
    try:
        return ids.parse_public_id(prefix, scope["path_params"][name])
    except ids.InvalidId:
        return None


def moved(outcome: Outcome) -> Answer:
    """Answer a move of money by support: done, or waiting for a second person."""
    approval = outcome.approval
    if outcome.transfer is None and approval is not None and outcome.is_ok:
        body = success_body(msgspec.json.encode(approval_data(approval)), HTTPStatus.ACCEPTED)
        return Answer(body, replay_headers(outcome), HTTPStatus.ACCEPTED)
    transfer = transfer_of(outcome)
    data = MoveData(
        transfer.id,
        format_amount(transfer.amount),
        format_amount(transfer.posted_after),
        format_amount(transfer.wallet_after),
    )
    return answer(data, replay_headers(outcome))


def approval_data(approval: Approval) -> ApprovalData:
    """Write a request for approval as it stands in JSON."""
    seq = approval.transfer_seq
    sign = "-" if approval.kind == Kind.ADJUSTMENT_DEBIT else ""
    return ApprovalData(
        approval_id=approval.id,
        merchant_id=ids.public_id(ids.MERCHANT, approval.merchant_id),
        kind="top_up" if approval.kind == Kind.TOP_UP else "adjustment",
        amount=sign + format_amount(approval.amount),
        reference=approval.reference,
        note=approval.note,
        state=_STATE_WORDS[ApprovalState(approval.state)],
        requested_by=approval.requested_by,
        requested_at=inputs.format_time(approval.requested_at),
        decided_by=approval.decided_by,
        decided_at=None if approval.decided_at is None else inputs.format_time(approval.decided_at),
        transfer_id=None if seq is None else ids.book_id(ids.TRANSFER, merchant_id=approval.merchant_id, seq=seq),
    )
