"""A month's revenue: its lines, what became revenue, that it is reconciled, and when it stays as it is."""

from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.prices import CLOCK_LAG_MICROS_MAX
from farebox.service.errors import InvalidInput, Unavailable
from farebox.service.insight.revenue import CurrencyRevenue, MonthFigures, RevenueReader, TypeRevenue
from farebox.service.insight.usage import ROLLUP_TRANSFERS_MIN, UsageRollup
from farebox.storage.months import Month
from farebox.storage.records import BalanceSum
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from farebox.web.schemas.spending import ChargeRequest, HoldRequest
from tests.service.conftest import ServiceParts
from tests.support.ledger import ANN, BEN, NOBODY, UNIT, HeldClock
from tests.support.revenue_books import RevenueWriter, seeded_writer

JANUARY: Final = Month(2027, 1)


def _reader(ledger: ServiceParts) -> RevenueReader:
    return RevenueReader(ledger.stores.revenue, ledger.clock)


async def _written(ledger: ServiceParts) -> RevenueWriter:
    """Fill a January in which all happens that can happen, after a December that left some money."""
    writer = await seeded_writer(ledger.stores)
    at = JANUARY.starts_at
    await writer.write(ANN, Kind.TOP_UP, 7 * UNIT, at - 1)
    await writer.write(ANN, Kind.TOP_UP, 100 * UNIT, at)
    await writer.write(ANN, Kind.TOP_UP_REVERSAL, 10 * UNIT, at, uncollected=4 * UNIT)
    await writer.write(ANN, Kind.TOP_UP_REVERSAL, 1 * UNIT, at, is_payment=True)
    await writer.write(ANN, Kind.ADJUSTMENT_CREDIT, 5 * UNIT, at)
    await writer.write(ANN, Kind.ADJUSTMENT_DEBIT, 2 * UNIT, at)
    await writer.write(ANN, Kind.GRANT, 20 * UNIT, at, given=f"1:{20 * UNIT};expires=9")
    await writer.write(ANN, Kind.CHARGE, 30 * UNIT, at, given=f"1:{8 * UNIT}", uncollected=3)
    await writer.write(ANN, Kind.HOLD, 12 * UNIT, at, given=f"1:{6 * UNIT}", request_type="scan")
    await writer.write(ANN, Kind.CAPTURE, 9 * UNIT, at, given=f"1:{6 * UNIT}", request_type="scan")
    await writer.write(ANN, Kind.RELEASE, 3 * UNIT, at, request_type="scan")
    await writer.write(ANN, Kind.REFUND, 10 * UNIT, at, given=f"1:{1 * UNIT}")
    await writer.write(ANN, Kind.GRANT_EXPIRY, 7 * UNIT, at, given=f"1:{7 * UNIT}")
    await writer.write(NOBODY, Kind.CHARGE, 2 * UNIT, at, request_type="scan")
    await writer.write(BEN, Kind.TOP_UP, UNIT, JANUARY.ends_at)
    return writer


async def test_a_month_has_a_line_for_all_that_moved(ledger: ServiceParts) -> None:
    await _written(ledger)
    ledger.clock.time = JANUARY.ends_at
    revenue = await _reader(ledger).read("2027-01")
    (dollars,) = revenue.currencies
    assert (
        CurrencyRevenue(
            "USD",
            BalanceSum(paid=7 * UNIT),
            BalanceSum(paid=83 * UNIT, drawn=2 * UNIT, given=0, owed=3 * UNIT),
            paid_in=100 * UNIT,
            taken_back=11 * UNIT,
            adjusted_up=5 * UNIT,
            adjusted_down=2 * UNIT,
            granted=20 * UNIT,
            ended=7 * UNIT,
            not_taken_back=4 * UNIT,
            types=[
                TypeRevenue("image", 22 * UNIT, 8 * UNIT, 9 * UNIT, UNIT, 3),
                TypeRevenue("scan", 5 * UNIT, 6 * UNIT),
            ],
        )
        == dollars
    )
    assert (27 * UNIT, 14 * UNIT, 9 * UNIT, UNIT, 3, 18 * UNIT) == (
        *(dollars.consumed_paid, dollars.consumed_given, dollars.refunded_paid, dollars.refunded_given),
        *(dollars.uncollected, dollars.recognised),
    )
    assert dollars.is_reconciled
    assert [13 * UNIT, 5 * UNIT] == [line.recognised for line in dollars.types]
    assert [("EUR", BalanceSum(UNIT)), ("USD", BalanceSum(83 * UNIT, 2 * UNIT, owed=3 * UNIT))] == [
        (each.currency, each.closing) for each in (await _reader(ledger).read("2027-02")).currencies
    ]


@pytest.mark.parametrize(
    "wrong", [{"paid_in": 1}, {"granted": 1}, {"taken_back": -1}, {"closing": BalanceSum(paid=1)}, {"types": ()}]
)
async def test_lines_that_lead_elsewhere_are_not_reconciled(ledger: ServiceParts, wrong: dict[str, Any]) -> None:
    await _written(ledger)
    ledger.clock.time = JANUARY.ends_at
    (dollars,) = (await _reader(ledger).read("2027-01")).currencies
    assert not replace(dollars, **wrong).is_reconciled


async def test_a_month_stays_as_it_is_once_clocks_can_not_be_within_it_any_more(ledger: ServiceParts) -> None:
    reader = _reader(ledger)
    for time, is_final in (
        (JANUARY.starts_at, False),
        (JANUARY.ends_at - 1, False),
        (JANUARY.ends_at + CLOCK_LAG_MICROS_MAX - 1, False),
        (JANUARY.ends_at + CLOCK_LAG_MICROS_MAX, True),
    ):
        ledger.clock.time = time
        assert is_final == (await reader.read("2027-01")).is_final


async def test_a_history_leads_from_month_to_month(ledger: ServiceParts) -> None:
    writer = await _written(ledger)
    ledger.clock.time = JANUARY.plus(2).starts_at
    await writer.write(ANN, Kind.CHARGE, 3 * UNIT, JANUARY.plus(2).starts_at)
    reader = _reader(ledger)
    history = await reader.history("2027-03")
    assert ["EUR", "USD"] == list(history)
    dollars = history["USD"]
    assert [Month(2026, 4).plus(number) for number in range(12)] == [figures.month for figures in dollars]
    assert [
        MonthFigures(JANUARY.plus(-1), 7 * UNIT, 0, 0, 7 * UNIT),
        MonthFigures(JANUARY, 92 * UNIT, 18 * UNIT, 13 * UNIT, 81 * UNIT),
        MonthFigures(JANUARY.plus(1), 0, 0, 0, 81 * UNIT),
        MonthFigures(JANUARY.plus(2), 0, 3 * UNIT, 0, 78 * UNIT),
    ] == dollars[-4:]
    for figures in dollars[-4:]:
        (read,) = [each for each in (await reader.read(str(figures.month))).currencies if each.currency == "USD"]
        assert (figures.recognised, figures.closing) == (read.recognised, read.closing.paid - read.closing.drawn)


@pytest.mark.parametrize(
    "text", ["", "2027", "2027-1", "2027-13", "2027-00", "2027-01-01", "1970-12", "2200-01", "\uff12027-01"]
)
async def test_what_is_no_month_is_refused(ledger: ServiceParts, text: str) -> None:
    for ask in (_reader(ledger).read, _reader(ledger).history):
        with pytest.raises(InvalidInput, match="is not a month; write one such as 2026-11") as refusal:
            await ask(text)
        assert "month" == refusal.value.field


async def test_a_month_that_has_not_begun_is_refused(ledger: ServiceParts) -> None:
    ledger.clock.time = JANUARY.ends_at - 1
    assert JANUARY == _reader(ledger).present_month()
    with pytest.raises(InvalidInput, match="2027-02 has not begun"):
        await _reader(ledger).read("2027-02")
    ledger.clock.time += 1
    assert [] == (await _reader(ledger).read("2027-02")).currencies


async def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    stores = Stores.over(SqliteConnector(tmp_path / "no folder" / "farebox.db"))
    reader = RevenueReader(stores.revenue, HeldClock())
    for ask in (reader.read, reader.history):
        with pytest.raises(Unavailable):
            await ask("2027-01")


async def test_requests_as_services_make_them_come_to_revenue(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="100")
    operations = ledger.operations
    await operations.charge(ChargeRequest(seeds.merchant, "image", "a", quantity=200), caller=None)
    held = await operations.hold(HoldRequest(seeds.merchant, "image", "b", quantity=300), caller=None)
    assert held.hold is not None
    (dollars,) = (await _reader(ledger).read("2027-01")).currencies
    # Held money is not used yet, and still owed to the merchant.
    assert (2 * UNIT, 98 * UNIT) == (dollars.recognised, dollars.closing.paid)
    more: dict[str, Any] = {"idempotency_key": "c", "reference": None, "caller": None}
    await operations.capture(held.hold.id, quantity=100, amount=None, **more)
    (dollars,) = (await _reader(ledger).read("2027-01")).currencies
    assert (3 * UNIT, 97 * UNIT, True) == (dollars.recognised, dollars.closing.paid, dollars.is_reconciled)


async def test_every_book_is_rolled_up_to_its_end_now_and_then(ledger: ServiceParts) -> None:
    await _written(ledger)
    rollup = UsageRollup(ledger.stores.usage, books_page=1)
    await rollup.roll_up()
    # These books are too short for it.
    assert [ANN, BEN, NOBODY] == list(await ledger.stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))
    assert ROLLUP_TRANSFERS_MIN > 1
    before = await ledger.stores.revenue.months(JANUARY, JANUARY)
    await rollup.roll_up_rest()
    assert [] == list(await ledger.stores.usage.books_to_roll_up(-1, transfers_min=1, limit=9))
    assert before == await ledger.stores.revenue.months(JANUARY, JANUARY)
