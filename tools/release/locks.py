"""Reads the locks: which packages one has, and what a distribution needs of one, with its hashes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"^([a-z0-9-]+)==")
_VIA: Final = re.compile(r"^\s+#(?: via)?\s+(\S+)")


def names(lock: Path) -> list[str]:
    """Return the names of a lock's packages, in its order."""
    return [name for name, _ in _blocks(lock.read_text())]


def needed(lock: Path, distribution: str) -> str:
    """Return a lock's lines for what a distribution needs, directly or through another package."""
    blocks = dict(_blocks(lock.read_text()))
    wanted = {distribution}
    while more := {name for name, block in blocks.items() if not wanted.isdisjoint(_parents(block))} - wanted:
        wanted |= more
    return "".join(block for name, block in blocks.items() if name in wanted)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield each package of a lock with its lines: its version, hashes, and what needs it."""
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE):
        if name := _NAME.match(block):
            yield name[1], block


def _parents(block: str) -> set[str]:
    return {via[1] for line in block.splitlines() if (via := _VIA.match(line))}
