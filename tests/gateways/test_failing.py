"""A gate that is gone, silent or cut off costs nobody anything, and lets nobody through."""

import http.client
import time

from tests.gateways.asking import Answer, ask
from tests.gateways.conftest import PRICE, Stand
from tests.gateways.programs import GATE_LIMIT_S


def _is_refused_for_now(stand: Stand, answer: Answer) -> bool:
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-error-code"] == "unavailable"
    if stand.program.says_why:
        assert answer.told["statusCode"] == 503
    return True


def test_a_gate_that_is_gone(stand: Stand) -> None:
    asked = len(stand.api.requests())
    stand.relay.refuses = True
    began = time.monotonic()
    assert _is_refused_for_now(stand, ask(stand.port, key=stand.merchant.key, body=b"{}"))
    assert time.monotonic() - began < GATE_LIMIT_S
    assert len(stand.api.requests()) == asked
    stand.relay.reset()
    assert ask(stand.port, key=stand.merchant.key).status == 200


def test_a_gate_that_is_silent(stand: Stand) -> None:
    asked = len(stand.api.requests())
    stand.relay.is_silent = True
    began = time.monotonic()
    assert _is_refused_for_now(stand, ask(stand.port, key=stand.merchant.key, body=b"{}"))
    assert time.monotonic() - began < GATE_LIMIT_S
    assert len(stand.api.requests()) == asked


def test_a_request_that_the_gate_is_asked_about_again_is_paid_once(stand: Stand) -> None:
    """A kept connection ends after the gate charged and before it said so: the proxy asks again, or gives up."""
    connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=30)
    assert ask(stand.port, key=stand.merchant.key, connection=connection).status == 200
    before = stand.merchant.available()
    stand.relay.asked.clear()
    stand.relay.answers_to_lose = 1
    answer = ask(stand.port, key=stand.merchant.key, body=b"{}", connection=connection)
    connection.close()
    assert answer.status in {200, 503}
    asks = len(stand.relay.asked)
    assert asks >= 1
    # Without an id of the request each ask sets the cost aside; what nobody captures comes back by itself.
    assert stand.merchant.available() == before - PRICE * (1 if stand.program.knows_requests else asks)


def test_an_api_that_is_slow_is_waited_for(stand: Stand) -> None:
    assert ask(stand.port, key=stand.merchant.key, headers={"x-do": "slow=1.5"}).status == 200
