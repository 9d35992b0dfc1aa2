"""Reads the Dockerfile and what the engine is sent beside it: as much of their syntax as ours use, and no more."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PAIR: Final = re.compile(r"(\w+)=(\S+)")


class Instruction(NamedTuple):
    """A keyword, and the rest of its line."""

    keyword: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the line, which is a list in JSON or parted by spaces."""
        if self.text.startswith("["):
            listed: list[str] = json.loads(self.text)
            return listed
        return self.text.split()

    def variables(self, known: dict[str, str]) -> dict[str, str]:
        """Return the variables that a line sets, with those that it names."""
        return {name: filled(text, known) for name, text in _PAIR.findall(self.text)}


class Stage(NamedTuple):
    """One `FROM` and what follows."""

    name: str
    base: str
    instructions: list[Instruction]

    def last(self, keyword: str) -> Instruction:
        """Return the instruction of this keyword that counts."""
        return [one for one in self.instructions if one.keyword == keyword][-1]


def stages(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile, the last of which is the image."""
    made: list[Stage] = []
    arguments: dict[str, str] = {}
    for instruction in _instructions(path.read_text()):
        if instruction.keyword == "FROM":
            base, *naming = instruction.words
            made.append(Stage(naming[1] if naming else "", filled(base, arguments), []))
        elif made:
            made[-1].instructions.append(instruction)
        else:
            arguments |= instruction.variables({})
    return made


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        keyword, _, rest = line.partition(" ")
        yield Instruction(keyword, rest.strip())


def filled(text: str, variables: dict[str, str]) -> str:
    """Put variables' values where a text names them."""
    return _VARIABLE.sub(lambda name: variables[name[1] or name[2]], text)


def is_sent(path: Path, root: Path) -> bool:
    """Tell whether the engine is sent a file: .dockerignore leaves out everything but what it names after `!`."""
    lines = (root / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    left_out = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    inside = path.relative_to(root)
    if any(part.match(pattern) for part in (inside, *inside.parents) for pattern in left_out):
        return False
    return any(inside.is_relative_to(name) for name in kept)
