"""Moves of money as any door may ask for them: texts in, checked; a command to the committer; its outcome back."""

from typing import Final

from farebox.core import commands, ids
from farebox.core.commands import Caller
from farebox.core.outcomes import Code, Outcome, refused
from farebox.service import access, inputs
from farebox.service.committer import Committer


class Operations:
    """What changes a merchant's book or its rules, through the committer.

    Every method may raise InvalidInput, and what `Committer.submit` raises. `caller` is the API key that asks, None for
    the operator's own shell.
    """

    def __init__(self, committer: Committer) -> None:
        """Send commands to this committer."""
        self._committer = committer

    async def charge(
        self,
        *,
        merchant: str,
        request_type: str,
        quantity: int,
        idempotency_key: str,
        amount: str | None,
        reference: str | None,
        caller: Caller | None,
    ) -> Outcome:
        """Deduct the cost of a request; `merchant` is an id or a merchant's API key."""
        checked = (
            inputs.request_type("type", request_type),
            inputs.quantity("quantity", quantity),
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if amount is None else inputs.amount("amount", amount),
            None if reference is None else inputs.reference("reference", reference),
        )
        payer = access.parse_payer(merchant)
        if payer is None:
            return _MERCHANT_NOT_FOUND
        return await self._committer.submit(commands.Charge(payer, *checked, caller))

    async def hold(
        self,
        *,
        merchant: str,
        request_type: str,
        quantity: int,
        idempotency_key: str,
        amount: str | None,
        reference: str | None,
        ttl_seconds: int,
        caller: Caller | None,
    ) -> Outcome:
        """Set aside the cost of a request; `merchant` is an id or a merchant's API key."""
        checked = (
            inputs.request_type("type", request_type),
            inputs.quantity("quantity", quantity),
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if amount is None else inputs.amount("amount", amount),
            None if reference is None else inputs.reference("reference", reference),
            inputs.ttl_seconds("ttlSeconds", ttl_seconds),
        )
        payer = access.parse_payer(merchant)
        if payer is None:
            return _MERCHANT_NOT_FOUND
        return await self._committer.submit(commands.CreateHold(payer, *checked, caller))

    async def capture(
        self, hold: str, *, idempotency_key: str, amount: str | None, reference: str | None, caller: Caller | None
    ) -> Outcome:
        """Take a hold's money, or `amount` of it; `hold` is the hold's id."""
        checked = (
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if amount is None else inputs.amount("amount", amount),
            None if reference is None else inputs.reference("reference", reference),
        )
        place = _place(ids.HOLD, hold)
        if place is None:
            return _HOLD_NOT_FOUND
        return _hold_answer(await self._committer.submit(commands.CaptureHold(place[0], place[1], *checked, caller)))

    async def release(
        self, hold: str, *, idempotency_key: str, reference: str | None, caller: Caller | None
    ) -> Outcome:
        """Give a hold's money back; `hold` is the hold's id."""
        checked = (
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if reference is None else inputs.reference("reference", reference),
        )
        place = _place(ids.HOLD, hold)
        if place is None:
            return _HOLD_NOT_FOUND
        return _hold_answer(await self._committer.submit(commands.ReleaseHold(place[0], place[1], *checked, caller)))

    async def refund(
        self,
        transfer: str,
        *,
        idempotency_key: str,
        amount: str | None,
        reference: str | None,
        note: str | None,
        caller: Caller | None,
    ) -> Outcome:
        """Give back a charge or capture, or `amount` of it; `transfer` is its id."""
        checked = (
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if amount is None else inputs.amount("amount", amount),
            None if reference is None else inputs.reference("reference", reference),
            None if note is None else inputs.note("note", note),
        )
        place = _place(ids.TRANSFER, transfer)
        if place is None:
            return _TRANSFER_NOT_FOUND
        outcome = await self._committer.submit(commands.Refund(place[0], place[1], *checked, caller))
        # An id names its merchant, so one of a merchant that does not exist is just an id that does not.
        return _TRANSFER_NOT_FOUND if outcome.code is Code.MERCHANT_NOT_FOUND else outcome

    async def top_up(
        self, merchant_id: int, *, amount: str, reference: str, note: str | None, caller: Caller | None
    ) -> Outcome:
        """Add money that the merchant has paid; the same reference twice is the same top-up once."""
        return await self._committer.submit(
            commands.TopUp(
                merchant_id,
                inputs.amount("amount", amount),
                inputs.reference("reference", reference),
                None if note is None else inputs.note("note", note),
                caller,
            )
        )

    async def adjust(
        self, merchant_id: int, *, amount: str, reference: str, reason: str, caller: Caller | None
    ) -> Outcome:
        """Correct a balance by hand; an `amount` that starts with a minus takes away."""
        return await self._committer.submit(
            commands.Adjust(
                merchant_id,
                inputs.amount("amount", amount.removeprefix("-")),
                not amount.startswith("-"),
                inputs.reference("reference", reference),
                inputs.note("reason", reason),
                caller,
            )
        )

    async def set_thresholds(self, merchant_id: int, amounts: list[str], *, caller: Caller | None) -> Outcome:
        """Replace the amounts of posted balance that the merchant is warned below."""
        return await self._committer.submit(
            commands.SetThresholds(merchant_id, inputs.thresholds("thresholds", amounts), caller)
        )

    async def set_credit_limit(self, merchant_id: int, amount: str, *, caller: Caller | None) -> Outcome:
        """Let the merchant spend down to minus this amount."""
        limit = inputs.amount("creditLimit", amount, is_zero_allowed=True)
        return await self._committer.submit(commands.SetCreditLimit(merchant_id, limit, caller))

    async def set_frozen(self, merchant_id: int, *, is_frozen: bool, caller: Caller | None) -> Outcome:
        """Stop a merchant's spending, or let it go on."""
        return await self._committer.submit(commands.SetFrozen(merchant_id, is_frozen, caller))


_MERCHANT_NOT_FOUND: Final = refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id or API key")
_HOLD_NOT_FOUND: Final = refused(Code.HOLD_NOT_FOUND, "No hold has this id")
_TRANSFER_NOT_FOUND: Final = refused(Code.TRANSFER_NOT_FOUND, "No transfer has this id")


def _place(prefix: str, text: str) -> tuple[int, int] | None:
    """Read whose book and which number in it an id names; None if it is no such id."""
    try:
        return ids.parse_book_id(prefix, text)
    except ids.InvalidId:
        return None


def _hold_answer(outcome: Outcome) -> Outcome:
    # An id names its merchant, so one of a merchant that does not exist is just an id that does not.
    return _HOLD_NOT_FOUND if outcome.code is Code.MERCHANT_NOT_FOUND else outcome
