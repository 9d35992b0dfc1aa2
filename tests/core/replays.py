"""Replaying books as `verify` does."""

from collections.abc import Mapping, Sequence

from msgspec.structs import astuple

from farebox.core.accounts import Account, Kind
from farebox.core.credit.grants import Grant
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.replaying.alerts import alert_faults
from farebox.core.replaying.books import Replay
from farebox.core.replaying.budgets import BudgetReplay
from farebox.core.transfers import Transfer
from tests.support.memory import MemoryConnector


def faults_in(
    account: Account,
    transfers: Sequence[Transfer],
    holds: Sequence[Hold],
    prices: Mapping[int, Price] | None = None,
    counts: Sequence[PeriodCount] = (),
    shortfalls: Sequence[Shortfall] = (),
    grants: Sequence[Grant] = (),
) -> list[str]:
    """Replay one merchant's book and list what is wrong with it; the short way comes to the same as the long one."""
    replay, short = Replay(account.merchant_id, prices), Replay(account.merchant_id, prices)
    faults = [fault for transfer in transfers for fault in replay.feed(transfer)]
    assert faults == list(short.feed_rows([astuple(transfer) for transfer in transfers]))
    originals = {transfer.seq: transfer for transfer in transfers if transfer.seq in replay.returned}
    at_the_end = list(replay.finish(account, holds, originals, counts, shortfalls, grants))
    assert at_the_end == list(short.finish(account, holds, originals, counts, shortfalls, grants))
    assert replay.last_arrival_seq == short.last_arrival_seq
    return faults + at_the_end


def faults_of(store: MemoryConnector, account: Account) -> list[str]:
    """Replay a merchant's book as it is stored."""
    rows = store.rows()
    transfers = [item for item in rows["transfers"] if item.merchant_id == account.merchant_id]
    holds = [item for item in rows["holds"] if item.merchant_id == account.merchant_id]
    alerts = [item for item in rows["alerts"] if item.merchant_id == account.merchant_id]
    grants = [item for item in rows["grants"] if item.merchant_id == account.merchant_id]
    arrivals = [item.seq for item in transfers if item.kind in (Kind.TOP_UP, Kind.ADJUSTMENT_CREDIT, Kind.GRANT)]
    by_seq = {transfer.seq: transfer for transfer in transfers}
    of_alerts = alert_faults(account, alerts, by_seq, max(arrivals, default=0))
    shortfalls = [item for item in rows["shortfalls"] if item.merchant_id == account.merchant_id]
    beside = prices_of(store, account), counts_of(store, account), shortfalls, grants
    theirs = {key.key_id: key.budget_id for key in store.keys.values() if key.merchant_id == account.merchant_id}
    spent = BudgetReplay([item for item in rows["budgets"] if item.merchant_id == account.merchant_id], theirs)
    spent.feed_all(transfers)
    return faults_in(account, transfers, holds, *beside) + list(of_alerts) + list(spent.finish())


def prices_of(store: MemoryConnector, account: Account) -> dict[int, Price]:
    """List the versions that a merchant's transfers may name."""
    return {price.price_id: price for price in store.prices if price.merchant_id in (None, account.merchant_id)}


def counts_of(store: MemoryConnector, account: Account) -> list[PeriodCount]:
    """List a merchant's counts of periods."""
    return [count for count in store.rows()["period_counts"] if count.merchant_id == account.merchant_id]
