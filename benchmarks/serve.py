"""A server to be measured: `python -m benchmarks.serve TARGET PORT PROCESSES` serves as `farebox serve` does.

It stops when its standard input closes, so that it never outlives the benchmark that started it.
"""

import os
import signal
import sys
import threading

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops


def main() -> None:
    """Serve until told to stop."""
    target, port, processes = sys.argv[1:]
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    Granian(
        target,
        port=int(port),
        workers=int(processes),
        factory=True,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        log_access=False,
    ).serve()


def _stop_with_parent() -> None:
    # Not through sys.stdin: a worker is forked, and would wait for ever for the lock that a reader of it holds.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
