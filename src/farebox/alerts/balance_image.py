"""The balance of a period as an image within a mail: a line, the space below it, and the line of no money.

It is drawn twice as large as it is shown, so that it is sharp on every screen, with a colour that stands out from
white and from black, on nothing: what is behind it is the mail's own background, light or dark. It has no words; the
mail says the amounts and days beside it, and the image's alternative text tells the same. It is drawn here rather than
by a library of images, which is many megabytes to install for one line.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, sqrt
from typing import Final

from msgspec import Struct

from farebox.alerts.png import write_png
from farebox.service.insight.history import History

SHOWN_WIDTH: Final = 504
SHOWN_HEIGHT: Final = 140
"""How large the image is shown, in CSS pixels."""

_SCALE: Final = 2
_WIDTH: Final = SHOWN_WIDTH * _SCALE
_HEIGHT: Final = SHOWN_HEIGHT * _SCALE
_RADIUS: Final = 2.5
"""Half the line's width, in pixels of the image."""

_EDGE: Final = ceil(_RADIUS) + 1
"""How far from the image's edge the line stays, so that its width fits in."""

_LINE: Final = (13, 148, 136)
_ZERO: Final = (128, 138, 148)
_FILL_OPACITY: Final = 36
_ZERO_OPACITY: Final = 170
_SHADES: Final = 32
_COLOUR_NOTHING: Final = 0
_COLOUR_FILL: Final = 1
_COLOUR_ZERO: Final = 2
_COLOUR_LINE: Final = 3
"""The first of the shades of the line; the last one covers its pixel."""


class _Column(Struct, frozen=True):
    """What the line covers in a column of pixels: from `top` down to `bottom`, and how much of each pixel."""

    top: int
    shades: bytes


def draw_balance(history: History) -> bytes:
    """Draw a balance as a PNG file."""
    lowest, highest = _bounds(history)
    height = _HEIGHT - 2 * _EDGE

    def y(posted: int) -> float:
        return _EDGE + (highest - posted) * height / (highest - lowest)

    start, end = history.points[0][0], history.points[-1][0]
    span = max(end - start, 1)
    points = [((at - start) * _WIDTH / span, y(posted)) for at, posted in history.points]
    if len(points) == 1:
        points.append((float(_WIDTH), points[0][1]))
    columns = _columns(_extents(points))
    zero = min(max(round(y(0)), 0), _HEIGHT - 1)
    pixels = b"".join(_pixels(column, zero) for column in columns)
    rows = [pixels[row::_HEIGHT] for row in range(_HEIGHT)]
    return write_png(width=_WIDTH, rows=rows, colours=_COLOURS)


def _bounds(history: History) -> tuple[int, int]:
    """Tell the amounts at the image's lower and upper edge: no money is always in it."""
    amounts = [posted for _, posted in history.points]
    lowest, highest = min(0, *amounts), max(0, *amounts)
    return lowest, highest if highest > lowest else lowest + 1


def _extents(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Tell between which heights the middle of the line is, for each column of pixels from left to right."""
    xs = [x for x, _ in points]
    edges = [_height_at(points, xs, float(column)) for column in range(_WIDTH + 1)]
    extents = [(min(left, right), max(left, right)) for left, right in pairwise(edges)]
    for x, y in points:
        # A step is two points of one place; every turn is between the edges of its column.
        column = min(floor(x), _WIDTH - 1)
        top, bottom = extents[column]
        extents[column] = (min(top, y), max(bottom, y))
    return extents


def _height_at(points: Sequence[tuple[float, float]], xs: Sequence[float], x: float) -> float:
    index = bisect_right(xs, x)
    if index == 0:
        return points[0][1]
    if index == len(points):
        return points[-1][1]
    (left, left_y), (right, right_y) = points[index - 1], points[index]
    return left_y + (right_y - left_y) * (x - left) / (right - left)


def _columns(extents: Sequence[tuple[float, float]]) -> list[_Column]:
    """Draw the line with a round pen, column by column."""
    reach = floor(_RADIUS)
    heights = [sqrt(_RADIUS**2 - offset**2) for offset in range(-reach, reach + 1)]
    padded = [extents[0]] * reach + [*extents] + [extents[-1]] * reach
    columns = []
    for first in range(len(extents)):
        near = list(zip(padded[first : first + 2 * reach + 1], heights, strict=True))
        columns.append(_column(min(top - h for (top, _), h in near), max(bottom + h for (_, bottom), h in near)))
    return columns


def _column(top: float, bottom: float) -> _Column:
    """Cover a column from one height to another, the pixels at both ends in part."""
    first, last = max(floor(top), 0), min(ceil(bottom), _HEIGHT) - 1
    shades = bytearray([_SHADES - 1]) * (last - first + 1)
    shades[0] = round((first + 1 - max(top, first)) * (_SHADES - 1))
    shades[-1] = round((min(bottom, last + 1) - last) * (_SHADES - 1))
    return _Column(first, bytes(shades))


def _pixels(column: _Column, zero: int) -> bytes:
    """Write a column's pixels: the line, and between it and no money the space that is filled."""
    pixels = bytearray((_COLOUR_NOTHING,)) * _HEIGHT
    middle = column.top + len(column.shades) // 2
    low, high = min(zero, middle), max(zero, middle)
    pixels[low:high] = bytes((_COLOUR_FILL,)) * (high - low)
    pixels[zero] = _COLOUR_ZERO
    for index, shade in enumerate(column.shades, column.top):
        if shade:
            pixels[index] = _COLOUR_LINE + shade
    return bytes(pixels)


_COLOURS: Final = [
    (0, 0, 0, 0),
    (*_LINE, _FILL_OPACITY),
    (*_ZERO, _ZERO_OPACITY),
    *((*_LINE, max(_FILL_OPACITY, 255 * shade // (_SHADES - 1))) for shade in range(_SHADES)),
]
