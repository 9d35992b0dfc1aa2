"""What lines come from: how far a source was applied, and the lines that it hands out."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

LINE_BYTES_MAX: Final = 1024 * 1024
"""How long a line may be; a longer one is passed over."""


class RawLine:
    """A line as it was read. Its source hears when it is done with."""

    __slots__ = ("finish", "number", "source", "text")

    def __init__(self, source: str, number: int, text: bytes | None, finish: Callable[[], None]) -> None:
        """Take a line; the text is None if it is too long to be kept."""
        self.source = source
        self.number = number
        self.text = text
        self.finish = finish


class Source(Protocol):
    """Where lines come from."""

    def read(self) -> list[RawLine]:
        """Return the next lines; none if there are none at present."""
        ...

    @property
    def is_at_end(self) -> bool:
        """Whether all that there was at the last look was read."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether no line will come any more."""
        ...


class _Step:
    __slots__ = ("end", "is_done")

    def __init__(self, end: int) -> None:
        self.end = end
        self.is_done = False


class Progress:
    """How far the lines of a file were done with, in their order, in whichever order that they are finished."""

    def __init__(self, offset: int, line: int) -> None:
        """Begin at an offset, which so many lines are before."""
        self.offset = offset
        self.line = line
        self._steps: deque[_Step] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether all lines that were begun are done with."""
        return not self._steps

    def begin(self, end: int) -> Callable[[], None]:
        """Note a line that ends at an offset, behind all others; return what is called when it is done with."""
        step = _Step(end)
        self._steps.append(step)

        def finish() -> None:
            step.is_done = True
            while self._steps and self._steps[0].is_done:
                self.offset = self._steps.popleft().end
                self.line += 1

        return finish
