"""What a forked process must not go on with: its parent's threads are not there, its connections are the parent's."""

import os
import weakref
from typing import Final, Protocol


class Begins(Protocol):
    """Something that begins anew in a forked process."""

    def begin(self) -> None:
        """Begin with nothing. What there was is the parent's, and neither used nor closed here."""
        ...


_BEGIN: "Final[weakref.WeakSet[Begins]]" = weakref.WeakSet()


def begin_after_fork(part: Begins) -> None:
    """Let a forked process call `part.begin()`, for as long as there is this part."""
    _BEGIN.add(part)


def _begin_all() -> None:
    for part in list(_BEGIN):
        part.begin()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)
