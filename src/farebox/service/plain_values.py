"""Plain values, as JSON and TOML give them, read member by member: each fault names its place and what would be right.

A place is written as a path from the outermost value: `rule.lines[1].per`. Faults are raised as InvalidInput.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

from msgspec import Struct

from farebox.service import inputs
from farebox.service.errors import InvalidInput

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_SHOWN_CHARS_MAX: Final = 40


class Members(Struct, frozen=True):
    """The members of an object, of which none has a name that is not known."""

    path: str
    values: Mapping[str, object]

    @classmethod
    def of(cls, path: str, value: object, *known: str, required: Mapping[str, str] = MappingProxyType({})) -> Self:
        """Take a value that must be an object with some of the known members, and all required ones.

        Args:
            path: where the value stands.
            value: any plain value.
            known: the names of the members that there may be.
            required: those that must be there, each with what to write if it is missing.
        """
        if not isinstance(value, Mapping):
            raise InvalidInput(path, f"this is {kind_of(value)}; it must be an object with {listed(known)}")
        for name in value:
            if name not in known:
                plain = isinstance(name, str) and _PLAIN_NAME.fullmatch(name)
                raise InvalidInput(
                    f"{path}.{name}" if plain else path,
                    f"no member {shown(name)} is known here; there may be {listed(known)}",
                )
        for name, right in required.items():
            if name not in value:
                raise InvalidInput(f"{path}.{name}", f"this is missing; write {right}")
        return cls(path, value)

    def at(self, name: str) -> str:
        """Write the path of a member."""
        return f"{self.path}.{name}"

    def fault(self, name: str, message: str) -> InvalidInput:
        """Say what is wrong with a member."""
        return InvalidInput(self.at(name), message)

    def has(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, example: str) -> str:
        """Read a text that must be there."""
        return text(self.at(name), self.values[name], example)

    def amount(self, name: str, *, default: int = 0) -> int:
        """Read an amount of money that is not negative, in micros."""
        if name not in self.values:
            return default
        value = self.values[name]
        if not isinstance(value, str):
            raise self.fault(
                name,
                f'this is {kind_of(value)}; write the amount as text, such as "0.15", so that no digit is guessed',
            )
        return inputs.amount(self.at(name), value, is_zero_allowed=True)

    def whole(self, name: str, low: int, high: int, *, default: int = 0) -> int:
        """Read a whole number within bounds."""
        if name not in self.values:
            return default
        value = self.values[name]
        right = f"write a whole number from {low:,} to {high:,}"
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(name, f"this is {kind_of(value)}; {right}")
        if not low <= value <= high:
            raise self.fault(name, f"this is {'too large' if value > high else 'too small'}; {right}")
        return value

    def flag(self, name: str) -> bool:
        """Read true or false; false if it is not there."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise self.fault(name, f"this is {kind_of(value)}; write true or false")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Read one of some texts; the first of them if it is not there."""
        return choice(self.at(name), self.values.get(name, choices[0]), choices)

    def items(self, name: str, low: int, high: int, what: str) -> list[tuple[str, object]]:
        """Read a list of so many items, each with its path; one that is not there has none."""
        value = self.values.get(name, ())
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise self.fault(name, f"this is {kind_of(value)}; it must be a list of {what}")
        if not low <= len(value) <= high:
            right = f"{low} to {high}" if low else f"at most {high}"
            raise self.fault(name, f"this has {len(value):,}; there must be {right} {what}")
        return [(f"{self.at(name)}[{place}]", item) for place, item in enumerate(value)]


def text(path: str, value: object, example: str) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise InvalidInput(path, f'this is {kind_of(value)}; write a text such as "{example}"')
    return value


def choice(path: str, value: object, choices: Sequence[str]) -> str:
    """Read one of some texts."""
    if not isinstance(value, str):
        raise InvalidInput(path, f"this is {kind_of(value)}; write {listed(choices, 'or')}")
    if value not in choices:
        raise InvalidInput(path, f"{shown(value)} is none of those that may stand here; write {listed(choices, 'or')}")
    return value


def kind_of(value: object) -> str:
    """Say what sort of a value this is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a number with a point"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case Sequence():
            return "a list"
        case _:
            return f"a value of another kind ({type(value).__name__})"


def shown(value: object) -> str:
    """Write what somebody else wrote, not at length, and with nothing that can't be seen."""
    words = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return words if len(words) <= _SHOWN_CHARS_MAX else f"{words[:_SHOWN_CHARS_MAX]}…"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Write names one after the other.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
