"""An API that knows nothing of keys and money: `python api.py 9000` serves it on 127.0.0.1.

`POST /v1/images` draws something, `GET /v1/images/7` shows it, `GET /health` tells that it is there, and
`POST /v1/broken` fails. It tells by whom it was paid, as the proxy told it.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 1_000_000


class Api(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, {"path": self.path})

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("content-length", "0")), BODY_BYTES_MAX))
        self._answer(500 if self.path == "/v1/broken" else 200, {"path": self.path, "took": len(body)})

    def _answer(self, status: int, told: dict[str, object]) -> None:
        paid_by = {"merchant": self.headers.get("x-merchant-id"), "transfer": self.headers.get("x-transfer-id")}
        content = json.dumps(told | paid_by).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main(port: int) -> None:
    """Serve until interrupted."""
    with ThreadingHTTPServer(("127.0.0.1", port), Api) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
