"""Webhooks carry the trace of the request that caused their event, from a real server to a real receiver."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from farebox.core.alerts import EVENT_TYPES, AlertKind
from tests.support.postgres import Databases
from tests.support.server import Seeds, Server, seeded
from tests.support.trace_collector import TraceCollector, trace_collector
from tests.tracing.test_traces import CALLER, tracing
from tests.webhooks.receiver import Receiver

ROOT: Final = Path(__file__).parents[2]
TOP_UP: Final = EVENT_TYPES[AlertKind.TOP_UP]
USED_UP: Final = EVENT_TYPES[AlertKind.USED_UP]
TRACED: Final = "1" * 32
OF_A_BATCH: Final = "2" * 32
WAIT_S: Final = 30


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: Databases) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'farebox.db'}"
    else:
        with postgres_server.database() as url:
            yield url


def _header(trace: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{CALLER}-01"}


class _Told:
    """A server, and what a receiver of its events is told."""

    def __init__(self, server: Server, seeds: Seeds, receiver: Receiver, client: httpx.AsyncClient) -> None:
        self.seeds = seeds
        self.receiver = receiver
        self._client = client
        self._url = server.url

    async def post(self, path: str, key: str, body: dict[str, Any], trace: str | None = None) -> Any:
        headers = {"x-api-key": key, **({} if trace is None else _header(trace))}
        answer = await self._client.post(self._url + path, json=body, headers=headers, timeout=WAIT_S)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    async def top_up(self, reference: str, trace: str | None) -> None:
        body = {"amount": "0.02", "reference": reference}
        path = f"/api/admin/merchants/{self.seeds.merchant}/topups"
        await self.post(path, self.seeds.support_key, body, trace)

    async def headers(self, count: int) -> list[tuple[str, str | None]]:
        """Wait for so many messages in all; return the type and the trace's header of each, in order."""
        async with asyncio.timeout(WAIT_S):
            while len(self.receiver.received) < count:
                await asyncio.sleep(0.02)
        return [
            (
                next(kind for kind in (TOP_UP, USED_UP) if f'"{kind}"' in request.body),
                request.headers.get("traceparent"),
            )
            for request in self.receiver.received
        ]


def _span(collector: TraceCollector, trace: str, name: str) -> str:
    (told,) = [span for span in collector.wait_for(name, 1) if span.trace_id == trace]
    return f"00-{trace}-{told.span_id}-01"


async def test_a_webhook_carries_the_span_of_the_request_that_caused_it_and_no_other(database_url: str) -> None:
    seeds = await asyncio.to_thread(seeded, database_url, balance="0.02")
    receiver = Receiver()
    await receiver.start()
    settings = {
        "FAREBOX_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "FAREBOX_SECRET_KEY": secrets.token_hex(32),
        "PYTHONPATH": str(ROOT),
    }
    with trace_collector() as collector:
        environment = tracing(collector.url, OTEL_TRACES_SAMPLER_ARG="0", **settings)
        # It soon sends again.
        server = Server(database_url, environment=environment, program="tests.torture.told_server")
        await asyncio.to_thread(server.start)
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                told = _Told(server, seeds, receiver, client)
                await told.post(
                    f"/api/admin/merchants/{seeds.merchant}/destinations",
                    seeds.support_key,
                    {"channel": "webhook", "url": receiver.url, "types": [TOP_UP, USED_UP]},
                )
                receiver.answers["/"].append("500 later")
                await told.top_up("R-1", TRACED)
                await told.top_up("R-2", None)
                # The fourth and last finds no money, of the charges that come as one.
                charges = [
                    {"merchant": seeds.merchant, "type": "image", "quantity": quantity, "idempotencyKey": f"k{number}"}
                    for number, quantity in enumerate((1, 2, 3, 4))
                ]
                await told.post("/api/charges/batch", seeds.service_key, {"charges": charges}, OF_A_BATCH)
                # A message that was not taken is sent again before those that come after it.
                found = await told.headers(4)
                traced = _span(collector, TRACED, "POST /api/admin/merchants/{id}/topups")
                of_a_batch = _span(collector, OF_A_BATCH, "POST /api/charges/batch")
                assert [(TOP_UP, traced), (TOP_UP, traced), (TOP_UP, None), (USED_UP, of_a_batch)] == found
        finally:
            await asyncio.to_thread(server.close)
            await receiver.stop()
