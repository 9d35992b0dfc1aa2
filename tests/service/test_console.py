"""The console's lists on each engine, and the figures of a process."""

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import Charge, Payer, TopUp
from farebox.core.staff_roles import EVERY_ROLE
from farebox.presenters.merchants import account_data
from farebox.service.errors import Missing
from farebox.service.inputs import format_time
from farebox.service.insight.burn_model import DAY, HOUR
from farebox.service.insight.forecast import RunwayState
from farebox.service.insight.runway_snapshots import RunwaySnapshots
from farebox.service.insight.runway_words import lasts
from farebox.service.ledger.committer import Committer
from farebox.service.operator.console import MerchantOrder, MerchantRow, Returns
from farebox.service.operator.throughput import SAMPLE_SECONDS, SAMPLES_MAX, Throughput
from farebox.service.people.api_keys import Principal
from farebox.storage.records import Counts, DeliveryState, Role, RunwaySnapshot
from farebox.web.schemas.spending import ChargeRequest
from tests.support.ledger import UNIT, add_price, do
from tests.support.server import Seeds, give_credit, open_farebox, seed

UTC = ZoneInfo("UTC")
SAM = Principal("sam@farebox.example", address="10.0.0.1", roles=EVERY_ROLE)


@pytest.fixture
async def farebox(database_url: str) -> AsyncIterator[Farebox]:
    """The parts over an empty ledger, on each engine in turn."""
    async with open_farebox(database_url) as farebox:
        yield farebox


async def _with_runway_snapshot(farebox: Farebox, *, days: int | None, balance: str) -> Seeds:
    """Add a merchant whose money lasts so many days."""
    seeds = await seed(farebox, balance=balance)
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    now = farebox.clock.now()
    until, burn = (None, None) if days is None else (now + days * DAY, account.available // days)
    runway_snapshot = RunwaySnapshot(
        seeds.merchant_id, account.seq, account.available, account.last_at, until, burn, now
    )
    await farebox.stores.runway_snapshots.put([runway_snapshot])
    return seeds


def _days(farebox: Farebox, rows: list[MerchantRow]) -> list[int | None]:
    """Count the whole days for which the money of these merchants lasts."""
    now = farebox.clock.now()
    runways = [row.runway(now) for row in rows]
    return [None if runway is None else runway.whole_days(runway.until) for runway in runways]


def _ids(rows: list[MerchantRow]) -> list[int]:
    return [row.merchant.merchant_id for row in rows]


async def test_who_runs_out_within_a_week_comes_first(farebox: Farebox) -> None:
    late = await _with_runway_snapshot(farebox, days=30, balance="1")
    soon = await _with_runway_snapshot(farebox, days=6, balance="3")
    soonest = await _with_runway_snapshot(farebox, days=1, balance="2")
    never = await _with_runway_snapshot(farebox, days=None, balance="0.5")
    console = farebox.services.console
    assert [soonest.merchant_id, soon.merchant_id] == _ids(await console.soon(10, UTC))
    assert [soonest.merchant_id] == _ids(await console.soon(1, UTC))
    assert [1, 6] == _days(farebox, await console.soon(10, UTC))
    # A top-up counts at once, before runways are worked out again.
    await farebox.services.operations.top_up(soon.merchant_id, amount="1.5", reference="R", note=None, principal=None)
    assert [1, 9] == _days(farebox, await console.merchants(MerchantOrder.RUNS_OUT, limit=2, offset=0))
    assert [soonest.merchant_id] == _ids(await console.soon(10, UTC))
    by_balance = [never.merchant_id, late.merchant_id, soonest.merchant_id, soon.merchant_id]
    assert by_balance == _ids(await console.merchants(MerchantOrder.AVAILABLE, limit=10, offset=0))
    assert by_balance[1:3] == _ids(await console.merchants(MerchantOrder.AVAILABLE, limit=2, offset=1))
    newest = [never.merchant_id, soonest.merchant_id, soon.merchant_id, late.merchant_id]
    assert newest == _ids(await console.merchants(MerchantOrder.AGE, limit=10, offset=0))
    assert newest == _ids(await console.merchants(MerchantOrder.LAST, limit=10, offset=0))
    (row,) = await console.merchants(MerchantOrder.RUNS_OUT, limit=1, offset=2)
    assert row.runway_snapshot is not None
    assert (late.merchant_id, 1_000_000) == (row.account.merchant_id, row.runway_snapshot.available)


async def test_a_charge_and_a_top_up_move_a_merchant_into_the_list_and_out_at_once(farebox: Farebox) -> None:
    """However many others ran out sooner when runways were last worked out: those were all topped up since."""
    for _ in range(9):
        other = await _with_runway_snapshot(farebox, days=1, balance="1")
        await farebox.services.operations.top_up(
            other.merchant_id, amount="50", reference="R", note=None, principal=None
        )
    spender = await _with_runway_snapshot(farebox, days=100, balance="100")
    console, operations = farebox.services.console, farebox.services.operations
    assert [] == await console.soon(2, UTC)
    charged = await operations.charge(ChargeRequest(spender.merchant, "call", "big", amount="94"), caller=None)
    assert charged.is_ok
    assert [spender.merchant_id] == _ids(await console.soon(2, UTC))
    assert [6] == _days(farebox, await console.soon(2, UTC))
    assert spender.merchant_id == _ids(await console.merchants(MerchantOrder.RUNS_OUT, limit=1, offset=0))[0]
    await operations.top_up(spender.merchant_id, amount="2", reference="R", note=None, principal=None)
    assert [] == await console.soon(2, UTC)
    # At its end it is the first of all, and used up.
    await operations.charge(ChargeRequest(spender.merchant, "call", "rest", amount="8"), caller=None)
    assert [0] == _days(farebox, await console.soon(1, UTC))


async def test_credit_counts_until_its_limit_wherever_it_is_told_how_long_it_lasts(farebox: Farebox) -> None:
    """A balance of -100, a limit of 505 and a burn of 10 a day: 40 days and a half, on the page and in the list."""
    seeds = await seed(farebox, balance=None, credit_limit="505")
    await add_price(farebox.stores, 7, request_type="crate", unit_price=UNIT, starts_at=0)
    now, payer = farebox.clock.now(), Payer(seeds.merchant_id)
    for tenth in range(100, 0, -1):
        await do(farebox.stores, Charge(payer, "crate", 1, f"charge {tenth}"), now=now - tenth * DAY // 10)
    view = await farebox.services.queries.account_view(seeds.merchant_id)
    assert (-100 * UNIT, RunwayState.KNOWN) == (view.account.available, view.forecast.state)
    runway = account_data(view).runway
    assert view.forecast.runway is not None
    assert runway is not None
    # It ends on the 40th or 41st day after today, by the time of day.
    assert lasts(view.forecast.runway, UTC) in ("40 days", "41 days")
    assert 40 == runway.days
    await RunwaySnapshots(farebox.stores, farebox.clock, merchant_seconds=0).run_once()
    console = farebox.services.console
    (row,) = await console.merchants(MerchantOrder.RUNS_OUT, limit=9, offset=0)
    assert [40] == _days(farebox, [row])
    assert [] == await console.soon(9, UTC, beside=[row])
    await farebox.services.operations.set_credit_limit(seeds.merchant_id, "165", principal=None)
    assert [6] == _days(farebox, await console.soon(9, UTC))


async def test_given_credit_counts_until_it_ends_in_the_list_as_on_the_page(farebox: Farebox) -> None:
    """100 paid and 900 given, 10 spent a day: of what ends in 5 days 50 are spent, and 100 last 10 days more."""
    seeds = await seed(farebox, balance=None)
    await add_price(farebox.stores, 7, request_type="crate", unit_price=10 * UNIT, starts_at=0)
    now, payer = farebox.clock.now(), Payer(seeds.merchant_id)
    await do(farebox.stores, TopUp(seeds.merchant_id, 200 * UNIT, "INV-1"), now=now - 10 * DAY)
    for day in range(10, 0, -1):
        await do(farebox.stores, Charge(payer, "crate", 1, f"charge {day}"), now=now - day * DAY + HOUR)
    await give_credit(farebox, seeds.merchant_id, "900", expires_at=format_time(now + 5 * DAY + HOUR))
    view = await farebox.services.queries.account_view(seeds.merchant_id)
    assert view.forecast.runway is not None
    assert 15 == view.forecast.runway.whole_days(view.forecast.runway.until)
    await RunwaySnapshots(farebox.stores, farebox.clock, merchant_seconds=0).run_once()
    console = farebox.services.console
    rows = await console.merchants(MerchantOrder.RUNS_OUT, limit=9, offset=0)
    assert [15] == _days(farebox, rows)
    other = await _with_runway_snapshot(farebox, days=50, balance="500")
    rows = await console.merchants(MerchantOrder.RUNS_OUT, limit=9, offset=0)
    assert [seeds.merchant_id, other.merchant_id] == _ids(rows)
    # A top-up counts at once.
    await farebox.services.operations.top_up(
        seeds.merchant_id, amount="20", reference="INV-2", note=None, principal=None
    )
    rows = await console.merchants(MerchantOrder.RUNS_OUT, limit=1, offset=0)
    assert [17] == _days(farebox, rows)


async def test_a_search_looks_at_names_and_addresses(farebox: Farebox) -> None:
    one, other = await seed(farebox), await seed(farebox)
    await farebox.services.merchants.rename(one.merchant_id, "Contoso 100%")
    await farebox.services.users.invite(other.merchant_id, "carla@tailspin.example", Role.OWNER, principal=None)
    console = farebox.services.console
    assert [one.merchant_id] == _ids(await console.search("CONTOSO", limit=5, offset=0))
    assert [one.merchant_id] == _ids(await console.search("100%", limit=5, offset=0))
    assert [other.merchant_id] == _ids(await console.search("carla@", limit=5, offset=0))
    assert [] == _ids(await console.search("carla@", limit=5, offset=1))
    assert {one.merchant_id: "Contoso 100%", 7: ids.public_id(ids.MERCHANT, 7)} == await console.names(
        [None, 7, one.merchant_id]
    )


def _returns(returns: Returns) -> tuple[list[int], int]:
    return [transfer.amount for transfer in returns.transfers], returns.left


async def test_a_transfer_is_read_with_the_one_that_it_refers_to(farebox: Farebox) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    top_up = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1)
    await farebox.services.operations.reverse_top_up(
        seeds.merchant_id, transfer=top_up, amount="1", reference="R", reason="typo", principal=None
    )
    reversal = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=2)
    transfer, refers_to = await farebox.services.console.transfer(seeds.merchant_id, reversal)
    assert refers_to is not None
    assert (reversal, top_up) == (transfer.id, refers_to.id)
    assert (await farebox.services.console.transfer(seeds.merchant_id, top_up))[1] is None
    absent = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=3)
    for text in ("nonsense", absent, ids.book_id(ids.TRANSFER, merchant_id=other.merchant_id, seq=1)):
        with pytest.raises(Missing):
            await farebox.services.console.transfer(seeds.merchant_id, text)


async def test_what_was_given_back_of_a_transfer_is_told_and_what_is_left(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    top_up = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1)
    transfer, _ = await farebox.services.console.transfer(seeds.merchant_id, top_up)
    assert ([], 100_000_000) == _returns(await farebox.services.console.returns(transfer))
    for number in ("1", "2"):
        await farebox.services.operations.reverse_top_up(
            seeds.merchant_id, transfer=top_up, amount=number, reference=number, reason="typo", principal=None
        )
    assert ([2_000_000, 1_000_000], 97_000_000) == _returns(await farebox.services.console.returns(transfer))


async def test_what_is_owed_is_listed_counted_and_made_due(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    await farebox.services.users.invite(seeds.merchant_id, "ann@acme.example", Role.OWNER, principal=None)
    await farebox.services.operations.set_thresholds(seeds.merchant_id, ["1000"], principal=None)
    outgoing = await farebox.services.console.outgoing()
    assert ["ann@acme.example"] == [mail.email for mail in outgoing.mails]
    assert ["ann@acme.example"] == [account_mail.email for account_mail in outgoing.account_mails]
    assert (
        Counts(merchants=1, closed_merchants=0, transfers=1, mails_waiting=1, account_mails_waiting=1)
        == await farebox.services.console.counts()
    )
    now = farebox.clock.now()
    (account_mail,) = await farebox.stores.account_mails.claim(now, lease_until=now + DAY, limit=5)
    assert DeliveryState.WAITING == account_mail.state
    assert 2 == await farebox.services.console.retry(principal=SAM)
    next_at = await farebox.stores.account_mails.next_due_at()
    assert next_at is not None
    assert next_at < now + DAY


async def test_looking_as_a_merchant_is_written_down(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    assert Counts(1, 0, 1, 0, 0) == await farebox.services.console.counts()
    await farebox.services.console.note_look(seeds.merchant_id, principal=SAM)
    audit_entries, _ = await farebox.services.audit_log.page(merchant_id=seeds.merchant_id, cursor=None, limit=5)
    assert [("sam@farebox.example", "10.0.0.1", "look_as_merchant", seeds.merchant)] == [
        (audit_entry.actor, audit_entry.address, audit_entry.action, audit_entry.subject)
        for audit_entry in audit_entries
    ]


async def test_the_throughput_is_measured_over_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: seconds)
    committer = cast(Committer, SimpleNamespace(commands_count=100))
    throughput = Throughput(committer)
    assert 0.0 == throughput.commands_per_second()
    for count in range(1, SAMPLES_MAX * 2 + 1):
        seconds += SAMPLE_SECONDS
        # The first minute is idle; what counts is the last.
        cast(Any, committer).commands_count += 50 if count >= SAMPLES_MAX else 0
        await throughput.sample()
    assert 10.0 == throughput.commands_per_second()
