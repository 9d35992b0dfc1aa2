"""How a transfer that was priced by a rule explains itself: one line of text that anyone recomputes its amount from.

    input=1200,output=350;tier=1;window=2;before=input:4999950;at=1774735200000000

First the quantities, by name; then, where there is one, the number of the tier and of the window that applied, from 1;
the units of the period that came before, by line, where there were any; and the time by which windows and periods were
chosen, in microseconds since 1970, where the rule has either. The hash covers this text as it stands.

What a capture takes above its hold has the quantities it adds, and last what was held: `output=5;held=input:1200`.
Its amount is what both come to together, less what was held costs, at one tier, window, time and count.
"""

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

_BEFORE: Final = "before"
_TIER: Final = "tier"
_WINDOW: Final = "window"
_AT: Final = "at"
_HELD: Final = "held"


class Priced(Struct, frozen=True):
    """What a request was priced by: its quantities, and the tier, window and counts that applied."""

    quantities: Mapping[str, int]
    tier: int | None = None
    window: int | None = None
    before: Mapping[str, int] = {}
    at: int | None = None
    held: Mapping[str, int] | None = None
    """What the hold had that a capture took more of; None for what is priced by itself."""

    @property
    def total(self) -> Mapping[str, int]:
        """The quantities, with what was held."""
        if self.held is None:
            return self.quantities
        names = sorted(self.quantities.keys() | self.held.keys())
        return {name: self.quantities.get(name, 0) + self.held.get(name, 0) for name in names}


def priced_text(priced: Priced) -> str:
    """Write a transfer's `pricing`."""
    quantities = sorted(priced.quantities.items())
    text = pricing_text(quantities, priced.tier, priced.window, priced.before, priced.at)
    if priced.held is not None:
        text += f";{_HELD}={','.join([f'{name}:{number}' for name, number in sorted(priced.held.items())])}"
    return text


def pricing_text(
    quantities: Collection[tuple[str, int]],
    tier: int | None,
    window: int | None,
    before: Mapping[str, int],
    at: int | None,
) -> str:
    """Write a transfer's `pricing`, as `priced_text` does; the quantities are sorted by name."""
    text = written_quantities(quantities)
    if tier is not None:
        text += f";{_TIER}={tier}"
    if window is not None:
        text += f";{_WINDOW}={window}"
    if before:
        counted = ",".join([f"{name}:{units}" for name, units in sorted(before.items()) if units])
        if counted:
            text += f";{_BEFORE}={counted}"
    if at is not None:
        text += f";{_AT}={at}"
    return text


def written_quantities(quantities: Collection[tuple[str, int]]) -> str:
    """Write quantities on a line."""
    if len(quantities) == 1:
        # As most are; it saves a call, for every charge.
        ((name, quantity),) = quantities
        return f"{name}={quantity}"
    return ",".join([f"{name}={quantity}" for name, quantity in quantities])


def read_priced(text: str) -> Priced:
    """Read what `priced_text` wrote.

    Raises:
        ValueError: the text is nothing that it writes.
    """
    quantities, *parts = text.split(";")
    values = dict(part.split("=", 1) for part in parts)
    numbers = {name: int(values[name]) for name in (_TIER, _WINDOW, _AT) if name in values}
    priced = Priced(
        _numbers(quantities, "="),
        tier=numbers.get(_TIER),
        window=numbers.get(_WINDOW),
        before=_numbers(values.get(_BEFORE, ""), ":"),
        at=numbers.get(_AT),
        held=_numbers(values[_HELD], ":") if _HELD in values else None,
    )
    if priced_text(priced) != text:
        raise ValueError(f"{text[:100]!r} does not say by what a transfer was priced")
    return priced


def _numbers(text: str, between: str) -> dict[str, int]:
    pairs = [part.split(between) for part in text.split(",") if part]
    return {name: int(number) for name, number in pairs}
