"""An application behind a middleware, as tests ask it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from farebox_client.middleware.charging import Charging
from tests.client.asgi_apps import ROUTES, Handled, starlette_app
from tests.client.books import Books
from tests.client.serving import serve_asgi
from tests.client.waiting import eventually
from tests.support import plain_http


class Site:
    """An application, the books that it charges in, and what its handlers did."""

    def __init__(self, books: Books, handled: Handled, port: int) -> None:
        self.books = books
        self.handled = handled
        self.port = port

    def get(self, path: str, key: str | None, *, method: str = "GET") -> httpx.Response:
        headers = {} if key is None else {"x-api-key": key}
        url = f"http://127.0.0.1:{self.port}{path}"
        return plain_http.request(method, url, headers=headers, timeout=30)

    def await_handler(self, before: int = 0) -> None:
        """Wait until a handler runs that did not before: what was held for its request is known to the middleware."""
        eventually(lambda: self.handled.count > before)

    def assert_refused_before_it_is_handled(self, path: str) -> None:
        """Ask without a good key, and without money: each is refused in the envelope, and no handler runs."""
        before = self.handled.count
        poor = self.books.payer(None)
        answers = [self.get(path, key) for key in (None, "nonsense", poor.id, poor.key)]
        assert [401, 401, 401, 402] == [answer.status_code for answer in answers]
        assert ["invalid_api_key"] * 3 + ["insufficient_balance"] == [
            answer.headers["x-error-code"] for answer in answers
        ]
        assert [False] * 4 == [answer.json()["isSuccess"] for answer in answers]
        assert before == self.handled.count


@contextlib.contextmanager
def serving(books: Books, **settings: Any) -> Iterator[Site]:
    """Serve the Starlette application, with these settings of `Charging`."""
    handled = Handled()
    settings = {"key": books.seeds.service_key, "routes": ROUTES, **settings}
    charging = Charging(settings.pop("url", books.url), **settings)
    with serve_asgi(starlette_app(charging, handled)) as port:
        yield Site(books, handled, port)
