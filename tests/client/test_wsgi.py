"""The WSGI middleware charges what was delivered: Flask and Django on a real server, sockets and books."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from farebox_client.middleware import BlockingCharging
from tests.client.asgi_apps import ROUTES, Handled
from tests.client.books import Books, Payer, open_books
from tests.client.conftest import on_each_engine
from tests.client.serving import Client, serve_wsgi
from tests.client.sites import Site
from tests.client.waiting import eventually
from tests.client.wsgi_apps import FRAMEWORKS, flask_app


def charging(books: Books, **settings: Any) -> BlockingCharging:
    return BlockingCharging(
        books.url, key=books.seeds.service_key, **{"routes": ROUTES, "unlisted": "pass", **settings}
    )


@contextlib.contextmanager
def serving(books: Books, framework: str) -> Iterator[Site]:
    handled = Handled()
    with charging(books) as charges, serve_wsgi(FRAMEWORKS[framework](charges, handled)) as port:
        yield Site(books, handled, port)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def site(request: pytest.FixtureRequest, sqlite_books: Books) -> Iterator[Site]:
    with serving(sqlite_books, request.param) as site:
        yield site


@pytest.mark.parametrize(
    ("path", "status", "cost"),
    [
        ("/health", 200, "0"),
        ("/v1/image", 200, "0.01"),
        ("/v1/image?status=404", 404, "0"),
        ("/v1/image?status=500", 500, "0"),
        ("/v1/image?fail=1", 500, "0"),
        ("/v1/chat?output=7", 200, "0.024"),
        ("/v1/chat?output=1000", 200, "2.01"),
        ("/v1/stream?pieces=5", 200, "0.02"),
        ("/v1/stream?pieces=0", 200, "0"),
        ("/v1/file", 200, "0.01"),
        ("/v1/later?amount=0.35", 200, "0.35"),
        ("/own/image", 200, "0.01"),
        ("/own/image?status=404", 404, "0"),
    ],
)
def test_a_request_costs_what_its_route_or_its_handler_says(
    site: Site, payer: Payer, path: str, status: int, cost: str
) -> None:
    assert status == site.get(path, payer.key).status_code
    site.books.assert_settled(payer, cost)


@pytest.mark.parametrize("path", ["/v1/image", "/own/image"])
def test_who_may_not_is_refused_in_the_envelope_before_the_handler_runs(site: Site, path: str) -> None:
    site.assert_refused_before_it_is_handled(path)


def test_the_head_of_an_answer_costs_what_the_answer_does(site: Site, payer: Payer) -> None:
    assert (200, b"") == ((head := site.get("/v1/image", payer.key, method="HEAD")).status_code, head.content)
    assert (401, b"") == ((head := site.get("/v1/image", None, method="HEAD")).status_code, head.content)
    site.books.assert_settled(payer, "0.01" if site.handled.count else "0")


@on_each_engine
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_many_requests_at_once_are_each_charged_once(books: Books, payer: Payer, framework: str) -> None:
    paths = ["/v1/image", "/v1/image?status=404", "/v1/image?fail=1", "/v1/stream?pieces=3", "/v1/chat?output=1"] * 10
    with serving(books, framework) as site, ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda path: site.get(path, payer.key), paths))
    books.assert_settled(payer, "0.34")


def test_a_stream_that_is_cut_costs_what_was_delivered(site: Site, payer: Payer) -> None:
    ended, before = site.handled.ended, site.handled.pieces
    with Client(site.port, "/v1/stream?pieces=1000&every=0.02", payer.key) as client:
        client.read_until(b"piece 9\n")
    eventually(lambda: site.handled.ended > ended)
    eventually(lambda: site.books.held(payer) == 0)
    delivered = site.handled.pieces - before
    assert 10 <= delivered < 100
    assert 0 <= delivered * 4 - int(site.books.charged(payer) * 1000) <= 4


def test_a_stream_that_fails_costs_what_was_delivered(site: Site, payer: Payer) -> None:
    client = Client(site.port, "/v1/stream?pieces=10&fail_at=4", payer.key)
    with client, pytest.raises(AssertionError, match="piece 3"):
        client.read_until(b"piece 4")
    site.books.assert_settled(payer, "0.016")


def test_a_file_that_is_cut_is_charged(site: Site, payer: Payer) -> None:
    with Client(site.port, "/v1/file?every=0.05", payer.key) as client:
        client.read_until(b"part 3\n")
    site.books.assert_settled(payer, "0.01")


@on_each_engine
def test_a_hold_lasts_as_long_as_its_request(books: Books, payer: Payer) -> None:
    with charging(books, hold_for=1) as charges, serve_wsgi(flask_app(charges, Handled())) as port:
        assert 200 == Site(books, Handled(), port).get("/v1/image?wait=2.5", payer.key).status_code
    books.assert_settled(payer, "0.01")
    assert ["top_up", "hold", "capture"] == [each["kind"] for each in books.transfers(payer)]


def test_nobody_is_let_through_while_farebox_cannot_be_asked(books: Books, payer: Payer, free_port: int) -> None:
    handled = Handled()
    charges = BlockingCharging(
        f"http://127.0.0.1:{free_port}", key=books.seeds.service_key, routes=ROUTES, give_up_after=0.5
    )
    with charges, serve_wsgi(flask_app(charges, handled)) as port:
        refusal = Site(books, handled, port).get("/v1/image", payer.key)
    assert (503, "unavailable", "1", 0) == (
        refusal.status_code,
        refusal.headers["x-error-code"],
        refusal.headers["retry-after"],
        handled.count,
    )


def test_what_was_let_through_or_could_not_be_captured_is_charged_later(database_url: str, tmp_path: Path) -> None:
    with open_books(database_url) as books:
        payer = books.payer()
        settings = {"fail_open": True, "spool": tmp_path / "spool", "give_up_after": 0.5}
        handled = Handled()
        with charging(books, **settings) as charges, serve_wsgi(flask_app(charges, handled)) as port:
            site = Site(books, handled, port)
            with ThreadPoolExecutor(1) as threads:
                captured_later = threads.submit(site.get, "/v1/image?wait=1", payer.key)
                site.await_handler()
                books.server.kill()
                assert 200 == captured_later.result().status_code
            assert [200, 404, 200] == [
                site.get(path, payer.key).status_code
                for path in ("/v1/image", "/v1/image?status=404", "/v1/chat?output=7")
            ]
            books.server.start()
            books.assert_settled(payer, "0.044")
        assert [] == list((tmp_path / "spool").iterdir())


def test_what_is_owed_at_the_end_is_charged_by_the_next_process(database_url: str, tmp_path: Path) -> None:
    with open_books(database_url) as books:
        payer = books.payer()
        settings = {"fail_open": True, "spool": tmp_path / "spool", "give_up_after": 0.3}
        with charging(books, **settings) as charges, serve_wsgi(flask_app(charges, Handled())) as port:
            books.server.kill()
            assert 200 == Site(books, Handled(), port).get("/v1/image", payer.key).status_code
        books.server.start()
        time.sleep(0.1)
        books.assert_settled(payer, "0")
        with charging(books, **settings):
            books.assert_settled(payer, "0.01")
