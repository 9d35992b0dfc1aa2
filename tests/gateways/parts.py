"""What stands on either side of a proxy: the API in a process of its own, and a Farebox with a gate."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.gateways.programs import SECRET, takes_connections
from tests.support.server import free_port
from tests.tidy.files import ROOT


class Api:
    """The API, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "api.log"
        self.log.touch()
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateways.upstream", str(self.port), str(self.log)], cwd=ROOT
        )
        deadline = time.monotonic() + 30
        while not takes_connections(self.port):
            assert time.monotonic() < deadline
            assert self._process.poll() is None
            time.sleep(0.02)

    def requests(self) -> list[dict[str, Any]]:
        """Return what reached it and is over."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def gate_environment(rules: Path) -> dict[str, str]:
    """Return the settings that a gate needs."""
    return {"FAREBOX_GATE_FILE": str(rules), "FAREBOX_GATE_SECRET": SECRET, "FAREBOX_BAD_KEYS": "0"}
