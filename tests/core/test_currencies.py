"""Currencies: decimals by ISO 4217 for codes old and new, and amounts as people read them, in every one of them."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    Payer,
    Refund,
    RequestApproval,
    ReverseTopUp,
    SetCreditLimit,
    TopUp,
)
from farebox.core.currencies import (
    decimals_of,
    fits_minor_unit,
    format_money,
    format_money_with_code,
    is_code,
    round_for_glance,
    too_fine,
)
from farebox.core.money import BALANCE_MICROS_MAX, MICROS_PER_UNIT
from farebox.core.outcomes import Code
from tests.support.ledger import ANN, UNIT, MemoryLedger

IN_USE: Final = {currency.code: currency.exponent for currency in Currency}
WITHDRAWN: Final = {"BGN": 2, "HRK": 2, "ANG": 2, "SLL": 2, "ZWL": 2, "ITL": 0, "BYR": 0, "ESP": 0, "DEM": 2, "MRO": 2}
CODES: Final = st.one_of(
    st.sampled_from(sorted(IN_USE)), st.sampled_from(sorted(WITHDRAWN)), st.from_regex("[A-Z]{3}", fullmatch=True)
)
BALANCES: Final = st.integers(-BALANCE_MICROS_MAX, BALANCE_MICROS_MAX) | st.integers(-20_000_000, 20_000_000)


@pytest.mark.parametrize("code", [code for code, exponent in IN_USE.items() if exponent is not None])
def test_decimals_are_those_of_iso_4217(code: str) -> None:
    assert IN_USE[code] == decimals_of(code)


@pytest.mark.parametrize(("code", "decimals"), WITHDRAWN.items())
def test_withdrawn_codes_keep_their_decimals(code: str, decimals: int) -> None:
    assert code not in IN_USE
    assert decimals == decimals_of(code)


@pytest.mark.parametrize("text", ["", "usd", "US", "USDX", "U$D", "ÜSD", "USD\n", "USD "])
def test_no_code(text: str) -> None:
    assert not is_code(text)


@given(CODES, BALANCES)
def test_an_amount_for_people_is_exact_and_has_the_currencys_decimals_at_least(code: str, micros: int) -> None:
    assert is_code(code)
    text = format_money(micros, code)
    assert re.fullmatch(r"-?(0|[1-9][0-9]{0,2}(,[0-9]{3})*)(\.[0-9]{1,6})?", text)
    assert Decimal(micros) == Decimal(text.replace(",", "")) * MICROS_PER_UNIT
    decimals = text.partition(".")[2]
    assert len(decimals) >= decimals_of(code)
    assert len(decimals) == decimals_of(code) or not decimals.endswith("0")
    assert f"{text} {code}" == format_money_with_code(micros, code)


@given(CODES, BALANCES)
def test_an_amount_fits_its_currency_if_people_read_no_further_decimals(code: str, micros: int) -> None:
    decimals = format_money(micros, code).partition(".")[2]
    assert fits_minor_unit(micros, code) is (len(decimals) == decimals_of(code))


@given(CODES, BALANCES)
def test_what_is_rounded_for_a_glance_is_never_more_and_fits_unless_it_is_below_the_smallest_unit(
    code: str, micros: int
) -> None:
    rounded = round_for_glance(micros, code)
    smallest = MICROS_PER_UNIT // 10 ** decimals_of(code)
    if abs(micros) < smallest:
        assert micros == rounded
    else:
        assert fits_minor_unit(rounded, code)
        assert 0 <= (micros - rounded) * (1 if micros > 0 else -1) < smallest


@pytest.mark.parametrize(
    ("micros", "code", "text"),
    [
        (12_345_600, "JPY", "12.3456"),
        (12_000_000, "JPY", "12"),
        (1_234_567_000_000, "JPY", "1,234,567"),
        (12_000_000, "KWD", "12.000"),
        (12_345_600, "KWD", "12.3456"),
        (1_500_000, "CLF", "1.5000"),
        (0, "USD", "0.00"),
        (-1, "USD", "-0.000001"),
        (-1_234_500_000, "USD", "-1,234.50"),
        (500_000, "BGN", "0.50"),
        (500_000, "ALL", "0.50"),
        (1_000_000, "IQD", "1.000"),
    ],
)
def test_amounts_as_people_read_them(micros: int, code: str, text: str) -> None:
    assert text == format_money(micros, code)


def test_what_is_too_fine_says_what_would_fit() -> None:
    assert "12.5 JPY is too fine: amounts in JPY are whole numbers" == too_fine(12_500_000, "JPY")
    assert "1.2345 KWD is too fine: amounts in KWD have at most 3 decimals" == too_fine(1_234_500, "KWD")


@pytest.mark.parametrize(
    "command",
    [
        lambda micros: TopUp(ANN, micros, "R-2"),
        lambda micros: Adjust(ANN, micros, True, "R-2", "gift"),
        lambda micros: Adjust(ANN, micros, False, "R-2", "mistake"),
        lambda micros: ReverseTopUp(ANN, 1, "R-2", "bounced", micros),
        lambda micros: RequestApproval(TopUp(ANN, micros, "R-2"), 7),
        lambda micros: SetCreditLimit(ANN, micros),
    ],
)
@pytest.mark.parametrize(("code", "smallest"), [("JPY", UNIT), ("USD", UNIT // 100), ("KWD", 1_000), ("CLF", 100)])
def test_what_support_moves_fits_the_currency(command: Callable[[int], Command], code: str, smallest: int) -> None:
    ledger = MemoryLedger(currency=code)
    ledger.run(TopUp(ANN, 100 * UNIT, "R-1"))
    outcome = ledger.run(command(smallest + smallest // 2))[0]
    assert Code.AMOUNT_TOO_FINE is outcome.code
    assert outcome.message is not None
    assert "is too fine" in outcome.message
    assert Code.OK is ledger.code(command(smallest))


def test_charges_holds_captures_and_refunds_may_be_finer_than_the_currency() -> None:
    ledger = MemoryLedger(currency="JPY")
    ledger.run(TopUp(ANN, 100 * UNIT, "R-1"))
    ledger.move(Charge(Payer(ANN), "call", 1, "charge", 123_456))
    ledger.move(CreateHold(Payer(ANN), "call", 1, "hold", 234_567))
    ledger.move(CaptureHold(ANN, 3, "capture", 200_001))
    ledger.move(Refund(ANN, 2, "refund", 23_456))
    assert "99.699999" == format_money(ledger.ann.wallet, "JPY")
