"""As much of TigerBeetle as the benchmarks ask of it: its server by name, and its Python client."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from benchmarks.tigerbeetle import TIGERBEETLE_VARIABLE

_FOLDER: Final = Path(__file__).parent


@contextlib.contextmanager
def likeness_of_tigerbeetle(folder: Path) -> Iterator[Path]:
    """Put a program into a folder that `TIGERBEETLE` names, with a client that is found before any installed one."""
    program = folder / "tigerbeetle"
    server = shlex.join([sys.executable, str(_FOLDER / "server.py")])
    program.write_text(f'#!/bin/sh\nexec {server} "$@"\n')
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TIGERBEETLE_VARIABLE, str(program))
        patch.setenv("PYTHONPATH", str(_FOLDER))
        patch.syspath_prepend(str(_FOLDER))
        yield program
