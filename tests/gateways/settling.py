"""`farebox settle` as a process beside a proxy."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.gateways.programs import SECRET

TIMEOUT_S: Final = 60


class Settler:
    """Settles what a proxy logs.

    Args:
        url: Where Farebox is.
        key: A service's.
        log: The proxy's access log.
        state: Where it keeps how far it came.
    """

    def __init__(self, url: str, key: str, log: Path, state: Path) -> None:
        self._environment = {**os.environ, "FAREBOX_API_KEY": key, "FAREBOX_GATE_SECRET": SECRET}
        self._command = [sys.executable, "-m", "farebox", "settle", str(log), "--url", url, "--state", str(state)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Follow the log."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def finish(self) -> str:
        """Stop following, settle what is left, and return what it says of that."""
        self._end(signal.SIGTERM)
        done = subprocess.run(
            [*self._command, "--once"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        return done.stdout

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(TIMEOUT_S)
            self._process = None
