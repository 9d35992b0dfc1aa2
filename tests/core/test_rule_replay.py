"""A replay finds what was changed of ruled transfers, of their prices and of what is counted, hashes or no hashes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.accounts import GENESIS_HASH, Kind
from farebox.core.chain import canonical_bytes, link
from farebox.core.commands import CaptureHold, Charge, CreateHold, ExpireHold, Payer, Refund, ReleaseHold
from farebox.core.outcomes import Code
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.pricing.priced import Priced, priced_text, read_priced
from farebox.core.pricing.rules import Rates, Rule, Windows
from farebox.core.transfers import Transfer
from tests.core.replays import counts_of, faults_in, faults_of, prices_of
from tests.core.scenario_rules import CALLS, FLAT, FREE, KEPT, STORAGE, TOKENS
from tests.support.ledger import ANN, BEN, SECOND, MemoryLedger, add_price, top_up
from tests.support.memory import at_once

DAY: Final = 86_400 * SECOND
RULES: Final = {"tokens": TOKENS, "storage": STORAGE, "seats": KEPT, "calls": CALLS, "ping": FREE, "flat": FLAT}


def spend(kind: type[Any], request_type: str, key: str, quantity: int = 1, **named: int) -> Charge | CreateHold:
    quantities = tuple(sorted(named.items())) or None
    ttl = {} if kind is Charge else {"ttl_seconds": 60}
    made: Charge | CreateHold = kind(Payer(ANN), request_type, quantity, key, quantities=quantities, **ttl)
    return made


def ruled_ledger() -> MemoryLedger:
    """A book with every kind of transfer that rules have to do with; it begins on a Friday at eight."""
    ledger = MemoryLedger()
    for number, (request_type, rule) in enumerate(RULES.items(), 11):
        at_once(add_price(ledger.stores, number, request_type=request_type, unit_price=None, rule=rule, starts_at=0))
    at_once(add_price(ledger.stores, 20, request_type="storage", unit_price=None, rule=KEPT, merchant_id=BEN))
    outcomes = ledger.run(
        top_up(100),
        spend(Charge, "tokens", "below", input=1_000, output=500),
        spend(Charge, "tokens", "above", input=2_000, output=500, cached=9),
        spend(CreateHold, "storage", "captured in part", gb=20, requests=9),
        CaptureHold(ANN, 4, "part", quantities=(("gb", 15), ("requests", 2))),
        spend(CreateHold, "storage", "released", gb=5),
        ReleaseHold(ANN, 7, "release"),
        spend(CreateHold, "seats", "expired", 3),
        spend(CreateHold, "seats", "captured whole", 30),
        CaptureHold(ANN, 10, "whole"),
        spend(CreateHold, "calls", "captured by amount", requests=9),
        CaptureHold(ANN, 12, "amount", 10),
        spend(Charge, "storage", "given back", gb=12),
        Refund(ANN, 15, "half", 400_000),
        spend(Charge, "seats", "kept", 12),
        Refund(ANN, 17, "all"),
        spend(Charge, "ping", "free", 4),
        spend(Charge, "flat", "flat"),
        spend(CreateHold, "storage", "open", gb=2),
    )
    ledger.now += 60 * SECOND
    outcomes += ledger.run(ExpireHold(ANN, 9))
    # Another day, and a window of the tokens' price.
    ledger.now += 16 * 3600 * SECOND
    outcomes += ledger.run(
        spend(Charge, "tokens", "by night", input=1_000),
        spend(Charge, "calls", "of the next day", requests=7),
    )
    assert {Code.OK} == {outcome.code for outcome in outcomes}, [outcome.message for outcome in outcomes]
    return ledger


LEDGER: Final = ruled_ledger()
BOOK: Final = tuple(LEDGER.books[ANN])
RULED: Final = [transfer for transfer in BOOK if transfer.pricing is not None]


def faults(
    transfers: Sequence[Transfer],
    prices: Mapping[int, Price] | None = None,
    counts: Sequence[PeriodCount] | None = None,
) -> list[str]:
    """Replay the book with other transfers, prices or counts, the hashes made anew: what then is still found?"""
    account, merchant, written, last_hash = LEDGER.ann, ids.public_id(ids.MERCHANT, ANN), [], GENESIS_HASH
    for transfer in transfers:
        last_hash = link(last_hash, canonical_bytes(merchant, transfer))
        written.append(replace(transfer, hash=last_hash))
    stored_prices = prices_of(LEDGER, account) if prices is None else prices
    stored_counts = counts_of(LEDGER, account) if counts is None else counts
    holds = LEDGER.rows()["holds"]
    return faults_in(replace(account, last_hash=last_hash), written, holds, stored_prices, stored_counts)


def test_the_ledger_has_every_kind_that_rules_have_and_no_fault() -> None:
    assert {Kind.CHARGE, Kind.HOLD, Kind.CAPTURE} == {transfer.kind for transfer in RULED}
    explained = [read_priced(transfer.pricing or "") for transfer in RULED]
    assert (
        {True, False}
        == {priced.tier is None for priced in explained}
        == {priced.window is None for priced in explained}
    )
    assert {True, False} == {not priced.before for priced in explained} == {priced.at is None for priced in explained}
    assert [] == faults_of(LEDGER, LEDGER.ann) == faults(BOOK)


# A transfer that was changed and hashed anew.


def _quantity(transfer: Transfer, priced: Priced) -> list[Priced]:
    changed = [{**priced.quantities, name: number + 40_000_000} for name, number in priced.quantities.items()]
    return [replace(priced, quantities=quantities) for quantities in [*changed, {"other": 1}, {"input": -1}]]


def _tier(transfer: Transfer, priced: Priced) -> list[Priced]:
    return [replace(priced, tier=tier) for tier in (None, 1, 2) if tier != priced.tier]


def _window(transfer: Transfer, priced: Priced) -> list[Priced]:
    return [replace(priced, window=window) for window in (None, 0, 1, 2) if window != priced.window]


def _before(transfer: Transfer, priced: Priced) -> list[Priced]:
    more = {name: priced.before.get(name, 0) + 1 for name in priced.quantities}
    less = {name: number - 1 for name, number in priced.before.items()}
    return [replace(priced, before=before) for before in (more, less, {}, {"other": 1}) if before != priced.before]


def _at(transfer: Transfer, priced: Priced) -> list[Priced]:
    times = (None, 0, 10**30, transfer.committed_at - 2 * DAY, transfer.committed_at + 120 * SECOND)
    return [replace(priced, at=at) for at in times if at != priced.at]


CHANGES: Final[dict[str, Callable[[Transfer, Priced], list[Priced]]]] = {
    "quantities": _quantity,
    "tier": _tier,
    "window": _window,
    "before": _before,
    "at": _at,
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_changed_part_of_what_it_was_priced_by_is_found_where_it_stands(name: str) -> None:
    for transfer in RULED:
        for priced in CHANGES[name](transfer, read_priced(transfer.pricing or "")):
            assert_found(transfer, pricing=priced_text(priced))


@pytest.mark.parametrize(
    "change",
    [
        {"pricing": None},
        {"pricing": "input"},
        {"pricing": ""},
        {"price_id": 20},
        {"price_id": 99},
        {"price_id": 1},
        {"request_type": "video"},
        {"quantity": 5},
        {"unit_price": 1},
    ],
    ids=str,
)
def test_any_changed_field_of_a_ruled_transfer_is_found_where_it_stands(change: dict[str, Any]) -> None:
    for transfer in RULED:
        assert_found(transfer, **change)


def test_a_changed_amount_is_found_where_it_stands() -> None:
    for transfer in RULED:
        assert_found(transfer, amount=transfer.amount + 1)


def test_nothing_else_says_what_it_was_priced_by() -> None:
    for transfer in BOOK:
        if transfer.pricing is None:
            assert_found(transfer, pricing="requests=1")


def assert_found(transfer: Transfer, **change: Any) -> None:
    changed = replace(transfer, **change)
    if changed != transfer:
        found = faults([changed if item is transfer else item for item in BOOK])
        assert [fault for fault in found if fault.startswith(f"seq {transfer.seq}: ")], (transfer, change, found)


# Prices that were changed after the fact.


def dearer(rule: Rule) -> Rule:
    def more(rates: Rates) -> Rates:
        return replace(rates, base=rates.base + 10_000, minimum=rates.minimum + 10_000)

    windows = rule.windows and Windows(
        rule.windows.zone, tuple(replace(window, rates=more(window.rates)) for window in rule.windows.windows)
    )
    return replace(rule, rates=more(rule.rates), windows=windows)


@pytest.mark.parametrize("price_id", range(11, 17))
def test_a_rule_that_was_changed_after_the_fact_is_found_at_all_that_it_priced(price_id: int) -> None:
    prices = prices_of(LEDGER, LEDGER.ann)
    price = prices[price_id]
    assert price.rule is not None
    others: list[Price] = [
        replace(price, rule=dearer(price.rule)),
        replace(price, rule=None, unit_price=1),
        replace(price, request_type="other"),
        replace(price, merchant_id=BEN),
    ]
    priced = [transfer.seq for transfer in RULED if transfer.price_id == price_id]
    assert priced
    for changed in [{price_id: other} for other in others] + [None]:
        kept = {number: known for number, known in prices.items() if number != price_id}
        found = faults(BOOK, kept if changed is None else {**kept, **changed})
        for seq in priced:
            assert [fault for fault in found if fault.startswith(f"seq {seq}: ")], (changed, seq)


# Counts that were changed.


def test_a_count_that_was_changed_lost_or_added_is_found() -> None:
    counts = counts_of(LEDGER, LEDGER.ann)
    assert {"storage", "seats", "calls"} == {count.request_type for count in counts}
    for place, count in enumerate(counts):
        others = [*counts[:place], *counts[place + 1 :]]
        what = f"of {count.line!r} of {count.request_type!r} are counted in a period, its transfers come to"
        expected = f"{what} {count.units}"
        for units in (count.units + 1, max(count.units - 1, 0)):
            if units != count.units:
                found = faults(BOOK, counts=[*others, replace(count, units=units)])
                assert [f"seq {len(BOOK)}: {units} units {expected}"] == found
        assert ([f"seq {len(BOOK)}: 0 units {expected}"] if count.units else []) == faults(BOOK, counts=others)
    more = replace(counts[0], starts_at=counts[0].starts_at + 9 * DAY, units=7)
    what = f"of {more.line!r} of {more.request_type!r} are counted in a period, its transfers come to 0"
    assert [f"seq {len(BOOK)}: 7 units {what}"] == faults(BOOK, counts=[*counts, more])
    assert [] == faults(BOOK, counts=[*counts, replace(more, units=0)])
