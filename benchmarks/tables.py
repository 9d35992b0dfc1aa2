"""Aligned tables and figures as text."""

from collections.abc import Collection, Iterator, Sequence

from benchmarks.rounds import Figure


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, left: Collection[int] = (0, 2)) -> Iterator[str]:
    """Align rows under their header: the columns of words that `left` names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def spread(it: Figure) -> str:
    """Render a figure with how far its rounds lie apart."""
    return f"{number(it.median)} ({number(it.lowest)} to {number(it.highest)})"


def number(value: float) -> str:
    """Render a number with three digits at least."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
