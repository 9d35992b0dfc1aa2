"""Messages and how answers are read: exact amounts, aware times, and no answer of another's taken for Farebox's."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox_client import (
    ApprovalRequired,
    ChargeFields,
    FareboxError,
    InvalidApiKey,
    InvalidValue,
    RateLimited,
    UnexpectedAnswer,
    answers,
    messages,
)
from farebox_client.transport import Answer, checked_base_url
from tests.client.conftest import Connect, Site

CHARGED = {"transferId": "xfer_1", "cost": "0.10", "balance": "99.90", "available": "89.90"}


def envelope(data: Any, status: int = 200, message: str | None = None, **headers: str) -> Answer:
    body = {"isSuccess": message is None, "statusCode": status, "errorMessage": message, "data": data}
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


@given(st.decimals(min_value=0, max_value=10**12, places=6), st.integers(-6, 6))
def test_amounts_are_sent_as_plain_decimals(amount: Decimal, exponent: int) -> None:
    scaled = amount.scaleb(exponent)
    body = ChargeFields("m", "call", amount=scaled).body
    assert scaled == Decimal(body["amount"])
    assert set(body["amount"]) <= set("0123456789.")


@pytest.mark.parametrize("amount", [0.1, 1.0, True, b"1"])
def test_an_amount_that_may_have_lost_digits_is_refused(amount: Any) -> None:
    with pytest.raises(TypeError, match="an amount is"):
        _ = ChargeFields("m", "call", amount=amount).body


def test_only_what_is_named_is_sent() -> None:
    assert {"merchant": "m", "type": "image", "idempotencyKey": "k"} == ChargeFields("m", "image", key="k").body
    at = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))
    full = ChargeFields("m", "chat", None, {"input": 2, "output": 0}, "1", "job", "uncollected", at, "k").body
    assert {
        "merchant": "m",
        "type": "chat",
        "quantities": {"input": 2, "output": 0},
        "amount": "1",
        "reference": "job",
        "above": "uncollected",
        "requestedAt": "2026-01-31T12:00:00+01:00",
        "idempotencyKey": "k",
    } == full


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        messages.extend("hold_1", expires_at=datetime(2026, 1, 31))  # noqa: DTZ001 - that is what is refused.


def test_ids_and_queries_are_encoded() -> None:
    assert "/api/holds/a%2F..%2F%3Fb/capture" == messages.capture("a/../?b").path
    page = messages.transfer_page(type="a/b+c d", limit=5)
    assert "/api/transfers?type=a%2Fb%2Bc+d&limit=5" == page.path


def test_each_request_has_a_key_of_its_own_unless_it_is_given_one() -> None:
    first, second = messages.capture("hold_1"), messages.capture("hold_1")
    assert first.key != second.key
    for call in (
        first,
        second,
        messages.release("h"),
        messages.refund("t"),
        messages.open_hold(merchant="m", type="t"),
    ):
        assert call.body is not None
        assert call.key == call.body["idempotencyKey"]
    assert "k" == messages.refund("t", key="k").key


def test_an_answer_is_read_as_it_is_written() -> None:
    call = messages.charge(ChargeFields("m", "image", key="k"))
    charge = call.read(envelope({**CHARGED, "ofNextYear": [1]}, idempotent_replay="true"))
    expected = answers.Charge("xfer_1", Decimal("0.10"), Decimal("99.90"), Decimal("89.90"), None, True, "k")
    assert expected == charge
    assert ("0.10", None) == (str(charge.cost), charge.uncollected)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "1.00",
        {},
        {**CHARGED, "cost": None},
        {**CHARGED, "cost": 0.1},
        {**CHARGED, "cost": "a lot"},
        {**CHARGED, "cost": ["0.10"]},
    ],
)
def test_an_answer_that_is_none_is_told_and_never_taken_for_a_refusal(data: Any) -> None:
    call = messages.charge(ChargeFields("m", "image", key="k"))
    with pytest.raises(UnexpectedAnswer) as told:
        call.read(envelope(data))
    assert ("k", False, 200) == (told.value.key, told.value.is_known, told.value.status)


@pytest.mark.parametrize("content", [b"", b"<html>hello</html>", b"[]", b"3", b'{"data":"1.00"}', b"\xff\xfe", b"{"])
@pytest.mark.parametrize(("status", "is_known"), [(200, False), (204, False), (404, True), (408, False), (502, False)])
def test_what_is_no_envelope_is_another_s_answer(content: bytes, status: int, is_known: bool) -> None:
    call = messages.charge(ChargeFields("m", "image", key="k"))
    with pytest.raises(UnexpectedAnswer) as told:
        call.read(Answer(status, {}, content))
    assert (status, "k", is_known) == (told.value.status, told.value.key, told.value.is_known)


def test_a_long_page_of_a_proxy_is_told_in_short() -> None:
    with pytest.raises(UnexpectedAnswer) as told:
        messages.account().read(Answer(502, {}, b"x" * 100_000))
    assert len(str(told.value)) < 300


def test_refusals_are_of_their_classes_and_tell_when_to_ask_again() -> None:
    with pytest.raises(InvalidApiKey, match="Invalid API key") as told:
        messages.account().read(envelope(None, 401, "Invalid API key", x_error_code="invalid_api_key"))
    assert (401, "invalid_api_key", None) == (told.value.status, told.value.code, told.value.retry_after)
    with pytest.raises(RateLimited) as limited:
        messages.account().read(envelope(None, 429, "slowly", x_error_code="rate_limited", retry_after="7"))
    assert 7.0 == limited.value.retry_after


def test_what_waits_for_another_person_is_not_done() -> None:
    with pytest.raises(ApprovalRequired) as waits:
        messages.refund("xfer_1").read(envelope({"approvalId": "appr_1"}, 202))
    assert {"approvalId": "appr_1"} == waits.value.data


def test_outcomes_of_a_batch_are_the_charges_own() -> None:
    charges = [ChargeFields("m", "image", key=key) for key in "ab"]
    refused = {"isSuccess": False, "statusCode": 402, "errorCode": "insufficient_balance", "errorMessage": "too little"}
    made = {"isSuccess": True, "statusCode": 200, "errorCode": None, "errorMessage": None, "isReplay": True}
    outcomes = [{**made, "data": CHARGED}, {**refused, "isReplay": False, "data": None}]
    call = messages.charge_batch(charges)
    charge, error = call.read(envelope({"outcomes": outcomes}))
    assert isinstance(charge, answers.Charge)
    assert isinstance(error, FareboxError)
    assert (True, "a") == (charge.is_replay, charge.key)
    assert ("b", 402, "insufficient_balance") == (error.key, error.status, error.code)
    for wrong in ([], outcomes[:1], [*outcomes, *outcomes], [None, None]):
        with pytest.raises(UnexpectedAnswer):
            call.read(envelope({"outcomes": wrong}))


@pytest.mark.parametrize(
    "url", ["", "farebox.example", "ftp://farebox.example", "http://", "https://a/api", "http://a?b=c"]
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        checked_base_url(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://a.example/farebox", "http://[::1]:80"])
def test_a_base_url_may_end_in_a_slash(url: str) -> None:
    assert [url, url] == [checked_base_url(url), checked_base_url(f"{url}/")]


async def test_a_key_that_is_empty_is_sent_as_it_is(connect: Connect, site: Site) -> None:
    """A key of the client's own in its place would charge twice what its caller takes to be one request."""
    client = connect(site.server.url, key=site.seeds.service_key)
    try:
        with pytest.raises(InvalidValue, match="idempotencyKey"):
            await client.charge(merchant=site.seeds.merchant, type="image", key="")
        with pytest.raises(InvalidValue, match="idempotencyKey"):
            await client.open_hold(merchant=site.seeds.merchant, type="image", key="")
    finally:
        await client.aclose()
