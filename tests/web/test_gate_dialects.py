"""The gate answers each kind of proxy in the way that it understands, and charges each request once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core.commands import KeyKind
from farebox.service.gate.tokens import NOTHING, GateToken, Mode
from farebox.service.people.api_keys import make_key
from tests.support.app_client import AppClient, Reply, check_envelope, open_client
from tests.support.clock import later
from tests.support.postgres import Databases
from tests.support.server import Seeds, empty, open_farebox, seed
from tests.web.gate import (
    CADDY,
    ENVOY,
    NGINX,
    PLAIN,
    PROXIES,
    SECRET,
    SIGNER,
    TRAEFIK,
    WITH_IDS,
    Proxy,
    gate_client,
    request_id,
    told,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE: Final = 40
every_proxy: Final = pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
every_proxy_with_ids: Final = pytest.mark.parametrize("proxy", WITH_IDS, ids=lambda proxy: proxy.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def farebox(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Farebox]:
    """Farebox's parts over an empty ledger on each engine in turn, running, with a gate's secret."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'farebox.db'}"
        if request.param == "postgres":
            server: Databases = request.getfixturevalue("postgres_server")
            url = stack.enter_context(server.database())
        async with open_farebox(url, gate_secret=SECRET) as farebox:
            yield farebox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(farebox: Farebox) -> AppClient:
    return await gate_client(farebox)


@pytest_asyncio.fixture(loop_scope="module")
async def seeds(farebox: Farebox) -> Seeds:
    return await seed(farebox)


async def available(gate: AppClient, seeds: Seeds) -> Decimal:
    return Decimal((await gate.get("/api/balance", seeds.merchant_key)).data)


async def refused(
    gate: AppClient, proxy: Proxy, method: str, target: str, key: str | None, *more: tuple[str, str]
) -> Reply:
    """Ask about a request that is refused, and return what its client is answered."""
    reply = await proxy.ask(gate, method, target, key, more=more)
    if proxy is NGINX:
        signed = reply.header("x-farebox-refusal")
        assert signed is not None
        assert (b"", "0") == (reply.body, reply.header("content-length"))
        first, handed_back = reply, (("X-Gate-Secret", SECRET), ("X-Farebox-Refusal", signed))
        reply = await gate.send(method, "/gate/refused", headers=handed_back)
        assert (401 if reply.status == 401 else 403) == first.status
    check_envelope(reply)
    return reply


def token_of(farebox: Farebox, reply: Reply) -> GateToken:
    text = told(reply)[-1]
    assert text is not None
    return SIGNER.read_token(text, farebox.clock.now() // 1_000_000)


@every_proxy
async def test_a_request_that_pays_passes_with_200_and_no_body(
    farebox: Farebox, gate: AppClient, seeds: Seeds, proxy: Proxy
) -> None:
    reply = await proxy.ask(gate, "POST", "/v1/images?size=1", seeds.merchant_key)
    assert (200, b"", "0") == (reply.status, reply.body, reply.header("content-length"))
    merchant, transfer, hold, _ = told(reply)
    mode, subject, other = (Mode.HOLD, hold, transfer) if proxy is TRAEFIK else (Mode.CHARGE, transfer, hold)
    assert (seeds.merchant, NOTHING) == (merchant, other)
    token = token_of(farebox, reply)
    assert (mode, seeds.merchant, subject) == (token.mode, token.merchant, token.subject)
    assert ("image", 1, None, None) == (token.request_type, token.quantity, token.quantities, token.amount)
    assert Decimal("99.99") == await available(gate, seeds)


@every_proxy_with_ids
async def test_asking_again_about_one_request_charges_once_and_is_answered_alike(
    farebox: Farebox, gate: AppClient, seeds: Seeds, proxy: Proxy
) -> None:
    for method, target, cost in (
        ("POST", "/v1/images", "0.01"),
        ("GET", "/v1/images/7", "0.01"),
        ("POST", "/v1/batches/large", "0.05"),
        ("POST", "/v1/calls", "0.25"),
    ):
        before, request = await available(gate, seeds), request_id()
        first = await proxy.ask(gate, method, target, seeds.merchant_key, request=request)
        # A kept connection may have died long ago, and the clock gone on meanwhile.
        with later(farebox, seconds=3):
            again = [await proxy.ask(gate, method, target, seeds.merchant_key, request=request) for _ in range(3)]
        assert {(200, told(first))} == {(reply.status, told(reply)) for reply in again}
        assert Decimal(cost) == before - await available(gate, seeds)


@every_proxy_with_ids
async def test_many_asks_at_once_about_one_request_charge_once(gate: AppClient, seeds: Seeds, proxy: Proxy) -> None:
    for method, target in (("POST", "/v1/images"), ("DELETE", "/v1/images/7")):
        before, request = await available(gate, seeds), request_id()
        replies = await asyncio.gather(
            *(proxy.ask(gate, method, target, seeds.merchant_key, request=request) for _ in range(AT_ONCE))
        )
        assert 1 == len({(reply.status, told(reply)) for reply in replies})
        assert Decimal("0.01") == before - await available(gate, seeds)


async def test_without_an_id_of_the_proxys_every_ask_sets_the_cost_aside(gate: AppClient, seeds: Seeds) -> None:
    """It makes no difference which id the client sends: by its own it would pay once for everything."""
    own = (("X-Request-Id", "f" * 32),)
    answers = [told(await TRAEFIK.ask(gate, "POST", "/v1/images", seeds.merchant_key, more=own)) for _ in range(3)]
    assert 3 == len({hold for _, _, hold, _ in answers} - {NOTHING})
    assert Decimal("99.97") == await available(gate, seeds)


@every_proxy
async def test_a_held_request_is_captured_by_what_the_gate_told(
    farebox: Farebox, gate: AppClient, seeds: Seeds, proxy: Proxy
) -> None:
    reply = await proxy.ask(gate, "GET", "/v1/images/7", seeds.merchant_key)
    _, transfer, hold, _ = told(reply)
    assert (NOTHING, Mode.HOLD, hold) == (transfer, token_of(farebox, reply).mode, token_of(farebox, reply).subject)
    listed = (await gate.get(f"/api/holds?merchant={seeds.merchant}", seeds.service_key)).data["holds"]
    assert [hold] == [each["holdId"] for each in listed]
    captured = await gate.post(f"/api/holds/{hold}/capture", seeds.service_key, {"idempotencyKey": f"settled-{hold}"})
    assert "0.01" == captured.data["captured"]


async def test_a_hold_lasts_as_long_as_its_route_says(farebox: Farebox, gate: AppClient, seeds: Seeds) -> None:
    _, _, hold, _ = told(await NGINX.ask(gate, "GET", "/v1/images/7", seeds.merchant_key))
    path, content = f"/api/holds/{hold}/capture", {"idempotencyKey": "settled-late"}
    with later(farebox, seconds=125):
        assert "hold_expired" == (await gate.post(path, seeds.service_key, content)).code


@every_proxy
async def test_a_free_request_needs_a_good_key_and_a_public_one_needs_none(
    gate: AppClient, seeds: Seeds, proxy: Proxy
) -> None:
    reply = await proxy.ask(gate, "GET", "/v1/models", seeds.merchant_key)
    assert (200, b"", (seeds.merchant, NOTHING, NOTHING, NOTHING)) == (reply.status, reply.body, told(reply))
    for key in (None, make_key(KeyKind.MERCHANT, seeds.merchant_id)):
        assert (401, "invalid_api_key") == _answer(await refused(gate, proxy, "GET", "/v1/models", key))
    for key in (None, "anything", seeds.merchant_key):
        reply = await proxy.ask(gate, "GET", "/status", key)
        assert (200, b"", (NOTHING,) * 4) == (reply.status, reply.body, told(reply))
    assert Decimal(100) == await available(gate, seeds)


@every_proxy
async def test_refusals_are_told_by_status_name_and_envelope(
    farebox: Farebox, gate: AppClient, seeds: Seeds, proxy: Proxy
) -> None:
    poor, closed, frozen = await seed(farebox, balance=None), await seed(farebox), await seed(farebox)
    await empty(farebox, closed.merchant_id, is_closed=True)
    await farebox.services.operations.set_frozen(frozen.merchant_id, is_frozen=True, principal=None)
    for status, code, method, target, key in (
        (401, "invalid_api_key", "POST", "/v1/images", None),
        (401, "invalid_api_key", "POST", "/v1/images", "fbm_nonsense"),
        (401, "invalid_api_key", "POST", "/v1/images", make_key(KeyKind.MERCHANT, seeds.merchant_id)),
        (401, "invalid_api_key", "POST", "/v1/images", make_key(KeyKind.SERVICE)),
        (403, "forbidden", "POST", "/v1/images", seeds.service_key),
        (401, "invalid_api_key", "POST", "/v1/images", closed.merchant_key),
        (401, "invalid_api_key", "GET", "/v1/images/7", closed.merchant_key),
        (401, "invalid_api_key", "GET", "/v1/models", closed.merchant_key),
        (403, "merchant_frozen", "POST", "/v1/images", frozen.merchant_key),
        (402, "insufficient_balance", "POST", "/v1/images", poor.merchant_key),
        (402, "insufficient_balance", "GET", "/v1/images/7", poor.merchant_key),
        (422, "unknown_type", "POST", "/v1/unpriced", seeds.merchant_key),
        (403, "route_refused", "GET", "/internal/metrics", seeds.merchant_key),
        (404, "route_not_found", "GET", "/v2/images", seeds.merchant_key),
        (405, "method_not_allowed", "PUT", "/v1/images", seeds.merchant_key),
        (400, "ambiguous_request", "POST", "/v1%2Fimages", seeds.merchant_key),
        (414, "target_too_long", "POST", "/v1/" + "x" * 9_000, seeds.merchant_key),
    ):
        reply = await refused(gate, proxy, method, target, key)
        assert (status, code) == _answer(reply), (method, target, reply)
    assert "POST" == (await refused(gate, proxy, "PUT", "/v1/images", seeds.merchant_key)).header("allow")
    assert Decimal(100) == await available(gate, seeds)


@every_proxy
async def test_a_request_that_could_not_pay_passes_once_its_merchant_can(
    farebox: Farebox, gate: AppClient, proxy: Proxy
) -> None:
    poor, request = await seed(farebox, balance=None), request_id()
    first = await proxy.ask(gate, "POST", "/v1/images", poor.merchant_key, request=request)
    await farebox.services.operations.top_up(poor.merchant_id, amount="1", reference="INV-2", note=None, principal=None)
    again = await proxy.ask(gate, "POST", "/v1/images", poor.merchant_key, request=request)
    assert (False, True) == (first.status == 200, again.status == 200)


@every_proxy
async def test_a_keys_budget_and_the_count_of_refusals_hold_at_the_gate(
    farebox: Farebox, gate: AppClient, seeds: Seeds, proxy: Proxy
) -> None:
    new = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    limit = {"day": "0.02"}
    key_id = (await gate.post("/api/keys/check", seeds.service_key, {"apiKey": new.text})).data["keyId"]
    assert 200 == (await gate.post(f"/api/admin/keys/{key_id}/budget", seeds.support_key, limit)).status
    for _ in range(2):
        assert 200 == (await proxy.ask(gate, "POST", "/v1/images", new.text)).status
    assert (402, "key_budget_exceeded") == _answer(await refused(gate, proxy, "POST", "/v1/images", new.text))
    await farebox.refusal_counts.write()
    counted = (await gate.get("/api/refusals", seeds.merchant_key)).data
    assert "key_budget_exceeded" in str(counted)


@every_proxy
async def test_nobody_is_answered_without_the_secret(gate: AppClient, seeds: Seeds, proxy: Proxy) -> None:
    answers = set()
    for secret in (None, "", SECRET[:-1], SECRET + "0", SECRET.upper(), "x" * 10_000):
        reply = await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key, secret=secret)
        check_envelope(reply)
        answers.add((*_answer(reply), reply.body))
    # Twice is not once, whichever of the two is right.
    for more in (("X-Gate-Secret", SECRET), ("X-Gate-Secret", "wrong")):
        reply = await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key, more=(more,))
        answers.add((*_answer(reply), reply.body))
    assert 1 == len(answers)
    assert (403, "forbidden") == answers.pop()[:2]
    assert Decimal(100) == await available(gate, seeds)


async def test_what_is_no_path_of_the_gate_is_not_there(farebox: Farebox, gate: AppClient) -> None:
    secret = (("X-Gate-Secret", SECRET),)
    for path in ("/gate/", "/gate/nginx/", "/gate/envoy", "/gate/Nginx", "/gate/refused/x", "/%67ate/nginx"):
        reply = await gate.get(path, headers=secret)
        assert (404, "not_found") == _answer(reply), path
        assert 403 == (await gate.get(path)).status
    # And none is there where no file of rules is named.
    client = await open_client(farebox)
    for path in ("/gate/nginx", "/gate/refused", "/gate/envoy/v1/images"):
        assert 404 == (await client.get(path, headers=secret)).status


@every_proxy
async def test_headers_of_another_dialect_tell_nothing(gate: AppClient, seeds: Seeds, proxy: Proxy) -> None:
    """A client may send them: its proxy hands on what it does not set."""
    forged = tuple(
        (name, value)
        for other in PROXIES
        for name, value in ((other.method, "GET"), (other.target, "/status"))
        if name is not None and name not in (proxy.method, proxy.target)
    )
    forged += (("X-Farebox-Refusal", "-"), ("X-Transfer-Id", "xfer_1"), ("X-Merchant-Id", "mer_1"))
    reply = await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key, more=forged)
    assert (200, seeds.merchant) == (reply.status, told(reply)[0])
    assert Decimal("99.99") == await available(gate, seeds)


@every_proxy
async def test_a_header_that_is_missing_or_comes_twice_is_a_fault_of_the_proxys(
    gate: AppClient, seeds: Seeds, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    status = 403 if proxy is ENVOY else 500
    names = [name for name in (proxy.method, proxy.target, proxy.id) if name is not None]
    for name in names:
        reply = await refused(gate, proxy, "POST", "/v1/images", seeds.merchant_key, (name, "again"))
        assert (status, "gate_misconfigured") == _answer(reply), name
        assert f"more than once {name.title()}" in caplog.text
    if proxy.id is not None:
        for bad in ("", "short", "x" * 121, "with space in it, long", "\xe4" * 20):
            reply = await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key, request=bad or " ")
            assert (403 if proxy in (NGINX, ENVOY) else 500) == reply.status
    assert Decimal(100) == await available(gate, seeds)


@pytest.mark.parametrize("proxy", [NGINX, CADDY, PLAIN], ids=lambda proxy: proxy.name)
async def test_a_proxy_that_must_name_requests_and_does_not_is_refused(
    gate: AppClient, seeds: Seeds, proxy: Proxy
) -> None:
    nameless = Proxy(proxy.name, proxy.path, proxy.method, proxy.target, None)
    reply = await nameless.ask(gate, "POST", "/v1/images", seeds.merchant_key)
    assert (403 if proxy is NGINX else 500) == reply.status
    assert Decimal(100) == await available(gate, seeds)


async def test_a_refusal_that_was_not_signed_here_is_rendered_as_an_outage(gate: AppClient, seeds: Seeds) -> None:
    signed = (await NGINX.ask(gate, "GET", "/v2/images", seeds.merchant_key)).header("x-farebox-refusal")
    assert signed is not None
    token = told(await NGINX.ask(gate, "POST", "/v1/images", seeds.merchant_key))[-1]
    forged = [None, "", "-", "r1..", signed[:-1], signed.swapcase(), "x" * 20_000, str(token), "\xe4"]
    for text in forged:
        headers = [("X-Gate-Secret", SECRET), *([] if text is None else [("X-Farebox-Refusal", text)])]
        reply = await gate.get("/gate/refused", headers=headers)
        check_envelope(reply)
        assert (503, "unavailable", "1") == (*_answer(reply), reply.header("retry-after"))
    twice = [("X-Gate-Secret", SECRET), ("X-Farebox-Refusal", signed), ("X-Farebox-Refusal", signed)]
    assert 503 == (await gate.get("/gate/refused", headers=twice)).status
    assert 403 == (await gate.get("/gate/refused", headers=[("X-Farebox-Refusal", signed)])).status


def _answer(reply: Reply) -> tuple[int, str | None]:
    return reply.status, reply.code
