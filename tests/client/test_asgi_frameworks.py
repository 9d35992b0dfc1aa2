"""FastAPI and Litestar with the middleware: prices of the table and of `priced`, refusals, failures and cut streams."""

from collections.abc import Iterator

import pytest

from farebox_client.middleware.charging import Charging
from farebox_client.middleware.priced import PricedTwice, priced
from farebox_client.middleware.request_charge import CURRENT, NotCharged, RequestCharge, Rules, charge_of
from farebox_client.middleware.routes import RoutePrice
from tests.client.asgi_apps import FRAMEWORKS, ROUTES, Handled
from tests.client.books import Books, Payer
from tests.client.serving import Client, serve_asgi
from tests.client.sites import Site
from tests.client.waiting import eventually


@pytest.fixture(scope="module", params=FRAMEWORKS)
def site(request: pytest.FixtureRequest, sqlite_books: Books) -> Iterator[Site]:
    handled = Handled()
    charging = Charging(sqlite_books.url, key=sqlite_books.seeds.service_key, routes=ROUTES, unlisted="pass")
    with serve_asgi(FRAMEWORKS[request.param](charging, handled)) as port:
        yield Site(sqlite_books, handled, port)


@pytest.mark.parametrize(
    ("path", "status", "cost"),
    [
        ("/v1/image", 200, "0.01"),
        ("/v1/image?status=404", 404, "0"),
        ("/v1/image?fail=1", 500, "0"),
        ("/v1/stream?pieces=5", 200, "0.02"),
        ("/own/image", 200, "0.01"),
        ("/own/image?status=404", 404, "0"),
        ("/own/image?status=500", 500, "0"),
        ("/own/chat?output=7", 200, "0.024"),
        ("/own/chat?output=1000", 200, "2.01"),
    ],
)
def test_a_request_costs_what_its_route_or_handler_says(
    site: Site, payer: Payer, path: str, status: int, cost: str
) -> None:
    assert status == site.get(path, payer.key).status_code
    site.books.assert_settled(payer, cost)


@pytest.mark.parametrize("path", ["/v1/image", "/own/image", "/own/chat?output=1"])
def test_who_may_not_is_refused_in_the_envelope_before_the_handler_runs(site: Site, path: str) -> None:
    site.assert_refused_before_it_is_handled(path)


def test_who_leaves_before_any_output_is_not_charged(site: Site, payer: Payer) -> None:
    before, ended = site.handled.count, site.handled.ended
    client = Client(site.port, "/v1/image?wait=1", payer.key)
    site.await_handler(before)
    client.leave()
    eventually(lambda: site.handled.ended > ended)
    site.books.assert_settled(payer, "0")


def test_a_stream_that_is_cut_costs_what_was_delivered(site: Site, payer: Payer) -> None:
    before = site.handled.pieces
    with Client(site.port, "/v1/stream?pieces=1000&every=0.02", payer.key) as client:
        client.read_until(b"piece 9\n")
    eventually(lambda: site.books.charged(payer) > 0)
    delivered = site.handled.pieces - before
    assert 0 <= delivered * 4 - int(site.books.charged(payer) * 1000) <= 4
    assert 10 <= delivered < 100
    assert 0 == site.books.held(payer)


def test_a_handler_without_a_middleware_is_not_run_for_free() -> None:
    @priced("image")
    def handler() -> None:
        raise AssertionError

    with pytest.raises(NotCharged):
        handler()
    with pytest.raises(NotCharged):
        charge_of({"type": "http"})


def test_a_request_has_one_price() -> None:
    charge = RequestCharge(RoutePrice("image"), Rules(), "fbm_x")
    token = CURRENT.set(charge)
    try:
        with pytest.raises(PricedTwice):
            priced("image")(lambda: None)()
    finally:
        CURRENT.reset(token)
