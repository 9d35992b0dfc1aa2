"""Reports over all merchants: a month's revenue as people, scripts and spreadsheets read it."""

import asyncio

from farebox.core.accounts import Kind
from farebox.core.currencies import format_money
from farebox.storage.months import Month
from tests.cli.shell import Shell
from tests.support.ledger import ANN, BEN, UNIT
from tests.support.revenue_books import seeded_writer
from tests.support.server import open_farebox

MARCH = Month(2026, 3)


def _write(shell: Shell) -> None:
    async def write() -> None:
        async with open_farebox(shell.database_url) as farebox:
            writer = await seeded_writer(farebox.stores)
            await writer.write(BEN, Kind.TOP_UP, 1_050 * UNIT, MARCH.starts_at)
            await writer.write(BEN, Kind.CHARGE, 12 * UNIT, MARCH.ends_at - 1, uncollected=7)
            await writer.write(BEN, Kind.CHARGE, 1 * UNIT, MARCH.ends_at)
            await writer.write(ANN, Kind.GRANT, 3 * UNIT, MARCH.starts_at, given=f"1:{3 * UNIT}")

    asyncio.run(write())


def test_a_month_is_printed_by_currency(shell: Shell) -> None:
    assert "Nothing moved up to the end of 2026-03." in shell.ok("report", "revenue", "--month", "2026-03").out
    _write(shell)
    out = shell.ok("report", "revenue", "--month", "2026-03").out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "EUR amount",
        "Paid in 1,050.00",
        "Used, image -12.00",
        f"owed to merchants (deferred revenue) {format_money(1_038 * UNIT, 'EUR')}",
        "Revenue recognised: used less refunded 12.00",
        "Uncollected from requests 0.000007",
        "Granted 3.00",
        "2026-03 is over: these figures stay as they are.",
    ):
        assert line in lines, line
    assert "OTHERWISE" not in out


def test_a_month_is_printed_as_csv(shell: Shell) -> None:
    _write(shell)
    out = shell.ok("report", "revenue", "--month", "2026-03", "--csv").out
    assert out.startswith("month,currency,part,line,type,amount")
    assert "2026-03,EUR,paid,closing,,1038.00" in out.splitlines()


def test_what_can_not_be_reported_is_told(shell: Shell) -> None:
    shell.ok("init")
    for words, message in (
        (("--month", "march"), "'march' is not a month; write one such as 2026-11"),
        (("--month", "2199-01"), "2199-01 has not begun"),
        (("--month", "2026-03", "--csv", "--json"), "choose --csv or --json"),
    ):
        done = shell.run("report", "revenue", *words)
        assert (2, "") == (done.status, done.out)
        assert message in done.err
