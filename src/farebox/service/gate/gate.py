"""The gate's decision: what a request costs by the rules, and whether its merchant pays."""

import secrets
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.credit.shortfalls import Above
from farebox.core.outcomes import Code, Outcome
from farebox.core.transfers import Transfer
from farebox.service.errors import InvalidKey, transfer_of
from farebox.service.gate.rules import GateRoute, RoutePrice
from farebox.service.gate.tokens import NOTHING, GateSigner, GateToken, Mode
from farebox.service.ledger.operations import Operations
from farebox.service.ledger.queries import Balances
from farebox.service.people.api_keys import ParsedKey

KEY_PREFIX: Final = "gate:"
"""What the idempotency key of a charge or hold begins with that the gate made."""

_MICROS_PER_SECOND: Final = 1_000_000
_RANDOM_BYTES: Final = 16


class Admission(Struct, frozen=True, gc=False):
    """What let a request through, as a proxy is told."""

    merchant: str = NOTHING
    transfer: str = NOTHING
    hold: str = NOTHING
    token: str = NOTHING


class _Spend(Struct, frozen=True, gc=False):
    """What a charge or hold is asked for by."""

    merchant: str
    idempotency_key: str
    type: str
    quantity: int | None
    quantities: Mapping[str, object] | None
    amount: str | None
    ttl_seconds: int
    requested_at: None = None
    reference: None = None
    above: str = Above.REFUSE.value


class Gate:
    """Lets requests through whose merchants pay for them. Every method may raise what a charge may."""

    def __init__(self, operations: Operations, balances: Balances, signer: GateSigner) -> None:
        """Charge by these operations, read balances here, and sign with this."""
        self._operations = operations
        self._balances = balances
        self.signer = signer

    async def admit(self, route: GateRoute, key: ParsedKey, key_text: str, request_id: str | None) -> Admission:
        """Let a request through if its merchant pays for it; where nothing is to be paid, if the key is good.

        Args:
            route: what the request is for; none that is public, which needs no key.
            key: the merchant's key that it shows.
            key_text: the text of that.
            request_id: the proxy's own name of the request, the same each time that it asks about it. Without one the
                cost is set aside in any case: nobody could tell a charge of the same request.

        Raises:
            InvalidKey: the key opens nothing.
            Refused: the merchant can't pay.
        """
        price = route.price
        if price is None:
            return await self._admit_free(key)
        mode = Mode.HOLD if request_id is None else price.mode
        spend = _Spend(
            key_text,
            KEY_PREFIX + (secrets.token_hex(_RANDOM_BYTES) if request_id is None else request_id),
            price.request_type,
            price.quantity,
            price.quantities,
            price.amount,
            price.hold_seconds,
        )
        if mode is Mode.CHARGE:
            transfer = _paid(await self._operations.charge(spend, caller=None))
            return self._admission(price, mode, transfer, transfer.id, transfer.id, NOTHING)
        transfer = _paid(await self._operations.hold(spend, caller=None))
        hold = ids.book_id(ids.HOLD, merchant_id=transfer.merchant_id, seq=transfer.seq)
        return self._admission(price, mode, transfer, hold, NOTHING, hold)

    async def _admit_free(self, key: ParsedKey) -> Admission:
        if key.merchant_id is None or await self._balances.available(key) is None:
            raise InvalidKey
        return Admission(merchant=ids.public_id(ids.MERCHANT, key.merchant_id))

    def _admission(
        self, price: RoutePrice, mode: Mode, made: Transfer, subject: str, transfer: str, hold: str
    ) -> Admission:
        merchant = ids.public_id(ids.MERCHANT, made.merchant_id)
        token = GateToken(
            mode,
            merchant,
            subject,
            made.committed_at // _MICROS_PER_SECOND,
            price.request_type,
            price.quantity or 1,
            price.quantities,
            price.amount,
        )
        return Admission(merchant, transfer, hold, self.signer.token(token))


def _paid(outcome: Outcome) -> Transfer:
    """Return what paid.

    Raises:
        InvalidKey: the merchant was named by a key that opens nothing; those of one that is closed do not.
        Refused: it was refused for another reason.
    """
    if outcome.code in (Code.MERCHANT_NOT_FOUND, Code.MERCHANT_CLOSED):
        raise InvalidKey
    return transfer_of(outcome)
