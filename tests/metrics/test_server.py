"""Metrics of real servers: of all their processes, by their own port or behind a token, and never by mistake."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Final

import httpx
import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from farebox.metrics.definitions import METRICS
from tests.support import plain_http
from tests.support.server import Seeds, Server, open_farebox, seed

REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
CHARGES: Final = 30
Told = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('metrics') / 'farebox.db'}"
    else:
        with request.getfixturevalue("postgres_server").database() as url:
            yield url


async def _seed(database_url: str) -> Seeds:
    async with open_farebox(database_url) as farebox:
        return await seed(farebox, balance="0.20")


def _read(port: int, token: str = "", *, accept: str = "") -> httpx.Response:
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
    return plain_http.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=30)


def _told(text: str) -> Told:
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _charge(server: Server, seeds: Seeds, number: int) -> int:
    return plain_http.post(
        f"{server.url}/api/charges",
        json={"merchant": seeds.merchant, "type": "image", "quantity": 1, "idempotencyKey": f"k{number}"},
        headers={"x-api-key": seeds.service_key},
        timeout=30,
    ).status_code


def test_a_server_of_two_processes_answers_for_both_and_forgets_nothing_of_a_killed_one(
    database_url: str, free_port: int
) -> None:
    seeds = asyncio.run(_seed(database_url))
    environment = {"FAREBOX_METRICS_ADDRESS": f"127.0.0.1:{free_port}"}
    with Server(database_url, workers=2, environment=environment) as server:
        statuses = [_charge(server, seeds, number) for number in range(CHARGES)]
        assert {200: 20, 402: 10} == {status: statuses.count(status) for status in set(statuses)}
        _charge(server, seeds, 0)
        time.sleep(1.5)
        for _ in range(6):
            told = _told(_read(free_port).text)
            assert 20 == told["farebox_charges_total", ("ok",)]
            assert 10 == told["farebox_charges_total", ("insufficient_balance",)]
            assert 1 == told["farebox_charges_total", ("replayed",)]
            assert 10 == told["farebox_refusals_total", ("insufficient_balance",)]
            assert 21 == told["farebox_requests_total", ("POST", "ok", "/api/charges", "200")]
            assert 2 == told["farebox_processes", ()]
            assert 1 == told["farebox_database_up", ()]
            assert 31 == told["farebox_batch_commands_sum", ()]
            assert told["farebox_batch_step_seconds_sum", ("commit",)] > 0
        # No merchant, key or id is told, in no label.
        text = _read(free_port).text
        assert seeds.merchant not in text
        assert not re.search(r"(mer|xfer|hold|key|fbm|fbs|fbu)_[0-9A-Z]{8}|\"k\d", text)
        worker = next(
            child
            for child in psutil.Process(server._running().pid).children(recursive=True)
            if any(connection.laddr.port == free_port for connection in child.net_connections("tcp"))
        )
        os.kill(worker.pid, signal.SIGKILL)
        told, deadline = {}, time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                told = _told(_read(free_port).text)
            except httpx.TransportError:
                continue
            assert 20 == told["farebox_charges_total", ("ok",)]
            if told["farebox_processes", ()] == 2:
                break
        assert 2 == told["farebox_processes", ()]
        assert 404 == plain_http.get(f"{server.url}/metrics").status_code


def test_a_token_opens_metrics_on_the_servers_own_port_and_nothing_else_does(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    asyncio.run(_seed(database_url))
    token = token_hex(32)
    with Server(database_url, environment={"FAREBOX_METRICS_TOKEN": token}) as server:
        for wrong in ("", token[:-1], token + "0", token.upper()):
            refused = _read(server.port, wrong)
            assert (401, "Bearer") == (refused.status_code, refused.headers["www-authenticate"])
            assert "farebox_" not in refused.text
        plain, opened = _read(server.port, token), _read(server.port, token, accept="application/openmetrics-text")
        assert _told(plain.text)["farebox_processes", ()] == 1
        assert list(openmetrics_families(opened.text))  # type: ignore[no-untyped-call]
        assert token not in server.log()


def test_a_token_of_before_is_taken_as_long_as_it_is_named_after_the_new_one(tmp_path: Path, free_port: int) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    asyncio.run(_seed(database_url))
    new, old = token_hex(32), token_hex(32)
    shown = {"new": new, "old": old, "both, as they are set": f"{new} {old}", "another": token_hex(32), "none": ""}
    expected = {"new": 200, "old": 200, "both, as they are set": 401, "another": 401, "none": 401}
    environment = {"FAREBOX_METRICS_TOKEN": f"{new} {old}"}
    with Server(database_url, environment=environment) as server:
        assert expected == {name: _read(server.port, token).status_code for name, token in shown.items()}
        assert not any(token in server.log() for token in (new, old))
    environment["FAREBOX_METRICS_ADDRESS"] = f"127.0.0.1:{free_port}"
    with Server(database_url, environment=environment):
        assert expected == {name: _read(free_port, token).status_code for name, token in shown.items()}


def test_a_port_may_have_a_token_as_well(tmp_path: Path, free_port: int) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    asyncio.run(_seed(database_url))
    token = token_hex(32)
    environment = {"FAREBOX_METRICS_TOKEN": token, "FAREBOX_METRICS_ADDRESS": f"127.0.0.1:{free_port}"}
    with Server(database_url, environment=environment) as server:
        assert [401, 200] == [_read(free_port).status_code, _read(free_port, token).status_code]
        assert 404 == _read(server.port, token).status_code
        base = f"http://127.0.0.1:{free_port}"
        assert 404 == plain_http.get(f"{base}/").status_code
        assert 405 == plain_http.post(f"{base}/metrics", headers={"Authorization": f"Bearer {token}"}).status_code


def test_without_either_setting_there_are_no_metrics(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    asyncio.run(_seed(database_url))
    with Server(database_url) as server:
        assert 404 == _read(server.port).status_code


def test_the_reference_names_every_metric_with_its_type_and_labels_and_none_else() -> None:
    rows = re.findall(r"^\| `(farebox_\w+)` \| (\w+) \|(?: (.*?))? \| (.+) \|$", REFERENCE.read_text(), re.MULTILINE)
    assert [
        (metric.shown_name, metric.type.value, ", ".join(f"`{label}`" for label in metric.labels), metric.help)
        for metric in METRICS
    ] == rows
