"""Programs that tests run in processes of their own, whose limits they may set."""

import subprocess
import sys
from pathlib import Path
from typing import Final

WAIT_S: Final = 30


def run_program(program: str, path: Path) -> str:
    """Run a program of its own process, which must end well, and return what it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        cwd=Path(__file__).parents[2],
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
