"""What clients of a gated API are told when Farebox is in trouble, and how much of the gate each of them may have."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core.commands import KeyKind
from farebox.service.errors import FateUnknown, Overloaded, Unavailable
from farebox.service.people.api_keys import ParsedKey, make_key
from farebox.storage.interface import StoreUnavailable
from farebox.web.client_address import Addresses
from farebox.web.rate_limits import Limits
from tests.support.app_client import AppClient, Reply, check_envelope
from tests.support.server import open_farebox, seed
from tests.web.gate import ENVOY, NGINX, PROXIES, SECRET, Proxy, gate_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

every_proxy: Final = pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farebox(folder: Path) -> AsyncIterator[Farebox]:
    """Farebox's parts over an empty ledger, running, with a gate's secret."""
    async with open_farebox(f"sqlite:///{folder / 'farebox.db'}", gate_secret=SECRET) as farebox:
        yield farebox


async def told(gate: AppClient, proxy: Proxy, reply: Reply) -> tuple[int, str | None, str | None]:
    """Return what a proxy's client is told: status, name, when to try again."""
    if proxy is NGINX:
        assert reply.status in (401, 403)
        refusal = (("X-Gate-Secret", SECRET), ("X-Farebox-Refusal", str(reply.header("x-farebox-refusal"))))
        reply = await gate.get("/gate/refused", headers=refusal)
    elif reply.status == 503:
        check_envelope(reply)
    return reply.status, reply.code, reply.header("retry-after")


@every_proxy
@pytest.mark.parametrize(
    ("error", "status", "code", "again"),
    [
        (Overloaded, 503, "overloaded", "1"),
        (Unavailable, 503, "unavailable", "1"),
        (FateUnknown, 500, "outcome_unknown", None),
        (RuntimeError, 500, "internal_error", None),
    ],
)
async def test_trouble_is_told_as_the_api_tells_it_and_envoy_is_told_of_no_fault(
    farebox: Farebox,
    monkeypatch: pytest.MonkeyPatch,
    proxy: Proxy,
    error: type[Exception],
    status: int,
    code: str,
    again: str | None,
) -> None:
    gate, seeds = await gate_client(farebox), await seed(farebox)

    async def fail(*_: object) -> None:
        raise error

    for method, target in (("POST", "/v1/images"), ("GET", "/v1/images/7")):
        with monkeypatch.context() as patch:
            patch.setattr(farebox.committer, "submit", fail)
            reply = await proxy.ask(gate, method, target, seeds.merchant_key)
        assert ((429, code, "1") if proxy is ENVOY else (status, code, again)) == await told(gate, proxy, reply)
        if proxy is not NGINX:
            assert reply.status == reply.json()["statusCode"]
    assert 200 == (await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key)).status


@every_proxy
async def test_without_a_database_a_free_request_is_refused_and_a_public_one_passes(
    farebox: Farebox, monkeypatch: pytest.MonkeyPatch, proxy: Proxy
) -> None:
    gate, seeds = await gate_client(farebox), await seed(farebox)

    async def fail(*_: object) -> None:
        raise StoreUnavailable("could not connect to db.internal")

    with monkeypatch.context() as patch:
        for name in ("balances", "transact"):
            patch.setattr(farebox.stores.connector, name, fail)
        for method, target in (("GET", "/v1/models"), ("POST", "/v1/images")):
            reply = await proxy.ask(gate, method, target, seeds.merchant_key)
            status = 429 if proxy is ENVOY else 503
            assert (status, "unavailable", "1") == await told(gate, proxy, reply)
        assert 200 == (await proxy.ask(gate, "GET", "/status", None)).status


@every_proxy
async def test_keys_and_addresses_have_as_much_of_the_gate_as_of_the_api(farebox: Farebox, proxy: Proxy) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    addresses = Addresses((ip_network("127.0.0.1/32"),))
    limits = Limits(addresses, per_merchant_key=1, per_staff_key=0, failures_per_address=1, now=lambda: 1_000.0)
    gate = await gate_client(farebox, limits=limits)
    # Five seconds' worth of one key, by the API and at the gate together.
    assert 200 == (await gate.get("/api/balance", seeds.merchant_key)).status
    for _ in range(4):
        assert 200 == (await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key)).status
    reply = await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key)
    assert (429, "rate_limited", "1") == await told(gate, proxy, reply)
    assert 200 == (await proxy.ask(gate, "POST", "/v1/images", other.merchant_key)).status
    # Ten seconds' worth of bad keys from one address that the proxy names; requests for what is public are none.
    bad, good = (("X-Forwarded-For", address) for address in ("203.0.113.7", "203.0.113.8"))
    for _ in range(10):
        key = make_key(KeyKind.MERCHANT, seeds.merchant_id)
        reply = await proxy.ask(gate, "GET", "/v1/models", key, more=(bad,))
        assert (401, "invalid_api_key", None) == await told(gate, proxy, reply)
    reply = await proxy.ask(gate, "GET", "/v1/models", make_key(KeyKind.MERCHANT, seeds.merchant_id), more=(bad,))
    assert (429, "rate_limited") == (await told(gate, proxy, reply))[:2]
    reply = await proxy.ask(gate, "GET", "/v1/models", make_key(KeyKind.MERCHANT, seeds.merchant_id), more=(good,))
    assert (401, "invalid_api_key") == (await told(gate, proxy, reply))[:2]
    assert 200 == (await proxy.ask(gate, "GET", "/status", None, more=(bad,))).status


@every_proxy
async def test_a_key_that_passes_is_one_that_was_used(farebox: Farebox, proxy: Proxy) -> None:
    seeds = await seed(farebox)
    used: list[ParsedKey] = []
    limits = Limits(Addresses(()), per_merchant_key=0, per_staff_key=0, failures_per_address=0, on_good=used.append)
    gate = await gate_client(farebox, limits=limits)
    await proxy.ask(gate, "POST", "/v1/images", make_key(KeyKind.MERCHANT, seeds.merchant_id))
    assert [] == used
    await proxy.ask(gate, "POST", "/v1/images", seeds.merchant_key)
    await proxy.ask(gate, "POST", "/v1/unpriced", seeds.merchant_key)
    assert [seeds.merchant_id] * 2 == [key.merchant_id for key in used]
