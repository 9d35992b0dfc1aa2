"""Books kept in dicts: they answer a ReadSet exactly, apply a Decision, and check what every store has to check."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from farebox.core.accounts import Account, Kind
from farebox.core.commands import Command
from farebox.core.decide import decide
from farebox.core.holds import Hold
from farebox.core.invariants import check_account, check_hold
from farebox.core.pricing import Price
from farebox.core.replay import Replay
from farebox.core.state import BatchState, Decision, Firing, KeyRecord, Original, ReadSet, reads
from farebox.core.transfers import Transfer

K = TypeVar("K")
V = TypeVar("V")

RETURNS = frozenset({Kind.REFUND, Kind.TOP_UP_REVERSAL})


class Answer(dict[K, V]):
    """What was found of what was asked for; looking for anything else is an error."""

    def __init__(self, asked: Iterable[K], rows: Mapping[K, V]) -> None:
        self._asked = frozenset(asked)
        super().__init__({key: rows[key] for key in self._asked if key in rows})

    def get(self, key: K, default: object = None) -> V | None:  # type: ignore[override]
        assert key in self._asked, f"{key!r} is looked for, but was not asked for"
        assert default is None
        return super().get(key)


class Books:
    """All rows of a small store. `keys` and `prices` are given; the rest comes from decisions."""

    def __init__(
        self, accounts: Iterable[Account], keys: Mapping[bytes, KeyRecord], prices: Collection[Price] = ()
    ) -> None:
        self.accounts = {account.merchant_id: account for account in accounts}
        self.keys = dict(keys)
        self.prices = list(prices)
        self.transfers: dict[tuple[int, int], Transfer] = {}
        self.holds: dict[tuple[int, int], Hold] = {}
        self.firings: list[Firing] = []

    def load(self, asked: ReadSet) -> BatchState:
        """Find what was asked for, and nothing else."""
        by_key = {(row.merchant_id, row.idempotency_key): row for row in self.transfers.values()}
        replays = Answer(asked.idempotency_keys, by_key)
        made = [(row.merchant_id, row.seq) for row in replays.values() if row.kind == Kind.HOLD]
        staff = {digest: row for digest, row in self.keys.items() if row.merchant_id is None}
        owned = {(row.merchant_id, digest): row for digest, row in self.keys.items()}
        found = {digest: staff[digest] for digest in asked.staff_digests if digest in staff}
        found |= {digest: owned[place, digest] for place, digest in asked.merchant_digests if (place, digest) in owned}
        return BatchState(
            accounts=Answer(asked.merchant_ids, self.accounts),
            keys=Answer([*asked.staff_digests, *(digest for _, digest in asked.merchant_digests)], found),
            default_prices=Answer(
                asked.request_types, {kind: p for (m, kind), p in self._prices(asked.now) if m is None}
            ),
            merchant_prices=Answer(
                asked.merchant_types, {(m, kind): p for (m, kind), p in self._prices(asked.now) if m is not None}
            ),
            replays=replays,
            holds=Answer([*asked.holds, *made], self.holds),
            originals=Answer(asked.originals, {place: self._original(place) for place in self.transfers}),
        )

    def apply(self, decision: Decision) -> None:
        """Write a decision's rows: transfers and new holds are new, what changes was there."""
        for account in decision.accounts:
            check_account(account)
            assert account.merchant_id in self.accounts
            self.accounts[account.merchant_id] = account
        for transfer in decision.transfers:
            place = (transfer.merchant_id, transfer.seq)
            assert place not in self.transfers
            keys = {(row.merchant_id, row.idempotency_key) for row in self.transfers.values()}
            assert (transfer.merchant_id, transfer.idempotency_key) not in keys
            self.transfers[place] = transfer
        for hold in [*decision.new_holds, *decision.changed_holds]:
            check_hold(hold)
            assert ((hold.merchant_id, hold.seq) in self.holds) == (hold in decision.changed_holds)
            self.holds[hold.merchant_id, hold.seq] = hold
        self.firings.extend(decision.firings)

    def run(self, commands: Sequence[Command], now: int) -> Decision:
        """Read, decide and apply one batch."""
        decision = decide(self.load(reads(commands, now)), commands, now)
        assert len(commands) == len(decision.outcomes)
        assert decision.changes_anything or not (decision.transfers or decision.firings or decision.changed_holds)
        self.apply(decision)
        return decision

    def book(self, merchant_id: int) -> list[Transfer]:
        """One merchant's transfers, in order."""
        return sorted((row for (owner, _), row in self.transfers.items() if owner == merchant_id), key=lambda t: t.seq)

    def holds_of(self, merchant_id: int) -> list[Hold]:
        """One merchant's holds, in order."""
        return sorted((row for (owner, _), row in self.holds.items() if owner == merchant_id), key=lambda h: h.seq)

    def faults(self, merchant_id: int, transfers: Sequence[Transfer] | None = None) -> list[str]:
        """What a replay finds wrong with one merchant's book, or with these transfers in its place."""
        rows = self.book(merchant_id) if transfers is None else transfers
        replay = Replay(merchant_id)
        found = [fault for row in rows for fault in replay.feed(row)]
        originals = {row.seq: row for row in rows if row.seq in replay.returned}
        return [*found, *replay.finish(self.accounts[merchant_id], self.holds_of(merchant_id), originals)]

    def _prices(self, now: int) -> list[tuple[tuple[int | None, str], Price]]:
        """The version of each price that is in force."""
        started = sorted((price for price in self.prices if price.starts_at <= now), key=lambda price: price.starts_at)
        return list({(price.merchant_id, price.request_type): price for price in started}.items())

    def _original(self, place: tuple[int, int]) -> Original:
        merchant_id, seq = place
        back = [row for row in self.book(merchant_id) if row.refers_to == seq and row.kind in RETURNS]
        return Original(self.transfers[place], sum(row.amount for row in back))
