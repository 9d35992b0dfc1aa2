"""The words and names that tests/tidy/words.py retires do not come back."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from tests.tidy.files import ROOT, repository_files
from tests.tidy.words import NAMES, PHRASES, RELEASED, WORDS

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# What users were told stays as it was told, licences and locks are others' words, and the table names every word.
NOT_OURS = ("changelog.d/", "requirements/", "LICENSE", "tests/tidy/words.py")


def _instead(table: dict[str, str]) -> dict[str, str]:
    return {word: instead for words, instead in table.items() for word in words.split()}


def _files() -> Iterator[tuple[str, Path]]:
    for path in repository_files():
        where = str(path.relative_to(ROOT))
        if not where.startswith(NOT_OURS):
            yield where, path


def _lines(where: str, path: Path) -> Iterator[tuple[int, str]]:
    """Yield a file's lines with their numbers, and its own path as line 0; a picture has no lines."""
    yield 0, where
    try:
        yield from enumerate(path.read_text().splitlines(), 1)
    except UnicodeDecodeError:
        return


def _released(where: str) -> set[str]:
    return {word for pattern, words in RELEASED.items() if fnmatch(where, pattern) for word in words.split()}


def test_no_retired_word_comes_back() -> None:
    instead = _instead(WORDS)
    phrases = re.compile("|".join(PHRASES))
    found = []
    for where, path in _files():
        released = _released(where)
        if "*" in released:
            continue
        for number, line in _lines(where, path):
            words = phrases.sub("", " ".join(word.lower() for word in WORD.findall(line))).split()
            found += [
                f"{where}:{number}: {word} is retired; say {instead[word]}"
                for word in words
                if word in instead and word not in released
            ]
    assert [] == found


def _names(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield node.lineno, name
            case _:
                pass


def test_no_retired_name_comes_back() -> None:
    instead = _instead(NAMES)
    written = re.compile(rf"\b_*(?:{'|'.join(instead)})\b")
    found = [
        f"{where}:{line}: {name} is retired; say {instead[name.lstrip('_')]}"
        for where, path in _files()
        if path.suffix == ".py" and written.search(source := path.read_text())
        for line, name in _names(ast.parse(source))
        if name.lstrip("_") in instead
    ]
    assert [] == found
