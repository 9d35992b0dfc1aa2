"""Usage: exact to the last charge, in the hours and days of any time zone, whether summed up yet or not."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import Kind
from farebox.core.outcomes import Outcome
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule
from farebox.core.transfers import Transfer
from farebox.service.errors import InvalidInput, Unavailable
from farebox.service.insight.usage import UsageLine, UsageReader, UsageRollup
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.operations import Operations
from farebox.service.periodic import Periodic, running
from farebox.storage.interface import StoreUnavailable
from farebox.web.schemas.spending import ChargeRequest, HoldRequest
from tests.service.conftest import ServiceParts
from tests.support.effort import examples
from tests.support.server import Seeds

QUARTER_MICROS: Final = 900_000_000
TIMEOUT_S: Final = 20

CHAT: Final = Rule(Rates((Line("input", 1, 10**6), Line("output", 5, 2))), period=Period(PeriodUnit.DAY, "UTC"))

By = Literal["hour", "day"]

# Days on which each zone's offset changes, or any day where it never does.
CHANGES: Final[list[tuple[str, date]]] = [
    ("UTC", date(2027, 3, 31)),
    ("Asia/Kathmandu", date(2027, 4, 30)),
    ("Asia/Kolkata", date(2027, 2, 28)),
    ("Europe/Berlin", date(2027, 3, 28)),
    ("Europe/Berlin", date(2027, 10, 31)),
    ("America/New_York", date(2027, 3, 14)),
    ("America/New_York", date(2027, 11, 7)),
    # By half an hour.
    ("Australia/Lord_Howe", date(2027, 4, 4)),
    ("Australia/Lord_Howe", date(2027, 10, 3)),
    # Offsets of three quarters.
    ("Pacific/Chatham", date(2027, 4, 4)),
    ("Pacific/Chatham", date(2027, 9, 26)),
    # At midnight: a day without one, a day with two.
    ("Africa/Cairo", date(2027, 4, 30)),
    ("America/Havana", date(2027, 3, 14)),
    ("America/Havana", date(2027, 11, 7)),
]


# A slow model: a bucket starts where, going back quarter by quarter, the clock on the wall tells another one.


def _bucket_start(at: int, by: By, zone: ZoneInfo) -> int:
    quarter = at // QUARTER_MICROS
    while _shown(quarter - 1, by, zone) == _shown(quarter, by, zone):
        quarter -= 1
    return quarter * QUARTER_MICROS


def _shown(quarter: int, by: By, zone: ZoneInfo) -> tuple[Any, ...]:
    local = datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone)
    return (local.date(), local.hour, local.utcoffset()) if by == "hour" else (local.date(),)


def _model(
    transfers: Sequence[Transfer], *, by: By, first: date, last: date, zone: ZoneInfo, request_type: str | None
) -> list[UsageLine]:
    lines: dict[tuple[int, str], UsageLine] = {}
    for transfer in transfers:
        day = datetime.fromtimestamp(transfer.committed_at / 1_000_000, UTC).astimezone(zone).date()
        name = transfer.request_type
        if name is None or request_type not in (None, name) or not first <= day <= last:
            continue
        starts_at = _bucket_start(transfer.committed_at, by, zone)
        old = lines.get((starts_at, name), UsageLine(starts_at, name, 0, 0, 0))
        if transfer.kind in (Kind.CHARGE, Kind.CAPTURE):
            requests, cost = old.requests + (transfer.quantity or 0), old.cost + transfer.amount
            named = dict(old.quantities)
            for part in (transfer.pricing or "").partition(";")[0].split(","):
                if part:
                    component, _, number = part.partition("=")
                    named[component] = named.get(component, 0) + int(number)
            lines[starts_at, name] = UsageLine(starts_at, name, requests, cost, old.refunded, named)
        elif transfer.kind == Kind.REFUND:
            refunded = old.refunded + transfer.amount
            lines[starts_at, name] = UsageLine(starts_at, name, old.requests, old.cost, refunded, old.quantities)
    return [line for _, line in sorted(lines.items())]


# Books


class Book:
    """Fills a merchant's book at the times of a held clock and remembers its transfers."""

    def __init__(self, ledger: ServiceParts, seeds: Seeds) -> None:
        self._ledger = ledger
        self._seeds = seeds
        self._names = iter(range(10**9))
        self.transfers: list[Transfer] = []
        self._refundable: list[Transfer] = []

    def _key(self) -> str:
        return f"k{next(self._names)}"

    def _note(self, outcome: Outcome) -> Transfer:
        assert outcome.transfer is not None, outcome
        self.transfers.append(outcome.transfer)
        return outcome.transfer

    async def charge(self, *, quantity: int = 1, request_type: str = "image", amount: str | None = None) -> None:
        """Charge."""
        outcome = await self._ledger.operations.charge(
            ChargeRequest(self._seeds.merchant, request_type, self._key(), quantity=quantity, amount=amount),
            caller=None,
        )
        self._refundable.append(self._note(outcome))

    async def chat(self, number: int) -> None:
        """Charge by a rule: one request in three has no output."""
        named = {"input": number * 1_000} if number % 3 == 0 else {"input": 10**12 - number, "output": number}
        outcome = await self._ledger.operations.charge(
            ChargeRequest(self._seeds.merchant, "chat", self._key(), quantities=named), caller=None
        )
        self._refundable.append(self._note(outcome))

    async def hold(self, *, quantity: int, captured: str | None) -> None:
        """Hold, and capture a part, or release the whole."""
        operations = self._ledger.operations
        outcome = await operations.hold(
            HoldRequest(self._seeds.merchant, "call", self._key(), quantity=quantity, amount="1", ttl_seconds=60),
            caller=None,
        )
        self._note(outcome)
        assert outcome.hold is not None
        more: dict[str, Any] = {"idempotency_key": self._key(), "reference": None, "caller": None}
        if captured is None:
            self._note(await operations.release(outcome.hold.id, **more))
        else:
            capture = await operations.capture(outcome.hold.id, quantity=None, amount=captured, **more)
            self._refundable.append(self._note(capture))

    async def refund(self, number: int) -> None:
        """Refund one of the charges and captures, if there is any to refund yet."""
        if not self._refundable:
            return
        original = self._refundable.pop(number % len(self._refundable))
        outcome = await self._ledger.operations.refund(
            original.id, idempotency_key=self._key(), amount=None, reference=None, note=None, caller=None
        )
        self._note(outcome)


async def _read(ledger: ServiceParts, seeds: Seeds, **fields: Any) -> Sequence[UsageLine]:
    wanted: dict[str, Any] = {"by": "day", "first": None, "last": None, "zone": "UTC", "request_type": None}
    return await UsageReader(ledger.stores.usage, ledger.clock).read(seeds.merchant_id, **{**wanted, **fields})


async def _sum_up_everything(ledger: ServiceParts, seeds: Seeds, transfers_max: int) -> None:
    while await ledger.stores.usage.roll_up(seeds.merchant_id, transfers_max=transfers_max):
        pass


def _micros(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


@st.composite
def _actions(draw: st.DrawFn) -> list[tuple[int, str, int]]:
    """When (micros since two days before a change), what, and how many or which."""
    quarters = draw(st.lists(st.integers(0, 5 * 96 - 1), min_size=1, max_size=14))
    return sorted(
        (
            quarter * QUARTER_MICROS + draw(st.sampled_from([0, 1, QUARTER_MICROS - 1])),
            draw(st.sampled_from(["charge", "charge", "chat", "named", "capture", "release", "refund"])),
            draw(st.integers(1, 5)),
        )
        for quarter in quarters
    )


@examples(60)
@given(
    change=st.sampled_from(CHANGES),
    actions=_actions(),
    by=st.sampled_from(["hour", "day"]),
    days=st.tuples(st.integers(-2, 2), st.integers(-2, 2)).map(sorted),
    request_type=st.sampled_from([None, None, "image", "chat", "call", "video"]),
    sum_after=st.integers(0, 14),
)
async def test_usage_is_what_a_slow_model_makes_of_the_book_summed_up_or_not(
    ledger: ServiceParts,
    change: tuple[str, date],
    actions: list[tuple[int, str, int]],
    by: By,
    days: list[int],
    request_type: str | None,
    sum_after: int,
) -> None:
    name, changes_on = change
    zone = ZoneInfo(name)
    ledger.clock.time = _micros("2027-01-15T08:00:00+00:00")
    seeds, other = await ledger.seed(), await ledger.seed()
    await ledger.prices.set("chat", rule=CHAT, merchant_id=seeds.merchant_id)
    book, others = Book(ledger, seeds), Book(ledger, other)
    start = int(datetime.combine(changes_on - timedelta(days=2), datetime.min.time(), zone).timestamp()) * 1_000_000
    first, last = (changes_on + timedelta(days=number) for number in days)
    wanted: dict[str, Any] = {"by": by, "zone": name, "request_type": request_type}
    for place, (after, what, number) in enumerate(actions):
        ledger.clock.time = start + after
        if what == "charge":
            await book.charge(quantity=number)
        elif what == "named":
            await book.charge(request_type="call", amount=f"0.{number}")
        elif what == "chat":
            await book.chat(number)
        elif what == "refund":
            await book.refund(number)
        else:
            await book.hold(quantity=number, captured=f"0.{number}" if what == "capture" else None)
        if place == sum_after:
            # All up to here is summed up, what comes after is not.
            await _sum_up_everything(ledger, seeds, transfers_max=3)
    await others.charge(quantity=5)
    expected = _model(book.transfers, first=first, last=last, **{**wanted, "zone": zone})
    assert expected == await _read(ledger, seeds, first=str(first), last=str(last), **wanted)
    await _sum_up_everything(ledger, seeds, transfers_max=2)
    assert expected == await _read(ledger, seeds, first=str(first), last=str(last), **wanted)


@pytest.mark.parametrize(
    ("zone", "at", "hour", "day"),
    [
        ("Asia/Kathmandu", "2027-03-01T18:14:00Z", "2027-03-01T17:15:00Z", "2027-02-28T18:15:00Z"),
        ("Asia/Kathmandu", "2027-03-01T18:15:00Z", "2027-03-01T18:15:00Z", "2027-03-01T18:15:00Z"),
        ("Asia/Kolkata", "2027-03-01T18:29:00Z", "2027-03-01T17:30:00Z", "2027-02-28T18:30:00Z"),
        ("Asia/Kolkata", "2027-03-01T18:30:00Z", "2027-03-01T18:30:00Z", "2027-03-01T18:30:00Z"),
        # The clock goes from 02:00 back to 01:30: half an hour before the change, and after it.
        ("Australia/Lord_Howe", "2027-04-03T14:30:00Z", "2027-04-03T14:00:00Z", "2027-04-03T13:00:00Z"),
        ("Australia/Lord_Howe", "2027-04-03T15:00:00Z", "2027-04-03T15:00:00Z", "2027-04-03T13:00:00Z"),
        ("Australia/Lord_Howe", "2027-04-03T15:30:00Z", "2027-04-03T15:30:00Z", "2027-04-03T13:00:00Z"),
        # And from 02:00 on to 02:30.
        ("Australia/Lord_Howe", "2027-10-02T15:15:00Z", "2027-10-02T14:30:00Z", "2027-10-02T13:30:00Z"),
        ("Australia/Lord_Howe", "2027-10-02T15:45:00Z", "2027-10-02T15:30:00Z", "2027-10-02T13:30:00Z"),
        ("Australia/Lord_Howe", "2027-10-02T16:00:00Z", "2027-10-02T16:00:00Z", "2027-10-02T13:30:00Z"),
        # From 03:45 back to 02:45, at no whole hour of the day before the change.
        ("Pacific/Chatham", "2027-04-03T13:45:00Z", "2027-04-03T13:15:00Z", "2027-04-03T10:15:00Z"),
        ("Pacific/Chatham", "2027-04-03T14:00:00Z", "2027-04-03T14:00:00Z", "2027-04-03T10:15:00Z"),
        ("Pacific/Chatham", "2027-04-03T14:15:00Z", "2027-04-03T14:15:00Z", "2027-04-03T10:15:00Z"),
        # The last hours of days of 23 and 25 hours, and the first of the next.
        ("Europe/Berlin", "2027-03-28T21:59:00Z", "2027-03-28T21:00:00Z", "2027-03-27T23:00:00Z"),
        ("Europe/Berlin", "2027-03-28T22:00:00Z", "2027-03-28T22:00:00Z", "2027-03-28T22:00:00Z"),
        ("Europe/Berlin", "2027-10-31T22:59:00Z", "2027-10-31T22:00:00Z", "2027-10-30T22:00:00Z"),
        ("Europe/Berlin", "2027-10-31T23:00:00Z", "2027-10-31T23:00:00Z", "2027-10-31T23:00:00Z"),
        # The hour that comes twice is two hours.
        ("America/New_York", "2027-11-07T05:30:00Z", "2027-11-07T05:00:00Z", "2027-11-07T04:00:00Z"),
        ("America/New_York", "2027-11-07T06:30:00Z", "2027-11-07T06:00:00Z", "2027-11-07T04:00:00Z"),
        ("America/New_York", "2027-03-15T03:59:00Z", "2027-03-15T03:00:00Z", "2027-03-14T05:00:00Z"),
        ("America/New_York", "2027-03-15T04:00:00Z", "2027-03-15T04:00:00Z", "2027-03-15T04:00:00Z"),
    ],
)
@pytest.mark.parametrize("is_summed", [False, True])
async def test_hour_and_day_start_as_clocks_on_the_wall_show_them(
    ledger: ServiceParts, zone: str, at: str, hour: str, day: str, is_summed: bool
) -> None:
    seeds = await ledger.seed()
    ledger.clock.time = _micros(at)
    await Book(ledger, seeds).charge(quantity=3)
    if is_summed:
        await _sum_up_everything(ledger, seeds, 2_000)
    local = datetime.fromisoformat(at).astimezone(ZoneInfo(zone)).date()
    for by, starts_at in (("hour", hour), ("day", day)):
        line = UsageLine(_micros(starts_at), "image", 3, 30_000, 0)
        assert [line] == await _read(ledger, seeds, by=by, zone=zone, first=str(local), last=str(local))
        for beside in (local - timedelta(days=1), local + timedelta(days=1)):
            assert [] == await _read(ledger, seeds, by=by, zone=zone, first=str(beside), last=str(beside))


async def test_capture_counts_what_was_captured_and_a_release_counts_nothing(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    book = Book(ledger, seeds)
    await book.hold(quantity=4, captured="0.25")
    await book.hold(quantity=9, captured=None)
    (line,) = await _read(ledger, seeds)
    assert ("call", 1, 250_000, 0) == (line.request_type, line.requests, line.cost, line.refunded)


async def test_refund_counts_when_it_was_made_and_lowers_no_cost(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    book = Book(ledger, seeds)
    await book.charge(quantity=7)
    ledger.clock.move(86_400)
    await book.refund(0)
    before, after = await _read(ledger, seeds)
    assert (7, 70_000, 0) == (before.requests, before.cost, before.refunded)
    assert (0, 0, 70_000) == (after.requests, after.cost, after.refunded)
    assert before.starts_at + 86_400_000_000 == after.starts_at


@pytest.mark.parametrize(("by", "days"), [("day", 30), ("hour", 7)])
async def test_without_days_it_is_the_days_up_to_today(ledger: ServiceParts, by: By, days: int) -> None:
    seeds = await ledger.seed()
    book = Book(ledger, seeds)
    # At the clock's start it is 09:00 in Berlin; each charge is at the same hour of another day.
    for _ in range(days + 2):
        await book.charge()
        ledger.clock.move(86_400)
    ledger.clock.move(-86_400)
    found = await _read(ledger, seeds, by=by, zone="Europe/Berlin")
    assert days == len(found)
    assert ledger.clock.time - found[-1].starts_at < 86_400_000_000
    # Or up to the day that is named.
    last = datetime.fromtimestamp(ledger.clock.time / 1_000_000, UTC).date() - timedelta(days=1)
    earlier = await _read(ledger, seeds, by=by, zone="Europe/Berlin", last=str(last))
    assert [line.starts_at - 86_400_000_000 for line in found] == [line.starts_at for line in earlier]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"first": "2027-01-02", "last": "2027-01-01"}, "from"),
        ({"first": "2027-01-01", "last": "2028-01-02"}, "from"),
        ({"by": "hour", "first": "2027-01-01", "last": "2027-02-01"}, "from"),
        *[
            ({name: text}, field)
            for name, field in (("first", "from"), ("last", "to"))
            for text in ("", "today", "2027-1-1", "2027-02-29", "20270101", "1970-12-31", "2200-01-01", "2027-01-01T00")
        ],
        *[
            ({"zone": text}, "timeZone")
            for text in ("", "Mars", "europe/berlin", "Europe", "../UTC", "/etc/passwd", "+01:00", "a" * 9000, "U\0C")
        ],
        *[({"request_type": text}, "type") for text in ("", "image!", "a b")],
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_name(
    ledger: ServiceParts, fields: dict[str, Any], field: str
) -> None:
    seeds = await ledger.seed()
    with pytest.raises(InvalidInput) as raised:
        await _read(ledger, seeds, **fields)
    assert field == raised.value.field


@pytest.mark.parametrize(
    ("by", "first", "last"),
    [
        ("day", "2027-01-01", "2028-01-01"),
        ("day", "2028-01-01", "2028-12-31"),
        ("hour", "2027-01-01", "2027-01-31"),
        ("day", "1971-01-01", "1971-01-01"),
        ("day", "2199-12-31", "2199-12-31"),
    ],
)
async def test_longest_and_outermost_times_are_read(ledger: ServiceParts, by: By, first: str, last: str) -> None:
    seeds = await ledger.seed()
    for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Africa/Monrovia"):
        assert [] == await _read(ledger, seeds, by=by, first=first, last=last, zone=zone)


async def test_database_that_is_away_is_told_as_such(ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = await ledger.seed()

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(ledger.stores.usage, "buckets", fail)
    with pytest.raises(Unavailable):
        await _read(ledger, seeds)


# Summing up


def _running(rollup: UsageRollup) -> AbstractAsyncContextManager[None]:
    return running([Periodic("usage rollups", rollup.roll_up, pause_seconds=0.005)])


@asynccontextmanager
async def _charging(ledger: ServiceParts, rollup: UsageRollup) -> AsyncIterator[Operations]:
    """Charge through a committer that tells the rollup, as a server's does."""
    committer = Committer(ledger.stores.connector, ledger.clock, on_commit=[rollup.note])
    await committer.start()
    yield Operations(committer, ledger.clock, ledger.stores.prices)
    await committer.close()


async def _charge_many(operations: Operations, seeds: Seeds, keys: Iterator[int], count: int) -> None:
    charges = [ChargeRequest(seeds.merchant, "image", f"many-{next(keys)}") for _ in range(count)]
    outcomes = await operations.charge_all(charges, caller=None)
    assert all(isinstance(outcome, Outcome) and outcome.is_ok for outcome in outcomes)


async def _to_roll_up(ledger: ServiceParts, seeds: Seeds) -> bool:
    return seeds.merchant_id in await ledger.stores.usage.books_to_roll_up(-1, transfers_min=1, limit=1_000)


async def _summed_up(ledger: ServiceParts, seeds: Seeds) -> None:
    """Wait until nothing of a book is left to be summed up."""
    deadline = time.monotonic() + TIMEOUT_S
    while await _to_roll_up(ledger, seeds):
        assert time.monotonic() < deadline, "nobody sums this book up"
        await asyncio.sleep(0.005)


async def test_book_is_summed_up_behind_its_charges_and_exact_all_the_while(ledger: ServiceParts) -> None:
    seeds, quiet = await ledger.seed(), await ledger.seed()
    rollup, keys = UsageRollup(ledger.stores.usage), iter(range(10**9))
    async with _charging(ledger, rollup) as operations, _running(rollup):
        await _charge_many(operations, quiet, keys, 900)
        for count in range(500, 4_001, 500):
            ledger.clock.move(600)
            await _charge_many(operations, seeds, keys, 500)
            await asyncio.sleep(0.01)
            assert count == sum(line.requests for line in await _read(ledger, seeds, by="hour"))
        await _summed_up(ledger, seeds)
        by_hour = await _read(ledger, seeds, by="hour")
        assert (4_000, 40_000_000) == (sum(it.requests for it in by_hour), sum(it.cost for it in by_hour))
        # A book with few of them is left alone, and read as exactly.
        await _charge_many(operations, seeds, keys, 10)
        await asyncio.sleep(0.05)
        assert await _to_roll_up(ledger, seeds)
        assert await _to_roll_up(ledger, quiet)
        assert 4_010 == sum(line.requests for line in await _read(ledger, seeds))
        assert 900 == sum(line.requests for line in await _read(ledger, quiet))


async def test_what_an_earlier_process_left_is_summed_up_after_a_restart(ledger: ServiceParts) -> None:
    several = [await ledger.seed() for _ in range(5)]
    keys = iter(range(10**9))
    for seeds in several:
        await _charge_many(ledger.operations, seeds, keys, 2_500 if seeds is several[3] else 1_000)
    assert [True] * 5 == [await _to_roll_up(ledger, seeds) for seeds in several]
    async with _running(UsageRollup(ledger.stores.usage, books_page=2)):
        for seeds in several:
            await _summed_up(ledger, seeds)
    for seeds in several:
        count = 2_500 if seeds is several[3] else 1_000
        assert [(count, count * 10_000)] == [(it.requests, it.cost) for it in await _read(ledger, seeds)]


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), ZeroDivisionError("in line 42")])
@pytest.mark.parametrize("fails_at_first", [True, False])
async def test_trouble_puts_summing_up_off_and_forgets_no_book(
    ledger: ServiceParts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    fails_at_first: bool,
) -> None:
    seeds = await ledger.seed()
    rollup, keys, roll_up_usage = UsageRollup(ledger.stores.usage), iter(range(10**9)), ledger.stores.usage.roll_up
    failures = 0

    async def fail_twice(merchant_id: int, *, transfers_max: int) -> int:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise error
        return await roll_up_usage(merchant_id, transfers_max=transfers_max)

    monkeypatch.setattr(ledger.stores.usage, "roll_up", fail_twice)
    with caplog.at_level(logging.WARNING, "farebox.background"):
        async with _charging(ledger, rollup) as operations:
            if fails_at_first:
                await _charge_many(operations, seeds, keys, 1_000)
            async with _running(rollup):
                if not fails_at_first:
                    await asyncio.sleep(0.05)
                    await _charge_many(operations, seeds, keys, 1_000)
                await _summed_up(ledger, seeds)
    assert (2, 1) == (failures, len(caplog.records))
    assert 1_000 == sum(line.requests for line in await _read(ledger, seeds))


async def test_several_who_sum_up_at_once_count_nothing_twice(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    await _charge_many(ledger.operations, seeds, iter(range(10**9)), 3_000)
    await asyncio.gather(*[_sum_up_everything(ledger, seeds, 100) for _ in range(4)])
    assert not await _to_roll_up(ledger, seeds)
    assert [3_000] == [line.requests for line in await _read(ledger, seeds)]
