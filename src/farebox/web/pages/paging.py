"""Pages of long lists: which page is asked for, and what of a list it shows."""

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

from msgspec import Struct

from farebox.core.commands import REQUEST_TYPE_CHARS_MAX
from farebox.web.pages.request import PageRequest

PAGES_MAX: Final = 10_000
TYPES_SHOWN_MAX: Final = 100
"""So many request types stand on a page of prices."""


class OfType(Protocol):
    """Something about one request type."""

    @property
    def request_type(self) -> str: ...


_OfType = TypeVar("_OfType", bound=OfType)


class TypePage(Struct, frozen=True):
    """The request types that a page shows: those whose names have a text in them, so many after so many pages."""

    text: str
    number: int

    @classmethod
    def asked_for(cls, request: PageRequest) -> "TypePage":
        """Read what the query asks for."""
        return cls(request.query("q").strip()[:REQUEST_TYPE_CHARS_MAX], page_of(request))

    def of(self, things: Sequence[_OfType]) -> Sequence[_OfType]:
        """Choose what the page shows."""
        return self._found(things)[self._start : self._start + TYPES_SHOWN_MAX]

    def has_more(self, *lists: Sequence[OfType]) -> bool:
        """Tell whether there is a further page."""
        return any(len(self._found(things)) > self._start + TYPES_SHOWN_MAX for things in lists)

    def is_needed(self, *lists: Sequence[OfType]) -> bool:
        """Tell whether to offer a search: something is searched for, or not all is shown."""
        return bool(self.text) or any(len(things) > TYPES_SHOWN_MAX for things in lists)

    @property
    def _start(self) -> int:
        return self.number * TYPES_SHOWN_MAX

    def _found(self, things: Sequence[_OfType]) -> Sequence[_OfType]:
        text = self.text.casefold()
        return [thing for thing in things if text in thing.request_type.casefold()] if text else things


def page_of(request: PageRequest) -> int:
    """Read which page of a list is asked for, the first being 0."""
    text = request.query("page", "0")
    return min(int(text), PAGES_MAX) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def cut(rows: Sequence[Any], limit: int) -> tuple[Sequence[Any], bool]:
    """Return the rows that a page shows, and whether there are more; one more than the limit was asked for."""
    return rows[:limit], len(rows) > limit
