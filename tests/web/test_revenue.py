"""A month's revenue, as support reads it: by the API, as CSV, and in the console with charts."""

import csv
import io
from typing import Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.accounts import Kind
from farebox.core.staff_roles import StaffRole
from farebox.storage.months import Month
from farebox.storage.records import Realm
from tests.support.app_client import AppClient
from tests.support.clock import at
from tests.support.ledger import ANN, BEN, UNIT
from tests.support.revenue_books import RevenueWriter, seeded_writer
from tests.support.server import seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

REVENUE: Final = "/api/admin/revenue"
MARCH: Final = Month(2026, 3)


@pytest.fixture(scope="module")
def written() -> dict[str, RevenueWriter]:
    """The books that this module's tests have written together."""
    return {}


async def _write(farebox: Farebox, written: dict[str, RevenueWriter]) -> None:
    """Fill March once: euros that were paid in, partly used, and given."""
    if written:
        return
    writer = written["writer"] = await seeded_writer(farebox.stores)
    start = MARCH.starts_at
    await writer.write(BEN, Kind.TOP_UP, 50 * UNIT, start)
    await writer.write(BEN, Kind.GRANT, 5 * UNIT, start, given=f"1:{5 * UNIT};expires=7")
    await writer.write(BEN, Kind.CHARGE, 12 * UNIT + 500, start, given=f"1:{2 * UNIT}", uncollected=250_000)
    await writer.write(BEN, Kind.REFUND, UNIT, start)
    await writer.write(BEN, Kind.GRANT_EXPIRY, 3 * UNIT, start, given=f"1:{3 * UNIT}")
    await writer.write(BEN, Kind.TOP_UP_REVERSAL, 4 * UNIT, MARCH.ends_at - 1, uncollected=UNIT)
    await writer.write(ANN, Kind.CHARGE, UNIT, MARCH.ends_at - 1, request_type="=scan")
    await writer.write(BEN, Kind.TOP_UP, 9 * UNIT, MARCH.ends_at)


async def test_support_reads_a_month(farebox: Farebox, client: AppClient, written: dict[str, RevenueWriter]) -> None:
    await _write(farebox, written)
    seeds = await seed(farebox)
    reply = await client.get(f"{REVENUE}?month=2026-03", seeds.support_key)
    assert 200 == reply.status
    assert {
        "month": "2026-03",
        "startsAt": "2026-03-01T00:00:00.000000Z",
        "endsAt": "2026-04-01T00:00:00.000000Z",
        "isFinal": True,
    } == {name: value for name, value in reply.data.items() if name != "currencies"}
    euros, dollars = reply.data["currencies"]
    assert {
        "currency": "EUR",
        "paid": {
            "opening": "0.00",
            "paidIn": "50.00",
            "takenBack": "4.00",
            "adjustedUp": "0.00",
            "adjustedDown": "0.00",
            "consumed": "10.0005",
            "refunded": "1.00",
            "closing": "36.9995",
        },
        "given": {
            "opening": "0.00",
            "granted": "5.00",
            "ended": "3.00",
            "consumed": "2.00",
            "refunded": "0.00",
            "closing": "0.00",
        },
        "types": [
            {
                "type": "image",
                "consumedPaid": "10.0005",
                "consumedGiven": "2.00",
                "refundedPaid": "1.00",
                "refundedGiven": "0.00",
                "uncollected": "0.25",
            }
        ],
        "recognised": "9.0005",
        "deferred": "36.9995",
        "receivable": "0.00",
        "uncollected": "0.25",
        "notTakenBack": "1.00",
        "owed": "1.00",
        "isReconciled": True,
    } == euros
    assert ("USD", "0.00", "1.00") == (dollars["currency"], dollars["deferred"], dollars["receivable"])


async def test_a_month_is_given_as_csv_whose_parts_add_up(
    farebox: Farebox, client: AppClient, written: dict[str, RevenueWriter]
) -> None:
    await _write(farebox, written)
    seeds = await seed(farebox)
    reply = await client.get(f"{REVENUE}?month=2026-03&format=csv", seeds.support_key)
    assert ("text/csv; charset=utf-8", 'attachment; filename="revenue-2026-03.csv"') == (
        reply.header("content-type"),
        reply.header("content-disposition"),
    )
    header, *rows = csv.reader(io.StringIO(reply.body.decode(), newline=""))
    assert ["month", "currency", "part", "line", "type", "amount"] == header
    assert ["2026-03", "EUR", "paid", "consumed", "image", "-10.0005"] in rows
    assert ["2026-03", "EUR", "end", "deferred", "", "36.9995"] in rows
    assert ["2026-03", "EUR", "due", "not_taken_back", "", "1.00"] in rows
    # A type that a spreadsheet would take for a formula is none there.
    assert ["2026-03", "USD", "paid", "consumed", "'=scan", "-1.00"] in rows
    for currency in ("EUR", "USD"):
        for part in ("paid", "given"):
            micros = [round(float(row[5]) * UNIT) for row in rows if row[1:3] == [currency, part]]
            assert sum(micros[:-1]) == micros[-1]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("month=", 422, "'' is not a month"),
        ("month=2026", 422, "'2026' is not a month; write one such as 2026-11"),
        ("month=2199-01", 422, "2199-01 has not begun"),
        ("month=2026-03&format=xls", 422, "format: Invalid enum value"),
    ],
)
async def test_what_is_no_month_is_refused(
    farebox: Farebox, client: AppClient, query: str, status: int, message: str
) -> None:
    seeds = await seed(farebox)
    reply = await client.get(f"{REVENUE}?{query}", seeds.support_key)
    assert status == reply.status
    assert message in reply.body.decode()


async def test_merchants_and_services_do_not_read_it(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for key in (seeds.merchant_key, seeds.service_key):
        assert 403 == (await client.get(f"{REVENUE}?month=2026-03", key)).status


async def test_the_console_shows_a_month_its_history_and_its_file(
    farebox: Farebox, client: AppClient, written: dict[str, RevenueWriter]
) -> None:
    await _write(farebox, written)
    viewer = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "vi@farebox.example", roles=StaffRole.VIEWER)
    page = await viewer.page("/support/revenue?month=2026-03")
    assert "Revenue, Mar 2026" in page
    assert "Mar 2026 is over: these figures stay as they are" in page
    for line in (
        "Paid in 50.00",
        "Top-ups taken back -4.00",
        "Used by requests -10.0005",
        "At the end of the month 36.9995",
        "of it owed to merchants: deferred revenue 36.9995",
        "of it drawn on credit limits -1.00",
        "Revenue recognised: 9.0005",
        "Ended -3.00",
        "Of requests 0.25",
        "Owed of top-ups at the end of the month 1.00",
    ):
        assert line in page, line
    body = (await viewer.get("/support/revenue?month=2026-03")).body.decode()
    assert "Mar 2026: 9.0005 EUR of paid money" in body
    assert "Mar 2026: 2.00 EUR of given credit" in body
    assert "End of Mar 2026: 36.9995 EUR" in body
    assert 'href="/support/revenue?month=2026-02"' in body
    assert 'href="/support/revenue?month=2026-04"' in body
    file = await viewer.get("/support/revenue.csv?month=2026-03")
    assert (200, 'attachment; filename="revenue-2026-03.csv"') == (file.status, file.header("content-disposition"))
    assert b"2026-03,EUR,paid,closing,,36.9995" in file.body


async def test_the_present_month_is_shown_as_far_as_it_is(farebox: Farebox, client: AppClient) -> None:
    viewer = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "vo@farebox.example", roles=StaffRole.VIEWER)
    seeds = await seed(farebox)
    with at(farebox, Month(2026, 2).starts_at):
        assert "2026-02" == (await client.get(REVENUE, seeds.support_key)).data["month"]
        page = await viewer.page("/support/revenue")
        assert "Revenue, Feb 2026" in page
        assert "Feb 2026 is not over yet: this is how far it is." in page
        assert "Nothing was paid in, given or used up to the end of this month." in page
        assert "Mar 2026" not in page
        wrong = await viewer.get("/support/revenue?month=2026-03")
    assert 422 == wrong.status
    assert "2026-03 has not begun" in words(wrong)
    assert "Revenue, Feb 2026" in words(wrong)
