"""The ASGI middleware charges what was delivered: real applications, servers, sockets and books."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import websockets
from websockets.sync.client import connect

from farebox_client.middleware.routes import charged
from tests.client.books import Books, Payer, open_books
from tests.client.conftest import on_each_engine
from tests.client.serving import Client
from tests.client.sites import Site, serving
from tests.client.waiting import eventually
from tests.support import plain_http


@pytest.fixture(scope="module")
def sqlite_site(sqlite_books: Books) -> Iterator[Site]:
    with serving(sqlite_books) as site:
        yield site


@pytest.fixture(scope="module")
def postgres_site(postgres_books: Books) -> Iterator[Site]:
    with serving(postgres_books) as site:
        yield site


@pytest.fixture
def site(engine_name: str, request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue(f"{engine_name}_site")
    return site


# Prices


@pytest.mark.parametrize(
    ("path", "status", "cost"),
    [
        ("/v1/image", 200, "0.01"),
        ("/v1/image/", 307, "0"),
        ("/v1/image?status=201", 201, "0.01"),
        ("/v1/image?waive", 200, "0"),
        ("/v1/image?status=304", 304, "0"),
        ("/v1/image?status=404", 404, "0"),
        ("/v1/image?status=500", 500, "0"),
        ("/v1/image?fail", 500, "0"),
        ("/v1/chat?output=7", 200, "0.024"),
        ("/v1/chat?output=1000", 200, "2.01"),
        ("/v1/chat?output=0", 200, "0.01"),
        ("/v1/chat", 200, "0"),
        ("/v1/chat?output=7&status=404", 404, "0.024"),
        ("/v1/chat?output=7&status=500", 500, "0"),
        ("/v1/stream?pieces=5", 200, "0.02"),
        ("/v1/stream?pieces=50", 200, "0.2"),
        ("/v1/stream?pieces=0", 200, "0"),
        ("/v1/file", 200, "0.01"),
        ("/v1/later?amount=0.35", 200, "0.35"),
    ],
)
def test_a_request_costs_what_its_route_or_its_handler_says(
    site: Site, payer: Payer, path: str, status: int, cost: str
) -> None:
    assert status == site.get(path, payer.key).status_code
    site.books.assert_settled(payer, cost)


def test_a_free_route_needs_no_key(site: Site) -> None:
    assert 200 == site.get("/health", None).status_code


def test_the_head_of_an_answer_costs_what_the_answer_does(site: Site, payer: Payer) -> None:
    answer = site.get("/v1/image", payer.key, method="HEAD")
    assert (200, b"") == (answer.status_code, answer.content)
    site.books.assert_settled(payer, "0.01")


def test_a_preflight_costs_nothing_and_needs_no_key(site: Site) -> None:
    assert 405 == site.get("/v1/image", None, method="OPTIONS").status_code


def test_operators_choose_which_answers_are_charged(books: Books, payer: Payer) -> None:
    with serving(books, charged_statuses=range(200, 500)) as site:
        for status in (200, 304, 404, 500):
            site.get(f"/v1/image?status={status}", payer.key)
    books.assert_settled(payer, "0.03")


@on_each_engine
def test_many_requests_at_once_are_each_charged_once(site: Site, payer: Payer) -> None:
    paths = ["/v1/image", "/v1/image?status=404", "/v1/image?fail", "/v1/stream?pieces=3", "/v1/chat?output=1"] * 20
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda path: site.get(path, payer.key), paths))
    site.books.assert_settled(payer, "0.68")


# Refusals


@pytest.mark.parametrize("key", [None, "", "no key", "fbm_0123456789ABC0123456789ABCDEFGHJKMNPQRS"])
@pytest.mark.parametrize("path", ["/v1/image", "/v1/later?amount=1"])
def test_who_has_no_good_key_is_answered_as_farebox_does(site: Site, path: str, key: str | None) -> None:
    refusal = site.get(path, key)
    farebox = plain_http.get(f"{site.books.url}/api/balance", headers={"x-api-key": key or ""})
    names = ("content-type", "x-error-code", "content-length", "cache-control", "x-content-type-options")
    assert (401, farebox.content) == (refusal.status_code, refusal.content)
    assert [farebox.headers[name] for name in names] == [refusal.headers[name] for name in names]


def test_a_merchants_id_is_no_key(site: Site, payer: Payer) -> None:
    assert 401 == site.get("/v1/image", payer.id).status_code
    assert 401 == site.get("/v1/later?amount=1", payer.id).status_code
    site.books.assert_settled(payer, "0")


@on_each_engine
def test_a_key_is_refused_as_soon_as_it_is_revoked(site: Site, payer: Payer) -> None:
    assert 200 == site.get("/v1/image", payer.key).status_code
    made = site.books.ask("POST", f"/api/admin/merchants/{payer.id}/keys")
    site.books.ask("POST", f"/api/admin/keys/{payer.key_id}/revoke")
    assert [401, 401] == [site.get(path, payer.key).status_code for path in ("/v1/image", "/v1/later?amount=1")]
    assert 200 == site.get("/v1/image", made["apiKey"]).status_code


def test_who_has_no_money_is_told_so(site: Site) -> None:
    payer = site.books.payer(None)
    refusal = site.get("/v1/image", payer.key)
    assert (402, "insufficient_balance") == (refusal.status_code, refusal.headers["x-error-code"])
    assert (False, 402, None) == tuple(refusal.json()[name] for name in ("isSuccess", "statusCode", "data"))
    assert "0.01" in refusal.json()["errorMessage"]
    assert 0 == site.handled.count or site.books.charged(payer) == 0


def test_a_frozen_merchant_and_a_spent_budget_are_refused(site: Site, payer: Payer) -> None:
    site.books.ask("POST", f"/api/admin/keys/{payer.key_id}/budget", total="0.01")
    codes = [site.get("/v1/image", payer.key).headers.get("x-error-code") for _ in range(2)]
    site.books.ask("POST", f"/api/admin/merchants/{payer.id}/freeze", reason="fraud")
    frozen = site.get("/v1/image", payer.key)
    assert [None, "key_budget_exceeded"] == codes
    assert (403, "merchant_frozen") == (frozen.status_code, frozen.headers["x-error-code"])


def test_what_no_route_names_is_refused(site: Site, payer: Payer) -> None:
    refusal = site.get("/v1/hidden", payer.key)
    assert (404, "not_found") == (refusal.status_code, refusal.headers["x-error-code"])


def test_a_path_that_may_be_read_in_two_ways_is_refused(site: Site, payer: Payer) -> None:
    with Client(site.port, "/health/../v1/hidden", payer.key) as client:
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_wrong_set_up_is_no_fault_of_the_client(books: Books, payer: Payer) -> None:
    with serving(books, routes=[charged("GET", "/v1/image", "no such type")]) as site:
        refusal = site.get("/v1/image", payer.key)
        assert (500, "internal_error") == (refusal.status_code, refusal.headers["x-error-code"])
        assert 0 == site.handled.count
    with serving(books, key=payer.key) as site:
        refusal = site.get("/v1/image", payer.key)
        assert (503, "unavailable") == (refusal.status_code, refusal.headers["x-error-code"])
        assert 0 == site.handled.count
    books.assert_settled(payer, "0")


# Clients that leave


def test_who_leaves_before_any_output_is_not_charged(site: Site, payer: Payer) -> None:
    before, ended = site.handled.count, site.handled.ended
    client = Client(site.port, "/v1/image?wait=1", payer.key)
    site.await_handler(before)
    client.leave()
    eventually(lambda: site.handled.ended > ended)
    site.books.assert_settled(payer, "0")


def test_who_leaves_before_any_output_is_charged_if_the_operator_wants_it(books: Books, payer: Payer) -> None:
    with serving(books, charges_those_who_left=True) as site:
        client = Client(site.port, "/v1/image?wait=1", payer.key)
        site.await_handler()
        client.leave()
        eventually(lambda: site.handled.ended > 0)
        books.assert_settled(payer, "0.01")


@on_each_engine
def test_a_stream_that_is_cut_costs_what_was_delivered(site: Site, payer: Payer) -> None:
    ended, pieces = site.handled.ended, site.handled.pieces
    client = Client(site.port, "/v1/stream?pieces=1000&every=0.02", payer.key)
    client.read_until(b"piece 9\n")
    client.leave()
    eventually(lambda: site.handled.ended > ended)
    delivered = site.handled.pieces - pieces
    assert 10 <= delivered < 20
    cost = site.books.charged
    eventually(lambda: site.books.held(payer) == 0)
    # The last piece may have been on its way as the client was seen to be gone.
    assert 0 <= delivered * 4 - int(cost(payer) * 1000) <= 4
    site.books.assert_settled(payer, str(cost(payer)))


def test_a_file_that_is_cut_is_charged(site: Site, payer: Payer) -> None:
    client = Client(site.port, "/v1/file?every=0.05", payer.key)
    client.read_until(b"part 3\n")
    client.leave()
    site.books.assert_settled(payer, "0.01")


def test_a_stream_that_fails_costs_what_was_delivered(site: Site, payer: Payer) -> None:
    client = Client(site.port, "/v1/stream?pieces=10&fail_at=4", payer.key)
    with client, pytest.raises(AssertionError, match="piece 3"):
        client.read_until(b"piece 4")
    site.books.assert_settled(payer, "0.016")


# Web sockets


@on_each_engine
def test_a_web_socket_costs_what_was_delivered(site: Site, payer: Payer) -> None:
    url = f"ws://127.0.0.1:{site.port}/v1/live"
    with connect(url, additional_headers={"x-api-key": payer.key}) as socket:
        for number in range(5):
            socket.send(str(number))
            assert str(number) == socket.recv()
        assert site.books.held(payer) > 0
        socket.send("end")
        with pytest.raises(websockets.ConnectionClosed):
            socket.recv()
    site.books.assert_settled(payer, "0.03")
    with connect(url, additional_headers={"x-api-key": payer.key}) as socket:
        socket.send("x")
        socket.recv()
    site.books.assert_settled(payer, "0.036")
    with connect(url, additional_headers={"x-api-key": payer.key}):
        pass
    site.books.assert_settled(payer, "0.036")


def test_a_web_socket_without_a_good_key_is_refused_in_the_envelope(site: Site) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused, connect(f"ws://127.0.0.1:{site.port}/v1/live"):
        pass
    assert (401, "invalid_api_key") == (
        refused.value.response.status_code,
        refused.value.response.headers["x-error-code"],
    )


# Long requests


@on_each_engine
def test_a_hold_lasts_as_long_as_its_request(books: Books, payer: Payer) -> None:
    with serving(books, hold_for=1) as site:
        assert 200 == site.get("/v1/image?wait=2.5", payer.key).status_code
    books.assert_settled(payer, "0.01")
    assert ["top_up", "hold", "capture"] == [each["kind"] for each in books.transfers(payer)]


# Farebox can't be asked


def test_nobody_is_let_through_while_farebox_cannot_be_asked(books: Books, payer: Payer, free_port: int) -> None:
    with serving(books, url=f"http://127.0.0.1:{free_port}", give_up_after=0.5) as site:
        refusal = site.get("/v1/image", payer.key)
        assert (503, "unavailable", "1") == (
            refusal.status_code,
            refusal.headers["x-error-code"],
            refusal.headers["retry-after"],
        )
        assert (False, 503, None) == tuple(refusal.json()[name] for name in ("isSuccess", "statusCode", "data"))
        assert 0 == site.handled.count


def test_what_was_let_through_is_charged_later(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_books(database_url) as books:
        payer, poor = books.payer(), books.payer("0.01")
        settings = {"fail_open": True, "spool": tmp_path / "spool", "give_up_after": 0.5}
        with serving(books, **settings) as site:
            books.server.kill()
            for path in ("/v1/image", "/v1/image?status=404", "/v1/chat?output=7", "/v1/later?amount=0.35"):
                assert 503 != site.get(path, payer.key).status_code
            assert [200] * 3 == [site.get("/v1/chat?output=7", poor.key).status_code for _ in range(3)]
            assert 401 == site.get("/v1/image", "nonsense").status_code
            assert 200 == site.get("/v1/image", "fbm_0123456789ABC0123456789ABCDEFGHJKMNPQRS").status_code
            books.server.start()
            books.assert_settled(payer, "0.384")
            books.assert_settled(poor, "0.01")
        assert "a key that ends in PQRS" in caplog.text
        assert "fbm_" not in caplog.text
        # A debt that nobody can be charged for is kept for the operator to look at.
        (left,) = (tmp_path / "spool").glob("*.owed")
        assert left.stat().st_mode & 0o777 == 0o600


def test_a_capture_that_fails_after_the_answer_is_made_later(database_url: str) -> None:
    with open_books(database_url) as books:
        payer = books.payer()
        with serving(books, give_up_after=0.5) as site, ThreadPoolExecutor(1) as threads:
            answer = threads.submit(site.get, "/v1/image?wait=1", payer.key)
            site.await_handler()
            books.server.kill()
            assert 200 == answer.result().status_code
            books.server.start()
            books.assert_settled(payer, "0.01")
        assert ["top_up", "hold", "capture"] == [each["kind"] for each in books.transfers(payer)]


def test_what_is_owed_for_a_hold_that_ran_out_is_charged(database_url: str, tmp_path: Path) -> None:
    with open_books(database_url) as books:
        payer = books.payer()
        settings = {"hold_for": 1, "spool": tmp_path / "spool", "give_up_after": 0.3}
        with serving(books, **settings) as site, ThreadPoolExecutor(1) as threads:
            answer = threads.submit(site.get, "/v1/chat?output=5", payer.key)
            assert 200 == answer.result().status_code
            # It is captured after its answer; only the next one's hold is to be met.
            books.assert_settled(payer, "0.02")
            handled = site.handled.count
            answer = threads.submit(site.get, "/v1/image?wait=1", payer.key)
            site.await_handler(handled)
            books.server.kill()
            assert 200 == answer.result().status_code
            time.sleep(1.2)
            books.server.start()
            books.assert_settled(payer, "0.03")
        kinds = [each["kind"] for each in books.transfers(payer)]
        assert ["top_up", "hold", "capture", "release", "hold"] == kinds[:5]
        assert {"charge", "expire"} == set(kinds[5:])
    assert [] == list((tmp_path / "spool").iterdir())


@on_each_engine
def test_the_end_of_a_server_waits_for_what_is_owed(books: Books, payer: Payer) -> None:
    with contextlib.ExitStack() as clients, serving(books) as site:
        for _ in range(10):
            client = clients.enter_context(Client(site.port, "/v1/stream?pieces=40&every=0.01", payer.key))
            client.read_until(b"piece 3\n")
    eventually(lambda: books.held(payer) == 0)
    assert 0 < books.charged(payer)
