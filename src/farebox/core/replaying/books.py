"""Replaying a book: from its first transfer to its last, what must its balances, hashes and holds be?"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from msgspec.structs import replace

from farebox.core import chain, ids
from farebox.core.accounts import DEBIT_AND_CREDIT, GENESIS_HASH, KIND_WORDS, RETURNABLE_KINDS, Account, Kind
from farebox.core.book import ARRIVING_KINDS
from farebox.core.credit.grants import Grant
from farebox.core.credit.shortfalls import Shortfall, is_payment
from farebox.core.holds import Hold, HoldState
from farebox.core.invariants import account_faults, hold_faults
from farebox.core.money import format_amount
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.replaying.budgets import BudgetReplay
from farebox.core.replaying.grants import GrantReplay
from farebox.core.replaying.hours import HourReplay
from farebox.core.replaying.plain_charges import BookPlace, PlainChargeForms, PlainChargeRuns, Row
from farebox.core.replaying.rules import RuleReplay
from farebox.core.replaying.shortfalls import ShortfallReplay
from farebox.core.transfers import Transfer

_FINAL_KINDS = {Kind.CAPTURE: HoldState.CAPTURED, Kind.RELEASE: HoldState.RELEASED, Kind.EXPIRE: HoldState.EXPIRED}


class Replay:
    """One merchant's book, fed its transfers in order of seq; it yields each fault where it stands.

    It keeps the holds and what was given back, so its memory grows with those, not with the charges; but for charges
    whose price gives their units back with a refund.
    """

    def __init__(
        self,
        merchant_id: int,
        prices: Mapping[int, Price] | None = None,
        budgets: BudgetReplay | None = None,
        hours: HourReplay | None = None,
        plain_forms: PlainChargeForms | None = None,
    ) -> None:
        """Start at the empty book.

        Args:
            merchant_id: whose book.
            prices: the versions that its transfers may name, by their number.
            budgets: those of the merchant's keys, to which rows are told.
            hours: what is spent in each hour, to which rows are told.
            plain_forms: what plain charges of this book and others, with the same prices, have in common.
        """
        self._merchant_id = merchant_id
        self._merchant = ids.public_id(ids.MERCHANT, merchant_id)
        self._balances = dict.fromkeys(("wallet", "held", "revenue", "funding", "adjustments", "promotions"), 0)
        self._seq = 0
        self._hash = GENESIS_HASH
        self._at = 0
        self._holds: dict[int, Hold] = {}
        self._versions = prices or {}
        self._hold_prices: dict[int, tuple[int | None, int | None]] = {}
        self._rests: dict[int, int] = {}
        self._rules = RuleReplay(self._versions)
        self._shortfalls = ShortfallReplay()
        self._grants = GrantReplay()
        self._budgets = BudgetReplay((), {}) if budgets is None else budgets
        self._hours = HourReplay(0, {}) if hours is None else hours
        forms = PlainChargeForms(self._versions) if plain_forms is None else plain_forms
        self._plain = PlainChargeRuns(merchant_id, self._merchant, forms, self._budgets)
        self._returns: set[tuple[int, Kind]] = set()
        self.returned: dict[int, int] = {}
        """How much was given back of the transfer with this seq, by refunds or reversals, with what is owed of it."""
        self.last_arrival_seq = 0
        """The last transfer that brought money, by a top-up, an upward adjustment or a grant."""

    def feed_rows(self, rows: Sequence[Row]) -> Iterator[str]:
        """Apply transfers as they are stored, in order of seq, and yield each one's faults, as `feed` does.

        Sound plain charges, which most transfers are, take a shorter way to the same end.
        """
        hours = self._hours
        split = bisect_right(rows, hours.rolled_up_seq, key=itemgetter(1))
        for part, spent in ((rows[:split], hours.spent), (rows[split:], None)):
            rest = iter(part)
            while part and (row := self._take_plain(rest, spent)) is not None:
                transfer = Transfer(*row)
                self._budgets.feed_all((transfer,))
                hours.feed_all((transfer,))
                yield from self.feed(transfer)

    def _take_plain(self, rows: Iterator[Row], spent: dict[int, int] | None) -> Row | None:
        """Apply sound plain charges, and return the first row that is none; None if there are no more."""
        if self._grants.given or self._shortfalls.owed:
            return next(rows, None)
        balances = self._balances
        place = BookPlace(self._seq, self._at, self._hash, balances["wallet"], balances["held"])
        reached, row = self._plain.take(rows, place, spent)
        if reached.seq != place.seq:
            balances["wallet"] = reached.wallet
            balances["revenue"] += place.wallet - reached.wallet
            self._seq, self._at, self._hash = reached.seq, reached.at, reached.hash
            self._shortfalls.skip()
        return row

    def feed(self, transfer: Transfer) -> Iterator[str]:
        """Apply one transfer and yield what is wrong with it, naming its seq."""
        where = f"seq {transfer.seq}"
        if transfer.seq != self._seq + 1:
            yield f"{where}: follows seq {self._seq}; transfers are missing, repeated or swapped"
        if transfer.merchant_id != self._merchant_id:
            yield f"{where}: belongs to another merchant's book"
        if transfer.committed_at < self._at:
            yield f"{where}: is earlier than the transfer before it"
        for fault in _field_faults(transfer):
            yield f"{where}: {fault}"
        if transfer.kind in DEBIT_AND_CREDIT:
            expected = chain.link(self._hash, chain.canonical_bytes(self._merchant, transfer))
            if transfer.hash != expected:
                yield f"{where}: the hash does not match what is stored of the transfer and its predecessor"
            wallet_before = self._balances["wallet"]
            debit, credit = DEBIT_AND_CREDIT[transfer.kind]
            self._balances[debit] -= transfer.amount
            self._balances[credit] += transfer.amount
            yield from self._balance_faults(where, transfer)
            yield from self._link_faults(where, transfer)
            returned = self.returned.get(transfer.refers_to or 0, 0) - transfer.amount
            for fault in self._grants.feed(transfer, wallet_before, returned):
                yield f"{where}: {fault}"
        else:
            yield f"{where}: there is no kind {transfer.kind}"
        for fault in self._rules.feed(transfer, self.returned):
            yield f"{where}: {fault}"
        for fault in self._shortfalls.feed(transfer):
            yield f"{where}: {fault}"
        # Go on from what is stored, so that one fault is not reported again for every later transfer.
        self._balances["wallet"], self._balances["held"] = transfer.wallet_after, transfer.held_after
        self._seq, self._hash, self._at = transfer.seq, transfer.hash, transfer.committed_at

    def finish(
        self,
        account: Account,
        holds: Iterable[Hold],
        originals: Mapping[int, Transfer],
        counts: Sequence[PeriodCount] = (),
        shortfalls: Iterable[Shortfall] = (),
        grants: Iterable[Grant] = (),
    ) -> Iterator[str]:
        """Compare where the book came to with what is stored beside it, and yield what differs.

        Args:
            account: the account's row.
            holds: all of the merchant's holds.
            originals: the transfers that `returned` names, by seq.
            counts: all of the merchant's counts of periods.
            shortfalls: all of the merchant's shortfalls.
            grants: all of the merchant's grants of credit.
        """
        where = f"seq {account.seq}"
        if account.seq != self._seq:
            yield f"{where}: the account counts {account.seq} transfers, the book has {self._seq}"
        if account.last_hash != self._hash:
            yield f"{where}: the account's last hash is not the last transfer's"
        if account.last_at != self._at:
            yield f"{where}: the account's last time is not the last transfer's"
        for name, balance in self._balances.items():
            stored: int = getattr(account, name)
            if stored != balance:
                yield f"{where}: {name} is {format_amount(stored)}, its transfers come to {format_amount(balance)}"
        for fault in account_faults(account):
            yield f"{where}: {fault}"
        for fault in self._rules.finish(counts):
            yield f"{where}: {fault}"
        for fault in self._shortfalls.finish(account, shortfalls):
            yield f"{where}: {fault}"
        for fault in self._grants.finish(account, grants):
            yield f"{where}: {fault}"
        yield from self._returned_faults(originals)
        yield from self._hold_faults(where, account, {hold.seq: hold for hold in holds})

    def _balance_faults(self, where: str, transfer: Transfer) -> Iterator[str]:
        for name, after in (("wallet", transfer.wallet_after), ("held", transfer.held_after)):
            if self._balances[name] != after:
                yield (
                    f"{where}: {name} after it is {format_amount(after)}, "
                    f"its transfers come to {format_amount(self._balances[name])}"
                )

    def _link_faults(self, where: str, transfer: Transfer) -> Iterator[str]:
        """Follow what the transfer refers to: holds end once, and nothing gives back more than was taken."""
        kind = Kind(transfer.kind)
        if kind in ARRIVING_KINDS:
            self.last_arrival_seq = transfer.seq
        elif kind == Kind.HOLD:
            self._holds[transfer.seq] = Hold(
                *(self._merchant_id, transfer.seq, transfer.amount, 0),
                quantity=transfer.quantity or 0,
                request_type=transfer.request_type,
            )
            self._hold_prices[transfer.seq] = (transfer.unit_price, transfer.price_id)
        elif kind in _FINAL_KINDS:
            yield from self._settle(where, transfer, kind)
        elif kind in RETURNABLE_KINDS:
            seq = transfer.refers_to or 0
            if not 0 < seq < transfer.seq:
                yield f"{where}: refers to no earlier transfer"
            self._returns.add((seq, kind))
            # What pays for an earlier reversal was counted with that.
            self.returned[seq] = self.returned.get(seq, 0) + (0 if is_payment(transfer) else transfer.due)

    def _settle(self, where: str, transfer: Transfer, kind: Kind) -> Iterator[str]:
        """End a hold: a capture may leave a rest, which is released once; all else gives back the whole."""
        hold = self._holds.get(transfer.refers_to or 0)
        if hold is None:
            yield f"{where}: refers to no hold"
        elif kind == Kind.RELEASE and self._rests.get(hold.seq) == transfer.amount:
            del self._rests[hold.seq]
        elif hold.state != HoldState.HELD:
            yield f"{where}: ends the hold of seq {hold.seq} a second time"
        else:
            if transfer.request_type != hold.request_type:
                yield f"{where}: has another request type than the hold of seq {hold.seq}"
            if kind == Kind.CAPTURE:
                yield from self._capture_faults(where, transfer, hold)
            captured = transfer.amount if kind == Kind.CAPTURE else 0
            rest = hold.amount - transfer.amount
            if rest < 0 or (rest > 0 and kind != Kind.CAPTURE):
                yield f"{where}: ends the hold of seq {hold.seq} with another amount than it holds"
            elif rest > 0:
                self._rests[hold.seq] = rest
            self._holds[hold.seq] = replace(hold, state=_FINAL_KINDS[kind], captured=captured)

    def _capture_faults(self, where: str, transfer: Transfer, hold: Hold) -> Iterator[str]:
        """Compare what a capture counts with its hold. Earlier captures count all requests and name no price.

        Requests above a hold at a unit price are charged by themselves; other holds may come to more requests.
        """
        price, hold_price = (transfer.unit_price, transfer.price_id), self._hold_prices[hold.seq]
        if not transfer.quantity or (transfer.unit_price is not None and transfer.quantity > hold.quantity):
            yield f"{where}: counts other requests than the hold of seq {hold.seq}"
        if price not in ((None, None), hold_price):
            yield f"{where}: names another price than the hold of seq {hold.seq}"

    def _returned_faults(self, originals: Mapping[int, Transfer]) -> Iterator[str]:
        for refund in self._grants.refunds:
            if (charge := originals.get(refund.original_seq)) is not None:
                yield from (f"seq {refund.seq}: {fault}" for fault in self._grants.refund_faults(refund, charge))
        for seq, kind in sorted(self._returns):
            original = originals.get(seq)
            if original is None or original.kind not in RETURNABLE_KINDS[kind]:
                yield f"seq {seq}: is given back, but is nothing that a {KIND_WORDS[kind]} gives back"
        for seq, returned in sorted(self.returned.items()):
            original = originals.get(seq)
            if original is not None and returned > original.amount:
                yield f"seq {seq}: {format_amount(returned)} of its {format_amount(original.amount)} was given back"

    def _hold_faults(self, where: str, account: Account, stored_holds: Mapping[int, Hold]) -> Iterator[str]:
        for seq in sorted(stored_holds.keys() | self._holds.keys()):
            hold, replayed = stored_holds.get(seq), self._holds.get(seq)
            if hold is None:
                yield f"seq {seq}: the hold's row is missing"
            elif replayed is None:
                yield f"seq {seq}: a hold is stored that no transfer made"
            else:
                yield from (f"seq {seq}: {fault}" for fault in hold_faults(hold))
                if _without_time(hold) != _without_time(replayed):
                    yield f"seq {seq}: the hold's row says otherwise than its transfers"
        for seq, rest in sorted(self._rests.items()):
            yield f"seq {seq}: {format_amount(rest)} of the hold was neither captured nor released"
        open_amount = sum(hold.amount for hold in stored_holds.values() if hold.state == HoldState.HELD)
        if open_amount != account.held:
            yield (f"{where}: open holds come to {format_amount(open_amount)}, held is {format_amount(account.held)}")


def _field_faults(transfer: Transfer) -> list[str]:
    """Find faults of a transfer that need no other transfer to be seen."""
    amount, quantity, unit_price = transfer.amount, transfer.quantity, transfer.unit_price
    faults = []
    is_explained = transfer.pricing is not None or transfer.uncollected is not None
    may_be_free = is_explained or transfer.kind in (Kind.RELEASE, Kind.EXPIRE)
    if amount < 0 or (amount == 0 and not may_be_free):
        faults.append("the amount is not positive")
    if unit_price is not None and transfer.due != unit_price * (quantity or 0):
        faults.append("the amount is not unit price x quantity")
    # The hash reads nothing in what is empty and in what is absent alike, so no field may be empty.
    if "" in (transfer.request_type, transfer.reference, transfer.note, transfer.given) or 0 in (
        quantity,
        unit_price,
        transfer.price_id,
        transfer.refers_to,
        transfer.uncollected,
        transfer.key_id,
    ):
        faults.append("a field is empty that should be absent")
    return faults


def _without_time(hold: Hold) -> Hold:
    """Return the hold without its time, which no transfer has."""
    return replace(hold, expires_at=0)
