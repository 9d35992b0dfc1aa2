"""Moves of money as the API, the pages and the command line ask for them.

Texts come in and are checked, a command goes to the committer, its outcome comes back.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from farebox.core import commands, ids
from farebox.core.approvals import NO_LIMITS, ApprovalLimits
from farebox.core.commands import Actor, Caller, Payer
from farebox.core.credit.shortfalls import Above
from farebox.core.fingerprints import Quantities
from farebox.core.outcomes import OK, Code, Outcome, refused
from farebox.core.permissions import Operation
from farebox.core.prices import CLOCK_BEHIND
from farebox.service import inputs, parsing
from farebox.service.clock import Clock
from farebox.service.errors import InvalidInput, Overloaded, ServiceError, translated
from farebox.service.id_generator import IdGenerator
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.request_fields import ChargeFields, HoldFields, QuoteFields, SpendFields
from farebox.service.people import api_keys
from farebox.service.people.api_keys import Principal
from farebox.service.people.imported_keys import ImportedKeys
from farebox.storage.prices import PriceStore

ROOM_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""How long, in seconds, charges in bulk wait for room in the queue before they are refused."""

_CHARGES_AT_ONCE: Final = 1_000
"""How many charges are checked before others are served."""

_ABOVE: Final[dict[str, Above]] = {above.value: above for above in Above}
"""By word, for every charge: a tenth of the time that `Above(word)` takes."""

_CheckedCharge = commands.Charge | Outcome | ServiceError
"""A charge to be committed, or what it came to at first sight."""


class Operations:
    """What changes a merchant's book or its rules, through the committer.

    Every method may raise InvalidInput, and what `Committer.submit` raises; Forbidden if a principal's roles don't let
    it. `caller` is the service's API key that asks, `principal` the person; None for Farebox itself, which the audit
    log does not tell of. With `is_dry_run` the outcome is told, by the same checks and the same decision, and nothing
    is done.
    """

    def __init__(
        self,
        committer: Committer,
        clock: Clock,
        prices: PriceStore,
        *,
        limits: ApprovalLimits = NO_LIMITS,
        room_pauses: Sequence[float] = ROOM_PAUSES,
        on_refusal: Callable[[int, str, Code], None] | None = None,
        imported_keys: ImportedKeys | None = None,
    ) -> None:
        """Send commands to this committer.

        Args:
            committer: commits them.
            clock: tells the time.
            prices: tells a type that is unknown from one that a clock that is behind does not know yet.
            limits: how much one person may move alone; what is above waits for a second person's approval.
            room_pauses: seconds to wait before each further try, when there is no room in the queue for charges in
                bulk that can wait.
            on_refusal: is told of each charge and hold that is refused, and why; it must be quick.
            imported_keys: tells whose keys are that another system gave out; without it they name no merchant.
        """
        self._committer = committer
        self._clock = clock
        self._prices = prices
        self._id_generator = IdGenerator(clock)
        self._limits = limits
        self._room_pauses = room_pauses
        self._on_refusal = on_refusal
        self._imported_keys = imported_keys

    async def charge(self, fields: ChargeFields, *, caller: Caller | None) -> Outcome:
        """Deduct the cost of a request."""
        command = _charge_command(fields, caller, api_keys.parse_payer(fields.merchant))
        if command is None:
            payers = await self._imported_payers((fields.merchant,))
            command = _charge_command(fields, caller, payers.get(fields.merchant))
        return MERCHANT_NOT_FOUND if command is None else await self._spend(command)

    async def charge_all(
        self, charges: Iterable[ChargeFields], *, caller: Caller | None
    ) -> list[Outcome | ServiceError]:
        """Deduct the cost of each request on its own, and return what became of each, in order.

        Raises:
            Overloaded: there is no room for all of them; none was accepted.
        """
        return await self._commit_all(await self._checked_charges(charges, caller))

    async def charge_all_when_there_is_room(
        self, charges: Iterable[ChargeFields], *, caller: Caller | None
    ) -> list[Outcome | ServiceError]:
        """Do as `charge_all`, but wait a while for room; if there is none then, each is refused as Overloaded."""
        checked = await self._checked_charges(charges, caller)
        for pause in self._room_pauses:
            try:
                return await self._commit_all(checked)
            except Overloaded:
                await asyncio.sleep(pause)
        try:
            return await self._commit_all(checked)
        except Overloaded:
            return [Overloaded() if isinstance(item, commands.Charge) else item for item in checked]

    async def _checked_charges(self, charges: Iterable[ChargeFields], caller: Caller | None) -> list[_CheckedCharge]:
        """Check charges, each on its own; others are served between one portion and the next."""
        checked: list[_CheckedCharge] = []
        unplaced: list[tuple[int, ChargeFields]] = []
        # Many charges of one request are for the same few merchants; their texts are read once, and kept no longer.
        read: dict[str, Payer | None] = {}
        for fields in charges:
            if len(checked) % _CHARGES_AT_ONCE == _CHARGES_AT_ONCE - 1:
                await asyncio.sleep(0)
            if fields.merchant not in read:
                read[fields.merchant] = api_keys.parse_payer(fields.merchant)
            try:
                command = _charge_command(fields, caller, read[fields.merchant])
            except InvalidInput as error:
                checked.append(error)
                continue
            if command is None:
                unplaced.append((len(checked), fields))
            checked.append(MERCHANT_NOT_FOUND if command is None else command)
        if unplaced:
            payers = await self._imported_payers({fields.merchant for _, fields in unplaced})
            for index, fields in unplaced:
                checked[index] = _charge_command(fields, caller, payers.get(fields.merchant)) or MERCHANT_NOT_FOUND
        return checked

    async def _imported_payers(self, texts: Collection[str]) -> Mapping[str, Payer]:
        """Read whom charges are for whose merchants are named by keys of other systems, all at once."""
        return {} if self._imported_keys is None else await self._imported_keys.payers(texts)

    async def _commit_all(self, checked: Sequence[_CheckedCharge]) -> list[Outcome | ServiceError]:
        """Commit those that are commands; what was refused at first sight stays as it is."""
        results = iter(
            await self._committer.submit_all([item for item in checked if isinstance(item, commands.Charge)])
        )
        seen: dict[tuple[int, str], bool] = {}
        return [
            await self._told(item, next(results), seen) if isinstance(item, commands.Charge) else item
            for item in checked
        ]

    async def _spend(self, command: commands.Spend) -> Outcome:
        outcome = await self._committer.submit(command)
        if outcome.code is OK:
            return outcome
        result = await self._told(command, outcome, {})
        if isinstance(result, ServiceError):
            raise result
        return result

    async def _told(
        self, command: commands.Spend, result: Outcome | ServiceError, seen: dict[tuple[int, str], bool]
    ) -> Outcome | ServiceError:
        """Say of a type without a price whether it is the clock that does not know it yet; pass all else through.

        So it may be with one that is retired, and has a price again by now. Refusals are counted.

        `seen` keeps the answers for the next command of the same request.
        """
        if isinstance(result, ServiceError) or result.code is OK:
            return result
        if result.code in _UNPRICED:
            told = await self._told_unpriced(command, result, seen)
            if isinstance(told, ServiceError):
                return told
            result = told
        if self._on_refusal is not None:
            self._on_refusal(command.merchant_id, command.request_type, result.code)
        return result

    async def _told_unpriced(
        self, command: commands.Spend, result: Outcome, seen: dict[tuple[int, str], bool]
    ) -> Outcome | ServiceError:
        key = (command.merchant_id, command.request_type)
        if key not in seen:
            try:
                with translated():
                    seen[key] = await self._prices.shows_clock_behind(*key, self._clock.now())
            except ServiceError as error:
                return error
        return CLOCK_BEHIND if seen[key] else result

    async def hold(self, fields: HoldFields, *, caller: Caller | None) -> Outcome:
        """Set aside the cost of a request."""
        checked, measured = _checked_spend(fields), checked_measures(fields)
        ttl_seconds = inputs.ttl_seconds("ttlSeconds", fields.ttl_seconds)
        payer = api_keys.parse_payer(fields.merchant)
        if payer is None:
            payer = (await self._imported_payers((fields.merchant,))).get(fields.merchant)
        if payer is None:
            return MERCHANT_NOT_FOUND
        return await self._spend(commands.CreateHold(payer, *checked, ttl_seconds, caller, *measured))

    async def capture(
        self,
        hold: str,
        *,
        idempotency_key: str,
        quantity: int | None,
        quantities: Mapping[str, object] | None = None,
        amount: str | None,
        reference: str | None,
        above: str = Above.REFUSE,
        caller: Caller | None,
    ) -> Outcome:
        """Take a hold's money, or what a part of its quantities costs, or `amount` of it; `hold` is the hold's id.

        `above` says what becomes of what it comes to above the hold, as `Above` has it.
        """
        checked = (
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if amount is None else inputs.amount("amount", amount),
            None if reference is None else inputs.reference("reference", reference),
        )
        requests = None if quantity is None else inputs.quantity("quantity", quantity)
        measured = inputs.quantities("quantities", quantities, is_quantity_named=quantity is not None)
        named = _book_id(ids.HOLD, hold)
        if named is None:
            return _HOLD_NOT_FOUND
        command = commands.CaptureHold(named[0], named[1], *checked, caller, requests, measured, _ABOVE[above])
        return _of_hold(await self._committer.submit(command))

    async def release(
        self,
        hold: str,
        *,
        idempotency_key: str,
        reference: str | None,
        caller: Caller | None,
        reason: str | None = None,
        principal: Principal | None = None,
        is_dry_run: bool = False,
    ) -> Outcome:
        """Give a hold's money back; `hold` is the hold's id. A service asks, or a person, who has to say why."""
        asked_by = _asked_by(principal, Operation.MANAGE_HOLDS, caller)
        if principal is not None and reason is None:
            raise InvalidInput("reason", "support says why it releases a hold: one line for the audit log")
        checked = (
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if reference is None else inputs.reference("reference", reference),
        )
        note = None if reason is None else inputs.note("reason", reason)
        named = _book_id(ids.HOLD, hold)
        if named is None:
            return _HOLD_NOT_FOUND
        command = commands.ReleaseHold(named[0], named[1], *checked, *asked_by, note)
        return _of_hold(await self.submit(command, is_dry_run=is_dry_run))

    async def extend(
        self,
        hold: str,
        *,
        ttl_seconds: int | None = None,
        expires_at: str | None = None,
        caller: Caller | None,
        principal: Principal | None = None,
    ) -> Outcome:
        """Let a hold last for so many seconds from now, or until a time; one that lasts longer is left as it is.

        A service asks, or a person. To repeat it is safe by itself.
        """
        asked_by = _asked_by(principal, Operation.MANAGE_HOLDS, caller)
        if (ttl_seconds is None) == (expires_at is None):
            raise InvalidInput("ttlSeconds", "name either ttlSeconds or expiresAt")
        if expires_at is not None:
            end = inputs.time("expiresAt", expires_at)
        else:
            end = self._clock.now() + inputs.ttl_seconds("ttlSeconds", ttl_seconds or 0) * 1_000_000
        named = _book_id(ids.HOLD, hold)
        if named is None:
            return _HOLD_NOT_FOUND
        return _of_hold(await self._committer.submit(commands.ExtendHold(named[0], named[1], end, *asked_by)))

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
        is_dry_run: bool = False,
    ) -> Outcome:
        """Give back a charge or capture, or `amount` of it; `transfer` is its id. A service asks, or a person.

        Above the operator's limit a person's is requested, as a top-up is; a service's is refused if one person made
        its key.
        """
        asked_by = _asked_by(principal, Operation.REFUND, caller)
        checked = (
            inputs.idempotency_key("idempotencyKey", idempotency_key),
            None if amount is None else inputs.amount("amount", amount),
            None if reference is None else inputs.reference("reference", reference),
            None if note is None else inputs.note("note", note),
        )
        named = _book_id(ids.TRANSFER, transfer)
        if named is None:
            return _TRANSFER_NOT_FOUND
        outcome = await self.make(commands.Refund(named[0], named[1], *checked, *asked_by), is_dry_run=is_dry_run)
        # An id names its merchant, so one of a merchant that does not exist is just an id that does not.
        return _TRANSFER_NOT_FOUND if outcome.code is Code.MERCHANT_NOT_FOUND else outcome

    async def top_up(
        self,
        merchant_id: int,
        *,
        amount: str,
        reference: str,
        note: str | None,
        principal: Principal | None,
        is_dry_run: bool = False,
    ) -> Outcome:
        """Add money that the merchant has paid; the same reference twice is the same top-up once.

        Above the operator's limit it is requested, and made when another person approves it.
        """
        asked_by = _asked_by(principal, Operation.TOP_UP)
        move = commands.TopUp(
            merchant_id,
            inputs.amount("amount", amount),
            inputs.reference("reference", reference),
            None if note is None else inputs.note("note", note),
            *asked_by,
        )
        return await self.make(move, is_dry_run=is_dry_run)

    async def adjust(
        self,
        merchant_id: int,
        *,
        amount: str,
        reference: str,
        reason: str,
        principal: Principal | None,
        is_dry_run: bool = False,
    ) -> Outcome:
        """Correct a balance by hand; an `amount` that starts with a minus takes away.

        Above the operator's limit it is requested, and made when another person approves it.
        """
        asked_by = _asked_by(principal, Operation.ADJUST)
        move = commands.Adjust(
            merchant_id,
            inputs.amount("amount", amount.removeprefix("-")),
            not amount.startswith("-"),
            inputs.reference("reference", reference),
            inputs.note("reason", reason),
            *asked_by,
        )
        return await self.make(move, is_dry_run=is_dry_run)

    async def reverse_top_up(
        self,
        merchant_id: int,
        *,
        transfer: str,
        amount: str | None,
        reference: str,
        reason: str,
        is_owed: bool = False,
        principal: Principal | None,
        is_dry_run: bool = False,
    ) -> Outcome:
        """Take back a top-up of this merchant, or `amount` of it; `transfer` is its id.

        Spent money can't be taken back: it is owed, with `is_owed`; or else the whole is refused.
        """
        asked_by = _asked_by(principal, Operation.REVERSE_TOP_UP)
        checked = (
            inputs.reference("reference", reference),
            inputs.note("reason", reason),
            None if amount is None else inputs.amount("amount", amount),
        )
        named = _book_id(ids.TRANSFER, transfer)
        if named is None or named[0] != merchant_id:
            return _TRANSFER_NOT_FOUND
        command = commands.ReverseTopUp(named[0], named[1], *checked, *asked_by, is_owed)
        return await self.submit(command, is_dry_run=is_dry_run)

    async def make(self, move: commands.Move, *, is_dry_run: bool) -> Outcome:
        """Make a move that was checked, or request it if a second person has to approve it."""
        if self._limits.are_none:
            return await self.submit(move, is_dry_run=is_dry_run)
        command = commands.RequestApproval(move, self._id_generator.next(), self._limits)
        return await self.submit(command, is_dry_run=is_dry_run)

    async def submit(self, command: commands.Command, *, is_dry_run: bool) -> Outcome:
        """Commit a command that was checked, or ask what it would come to."""
        return await (self._committer.dry_run(command) if is_dry_run else self._committer.submit(command))

    async def set_thresholds(self, merchant_id: int, amounts: list[str], *, principal: Principal | None) -> Outcome:
        """Replace the amounts of posted balance that the merchant is warned below."""
        asked_by = _asked_by(principal, Operation.SET_THRESHOLDS)
        checked = inputs.thresholds("thresholds", amounts)
        outcome = await self._committer.submit(commands.SetThresholds(merchant_id, checked, *asked_by))
        if outcome.code is Code.THRESHOLD_OUT_OF_REACH and outcome.message is not None:
            # What the credit limit allows is known to the ledger alone, but it is a field that is wrong all the same.
            raise InvalidInput("thresholds", outcome.message)
        return outcome

    async def set_credit_limit(
        self, merchant_id: int, amount: str, *, principal: Principal | None, is_dry_run: bool = False
    ) -> Outcome:
        """Let the merchant spend down to minus this amount; a raise above the operator's limit is requested."""
        asked_by = _asked_by(principal, Operation.SET_CREDIT_LIMIT)
        limit = inputs.amount("creditLimit", amount, is_zero_allowed=True)
        return await self.make(commands.SetCreditLimit(merchant_id, limit, *asked_by), is_dry_run=is_dry_run)

    async def set_frozen(
        self, merchant_id: int, *, is_frozen: bool, principal: Principal | None, is_dry_run: bool = False
    ) -> Outcome:
        """Stop a merchant's spending, or let it go on."""
        asked_by = _asked_by(principal, Operation.FREEZE)
        return await self.submit(commands.SetFrozen(merchant_id, is_frozen, *asked_by), is_dry_run=is_dry_run)

    async def set_closed(
        self, merchant_id: int, *, is_closed: bool, reason: str, principal: Principal | None
    ) -> Outcome:
        """Close a merchant that has no money left, or open it again."""
        asked_by = _asked_by(principal, Operation.MANAGE_MERCHANTS)
        command = commands.SetClosed(merchant_id, is_closed, inputs.note("reason", reason), *asked_by)
        return await self._committer.submit(command)


def _charge_command(fields: ChargeFields, caller: Caller | None, payer: Payer | None) -> commands.Charge | None:
    """Check what a charge asks for; None if nobody pays for it."""
    checked, measured = _checked_spend(fields), checked_measures(fields)
    return None if payer is None else commands.Charge(payer, *checked, caller, *measured, _ABOVE[fields.above])


def checked_measures(fields: QuoteFields) -> tuple[Quantities | None, int | None]:
    """Check the quantities of a charge, hold or quote, and when it was requested."""
    quantities, requested_at = fields.quantities, fields.requested_at
    if quantities is None and requested_at is None:
        return None, None
    return (
        inputs.quantities("quantities", quantities, is_quantity_named=fields.quantity is not None),
        None if requested_at is None else inputs.time("requestedAt", requested_at),
    )


def _checked_spend(fields: SpendFields) -> tuple[str, int, str, int | None, str | None]:
    """Check what charges and holds have in common, in the order of the command's fields."""
    amount, reference = fields.amount, fields.reference
    return (
        inputs.request_type("type", fields.type),
        1 if fields.quantity is None else inputs.quantity("quantity", fields.quantity),
        inputs.idempotency_key("idempotencyKey", fields.idempotency_key),
        None if amount is None else inputs.amount("amount", amount),
        None if reference is None else inputs.reference("reference", reference),
    )


_UNPRICED: Final = (Code.UNKNOWN_TYPE, Code.TYPE_RETIRED)
MERCHANT_NOT_FOUND: Final = refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id or API key")
_HOLD_NOT_FOUND: Final = refused(Code.HOLD_NOT_FOUND, "No hold has this id")
_TRANSFER_NOT_FOUND: Final = refused(Code.TRANSFER_NOT_FOUND, "No transfer has this id")


def _asked_by(
    principal: Principal | None, operation: Operation, caller: Caller | None = None
) -> tuple[Caller | None, Actor | None]:
    """Return the two fields by which a command says who asks: this principal, if they may, or else this caller.

    Raises:
        Forbidden: they may not.
    """
    if principal is None:
        return caller, None
    principal.ensure_may(operation)
    return principal.caller, principal.actor()


def _book_id(prefix: str, text: str) -> tuple[int, int] | None:
    """Read whose book and which number in it an id names; None if it is no such id."""
    try:
        return parsing.parse_book_id(prefix, text)
    except parsing.InvalidId:
        return None


def _of_hold(outcome: Outcome) -> Outcome:
    # An id names its merchant, so one of a merchant that does not exist is just an id that does not.
    return _HOLD_NOT_FOUND if outcome.code is Code.MERCHANT_NOT_FOUND else outcome
