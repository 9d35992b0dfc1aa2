"""A first process and workers with an application of a few lines, in place of the whole server."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from farebox.cli.serving.first_process import FirstProcess
from farebox.handover import bound_sockets
from farebox.http.limits import HTTP_LIMITS
from farebox.observe import configure_logging

DIED: Final = 3


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the number of the process that answers."""
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.sleep(float(os.environ.get("SMALL_SERVER_START_SECONDS", "0")))
        if os.environ.get("SMALL_SERVER_FAILS") == "start":
            await send({"type": "lifespan.startup.failed", "message": "there is no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def make_app() -> ASGIApp:
    """Make the application, or end at once if there was one before, or if it is to fail."""
    if os.environ.get("SMALL_SERVER_FAILS") == "make":
        raise ValueError("there is no such setting")
    started = os.environ.get("SMALL_SERVER_STARTED")
    if started is not None:
        if Path(started).exists():
            os._exit(DIED)
        Path(started).touch()
    return _app


def main() -> None:
    """Serve on the port that is given."""
    configure_logging(is_json=False, secrets=())
    server = FirstProcess(
        "tests.cli.small_server:make_app",
        bound_sockets("127.0.0.1", int(sys.argv[1]), 1),
        os.environ,
        workers=1,
        limits=HTTP_LIMITS,
        connections_max=10,
        is_replacing=True,
    )
    sys.exit(0 if server.serve() else 1)


if __name__ == "__main__":
    main()
