"""Reports' figures are what a scan of all transfers comes to, rolled up or not, on both engines and in any zone."""

from collections.abc import Sequence
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import EFFECTS, Kind
from farebox.core.transfers import Transfer
from farebox.service.insight.quarters import today
from farebox.service.reports.merchant import MerchantReport, TypeSpend
from farebox.service.reports.periods import ReportPeriod, period_of
from farebox.service.reports.staff import StaffReport, StaffReports
from farebox.storage.interface import Fetch
from farebox.storage.records import RefusalCount
from farebox.storage.report_records import ReportKind, UncollectedSum
from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.storage.test_revenue import MOVES, Mover
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOBODY, UNIT, HeldClock, book
from tests.support.report_writer import merchant_reports
from tests.support.revenue_books import CURRENCIES, seeded_writer

ZONES: Final = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"])
WEEK: Final = period_of(ReportKind.WEEKLY, date(2027, 1, 13))
MONTH: Final = period_of(ReportKind.MONTHLY, date(2027, 1, 13))
UTC: Final = ZoneInfo("UTC")

_SPENT: Final = {Kind.CHARGE: 1, Kind.CAPTURE: 1, Kind.REFUND: -1}
_WITHOUT_GRANTS: Final = {Kind.GRANT: Kind.TOP_UP, Kind.GRANT_EXPIRY: Kind.ADJUSTMENT_DEBIT}
_SET_ASIDE: Final = (Kind.HOLD, Kind.RELEASE, Kind.EXPIRE)


def within(transfers: Sequence[Transfer], period: ReportPeriod, zone: ZoneInfo) -> list[Transfer]:
    return [item for item in transfers if period.starts_at(zone) <= item.committed_at < period.ends_at(zone)]


def spent_of(transfers: Sequence[Transfer]) -> int:
    return sum(_SPENT.get(Kind(item.kind), 0) * item.amount for item in transfers)


def posted_before(transfers: Sequence[Transfer], at: int) -> int:
    earlier = [item for item in transfers if item.committed_at < at]
    return earlier[-1].posted_after if earlier else 0


def assert_is_a_scan(report: MerchantReport, transfers: Sequence[Transfer]) -> None:
    period, zone = report.period, report.zone
    inside, before = within(transfers, period, zone), within(transfers, period.before(), zone)
    types = {item.request_type for item in (*inside, *before) if Kind(item.kind) in _SPENT}
    expected = [
        TypeSpend(
            name,
            sum(item.quantity or 0 for item in now if item.kind != Kind.REFUND),
            spent_of(now),
            sum(item.quantity or 0 for item in then if item.kind != Kind.REFUND),
            spent_of(then),
        )
        for name in types
        if name is not None
        for now in [[item for item in inside if item.request_type == name and Kind(item.kind) in _SPENT]]
        for then in [[item for item in before if item.request_type == name and Kind(item.kind) in _SPENT]]
    ]
    assert sorted(expected, key=lambda item: item.request_type) == sorted(
        report.types, key=lambda item: item.request_type
    )
    assert (spent_of(inside), spent_of(before)) == (report.spent, report.spent_before)
    assert (len(inside), inside[0].seq if inside else report.first_seq) == (report.transfer_count, report.first_seq)
    start, end = period.starts_at(zone), period.ends_at(zone)
    assert (posted_before(transfers, start), posted_before(transfers, end)) == (report.opening, report.closing)
    # What the mail's lines say adds up.
    assert report.closing == report.opening + sum(amount for _, amount in report.moved) - report.spent
    moved: dict[Kind, int] = {}
    for item in inside:
        kind = Kind(item.kind)
        if kind not in _SPENT and kind not in _SET_ASIDE:
            moved[kind] = moved.get(kind, 0) + EFFECTS[kind].wallet * item.amount
    assert sorted(moved.items()) == list(report.moved)
    points = report.history.points
    assert report.closing == points[-1][1]
    balances = {item.posted_after for item in transfers} | {0}
    assert all(posted in balances and start - 1 <= at <= end for at, posted in points)


def assert_staff_is_a_scan(report: StaffReport, books: dict[int, Sequence[Transfer]]) -> None:
    period, zone = report.period, report.zone
    inside = {number: within(transfers, period, zone) for number, transfers in books.items()}
    before = {number: within(transfers, period.before(), zone) for number, transfers in books.items()}
    spent = {number: (spent_of(inside[number]), spent_of(before[number])) for number in books}
    for figures in report.currencies:
        mine = {number: pair for number, pair in spent.items() if CURRENCIES[number] == figures.currency and any(pair)}
        assert (sum(now for now, _ in mine.values()), sum(then for _, then in mine.values())) == (
            figures.spent,
            figures.spent_before,
        )
        grew = sorted((then - now, number) for number, (now, then) in mine.items() if now > then)
        assert [number for _, number in grew] == [item.merchant.merchant_id for item in figures.grew]
        stopped = sorted((-then, number) for number, (now, then) in mine.items() if now <= 0 < then)
        assert [number for _, number in stopped] == [item.merchant.merchant_id for item in figures.stopped]
        assert sum(now > 0 for now, _ in mine.values()) == figures.active_count
    told = {figures.currency for figures in report.currencies}
    assert told == {CURRENCIES[number] for number, pair in spent.items() if any(pair)}


@examples(8)
@given(moves=MOVES, kind=st.sampled_from(ReportKind), zone=ZONES, week_start=st.integers(1, 7))
async def test_reports_are_what_a_scan_of_all_transfers_comes_to(
    engine: Engine,
    stores: Stores,
    moves: list[tuple[int, Kind | str, int, str, int]],
    kind: ReportKind,
    zone: str,
    week_start: int,
) -> None:
    await engine.clear()
    await stores.connector.close()
    await stores.connector.open()
    mover = Mover(await seeded_writer(stores))
    days = [date(2027, 1, 13)]
    for merchant_id, what, amount, request_type, gap in moves:
        if isinstance(what, Kind):
            mover.pass_time(gap)
            days.append(today(mover.now, UTC))
            # Grants have rows of their own beside their transfers, which this writer does not make.
            await mover.move(merchant_id, _WITHOUT_GRANTS.get(what, what), amount, request_type)
        elif what == "roll up":
            for number in CURRENCIES:
                await stores.usage.roll_up(number, transfers_max=amount)
    clock = HeldClock()
    clock.time = mover.now + 1
    books = {number: await book(stores, number) for number in CURRENCIES}
    place = ZoneInfo(zone)
    reports = merchant_reports(stores, clock)
    staff = StaffReports(stores, clock, stretch_merchants=2, stretch_seconds=0)
    for period in {period_of(kind, day, week_start=week_start) for day in (days[len(days) // 2], days[-1])}:
        for number, transfers in books.items():
            assert_is_a_scan(await reports.read(number, period, place), transfers)
        assert_staff_is_a_scan(await staff.read(period, place), books)


async def test_refusals_are_counted_with_those_of_the_period_before(stores: Stores) -> None:
    await seeded_writer(stores)
    first = WEEK.starts_at(UTC) // 900_000_000
    refused = [
        RefusalCount(ANN, first, "image", "insufficient_balance", 5),
        RefusalCount(ANN, first + 671, "scan", "insufficient_balance", 2),
        RefusalCount(ANN, first + 9, "image", "unknown_type", 4),
        RefusalCount(ANN, first - 1, "image", "unknown_type", 3),
        RefusalCount(ANN, first + 672, "image", "unknown_type", 100),
        RefusalCount(BEN, first + 8, "image", "merchant_frozen", 8),
    ]
    await stores.refusals.add(refused, lines_max=20)
    clock = HeldClock()
    clock.time = WEEK.due_at(UTC)
    report = await merchant_reports(stores, clock).read(ANN, WEEK, UTC)
    assert report.refused is not None
    assert [("insufficient_balance", 7), ("unknown_type", 4)] == [
        (line.reason, line.requests) for line in report.refused
    ]
    assert 3 == report.refused_before
    staff = await StaffReports(stores, clock).read(WEEK, UTC)
    assert staff.refused is not None
    assert [("merchant_frozen", 8), ("insufficient_balance", 7), ("unknown_type", 4)] == [
        (line.reason, line.requests) for line in staff.refused
    ]
    assert [(ANN, 11), (BEN, 8)] == [(item.merchant.merchant_id, item.requests) for item in staff.most_refused]
    # A month's report that is sent at once knows its own refusals, and not all of those before.
    clock.time = MONTH.due_at(UTC)
    month = await merchant_reports(stores, clock).read(ANN, MONTH, UTC)
    assert month.refused is not None
    assert (114, None) == (sum(line.requests for line in month.refused), month.refused_before)
    clock.time += 30 * 86_400_000_000
    late = await merchant_reports(stores, clock).read(ANN, MONTH, UTC)
    assert (None, None) == (late.refused, late.refused_before)


async def test_what_is_uncollected_is_summed_up_by_currency_and_of_what(stores: Stores) -> None:
    writer = await seeded_writer(stores)
    start, end = WEEK.starts_at(UTC), WEEK.ends_at(UTC)
    for merchant_id, at, amount, top_up in (
        (ANN, start - 1, 64, None),
        (ANN, start, 1, None),
        (NOBODY, start, 2, None),
        (BEN, end - 1, 4, None),
        (BEN, end - 1, 2 * 10**18, 1),
        (ANN, end, 128, None),
    ):
        await writer.write(merchant_id, Kind.TOP_UP, UNIT, at)
        await put_shortfall(stores, merchant_id, at, amount, top_up)
    assert [
        UncollectedSum("EUR", False, 1, 4),
        UncollectedSum("EUR", True, 1, 2 * 10**18),
        UncollectedSum("USD", False, 2, 3),
    ] == await stores.reports.uncollected(start=start, end=end)


async def put_shortfall(stores: Stores, merchant_id: int, at: int, amount: int, top_up: int | None) -> None:
    """Write what the last transfer left uncollected, in place of a batch."""
    seq = (await book(stores, merchant_id))[-1].seq
    marks = ("?1", "?2", "?3", "?4", "?5") if stores.connector.dialect == "sqlite" else ("$1", "$2", "$3", "$4", "$5")
    text = (
        "INSERT INTO shortfall (merchant_id, seq, at, amount, owed, top_up_seq) "
        f"VALUES ({marks[0]}, {marks[1]}, {marks[2]}, {marks[3]}, 0, {marks[4]})"
    )

    async def write(fetch: Fetch) -> None:
        await fetch(text, merchant_id, seq, at, amount, top_up)

    await stores.connector.run_in_transaction(write)
