"""What the how-tos tell services to do, as it stands there, against a server."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

import farebox_client
from farebox.core.outcomes import Code
from farebox.service.price_texts import read_rule
from farebox.web.envelope import STATUS
from farebox_client import AsyncFarebox, CaptureExceedsHold, Farebox, InsufficientBalance
from tests.docs.pages import fences
from tests.support.server import Seeds, Server, open_farebox, seed

HOW_TO: Final = Path(__file__).parents[2] / "docs" / "how-to"
RULE: Final = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1_000_000},
        {"name": "output", "amount": "0.60", "per": 1_000_000},
    ]
}


def _programs(name: str) -> list[str]:
    """Return a page's programs in Python."""
    return fences(HOW_TO / name, "python")


class Site:
    """A running server, a merchant with a little, and one with nothing."""

    def __init__(self, server: Server, seeds: Seeds, poor_key: str) -> None:
        self.server = server
        self.seeds = seeds
        self.poor_key = poor_key


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    async def prepare() -> tuple[Seeds, str]:
        async with open_farebox(database) as farebox:
            seeds = await seed(farebox, balance="1")
            await farebox.services.prices.set("chat", None, rule=read_rule("rule", RULE))
            _, _, poor = await farebox.services.merchants.create(
                name="Southwind Imaging", currency="USD", thresholds=[], credit_limit="0"
            )
            return seeds, poor.text

    seeds, poor_key = asyncio.run(prepare())
    with Server(database) as server:
        yield Site(server, seeds, poor_key)


# What to do on 402, 409 and 503.


def test_the_table_of_refusals_names_what_there_is() -> None:
    page = (HOW_TO / "what-to-do-on-402-409-503.md").read_text(encoding="utf-8")
    statuses = {code.value: str(status) for code, status in STATUS.items()}
    statuses |= {"rate_limited": "429", "outcome_unknown": "500", "internal_error": "500"}
    statuses |= dict.fromkeys(["overloaded", "unavailable", "database_replaced"], "503")
    told: dict[str, str] = {}
    for line in page.splitlines():
        if found := re.match(r"\| (\d{3}) \| (`[a-z_`, ]+`) \|", line):
            told |= dict.fromkeys(re.findall("`([a-z_]+)`", found[2]), found[1])
    assert {name: statuses[name] for name in told} == told
    assert {code.value for code, status in STATUS.items() if status in (402, 503)} <= told.keys()
    assert Code.IDEMPOTENCY_CONFLICT.value in told


def test_a_service_tells_its_caller_what_became_of_its_charge(site: Site) -> None:
    (program,) = _programs("what-to-do-on-402-409-503.md")
    names: dict[str, Any] = {"__name__": "service"}
    exec(program, names)
    pay = names["pay"]
    with Farebox(site.server.url, key=site.seeds.service_key) as farebox:
        assert (200, "OK") == pay(farebox, site.seeds.merchant_key, "job-1")
        assert (200, "OK") == pay(farebox, site.seeds.merchant_key, "job-1")
        status, message = pay(farebox, site.poor_key, "job-1")
        assert (402, True) == (status, message.startswith("Insufficient balance"))
        assert (401, "Invalid API key") == pay(farebox, "fbm_unknown", "job-1")
        farebox.charge(merchant=site.seeds.merchant_key, type="image", quantity=2, key="job-2")
        assert (500, "Internal server error") == pay(farebox, site.seeds.merchant_key, "job-2")
    assert set() == names["unsettled"]
    with Farebox("http://127.0.0.1:9", key=site.seeds.service_key, attempts=1) as nowhere:
        assert (503, "Try again later") == pay(nowhere, site.seeds.merchant_key, "job-3")


# Meter a streaming API.


def _metering() -> dict[str, Any]:
    """Return the page's functions, with a model of one token for each word."""
    names: dict[str, Any] = {"Hold": farebox_client.Hold, "Capture": farebox_client.Capture}

    async def generate(prompt: str, output_max: int) -> str:
        if prompt == "fail":
            raise RuntimeError(prompt)
        return "one two three"

    async def stream(prompt: str, output_max: int) -> AsyncIterator[str]:
        if prompt == "fail":
            raise RuntimeError(prompt)
        for word in ("one", "two", "three"):
            yield word

    names |= {"count_tokens": lambda text: 1000 * len(text.split()), "generate": generate, "stream": stream}
    programs = _programs("meter-a-streaming-api.md")
    assert 3 == len(programs)
    for program in programs:
        exec(program, names)
    return names


async def _available_and_held(site: Site) -> tuple[Decimal, Decimal]:
    async with AsyncFarebox(site.server.url, key=site.seeds.merchant_key) as own:
        account = await own.account()
        return account.available, account.held


async def test_an_answer_that_comes_whole_is_charged_by_its_tokens(site: Site) -> None:
    answer = _metering()["answer"]
    async with AsyncFarebox(site.server.url, key=site.seeds.service_key) as farebox:
        before, _ = await _available_and_held(site)
        assert "one two three" == await answer(farebox, site.seeds.merchant_key, "count to three")
        after, held = await _available_and_held(site)
        # 3,000 tokens each way.
        assert (Decimal("0.00225"), Decimal(0)) == (before - after, held)
        with pytest.raises(RuntimeError):
            await answer(farebox, site.seeds.merchant_key, "fail")
        assert (after, Decimal(0)) == await _available_and_held(site)
        with pytest.raises(InsufficientBalance):
            await answer(farebox, site.poor_key, "count to three")


async def test_a_stream_is_charged_by_what_was_delivered_however_it_ends(site: Site) -> None:
    names = _metering()
    # So that each token extends the hold.
    names["timedelta"] = lambda seconds: timedelta(days=365)
    async with AsyncFarebox(site.server.url, key=site.seeds.service_key) as farebox:
        before, _ = await _available_and_held(site)
        whole = [token async for token in names["stream_answer"](farebox, site.seeds.merchant_key, "go")]
        assert ["one", "two", "three"] == whole
        async with AsyncFarebox(site.server.url, key=site.seeds.merchant_key) as own:
            kinds = [transfer.kind async for transfer in own.transfers()][:3]
        assert ["release", "capture", "hold"] == kinds
        # Then a caller who leaves after the first one. Each is rounded by itself.
        leaving = names["stream_answer"](farebox, site.seeds.merchant_key, "go")
        assert "one" == await anext(leaving)
        await leaving.aclose()
        after, held = await _available_and_held(site)
        assert (Decimal("0.000152") + Decimal("0.000151"), Decimal(0)) == (before - after, held)
        with pytest.raises(RuntimeError):
            await anext(names["stream_answer"](farebox, site.seeds.merchant_key, "fail"))
        assert (after, Decimal(0)) == await _available_and_held(site)


async def test_more_than_was_held_is_taken_where_that_is_asked_for(site: Site) -> None:
    capture_all = _metering()["capture_all"]
    async with AsyncFarebox(site.server.url, key=site.seeds.service_key) as farebox:
        at_most = {"input": 1000, "output": 1000}
        hold = await farebox.open_hold(merchant=site.seeds.merchant_key, type="chat", quantities=at_most)
        used = {"input": 1000, "output": 5000}
        with pytest.raises(CaptureExceedsHold):
            await farebox.capture(hold, quantities=used)
        capture = await capture_all(farebox, hold, used)
        assert capture.above is not None
        assert ("0.00075", "0.0024") == (str(capture.captured), str(capture.above.charged))
