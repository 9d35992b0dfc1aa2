"""No proxy believes what a client says about itself, nor charges for one path what the API takes for another."""

from decimal import Decimal
from typing import Final

import pytest

from tests.gateways.asking import ask
from tests.gateways.conftest import PRICE, Stand

EVIL: Final = "evil-0123456789abcdef"

NAMES: Final = (
    "X-Merchant-Id",
    "X-Transfer-Id",
    "X-Hold-Id",
    "X-Gate-Token",
    "X-Gate-Secret",
    "X-Farebox-Refusal",
    "X-Request-Id",
    "X-Original-Method",
    "X-Original-URI",
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
    "X_Merchant_Id",
    "X_Transfer_Id",
    "X_Hold_Id",
    "X_Request_Id",
    "x-merchant_id",
)
"""What the gate or a proxy tells an API, in the ways that an API may read it."""


@pytest.mark.parametrize(("target", "cost"), [("/v1/search", PRICE), ("/free/search", Decimal(0))])
def test_what_the_gate_tells_is_not_the_clients_to_say(stand: Stand, target: str, cost: Decimal) -> None:
    before = stand.merchant.available()
    answer = ask(stand.port, target, key=stand.merchant.key, headers=dict.fromkeys(NAMES, EVIL))
    assert answer.status == 200
    assert EVIL not in str(answer.told["headers"])
    assert stand.merchant.available() == before - cost


def test_a_client_names_no_other_request(stand: Stand) -> None:
    """One id for all of a client's requests would let it pay once."""
    before = stand.merchant.available()
    seen = {
        ask(stand.port, key=stand.merchant.key, headers={"x-request-id": EVIL}).told["headers"].get("x-request-id")
        for _ in range(3)
    }
    assert stand.merchant.available() == before - 3 * PRICE
    assert len(seen) == (3 if stand.program.knows_requests else 1)


def test_a_client_names_no_other_path_or_method(stand: Stand) -> None:
    before = stand.merchant.available()
    headers = {
        "X-Original-URI": "/free/search",
        "X-Forwarded-Uri": "/free/search",
        "X-Original-Url": "/free/search",
        "X-Rewrite-Url": "/free/search",
        "X-Envoy-Original-Path": "/free/search",
        "X-Original-Method": "GET",
        "X-Forwarded-Method": "GET",
        "X-Http-Method-Override": "GET",
    }
    answer = ask(stand.port, key=stand.merchant.key, headers=headers)
    assert (answer.status, answer.told["target"]) == (200, "/v1/search")
    assert stand.merchant.available() == before - PRICE


def test_a_client_has_the_api_asked_once(stand: Stand) -> None:
    """Envoy takes orders to try again from clients whose address it takes for an internal one."""
    before = len(stand.api.requests())
    headers = {"x-do": "fail=503", "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"}
    assert ask(stand.port, key=stand.merchant.key, headers=headers).status == 503
    assert len(stand.api.requests()) == before + 1


@pytest.mark.parametrize(
    "target",
    [
        "/free/../v1/search",
        "/free/%2e%2e/v1/search",
        "/free/..%2fv1/search",
        "/free/.%2e/v1/search",
        "/free/x/../../v1/search",
        "/free/..;/v1/search",
        "/free//../v1/search",
        "/free/%252e%252e/v1/search",
        "/free\\..\\v1\\search",
        "//free/../v1/search",
        "//v1//search",
        "/./v1/search",
        "/%76%31/search",
        "/v1/search/",
        "/v1/search%00",
        "/v1/search;x=1",
        "/V1/SEARCH",
    ],
)
def test_a_path_costs_what_the_api_takes_it_for(stand: Stand, target: str) -> None:
    """A request that comes through to the API was refused or paid, if any program may take it for the paid path."""
    before, asked = stand.merchant.available(), len(stand.api.requests())
    answer = ask(stand.port, target, key=stand.merchant.key)
    reached = stand.api.requests()[asked:]
    if reached:
        assert stand.merchant.available() == before - PRICE, (answer, reached)
    else:
        assert 400 <= answer.status < 500


@pytest.mark.parametrize("target", ["/v1/search?x=/free/", "/v1/search?../../free/x", "/v1/search?"])
def test_a_query_changes_nothing(stand: Stand, target: str) -> None:
    before = stand.merchant.available()
    assert ask(stand.port, target, key=stand.merchant.key).told["target"] in {target, target.rstrip("?")}
    assert stand.merchant.available() == before - PRICE
