"""What each currency is written with: its decimals, and amounts as people read them.

Books outlive the list of currencies, so any code of three capitals has decimals here for ever: those of ISO 4217's
exponent ("minor unit"), whether the code is in use or withdrawn. Which codes a new merchant may have is the service's
question. Programs get amounts from `money.format_amount`, the same in every currency.
"""

import re
from typing import Final

from farebox.core.money import MICROS_PER_UNIT

_DECIMALS_USUALLY: Final = 2
_DECIMALS: Final = {
    code: decimals
    for decimals, codes in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
        # Withdrawn: ISO 4217, list three, of 2026-01-01. It gives no exponents; these are those of list one in the
        # edition that last had the code, as OpenJDK has kept them. All other codes had two.
        (0, "ADP BEF BYB BYR ESP GRD ITL LUF MGF PTE TPE TRL"),
    )
    for code in codes.split()
}
_MICROS: Final[dict[int, int]] = {
    decimals: MICROS_PER_UNIT // 10**decimals for decimals in {_DECIMALS_USUALLY, *_DECIMALS.values()}
}
_CODE: Final = re.compile(r"[A-Z]{3}", re.ASCII)


def is_code(text: str) -> bool:
    """Tell whether a text has the form of a currency's code, be it in use, withdrawn or never given."""
    return _CODE.fullmatch(text) is not None


def decimals_of(currency: str) -> int:
    """Tell how many decimals a currency has: 0 to 4, by ISO 4217.

    >>> decimals_of("USD"), decimals_of("JPY"), decimals_of("KWD"), decimals_of("CLF"), decimals_of("BGN")
    (2, 0, 3, 4, 2)
    """
    return _DECIMALS.get(currency, _DECIMALS_USUALLY)


def fits_minor_unit(micros: int, currency: str) -> bool:
    """Tell whether an amount is a whole number of the currency's smallest units, so that it can be paid."""
    return micros % _MICROS[decimals_of(currency)] == 0


def too_fine(micros: int, currency: str) -> str:
    """Say that an amount has more decimals than its currency."""
    decimals = decimals_of(currency)
    right = f"have at most {decimals} decimals" if decimals else "are whole numbers"
    return f"{format_money_with_code(micros, currency)} is too fine: amounts in {currency} {right}"


def format_money(micros: int, currency: str) -> str:
    """Write an amount for people, exactly: the currency's decimals, more if they are not zero, thousands apart.

    >>> format_money(1_250_750_000, "USD"), format_money(1_250_000_000, "JPY"), format_money(-12_345_600, "JPY")
    ('1,250.75', '1,250', '-12.3456')
    """
    units, rest = divmod(abs(micros), MICROS_PER_UNIT)
    decimals = f"{rest:06d}".rstrip("0").ljust(decimals_of(currency), "0")
    return f"{'-' if micros < 0 else ''}{units:,}{'.' if decimals else ''}{decimals}"


def format_money_with_code(micros: int, currency: str) -> str:
    """Write an amount for people, with its currency: 1,250.75 USD."""
    return f"{format_money(micros, currency)} {currency}"


def round_for_glance(micros: int, currency: str) -> int:
    """Round an amount towards zero to the currency's decimals; one below its smallest unit stays as it is.

    >>> round_for_glance(12_345_678, "USD"), round_for_glance(-1_999_999, "JPY"), round_for_glance(3_500, "USD")
    (12340000, -1000000, 3500)
    """
    minor = _MICROS[decimals_of(currency)]
    rounded = abs(micros) // minor * minor
    if rounded == 0:
        return micros
    return rounded if micros > 0 else -rounded
