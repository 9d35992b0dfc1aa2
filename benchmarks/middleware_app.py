"""An API of one's own with Farebox's middleware, or without: `python -m benchmarks.middleware_app PORT [URL KEY]`.

It is served as Farebox is, and stops when its standard input closes.
"""

import os
import sys
from typing import Any, Final

from benchmarks import serve
from farebox_client.middleware import AsgiMiddleware, Charging, charged, free

URL: Final = "BENCHMARK_FAREBOX_URL"
KEY: Final = "BENCHMARK_FAREBOX_KEY"
ANSWER: Final = b'{"done":true}'
_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer anything, after its body has come."""
    if scope["type"] != "http":
        await serve.start_and_end(receive, send)
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


def make() -> Any:
    """Return the application, with the middleware if Farebox is named."""
    if URL not in os.environ:
        return app
    routes = [charged("POST", "/charged", "image"), free("POST", "/free"), free("GET", "/**")]
    return AsgiMiddleware(app, Charging(os.environ[URL], key=os.environ[KEY], routes=routes))


def main() -> None:
    """Serve until told to stop."""
    port, *farebox = sys.argv[1:]
    if farebox:
        os.environ[URL], os.environ[KEY] = farebox
    sys.argv = [sys.argv[0], "benchmarks.middleware_app:make", port, "1"]
    serve.main()


if __name__ == "__main__":
    main()
