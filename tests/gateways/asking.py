"""A client that sends exactly what it is told: paths that a library would tidy, headers that it would refuse."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 30


@dataclass(frozen=True)
class Answer:
    """An answer as it came back."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    content: bytes

    @property
    def told(self) -> dict[str, Any]:
        """What the upstream was asked, as it answered it."""
        told: dict[str, Any] = json.loads(self.content)
        return told


def ask(
    port: int,
    target: str = "/v1/search",
    *,
    method: str = "POST",
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    connection: http.client.HTTPConnection | None = None,
) -> Answer:
    """Send one request, over a connection of its own unless one is given."""
    used = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        used.putrequest(method, target, skip_accept_encoding=True)
        for name, value in ({"x-api-key": key} if key else {}).items():
            used.putheader(name, value)
        for name, value in (headers or {}).items():
            used.putheader(name, value)
        if body or method == "POST":
            used.putheader("content-length", str(len(body)))
        used.endheaders(body or None)
        response = used.getresponse()
        content = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
    finally:
        if connection is None:
            used.close()
