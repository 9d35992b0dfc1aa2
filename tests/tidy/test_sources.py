"""What holds for the text and the shape of every source file."""

import ast
import re
from collections.abc import Iterator

from tests.tidy.files import ROOT, modules, repository_files

FUNCTION_LINES_MAX = 70
# The brackets keep these patterns from finding themselves.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X)\b")
SOMEONES_FOLDER = re.compile(r"(?<![\w.])/(work|root|home/\w+|Users/\w+)/")


def _findings(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in repository_files():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            # A picture or a font has no words.
            continue
        for number, line in enumerate(lines, 1):
            if pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_nothing_is_marked_as_unfinished() -> None:
    assert [] == list(_findings(UNFINISHED))


def test_no_path_of_someones_machine_is_named() -> None:
    assert [] == list(_findings(SOMEONES_FOLDER))


def test_every_module_says_what_it_is_for() -> None:
    assert [] == [where for where, module in modules() if not ast.get_docstring(module)]


def test_functions_fit_on_a_screen() -> None:
    too_long = [
        f"{where}:{node.lineno}: {node.name}"
        for where, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert [] == too_long


def test_money_never_meets_a_float() -> None:
    floats = [
        f"{where}:{node.lineno}"
        for where, module in modules("core", "storage")
        for node in ast.walk(module)
        if isinstance(node, ast.Name) and node.id == "float"
    ]
    assert [] == floats
