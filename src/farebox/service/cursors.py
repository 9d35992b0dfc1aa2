"""Cursors: where the next page of a list goes on, as a text of numbers that callers give back as it is."""

from typing import TypeVar, cast

from farebox.core import ids
from farebox.service import parsing
from farebox.service.errors import InvalidInput

_Place = TypeVar("_Place", tuple[int, int], tuple[int, int, int])


def write_cursor(*place: int) -> str:
    """Name the place behind a page's last row."""
    return "".join(map(ids.encode_number, place))


def read_cursor(cursor: str | None, first: _Place) -> _Place:
    """Read the place that a cursor names; without one, `first`, which has as many numbers.

    Raises:
        InvalidInput: it is no cursor of such a place.
    """
    if cursor is None:
        return first
    size = ids.NUMBER_CHARS
    try:
        if len(cursor) != size * len(first):
            raise parsing.InvalidId("more or fewer numbers")
        numbers = (parsing.decode_number(cursor[start : start + size]) for start in range(0, len(cursor), size))
        return cast("_Place", tuple(numbers))
    except parsing.InvalidId as error:
        raise InvalidInput("cursor", "not a cursor that a page of this list came with") from error
