"""An application behind a middleware, as tests ask it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from farebox_client.middleware.charging import Charging
from tests.client.asgi_apps import ROUTES, Handled, starlette_app
from tests.client.books import Books
from tests.client.serving import serve_asgi


class Site:
    """An application, the books that it charges in, and what its handlers did."""

    def __init__(self, books: Books, handled: Handled, port: int) -> None:
        self.books = books
        self.handled = handled
        self.port = port

    def get(self, path: str, key: str | None, *, method: str = "GET") -> httpx.Response:
        headers = {} if key is None else {"x-api-key": key}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, headers=headers, trust_env=False, timeout=30)


@contextlib.contextmanager
def serving(books: Books, **settings: Any) -> Iterator[Site]:
    """Serve the Starlette application, with these settings of `Charging`."""
    handled = Handled()
    charging = Charging(settings.pop("url", books.url), key=books.seeds.service_key, **{"routes": ROUTES, **settings})
    with serve_asgi(starlette_app(charging, handled)) as port:
        yield Site(books, handled, port)
