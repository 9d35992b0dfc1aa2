"""What each proxy lets through and what it refuses, and what a client and the API see of it."""

import http.client
import time
from typing import Final

import pytest

from tests.gateways.asking import ask
from tests.gateways.conftest import PRICE, Merchant, Stand
from tests.gateways.upstream import STREAM_PARTS, STREAM_PAUSE_S

NOTHING: Final = "-"
THREADS_OF_A_PROXY: Final = 128
"""Apache's threads keep a connection to the gate each; the others need fewer."""


def test_connections_to_the_gate_are_kept(stand: Stand) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=30)
    many = 2 * THREADS_OF_A_PROXY
    for _ in range(many):
        assert ask(stand.port, "/free/search", key=stand.merchant.key, connection=connection).status == 200
    connection.close()
    assert len(stand.relay.asked) >= many
    assert stand.relay.connections <= THREADS_OF_A_PROXY


def test_a_request_is_paid_and_the_api_knows_by_whom(stand: Stand) -> None:
    before = stand.merchant.available()
    answer = ask(
        stand.port, key=stand.merchant.key, body=b'{"query":"cats"}', headers={"content-type": "application/json"}
    )
    assert answer.status == 200
    assert (answer.told["method"], answer.told["target"], answer.told["body"]) == (
        "POST",
        "/v1/search",
        '{"query":"cats"}',
    )
    told = answer.told["headers"]
    assert told["x-merchant-id"].startswith("mer_")
    if stand.program.knows_requests:
        assert told["x-transfer-id"].startswith("xfer_")
        assert told["x-hold-id"] == NOTHING
    else:
        assert told["x-hold-id"].startswith("hold_")
        assert told["x-transfer-id"] == NOTHING
    assert stand.merchant.available() == before - PRICE


def test_the_api_sees_no_key(stand: Stand) -> None:
    told = ask(stand.port, key=stand.merchant.key).told["headers"]
    assert stand.merchant.key not in told.values()
    assert "x-gate-secret" not in told


def test_a_hold_is_handed_on(stand: Stand) -> None:
    before = stand.merchant.available()
    told = ask(stand.port, "/v1/held", key=stand.merchant.key).told["headers"]
    assert told["x-hold-id"].startswith("hold_")
    assert told["x-transfer-id"] == NOTHING
    assert stand.merchant.available() == before - PRICE


def test_a_free_request_costs_nothing(stand: Stand) -> None:
    before = stand.merchant.available()
    told = ask(stand.port, "/free/of/charge", method="GET", key=stand.merchant.key).told["headers"]
    assert told["x-merchant-id"].startswith("mer_")
    assert (told["x-transfer-id"], told["x-hold-id"]) == (NOTHING, NOTHING)
    assert stand.merchant.available() == before


def test_head_is_passed_on(stand: Stand) -> None:
    answer = ask(stand.port, "/v1/items/7", method="HEAD", key=stand.merchant.key)
    assert (answer.status, answer.content) == (200, b"")


@pytest.mark.parametrize("length", [0, 1, 65_536, 1_000_000])
def test_bodies_come_through_whole(stand: Stand, length: int) -> None:
    answer = ask(stand.port, key=stand.merchant.key, body=b"x" * length)
    assert answer.told["body"] == "x" * length


def test_a_stream_comes_as_it_is_made(stand: Stand) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=30)
    connection.request("POST", "/v1/search", headers={"x-api-key": stand.merchant.key, "x-do": "stream"})
    response = connection.getresponse()
    began = time.monotonic()
    parts = [response.readline() for _ in range(2 * STREAM_PARTS)]
    took = time.monotonic() - began
    assert response.read() == b""
    connection.close()
    assert [f"data: {number}\n".encode() for number in range(STREAM_PARTS)] == parts[::2]
    # The first part was here before the last one was made: two pauses and more lie between them.
    assert took > STREAM_PAUSE_S


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
def test_what_the_api_refuses_is_handed_on_as_it_says_it(stand: Stand, status: int) -> None:
    answer = ask(stand.port, key=stand.merchant.key, headers={"x-do": f"fail={status}"})
    assert answer.status == status
    assert answer.told["method"] == "POST"


def _refused(
    stand: Stand, merchant: Merchant | None, target: str = "/v1/search", method: str = "POST"
) -> tuple[int, str]:
    """Ask, see that the refusal is whole and that the API knows nothing of it, and return its status and name."""
    before = len(stand.api.requests())
    answer = ask(
        stand.port,
        target,
        method=method,
        key=merchant.key if merchant else None,
        body=b'{"a":1}' if method == "POST" else b"",
    )
    assert answer.told["isSuccess"] is False
    assert answer.told["statusCode"] == answer.status
    assert answer.told["data"] is None
    assert answer.headers["content-type"].startswith("application/json")
    assert len(stand.api.requests()) == before
    return answer.status, answer.headers["x-error-code"]


def test_no_key(stand: Stand) -> None:
    assert _refused(stand, None) == (401, "invalid_api_key")


def test_a_bad_key(stand: Stand) -> None:
    assert _refused(stand, Merchant("fbm_" + "a" * 43, "")) == (401, "invalid_api_key")


def test_no_money(stand: Stand) -> None:
    assert _refused(stand, stand.poor) == (402, "insufficient_balance")


def test_a_frozen_merchant(stand: Stand) -> None:
    assert _refused(stand, stand.frozen) == (403, "merchant_frozen")


def test_a_closed_path(stand: Stand) -> None:
    assert _refused(stand, stand.merchant, "/closed/for/good", "GET")[0] == 403


def test_an_unknown_path(stand: Stand) -> None:
    assert _refused(stand, stand.merchant, "/v2/search", "GET")[0] in {403, 404}


def test_a_log_line_has_no_key(stand: Stand) -> None:
    ask(stand.port, key=stand.merchant.key)
    time.sleep(0.3)
    assert stand.merchant.key not in stand.gateway.access_log.read_text()
