"""Which files the rules are about."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SERVER: Final = ROOT / "src" / "farebox"
CLIENT: Final = ROOT / "clients" / "python" / "src" / "farebox_client"
MADE_BY_TOOLS: Final = {"__pycache__", "build", "dist", "htmlcov", "node_modules", "site"}
KEPT_HIDDEN: Final = {".ci", ".dockerignore", ".editorconfig", ".gitignore"}


def repository_files(folder: Path = ROOT) -> Iterator[Path]:
    """Yield every file that people wrote or that is committed, but not what tools left here."""
    for path in sorted(folder.iterdir()):
        if path.name in MADE_BY_TOOLS or (path.name.startswith(".") and path.name not in KEPT_HIDDEN):
            continue
        if path.is_dir():
            yield from repository_files(path)
        else:
            yield path


def module_files(*rooms: str) -> Iterator[Path]:
    """Yield each module: those of these rooms of the server, or of all and the client."""
    for folder in [SERVER / room for room in rooms] or [SERVER, CLIENT]:
        yield from sorted(folder.rglob("*.py"))


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield where each module is, and its syntax tree: those of these rooms of the server, or of all and the client."""
    for path in module_files(*rooms):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())
