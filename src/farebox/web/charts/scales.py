"""Scales map amounts and times onto positions; the amounts along an axis are round.

Positions are tenths of a pixel, so that all of it is computed in whole numbers, exactly.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.money import MICROS_PER_UNIT
from farebox.service.languages import ENGLISH, Language, gettext_noop

_SUFFIXES: Final = (
    (10**12, gettext_noop("%(amount)sT")),
    (10**9, gettext_noop("%(amount)sB")),
    (10**6, gettext_noop("%(amount)sM")),
    (10**3, gettext_noop("%(amount)sk")),
)
_SUFFIX_FROM_UNITS: Final = 10_000


class Scale(Struct, frozen=True):
    """A straight map from values onto positions: `low` is at `start`; `high`, which is more, is at `end`."""

    low: int
    high: int
    start: int
    end: int

    def position(self, value: int) -> int:
        """Return where a value is drawn, rounded half up."""
        span = self.high - self.low
        return self.start + (2 * (value - self.low) * (self.end - self.start) + span) // (2 * span)


def pixels(tenths: int) -> str:
    """Write a position in pixels, as short as it can be: 44, 129.6.

    >>> pixels(440), pixels(1296), pixels(-5)
    ('44', '129.6', '-0.5')
    """
    whole, rest = divmod(abs(tenths), 10)
    return f"{'-' if tenths < 0 else ''}{whole}{f'.{rest}' if rest else ''}"


def amount_ticks(low: int, high: int, *, count_max: int) -> list[int]:
    """List the multiples of 1, 2 or 5 times a power of ten from `low` to `high`, `count_max` at most; 0 is one of them.

    Args:
        low: micros, 0 or less.
        high: micros, 0 or more, and above `low`.
        count_max: at least 2.
    """
    power = 1
    while True:
        for factor in (1, 2, 5):
            step = factor * power
            first, last = -(-low // step), high // step
            if last - first < count_max:
                return [number * step for number in range(first, last + 1)]
        power *= 10


def short_amounts(ticks: Sequence[int], spoken: Language = ENGLISH) -> list[str]:
    """Write round amounts in short, all with the same suffix: 0, 200, 400; 0, 0.5M, 1M."""
    most = max(abs(tick) for tick in ticks) // MICROS_PER_UNIT
    units, suffix = (1, "%(amount)s")
    if most >= _SUFFIX_FROM_UNITS:
        units, suffix = next(item for item in _SUFFIXES if item[0] <= most)
    return [_short_amount(tick, units * MICROS_PER_UNIT, suffix, spoken) for tick in ticks]


def _short_amount(tick: int, micros_per_suffix: int, suffix: str, spoken: Language) -> str:
    if tick == 0:
        return "0"
    whole, rest = divmod(abs(tick), micros_per_suffix)
    decimals = str(rest).rjust(len(str(micros_per_suffix)) - 1, "0").rstrip("0") if rest else ""
    amount = spoken.digits(f"{whole:,}{f'.{decimals}' if decimals else ''}")
    return f"{'-' if tick < 0 else ''}{spoken.gettext(suffix, amount=amount)}"
