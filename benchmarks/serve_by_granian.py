"""The service written by hand, by a server it would be given: `python -m benchmarks.serve_by_granian TARGET PORT`."""

import sys

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from benchmarks.parent import stop_with_parent


def main() -> None:
    """Serve until told to stop."""
    target, port = sys.argv[1:]
    stop_with_parent()
    Granian(
        target,
        port=int(port),
        factory=True,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        log_access=False,
    ).serve()


if __name__ == "__main__":
    main()
