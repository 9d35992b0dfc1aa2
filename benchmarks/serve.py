"""A server to be measured: `python -m benchmarks.serve TARGET PORT PROCESSES` serves as `farebox serve` does."""

import os
import sys

from starlette.types import Receive, Send

from benchmarks.parent import stop_with_parent
from farebox.cli.serving.first_process import FirstProcess
from farebox.handover import bound_sockets
from farebox.http.limits import HTTP_LIMITS


async def start_and_end(receive: Receive, send: Send) -> None:
    """Say that an application starts and ends, which has nothing to do for it; the server waits for its word."""
    for word in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{word}.complete"})


def main() -> None:
    """Serve until told to stop."""
    target, port, processes = sys.argv[1:]
    stop_with_parent()
    FirstProcess(
        target,
        bound_sockets("127.0.0.1", int(port), int(processes)),
        os.environ,
        workers=int(processes),
        limits=HTTP_LIMITS,
        connections_max=HTTP_LIMITS.connections,
        is_replacing=False,
    ).serve()


if __name__ == "__main__":
    main()
