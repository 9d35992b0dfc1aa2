"""Moves of money as any door may ask for them: texts in, checked; a command to the committer; its outcome back."""

from collections.abc import Sequence
from typing import Final

from farebox.core import commands, ids
from farebox.core.commands import Actor, Caller
from farebox.core.outcomes import Code, Outcome, refused
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import ServiceError
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.id_generator import IdGenerator
from farebox.service.people import api_keys
from farebox.service.people.api_keys import Principal


class Operations:
    """What changes a merchant's book or its rules, through the committer.

    Every method may raise InvalidInput, and what `Committer.submit` raises. `caller` is the service's API key that
    asks, `principal` the person; None for Farebox itself, which the audit log does not tell of.
    """

    def __init__(self, committer: Committer, clock: Clock, *, approval_above: int | None = None) -> None:
        """Send commands to this committer.

        Args:
            committer: commits them.
            clock: tells the time.
            approval_above: micros; a top-up or adjustment of more than that needs a second person's approval. None:
                none does.
        """
        self._committer = committer
        self._numbers = IdGenerator(clock)
        self._approval_above = approval_above

    async def charge(self, command: commands.Charge | Outcome) -> Outcome:
        """Deduct the cost of a request; what `charge_command` refused stays refused."""
        return command if isinstance(command, Outcome) else await self._committer.submit(command)

    async def charge_all(self, asked: Sequence[commands.Charge]) -> list[Outcome | ServiceError]:
        """Deduct the cost of each request on its own, in order.

        Raises:
            Overloaded: there is no room for all of them; none was accepted.
        """
        return await self._committer.submit_all(asked)

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
        payer = api_keys.parse_payer(merchant)
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
        principal: Principal | None = None,
    ) -> Outcome:
        """Give back a charge or capture, or `amount` of it; `transfer` is its id. A service asks, or a person."""
        checked = (
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if amount is None else inputs.amount("amount", amount),
            None if reference is None else inputs.reference("reference", reference),
            None if note is None else inputs.note("note", note),
        )
        place = _place(ids.TRANSFER, transfer)
        if place is None:
            return _TRANSFER_NOT_FOUND
        outcome = await self._committer.submit(
            commands.Refund(place[0], place[1], *checked, *(_asked_by(principal) if principal else (caller, None)))
        )
        # An id names its merchant, so one of a merchant that does not exist is just an id that does not.
        return _TRANSFER_NOT_FOUND if outcome.code is Code.MERCHANT_NOT_FOUND else outcome

    async def top_up(
        self, merchant_id: int, *, amount: str, reference: str, note: str | None, principal: Principal | None
    ) -> Outcome:
        """Add money that the merchant has paid; the same reference twice is the same top-up once.

        Above the operator's limit it is requested, and made when another person approves it.
        """
        return await self._fund(
            commands.TopUp(
                merchant_id,
                inputs.amount("amount", amount),
                inputs.reference("reference", reference),
                None if note is None else inputs.note("note", note),
                *_asked_by(principal),
            )
        )

    async def adjust(
        self, merchant_id: int, *, amount: str, reference: str, reason: str, principal: Principal | None
    ) -> Outcome:
        """Correct a balance by hand; an `amount` that starts with a minus takes away.

        Above the operator's limit it is requested, and made when another person approves it.
        """
        return await self._fund(
            commands.Adjust(
                merchant_id,
                inputs.amount("amount", amount.removeprefix("-")),
                not amount.startswith("-"),
                inputs.reference("reference", reference),
                inputs.note("reason", reason),
                *_asked_by(principal),
            )
        )

    async def reverse_top_up(
        self,
        merchant_id: int,
        *,
        transfer: str,
        amount: str | None,
        reference: str,
        reason: str,
        principal: Principal | None,
    ) -> Outcome:
        """Take back a top-up of this merchant, or `amount` of it; `transfer` is its id."""
        checked = (
            inputs.reference("reference", reference),
            inputs.note("reason", reason),
            None if amount is None else inputs.amount("amount", amount),
        )
        place = _place(ids.TRANSFER, transfer)
        if place is None or place[0] != merchant_id:
            return _TRANSFER_NOT_FOUND
        return await self._committer.submit(
            commands.ReverseTopUp(merchant_id, place[1], *checked, *_asked_by(principal))
        )

    def needs_approval(self, amount: int) -> bool:
        """Tell whether a top-up or adjustment of so many micros waits for a second person."""
        return self._approval_above is not None and amount > self._approval_above

    async def _fund(self, move: commands.TopUp | commands.Adjust) -> Outcome:
        """Make a move of money into the ledger or out of it, or request it if it is above the limit."""
        if not self.needs_approval(move.amount):
            return await self._committer.submit(move)
        return await self._committer.submit(commands.RequestApproval(move, self._numbers.draw()))

    async def set_thresholds(self, merchant_id: int, amounts: list[str], *, principal: Principal | None) -> Outcome:
        """Replace the amounts of posted balance that the merchant is warned below."""
        return await self._committer.submit(
            commands.SetThresholds(merchant_id, inputs.thresholds("thresholds", amounts), *_asked_by(principal))
        )

    async def set_credit_limit(self, merchant_id: int, amount: str, *, principal: Principal | None) -> Outcome:
        """Let the merchant spend down to minus this amount."""
        limit = inputs.amount("creditLimit", amount, is_zero_allowed=True)
        return await self._committer.submit(commands.SetCreditLimit(merchant_id, limit, *_asked_by(principal)))

    async def set_frozen(self, merchant_id: int, *, is_frozen: bool, principal: Principal | None) -> Outcome:
        """Stop a merchant's spending, or let it go on."""
        return await self._committer.submit(commands.SetFrozen(merchant_id, is_frozen, *_asked_by(principal)))


def charge_command(
    *,
    merchant: str,
    request_type: str,
    quantity: int,
    idempotency_key: str,
    amount: str | None,
    reference: str | None,
    caller: Caller | None,
) -> commands.Charge | Outcome:
    """Check what a charge asks for; `merchant` is an id or a merchant's API key. A refusal, if it names no merchant.

    Raises:
        InvalidInput: a field is not valid.
    """
    checked = (
        inputs.request_type("type", request_type),
        inputs.quantity("quantity", quantity),
        inputs.idempotency_key("idempotencyKey", idempotency_key),
        None if amount is None else inputs.amount("amount", amount),
        None if reference is None else inputs.reference("reference", reference),
    )
    payer = api_keys.parse_payer(merchant)
    return _MERCHANT_NOT_FOUND if payer is None else commands.Charge(payer, *checked, caller)


_MERCHANT_NOT_FOUND: Final = refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id or API key")
_HOLD_NOT_FOUND: Final = refused(Code.HOLD_NOT_FOUND, "No hold has this id")
_TRANSFER_NOT_FOUND: Final = refused(Code.TRANSFER_NOT_FOUND, "No transfer has this id")


def _asked_by(principal: Principal | None) -> tuple[Caller | None, Actor | None]:
    """Return a command's last two fields."""
    return (None, None) if principal is None else (principal.caller, principal.actor())


def _place(prefix: str, text: str) -> tuple[int, int] | None:
    """Read whose book and which number in it an id names; None if it is no such id."""
    try:
        return ids.parse_book_id(prefix, text)
    except ids.InvalidId:
        return None


def _hold_answer(outcome: Outcome) -> Outcome:
    # An id names its merchant, so one of a merchant that does not exist is just an id that does not.
    return _HOLD_NOT_FOUND if outcome.code is Code.MERCHANT_NOT_FOUND else outcome
