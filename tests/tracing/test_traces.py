"""A real server with several processes tells a real collector of each charge's way, whole and nested right."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

from farebox.config import Settings, SettingsError
from farebox_client import AsyncFarebox, Farebox
from tests.support import plain_http
from tests.support.postgres import Databases
from tests.support.server import Seeds, Server, free_port, seeded
from tests.support.trace_collector import ToldSpan, TraceCollector, trace_collector

STEPS: Final = ["queue", "lock", "load", "decide", "apply", "commit"]
WORKERS: Final = 2
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = "00f067aa0ba902b7"
SAMPLED: Final = f"00-{TRACE}-{CALLER}-01"


class Site:
    """A server that traces, its ledger, and its collector."""

    def __init__(self, server: Server, seeds: Seeds, collector: TraceCollector) -> None:
        self.server = server
        self.seeds = seeds
        self.collector = collector

    def charge(self, key: str, **headers: str) -> httpx.Response:
        return plain_http.post(
            f"{self.server.url}/api/charges",
            json={"merchant": self.seeds.merchant, "type": "image", "idempotencyKey": key},
            headers={"x-api-key": self.seeds.service_key, **headers},
        )


def tracing(collector_url: str, **more: str) -> dict[str, str]:
    return {
        "FAREBOX_TRACING": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector_url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        **more,
    }


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: Databases
) -> Iterator[Site]:
    """A site on each engine, whose server traces what its callers ask to trace and nothing else."""
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path_factory.mktemp('traces') / 'f.db'}" if is_sqlite else postgres_server.create_database()
    seeds = seeded(url)
    with trace_collector() as collector:
        settings = tracing(collector.url, OTEL_TRACES_SAMPLER_ARG="0")
        with Server(url, workers=WORKERS, environment=settings) as server:
            site = Site(server, seeds, collector)
            _wait_for_processes(site)
            yield site
    if not is_sqlite:
        postgres_server.drop_database(url)


def _wait_for_processes(site: Site) -> None:
    """Wait until every process of the server has answered."""
    deadline = time.monotonic() + 60
    while len({span.process for span in site.collector.spans}) < WORKERS:
        assert time.monotonic() < deadline
        answer = plain_http.get(f"{site.server.url}/healthz", headers={"traceparent": SAMPLED})
        assert 200 == answer.status_code
        time.sleep(0.02)


def _of_trace(collector: TraceCollector, trace_id: str) -> ToldSpan:
    (root,) = [span for span in collector.named("POST /api/charges") if span.trace_id == trace_id]
    return root


def test_a_charges_way_is_told_whole_and_nested_right(site: Site) -> None:
    assert 200 == site.charge("whole", traceparent=SAMPLED, tracestate="vendor=1").status_code
    site.collector.wait_for("POST /api/charges", 1)
    site.collector.wait_for("batch", 1)
    request = _of_trace(site.collector, TRACE)
    assert (CALLER, "vendor=1") == (request.parent_id, request.trace_state)
    assert {
        "http.request.method": "POST",
        "http.route": "/api/charges",
        "http.response.status_code": 200,
        "farebox.outcome": "ok",
    } == request.attributes
    steps = site.collector.children(request)
    assert STEPS == [span.name for span in steps]
    assert {TRACE} == {span.trace_id for span in steps}
    # Each begins where the one before it ends, and all within the request.
    times = [request.start, *(span.start for span in steps), steps[-1].end, request.end]
    assert times == sorted(times)
    assert [span.end for span in steps[:-1]] == [span.start for span in steps[1:]]
    (batch,) = [span for span in site.collector.named("batch") if request.span_id in span.links]
    assert [batch.span_id] == request.links
    assert ("", 1) == (batch.parent_id, batch.attributes["farebox.batch.commands"])
    assert batch.trace_id != request.trace_id
    assert (steps[1].start, steps[-1].end) == (batch.start, batch.end)


def test_charges_of_one_batch_share_its_span(site: Site) -> None:
    """Under load, in every process; each charge's own spans stay with it."""
    count = 60

    async def charge_all() -> None:
        async with plain_http.async_client(timeout=30) as client:

            async def charge(number: int) -> None:
                answer = await client.post(
                    f"{site.server.url}/api/charges",
                    json={
                        "merchant": site.seeds.merchant,
                        "type": "image",
                        "idempotencyKey": f"shared-{number}",
                    },
                    headers={
                        "x-api-key": site.seeds.service_key,
                        "traceparent": f"00-{number + 1:032x}-{CALLER}-01",
                    },
                )
                assert 200 == answer.status_code

            await asyncio.gather(*(charge(number) for number in range(count)))

    asyncio.run(charge_all())
    site.collector.wait_for("POST /api/charges", count)
    time.sleep(0.5)
    requests = [_of_trace(site.collector, f"{number + 1:032x}") for number in range(count)]
    batches = {span.span_id: span for span in site.collector.named("batch")}
    for request in requests:
        assert STEPS == [span.name for span in site.collector.children(request)]
        (batch_id,) = request.links
        assert request.span_id in batches[batch_id].links
        assert request.process == batches[batch_id].process
    assert len({request.links[0] for request in requests}) < count


def test_a_request_whose_caller_does_not_ask_for_it_is_not_traced(site: Site) -> None:
    """Nor one with a header that makes no sense; each is answered all the same."""
    before = len(site.collector.named("POST /api/charges"))
    wrong = ["", "nonsense", f"ff-{TRACE}-{CALLER}-01", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE[1:]}-{CALLER}-01"]
    for number, traceparent in enumerate([f"00-{TRACE}-{CALLER}-00", *wrong, "0" * 9_000]):
        assert 200 == site.charge(f"untraced-{number}", traceparent=traceparent).status_code
    assert 200 == site.charge("no-header").status_code
    marker = "5" * 32
    assert 200 == site.charge("last", traceparent=f"00-{marker}-{CALLER}-01").status_code
    site.collector.wait_for("POST /api/charges", before + 1)
    time.sleep(0.3)
    assert before + 1 == len(site.collector.named("POST /api/charges"))


def test_the_python_clients_hand_the_present_span_on(site: Site) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("a service")
    with Farebox(site.server.url, key=site.seeds.service_key) as blocking, tracer.start_as_current_span("work") as span:
        blocking.charge(merchant=site.seeds.merchant, type="image")

    async def charge() -> Span:
        async with AsyncFarebox(site.server.url, key=site.seeds.service_key) as client:
            with tracer.start_as_current_span("more work") as work:
                await client.charge(merchant=site.seeds.merchant, type="image")
            return work

    other = asyncio.run(charge())
    contexts = [one.get_span_context() for one in (span, other)]
    wanted = {f"{one.span_id:016x}" for one in contexts}
    deadline = time.monotonic() + 30
    while wanted - {told.parent_id for told in site.collector.spans} and time.monotonic() < deadline:
        time.sleep(0.05)
    parents = {told.parent_id: told.trace_id for told in site.collector.spans if told.parent_id in wanted}
    assert {f"{one.span_id:016x}": f"{one.trace_id:032x}" for one in contexts} == parents


def test_a_client_whose_service_does_not_trace_imports_nothing_of_it() -> None:
    script = (
        "import sys; from farebox_client.tracing import present_trace;assert not present_trace(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "opentelemetry" not in done.stdout


def test_no_secret_and_no_strangers_text_is_told(site: Site) -> None:
    headers = {"traceparent": SAMPLED}
    gets = len(site.collector.named("GET"))
    key = {"x-api-key": site.seeds.merchant_key}
    with plain_http.client(base_url=site.server.url, headers=headers) as client:
        assert 200 == client.get("/api/balance", headers=key).status_code
        assert 404 == client.get("/api/words-of-a-stranger", headers=key).status_code
        assert 403 == client.get(f"/api/admin/merchants/{site.seeds.merchant}", headers=key).status_code
        client.get("/unsubscribe/token-of-a-person?key=value-of-a-query")
    site.collector.wait_for("GET /api/balance", 1)
    site.collector.wait_for("GET /api/admin/merchants/{id}", 1)
    site.collector.wait_for("GET", gets + 2)
    told = repr(site.collector.spans)
    secret = site.seeds.merchant_key
    texts = ("words-of", "token-of", "value-of", secret, site.seeds.service_key, site.seeds.merchant, secret[5:20])
    assert [] == [text for text in texts if text in told]


def test_a_collector_that_is_away_holds_up_no_charge_and_no_stop(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeds = seeded(url)
    settings = tracing(f"http://127.0.0.1:{free_port()}", OTEL_TRACES_SAMPLER="always_on")
    with Server(url, environment=settings) as server:
        site = Site(server, seeds, TraceCollector(""))
        took = []
        for number in range(30):
            begun = time.monotonic()
            assert 200 == site.charge(f"{number}").status_code
            took.append(time.monotonic() - begun)
        assert max(took) < 5
        begun = time.monotonic()
        assert 0 == server.stop()
        assert time.monotonic() - begun < 15


def test_one_of_a_hundred_is_traced_unless_told_otherwise() -> None:
    script = (
        "from farebox.tracing.traces import Traces\n"
        "traces = Traces('sqlite')\n"
        "print(sum(traces.begin('GET', []) is not None for _ in range(20_000)))"
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert 100 < int(done.stdout) < 300


def test_a_server_that_does_not_trace_imports_nothing_of_it() -> None:
    script = "import farebox.server, sys; farebox.server.web_app(); print(*sys.modules)"
    environment = {**os.environ, "FAREBOX_DATABASE_URL": "sqlite:///none.db"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert not [name for name in imported if name.startswith(("opentelemetry", "farebox.tracing"))]


def test_traces_without_what_they_need_end_the_start(tmp_path: Path) -> None:
    """The modules are hidden from a process of its own, as if the extra had not been installed."""
    (tmp_path / "opentelemetry").mkdir()
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.argv = ['farebox', 'serve'];"
        "from farebox.cli.main import cli; cli()"
    )
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "FAREBOX_TRACING": "on", "FAREBOX_DATABASE_URL": f"sqlite:///{tmp_path / 'f.db'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == done.returncode
    assert "pip install 'farebox[tracing]'" in done.stderr
    with pytest.raises(SettingsError, match=r"FAREBOX_TRACING.*on or off"):
        Settings.load({"FAREBOX_TRACING": "yes"}, tmp_path)
