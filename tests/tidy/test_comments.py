"""Comments and docstrings are plain statements: a sentence names its subject."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.tidy.files import ROOT, repository_files

# A subject that is a clause ("Whoever asks …", "What is refused …") leaves the reader to find the noun.
CLAUSE = re.compile(
    r"(Whoever|Whatever|Whichever|(?:What|Who) (?:is|are|was|were|has|have|had|can|can't|cannot|comes|came|goes|went|"
    r"does|did|will|must|may|nobody|no one|someone|somebody|everybody)\b)"
)
CLAUSE_FIRST = re.compile(rf"(?:^|[.!?:]\s+|\n\s*\n\s*){CLAUSE.pattern}")


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield every string that stands as a statement, and every comment, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


def test_no_sentence_begins_with_a_clause_for_its_subject() -> None:
    sentences = [
        f"{path.relative_to(ROOT)}:{line}: {match[1]} …: name the subject"
        for path in repository_files()
        # To take all files apart takes fifty times as long as to look for the words first.
        if path.suffix == ".py" and CLAUSE.search(source := path.read_text())
        for line, text in _texts(source)
        for match in CLAUSE_FIRST.finditer(text)
    ]
    assert [] == sentences
