"""What changed for users, as one page: the fragments that changelog.d holds until a release.

Run as a program, it prints the page, which a release puts before the notes of the releases before it.
"""

import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "changelog.d"
HEAD: Final = """# Changelog

What changed for users, by subject. Nothing was released yet: all of it stands in the first release.
"""


def changelog(folder: Path = FOLDER) -> str:
    """Return the page: each fragment under its name, in the order of the alphabet."""
    paths = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    return "\n".join([HEAD, *(_section(path) for path in paths)])


def _section(path: Path) -> str:
    title = path.stem.replace("-", " ")
    return f"## {title[0].upper()}{title[1:]}\n\n{path.read_text(encoding='utf-8').strip()}\n"


if __name__ == "__main__":
    sys.stdout.write(changelog())
