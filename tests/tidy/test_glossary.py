"""The glossary has the words that the code uses, each once, and no others."""

import ast
import re
from collections import Counter

from tests.tidy.files import ROOT, modules, repository_files

ROW = re.compile(r"^\| (?!word \||---)([^|]+) \| [^|]+ \|$", re.MULTILINE)
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
STEM_CHARS = 5
CODE = {".py", ".sql", ".html", ".js"}


def _glossary() -> list[str]:
    page = (ROOT / "docs" / "glossary.md").read_text()
    return [term for row in ROW.findall(page) for term in row.split(", ")]


def _words(text: str) -> str:
    """Write names and prose alike: single lower-case words with a space between."""
    return " ".join(word.lower() for word in WORD.findall(text))


def _code() -> str:
    files = (path for path in repository_files(ROOT / "src") if path.suffix in CODE)
    return f" {' '.join(_words(path.read_text()) for path in files)} "


def _is_in(term: str, words: str) -> bool:
    """Whether a term stands in words, in the singular or plural; top-up is two words in names and one in `topup`."""
    return re.search(rf"(?<= ){_words(term).removesuffix('s')}(s|es|ed)?(?= )", words) is not None


def test_each_word_stands_once() -> None:
    assert {} == {term: count for term, count in Counter(_glossary()).items() if count > 1}


def test_each_word_is_used_in_the_code() -> None:
    code = _code()
    assert [] == [term for term in _glossary() if not _is_in(term, code)], "drop these words from docs/glossary.md"


def test_each_value_of_the_core_is_named_by_a_word_of_the_glossary() -> None:
    """A verb counts as its noun: Approve as approval."""
    stems = {word[:STEM_CHARS] for term in _glossary() for word in _words(term).split()}
    unexplained = [
        f"{where}: {node.name}"
        for where, module in modules("core")
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and not {"Exception", "ValueError"} & {ast.unparse(base) for base in node.bases}
        and stems.isdisjoint(word[:STEM_CHARS] for word in _words(node.name).split())
    ]
    assert [] == unexplained, "explain these in docs/glossary.md"
