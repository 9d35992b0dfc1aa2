"""The core gets time, ids and settings from outside: it has no clock and no dice of its own.

The import contracts in pyproject.toml name what the core must not import; this names all that it may.
"""

import ast
import sys
from collections.abc import Iterator

from tests.tidy.files import modules

CLOCKS = {"now", "today", "utcnow"}
IMPURE = {"os", "random", "secrets", "time", "uuid"}


def _imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                yield node.module or ""
            case _:
                pass


def _is_allowed(name: str) -> bool:
    top = name.partition(".")[0]
    return top == "msgspec" or name.startswith("farebox.core") or (top in sys.stdlib_module_names and top not in IMPURE)


def test_core_imports_the_standard_library_msgspec_and_itself() -> None:
    foreign = [
        f"{where}: {name}" for where, module in modules("core") for name in _imported(module) if not _is_allowed(name)
    ]
    assert [] == foreign


def test_core_reads_no_clock() -> None:
    clocks = [
        f"{where}:{node.lineno}: {node.func.attr}"
        for where, module in modules("core")
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
    ]
    assert [] == clocks
