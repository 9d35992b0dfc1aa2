"""The shape of the source: small files, packages that can be read in a day, and one class per name."""

import ast
from collections import defaultdict

from tests.tidy.files import ROOT, module_files, modules

FILE_LINES_MAX = 500
# Of a package's own modules; its subpackages count for themselves.
PACKAGE_LINES_MAX = 4_000


def _lines() -> dict[str, int]:
    return {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in module_files()}


def test_files_are_short() -> None:
    assert {} == {where: lines for where, lines in _lines().items() if lines > FILE_LINES_MAX}


def test_packages_are_small() -> None:
    packages: dict[str, int] = defaultdict(int)
    for where, lines in _lines().items():
        packages[where.rpartition("/")[0]] += lines
    assert {} == {package: lines for package, lines in packages.items() if lines > PACKAGE_LINES_MAX}


def test_a_class_is_named_once_in_a_distribution() -> None:
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for where, module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                places[(where.partition("/")[0], node.name)].append(f"{where}:{node.lineno}")
    assert {} == {name: found for name, found in places.items() if len(found) > 1}
