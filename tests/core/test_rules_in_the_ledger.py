"""Prices that are rules, in a ledger: what is charged, held, captured, given back and counted, checked by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.commands import CaptureHold, Charge, CreateHold, ExpireHold, Payer, Refund, ReleaseHold, SetFrozen
from farebox.core.invariants import InvariantViolation
from farebox.core.outcomes import Code, Outcome
from farebox.core.period_counts import COUNT_MAX, PeriodCounts
from farebox.core.prices import Price
from farebox.core.pricing.rules import (
    Line,
    Period,
    PeriodUnit,
    Rates,
    Rule,
    Step,
    Tier,
    Tiers,
    Window,
    Windows,
)
from farebox.core.quotes import Quote, quote
from tests.core.replays import faults_of
from tests.support.ledger import ANN, BEN, NOW, SECOND, MemoryLedger, add_price, top_up
from tests.support.memory import at_once

CALLS: Final = Rule(
    Rates((Line("calls", 0, steps=(Step(1, 0), Step(1_001, 1_500_000, 1_000), Step(2_001, 600_000, 1_000))),)),
    period=Period(PeriodUnit.MONTH, "Europe/Berlin", refunds_give_back=True),
)
"""A thousand a month are free, the next thousand cost 0.0015 each, further ones 0.0006."""

KEPT: Final = replace(CALLS, period=Period(PeriodUnit.MONTH, "Europe/Berlin"))
TOKENS: Final = Rule(
    Rates(
        (Line("input", 150_000, 1_000_000), Line("output", 600_000, 1_000_000)),
        tiers=Tiers(("input",), (Tier(2_001, (Line("input", 300_000, 1_000_000),)),)),
    ),
    windows=Windows("UTC", (Window((4,), 480, 540, Rates((Line("input", 300_000, 1_000_000),), base=5_000)),)),
)
"""Twice the price and a fee on Fridays from 8 to 9, which is when the ledger begins."""

FREE: Final = Rule(Rates((Line("requests", 0),)))
FLAT: Final = Rule(Rates(base=5_000))
VOLUME: Final = Rule(
    Rates((Line("input", 1_000_000, 1_000),), tiers=Tiers(("input",), (Tier(1_000, (Line("input", 2_000, 1_000),)),)))
)
BOUND: Final = Rule(Rates((Line("mb", 9_000_000, 10**12),)))
BEYOND: Final = Rule(Rates((Line("mb", 9_000_001, 10**12),)))


@dataclass
class Ruled:
    """A ledger with the rules above, each for a type of its own."""

    ledger: MemoryLedger

    def charge(self, request_type: str, key: str = "charge", quantity: int = 1, **more: Any) -> Charge:
        return Charge(Payer(ANN), request_type, quantity, key, **more)

    def hold(self, request_type: str, key: str = "hold", quantity: int = 1, **more: Any) -> CreateHold:
        return CreateHold(Payer(ANN), request_type, quantity, key, **more)

    def counts(self) -> dict[tuple[str, int], int]:
        """Tell the units of each line, by when the period began."""
        return {
            (count.line, count.starts_at): count.units
            for count in self.ledger.rows()["period_counts"]
            if count.merchant_id == ANN
        }

    def counted(self) -> int:
        """Tell the only count."""
        (units,) = self.counts().values()
        return units

    def add(self, request_type: str, rule: Rule, price_id: int = 90, **more: Any) -> None:
        price = Price(price_id, request_type, None, self.ledger.now, rule=rule, **more)
        at_once(self.ledger.stores.prices.add(price, self.ledger.now))


@pytest.fixture
def ruled() -> Ruled:
    ledger = MemoryLedger()
    rules = (CALLS, KEPT, TOKENS, FREE, FLAT, VOLUME, BOUND, BEYOND)
    types = ("calls", "kept", "tokens", "free", "flat", "volume", "bound", "beyond")
    for number, (request_type, rule) in enumerate(zip(types, rules, strict=True), 11):
        at_once(add_price(ledger.stores, number, request_type=request_type, unit_price=None, rule=rule, starts_at=0))
    return Ruled(ledger)


@pytest.fixture
def paid(ruled: Ruled) -> Ruled:
    ruled.ledger.run(top_up(50))
    return ruled


def micros(when: datetime) -> int:
    return round(when.timestamp()) * SECOND


JANUARY: Final = micros(datetime(2026, 12, 31, 23, tzinfo=UTC))
"""When January 2027 began in Berlin."""
FEBRUARY: Final = micros(datetime(2027, 1, 31, 23, tzinfo=UTC))


# Counts of a period.


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_a_hold_counts_until_less_is_captured_and_refunds_give_back_their_share(
    paid: Ruled, is_one_batch: bool
) -> None:
    ledger = paid.ledger
    commands = (
        paid.charge("calls", quantity=1_200),
        paid.hold("calls", quantity=1_000),
        paid.charge("calls", "third"),
        CaptureHold(ANN, 3, "capture", quantity=400),
        Refund(ANN, 5, "quarter", 150_000),
        Refund(ANN, 5, "more than half", 200_001),
    )
    outcomes = ledger.run(*commands) if is_one_batch else [ledger.run(command)[0] for command in commands]
    made = [outcome.transfer for outcome in outcomes[:4] if outcome.transfer is not None]
    # 200 beyond the free ones; 800 of the dear and 200 of the cheap ones; one of the cheap; 400 of the dear.
    assert [300_000, 1_320_000, 600, 600_000] == [transfer.amount for transfer in made]
    assert [
        f"calls=1200;at={NOW}",
        f"calls=1000;before=calls:1200;at={NOW}",
        f"calls=1;before=calls:2200;at={NOW}",
        f"calls=400;before=calls:1200;at={NOW}",
    ] == [transfer.pricing for transfer in made]
    assert (Kind.RELEASE, 720_000) == (ledger.books[ANN][5].kind, ledger.books[ANN][5].amount)
    # Of 2,201 counted, 600 were not used; of 400, 350,001 micros of 600,000 are 233.
    assert {("calls", JANUARY): 2_201 - 600 - 233} == paid.counts()
    ledger.run(Refund(ANN, 5, "rest"))
    assert 1_201 == paid.counted()
    assert [] == faults_of(ledger, ledger.ann)


def test_a_charge_over_a_border_is_split_exactly(paid: Ruled) -> None:
    amounts = [
        paid.ledger.move(paid.charge("calls", f"charge {number}", quantity)).amount
        for number, quantity in enumerate((999, 2, 998, 2, 1))
    ]
    # The 1,000th is free and the 1,001st is not; up to the 1,999th; the 2,000th and the 2,001st; the 2,002nd.
    assert [0, 1_500, 998 * 1_500, 1_500 + 600, 600] == amounts


def test_refunds_give_no_units_back_unless_the_rule_says_so(paid: Ruled) -> None:
    paid.ledger.run(paid.charge("kept", quantity=1_200), Refund(ANN, 2, "refund"))
    assert 1_200 == paid.counted()


def test_what_is_released_or_expired_or_captured_as_nothing_is_not_counted(paid: Ruled) -> None:
    paid.ledger.run(*(paid.hold("kept", f"hold {number}", 1_500, ttl_seconds=60) for number in range(3)))
    assert 4_500 == paid.counted()
    paid.ledger.run(ReleaseHold(ANN, 2, "release"), CaptureHold(ANN, 3, "capture", quantities=(("calls", 0),)))
    assert 1_500 == paid.counted()
    paid.ledger.now += 60 * SECOND
    paid.ledger.run(ExpireHold(ANN, 4))
    assert 0 == paid.counted()
    assert [] == faults_of(paid.ledger, paid.ledger.ann)


def test_a_capture_of_an_amount_or_of_all_leaves_what_was_held_counted(paid: Ruled) -> None:
    paid.ledger.run(
        paid.hold("calls", "one", 1_500),
        paid.hold("calls", "two", 1_000),
        CaptureHold(ANN, 2, "all"),
        CaptureHold(ANN, 3, "amount", 1),
    )
    all_of_it, amount = paid.ledger.books[ANN][3:5]
    assert (750_000, f"calls=1500;at={NOW}", 11) == (all_of_it.amount, all_of_it.pricing, all_of_it.price_id)
    assert (1, None, None, 1) == (amount.amount, amount.pricing, amount.price_id, amount.quantity)
    assert 2_500 == paid.counted()
    assert [] == faults_of(paid.ledger, paid.ledger.ann)


def test_a_request_of_last_month_counts_there(paid: Ruled) -> None:
    paid.ledger.run(paid.charge("calls", quantity=1_500))
    paid.ledger.now = FEBRUARY + 600 * SECOND
    late = paid.ledger.move(paid.charge("calls", "late", 10, requested_at=FEBRUARY - 1))
    first = paid.ledger.move(paid.charge("calls", "first", 10, requested_at=FEBRUARY))
    assert (15_000, f"calls=10;before=calls:1500;at={FEBRUARY - 1}") == (late.amount, late.pricing)
    assert (0, f"calls=10;at={FEBRUARY}") == (first.amount, first.pricing)
    assert {("calls", JANUARY): 1_510, ("calls", FEBRUARY): 10} == paid.counts()


def test_merchants_and_types_are_counted_apart(paid: Ruled) -> None:
    outcomes = paid.ledger.run(
        paid.charge("calls", quantity=1_000),
        paid.charge("kept", "kept", 1_000),
        Charge(Payer(BEN), "calls", 1_000, "charge"),
    )
    assert [0, 0, 0] == [outcome.transfer.amount for outcome in outcomes if outcome.transfer is not None]


def test_a_new_version_goes_on_counting_the_period(paid: Ruled) -> None:
    paid.ledger.run(paid.charge("calls", quantity=2_000), paid.hold("calls", quantity=10))
    paid.ledger.now += SECOND
    paid.add("calls", replace(CALLS, rates=Rates((Line("calls", 0, steps=(Step(1, 0), Step(2_011, 7))),))))
    assert 14 == paid.ledger.move(paid.charge("calls", "next", 2)).amount
    # The hold goes by its own version.
    assert 5 * 600 == paid.ledger.move(CaptureHold(ANN, 3, "capture", quantity=5)).amount
    assert 2_007 == paid.counted()
    assert [] == faults_of(paid.ledger, paid.ledger.ann)


# Windows and tiers.


def test_a_capture_is_priced_at_the_window_of_its_hold_and_at_its_own_tier(paid: Ruled) -> None:
    held = paid.ledger.move(paid.hold("tokens", quantities=(("input", 1_000),), ttl_seconds=7200))
    assert (5_300, f"input=1000;window=1;at={NOW}") == (held.amount, held.pricing)
    paid.ledger.now += 3_600 * SECOND
    outside = paid.ledger.move(paid.hold("tokens", "outside", quantities=(("input", 3_000), ("output", 9))))
    assert (900, f"input=3000,output=9;tier=1;at={NOW + 3_600 * SECOND}") == (outside.amount, outside.pricing)
    captured = paid.ledger.move(CaptureHold(ANN, 2, "capture", quantities=(("input", 500),)))
    assert (5_150, f"input=500;window=1;at={NOW}") == (captured.amount, captured.pricing)
    lower = paid.ledger.move(CaptureHold(ANN, 3, "lower", quantities=(("input", 2_000), ("output", 9))))
    # 300 and 5.4, rounded up once.
    assert (306, f"input=2000,output=9;at={NOW + 3_600 * SECOND}") == (lower.amount, lower.pricing)


def test_a_capture_that_costs_more_than_what_was_held_is_refused(paid: Ruled) -> None:
    paid.ledger.run(paid.hold("volume", quantity=1_000))
    assert Code.CAPTURE_EXCEEDS_HOLD is paid.ledger.code(CaptureHold(ANN, 2, "fewer cost more", quantity=999))
    assert Code.CAPTURE_EXCEEDS_HOLD is paid.ledger.code(CaptureHold(ANN, 2, "more", quantity=1_001))
    assert Code.OK is paid.ledger.code(CaptureHold(ANN, 2, "few", quantity=2))


# Free requests.


def test_a_free_request_is_charged_kept_and_idempotent_without_a_balance(ruled: Ruled) -> None:
    ledger = ruled.ledger
    first = ledger.move(ruled.charge("free", quantity=7))
    assert (0, 7, "requests=7", None, 0) == (
        *(first.amount, first.quantity, first.pricing, first.unit_price),
        first.wallet_after,
    )
    again = ledger.run(ruled.charge("free", quantity=7))[0]
    assert (True, first) == (again.is_replay, again.transfer)
    assert Code.IDEMPOTENCY_CONFLICT is ledger.code(ruled.charge("free", quantity=8))
    assert Code.REFUND_EXCEEDS_TRANSFER is ledger.code(Refund(ANN, 1, "refund"))
    ledger.run(*(ruled.hold("free", f"hold {number}", 2, ttl_seconds=60) for number in range(3)))
    ledger.run(CaptureHold(ANN, 2, "capture", quantity=1), ReleaseHold(ANN, 3, "release"))
    ledger.now += 60 * SECOND
    ledger.run(ExpireHold(ANN, 4))
    kinds = [Kind.CHARGE, *[Kind.HOLD] * 3, Kind.CAPTURE, Kind.RELEASE, Kind.EXPIRE]
    assert [(kind, 0) for kind in kinds] == [(item.kind, item.amount) for item in ledger.books[ANN]]
    assert [] == faults_of(ledger, ledger.ann)


def test_frozen_merchants_are_refused_what_is_free(ruled: Ruled) -> None:
    ruled.ledger.run(SetFrozen(ANN, True))
    assert Code.MERCHANT_FROZEN is ruled.ledger.code(ruled.charge("free"))


def test_a_request_at_a_price_without_lines_is_one_request(paid: Ruled) -> None:
    made = paid.ledger.move(paid.hold("flat"))
    assert (5_000, 1, "requests=1") == (made.amount, made.quantity, made.pricing)
    assert Code.QUANTITIES_REQUIRED is paid.ledger.code(paid.charge("flat", quantity=2))
    assert Code.UNKNOWN_QUANTITY is paid.ledger.code(paid.charge("flat", quantities=(("requests", 1),)))
    assert 5_000 == paid.ledger.move(CaptureHold(ANN, 2, "capture", quantity=1)).amount
    assert [] == faults_of(paid.ledger, paid.ledger.ann)


# Bounds and refusals.


def test_a_line_is_charged_up_to_the_largest_product_that_is_exact(paid: Ruled) -> None:
    whole = (("mb", 10**12),)
    assert 9_000_000 == paid.ledger.move(paid.charge("bound", quantities=whole)).amount
    assert Code.COST_TOO_LARGE is paid.ledger.code(paid.charge("beyond", "beyond", quantities=whole))
    less = (("mb", 9 * 10**18 // 9_000_001),)
    assert 9_000_000 == paid.ledger.move(paid.charge("beyond", "less", quantities=less)).amount


def test_a_count_ends_where_64_bits_do(paid: Ruled) -> None:
    price = Price(12, "kept", None, 0, rule=KEPT)
    counts = PeriodCounts({(ANN, "kept", JANUARY, "month", "calls"): COUNT_MAX - 1})
    last = quote(price, paid.charge("kept"), NOW, counts)
    assert isinstance(last, Quote)
    assert (600, {"calls": 1}) == (last.amount, last.units)
    beyond = quote(price, paid.charge("kept", quantity=2), NOW, counts)
    assert isinstance(beyond, Outcome)
    assert Code.COST_TOO_LARGE is beyond.code


@pytest.mark.parametrize(
    ("request_type", "more", "code"),
    [
        ("nothing", {}, Code.UNKNOWN_TYPE),
        ("tokens", {"quantities": (("input", 1), ("inputs", 1)), "amount": 1}, Code.UNKNOWN_QUANTITY),
        ("image", {"quantities": (("input", 1),)}, Code.UNKNOWN_QUANTITY),
        ("image", {"quantities": (("requests", 0),)}, Code.QUANTITIES_REQUIRED),
        ("tokens", {"quantity": 5, "amount": 1}, Code.QUANTITIES_REQUIRED),
        ("call", {"quantities": (("requests", 2),), "requested_at": 0}, Code.AMOUNT_REQUIRED),
        ("calls", {"amount": 1, "requested_at": 0}, Code.AMOUNT_NOT_ALLOWED),
        ("image", {"amount": 1, "requested_at": 0}, Code.AMOUNT_NOT_ALLOWED),
        ("beyond", {"quantities": (("mb", 10**12),), "requested_at": 0}, Code.REQUESTED_AT_OUT_OF_BOUNDS),
        ("image", {"requested_at": NOW - 86_400 * SECOND - 1}, Code.REQUESTED_AT_OUT_OF_BOUNDS),
        ("call", {"amount": 1, "requested_at": NOW + 60 * SECOND + 1}, Code.REQUESTED_AT_OUT_OF_BOUNDS),
        ("calls", {"requested_at": NOW - 86_400 * SECOND}, Code.OK),
        ("image", {"requested_at": NOW + 60 * SECOND}, Code.OK),
        ("image", {"quantities": (("requests", 3),)}, Code.OK),
        ("tokens", {"quantities": (("output", 0),)}, Code.OK),
    ],
)
def test_refusals_take_precedence_in_order(paid: Ruled, request_type: str, more: dict[str, Any], code: Code) -> None:
    assert code is paid.ledger.code(paid.charge(request_type, **more))
    assert code is paid.ledger.code(paid.hold(request_type, **more))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"quantities": (("output", 1), ("words", 1))}, Code.UNKNOWN_QUANTITY),
        ({"quantity": 1}, Code.QUANTITIES_REQUIRED),
        ({"quantities": (("input", 1),), "amount": 1}, Code.AMOUNT_NOT_ALLOWED),
        ({"quantities": (("input", 1_001),)}, Code.CAPTURE_EXCEEDS_HOLD),
        ({"quantities": (("output", 1),)}, Code.CAPTURE_EXCEEDS_HOLD),
        ({"amount": 5_301}, Code.CAPTURE_EXCEEDS_HOLD),
        ({"quantities": (("output", 0),)}, Code.OK),
    ],
)
def test_captures_that_name_what_the_hold_has_not_are_refused(paid: Ruled, more: dict[str, Any], code: Code) -> None:
    paid.ledger.run(paid.hold("tokens", quantities=(("input", 1_000),)))
    assert code is paid.ledger.code(CaptureHold(ANN, 2, "capture", **more))


def test_a_capture_below_a_tier_is_bound_as_a_charge_is(paid: Ruled) -> None:
    cheap = Tier(10**12, (Line("mb", 1, 10**12),))
    paid.add("tiers", Rule(Rates((Line("mb", 9_000_001, 10**12),), tiers=Tiers(("mb",), (cheap,)))))
    assert 1 == paid.ledger.move(paid.hold("tiers", quantities=(("mb", 10**12),))).amount
    assert Code.COST_TOO_LARGE is paid.ledger.code(CaptureHold(ANN, 2, "fewer", quantities=(("mb", 10**12 - 1),)))
    assert Code.OK is paid.ledger.code(CaptureHold(ANN, 2, "all"))


def test_nothing_is_captured_by_quantities_at_a_price_that_is_gone(paid: Ruled) -> None:
    paid.ledger.run(paid.hold("tokens", quantities=(("input", 9),)))
    paid.ledger.prices = [price for price in paid.ledger.prices if price.request_type != "tokens"]
    with pytest.raises(InvariantViolation, match="the price that it was made at is not there"):
        paid.ledger.run(CaptureHold(ANN, 2, "capture", quantities=(("input", 1),)))
    assert Code.OK is paid.ledger.code(CaptureHold(ANN, 2, "capture"))


def test_a_hold_of_requests_is_captured_by_requests_alone(paid: Ruled) -> None:
    paid.ledger.run(paid.hold("image", quantities=(("requests", 3),)))
    for quantities in ((("input", 1),), (("input", 1), ("requests", 1)), (("requests", 0),)):
        assert Code.UNKNOWN_QUANTITY is paid.ledger.code(CaptureHold(ANN, 2, "capture", quantities=quantities))
    captured = paid.ledger.move(CaptureHold(ANN, 2, "capture", quantities=(("requests", 2),)))
    assert (2_000_000, 2, None) == (captured.amount, captured.quantity, captured.pricing)
