"""Prices that are rules, on each engine: counts are exact with many at once, and the database keeps its own rules."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.commands import CaptureHold, Charge, CreateHold, Payer, Refund, ReleaseHold
from farebox.core.credit.shortfalls import Above
from farebox.core.outcomes import Outcome
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.pricing.priced import read_priced
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Step
from farebox.storage.interface import AlreadyExists
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, SqliteEngine, accepted
from tests.support.ledger import ANN, NOW, SECOND, add_merchant, add_price, book, charge, do, everything, faults

CALLS: Final = Rule(
    Rates((Line("calls", 0, steps=(Step(1, 0), Step(101, 1_500_000, 1_000), Step(301, 600_000, 1_000))),)),
    period=Period(PeriodUnit.MONTH, "Europe/Berlin", refunds_give_back=True),
)
FREE: Final = Rule(Rates((Line("requests", 0),)))


def spend(kind: type[Any], key: str, quantity: int, request_type: str = "calls") -> Charge | CreateHold:
    made: Charge | CreateHold = kind(Payer(ANN), request_type, quantity, key)
    return made


async def begin(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores, request_type="calls", unit_price=None, rule=CALLS)
    await add_price(stores, 2, request_type="free", unit_price=None, rule=FREE)
    await add_price(stores, 3)


async def counts(stores: Stores) -> list[int]:
    async with stores.connector.snapshot() as snapshot:
        return [count.units for count in await snapshot.period_counts([ANN])]


async def test_stores_that_count_at_once_leave_no_gap_and_no_overlap(engine: Engine, stores: Stores) -> None:
    await begin(stores)
    other = engine.stores()
    await other.connector.open()
    quantities = [Random(number).randrange(1, 40) for number in range(48)]
    await asyncio.gather(
        *[
            do((stores, other)[number % 2], spend(Charge, f"charge {number}", quantity))
            for number, quantity in enumerate(quantities)
        ]
    )
    priced = [(transfer, read_priced(transfer.pricing)) for transfer in await book(other) if transfer.pricing]
    met = 0
    for _, one in priced:
        assert met == one.before.get("calls", 0)
        met += one.quantities["calls"]
    assert sum(quantities) == met
    assert [met] == await counts(other)
    # Split over any number of charges, each rounded up, the month costs the same but for those fractions.
    exact = 200 * 1_500 + (met - 300) * 600
    assert exact == sum(transfer.amount for transfer, _ in priced)
    assert [] == await faults(stores)
    await other.connector.close()


async def test_stores_that_hold_capture_and_give_back_at_once_count_what_was_used(
    engine: Engine, stores: Stores
) -> None:
    await begin(stores)
    other = engine.stores()
    await other.connector.open()

    async def use(number: int) -> int:
        """Hold ten units, and use some of them, or none, or refund what was used; tell how many were."""
        mine, theirs = (stores, other) if number % 2 else (other, stores)
        (held,) = await do(mine, spend(CreateHold, f"hold-{number}", 10))
        seq = _seq(held)
        if number % 4 == 0:
            await do(theirs, ReleaseHold(ANN, seq, f"release-{number}"))
            return 0
        (captured,) = await do(theirs, CaptureHold(ANN, seq, f"capture-{number}", quantities=(("calls", number % 10),)))
        assert captured.transfer is not None
        if number % 4 == 1 and captured.transfer.amount:
            await do(mine, Refund(ANN, captured.transfer.seq, f"refund-{number}"))
            return 0
        return number % 10

    used = await asyncio.gather(*[use(number) for number in range(1, 30)])
    assert [sum(used)] == await counts(stores)
    assert [] == await faults(stores)
    await other.connector.close()


def _seq(outcome: Outcome) -> int:
    assert outcome.transfer is not None, outcome.message
    return outcome.transfer.seq


# The database's own constraints.

BAD_ROWS: Final = {
    "a charge of nothing without a rule": "UPDATE transfer SET amount = 0, unit_price = NULL WHERE seq = 3",
    "a free charge that hides its rule": "UPDATE transfer SET pricing = NULL WHERE seq = 2",
    "a negative amount by a rule": "UPDATE transfer SET amount = -1 WHERE seq = 2",
    "a hold of less than nothing": "UPDATE hold SET amount = -1",
    "a released hold that was captured": "UPDATE hold SET state = 3, captured = 1",
    "a hold captured for more than it has": "UPDATE hold SET state = 2, captured = amount + 1",
    "a count of no merchant": "UPDATE period_count SET merchant_id = 5",
    "a count without units": "UPDATE period_count SET units = NULL",
    "a second version with one start": "UPDATE default_price SET request_type = 'calls'",
}


async def test_the_database_itself_refuses_rows_that_break_a_rule_of_prices(engine: Engine, stores: Stores) -> None:
    await begin(stores)
    commands = (spend(Charge, "free", 1, "free"), charge(2), spend(CreateHold, "hold", 150), spend(CreateHold, "o", 1))
    await do(stores, *commands)
    before = await everything(stores, [ANN])
    assert [] == await accepted(engine, BAD_ROWS)
    assert before == await everything(stores, [ANN])


@pytest.mark.parametrize("merchant_id", [None, ANN])
async def test_two_versions_with_one_start_are_refused_until_one_is_withdrawn(
    stores: Stores, merchant_id: int | None
) -> None:
    await add_merchant(stores)
    first = Price(1, "image", 5, NOW + SECOND, merchant_id)
    second = Price(2, "image", None, NOW + SECOND, merchant_id, FREE)
    await stores.prices.add(first, NOW)
    with pytest.raises(AlreadyExists):
        await stores.prices.add(second, NOW)
    await stores.prices.withdraw(first, lambda: NOW)
    await stores.prices.add(second, NOW)
    (outcome,) = await do(stores, charge(1), now=NOW + SECOND)
    assert outcome.transfer is not None
    assert (0, 2) == (outcome.transfer.amount, outcome.transfer.price_id)


async def test_a_backup_has_rules_and_counts(engine: Engine, stores: Stores, tmp_path: Path) -> None:
    if not isinstance(engine, SqliteEngine):
        # A server's own tools make its backups, with every table.
        assert "period_count" in {name for (name,) in await engine.execute("SELECT relname FROM pg_class")}
        return
    await begin(stores)
    await do(stores, spend(Charge, "one", 150), spend(CreateHold, "two", 10), spend(Charge, "free", 2, "free"))
    await stores.connector.backup(tmp_path / "backup.db")
    await do(stores, spend(Charge, "later", 1))
    kept = SqliteEngine(tmp_path / "backup.db").stores()
    await kept.connector.open()
    assert [160] == await counts(kept)
    assert [] == await faults(kept)
    (outcome,) = await do(kept, spend(Charge, "next", 2))
    assert outcome.transfer is not None
    assert (3_000, 160) == (outcome.transfer.amount, read_priced(outcome.transfer.pricing or "").before["calls"])
    await kept.connector.close()


async def test_each_period_is_a_row_of_its_own(stores: Stores) -> None:
    await begin(stores)
    later = NOW + 31 * 86_400 * SECOND
    await do(stores, spend(Charge, "january", 7))
    await do(stores, spend(Charge, "february", 8), now=later)
    async with stores.connector.snapshot() as snapshot:
        found = sorted(await snapshot.period_counts([ANN]), key=lambda count: count.starts_at)
    assert [7, 8] == [count.units for count in found]
    assert found[0] == PeriodCount(ANN, "calls", 1_798_758_000 * SECOND, "month", "calls", 7)


FEBRUARY: Final = 1_801_436_400 * SECOND
"""The first moment of the month in Berlin."""


async def test_a_day_and_a_month_that_begin_together_are_counted_apart(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    daily = replace(CALLS, period=Period(PeriodUnit.DAY, "Europe/Berlin", refunds_give_back=True))
    await add_price(stores, request_type="calls", unit_price=None, rule=daily)
    await do(stores, spend(Charge, "first", 150), spend(CreateHold, "hold", 10), now=FEBRUARY + SECOND)
    monthly = Price(2, "calls", None, FEBRUARY + 60 * SECOND, rule=CALLS)
    await stores.prices.add(monthly, FEBRUARY + 2 * SECOND)
    later = FEBRUARY + 61 * SECOND
    outcomes = await do(
        stores,
        spend(Charge, "second", 120),
        # Units that were counted over the day are given back to the day.
        ReleaseHold(ANN, 3, "release"),
        Refund(ANN, 2, "refund"),
        now=later,
    )
    assert [True] * 3 == [outcome.is_ok for outcome in outcomes]
    charged = outcomes[0].transfer
    assert charged is not None
    assert (30_000, {}) == (charged.amount, read_priced(charged.pricing or "").before)
    (outcome,) = await do(stores, spend(Charge, "third", 1), now=later)
    assert outcome.transfer is not None
    assert {"calls": 120} == read_priced(outcome.transfer.pricing or "").before
    found = [PeriodCount(ANN, "calls", FEBRUARY, unit, "calls", units) for unit, units in (("day", 0), ("month", 121))]
    assert found == await stores.prices.period_counts(ANN, "calls", FEBRUARY)
    assert [] == await faults(stores)


@pytest.mark.parametrize("seqs", [(3, 4), (4, 3)])
async def test_refunds_of_more_of_one_line_and_less_of_another_leave_no_count(
    stores: Stores, seqs: tuple[int, int]
) -> None:
    """The charge above the hold takes units off one line; refunded alone, the capture brings that below nothing."""
    lines = (Line("gb", 1_000_000), Line("requests", 1_000))
    rule = Rule(Rates(lines), period=Period(PeriodUnit.MONTH, "Europe/Berlin", refunds_give_back=True))
    await add_merchant(stores, funds=50)
    await add_price(stores, request_type="storage", unit_price=None, rule=rule)
    held, used = (("gb", 9), ("requests", 20)), (("gb", 15), ("requests", 10))
    outcomes = await do(
        stores,
        CreateHold(Payer(ANN), "storage", 1, "hold", quantities=held),
        CaptureHold(ANN, 2, "capture", quantities=used, above=Above.CHARGE),
        *(Refund(ANN, seq, f"refund {seq}") for seq in seqs[:1]),
    )
    assert [True] * 3 == [outcome.is_ok for outcome in outcomes]
    (charged,) = await do(stores, Charge(Payer(ANN), "storage", 1, "charge", quantities=(("requests", 1),)))
    assert charged.transfer is not None
    capture_alone, charge_alone = {"gb": 6}, {"gb": 9, "requests": 20}
    before = read_priced(charged.transfer.pricing or "").before
    assert (capture_alone if seqs[0] == 3 else charge_alone) == before
    await do(stores, Refund(ANN, seqs[1], f"refund {seqs[1]}"))
    assert {"gb": 0, "requests": 1} == {
        count.line: count.units for count in await stores.prices.period_counts(ANN, "storage", PERIOD)
    }
    assert [] == await faults(stores)


PERIOD: Final = 1_798_758_000 * SECOND
"""When the month began in Berlin."""
