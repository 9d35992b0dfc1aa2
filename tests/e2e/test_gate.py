"""The gate of a real server: over HTTP as proxies speak it, in several processes at once, and as it starts."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx
import pytest

from farebox.bootstrap import Farebox
from farebox.service.gate.tokens import NOTHING
from tests.support import plain_http
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.web.gate import CADDY, ENVOY, NGINX, PLAIN, RULES, SECRET, TRAEFIK, request_id

AT_ONCE: Final = 40
ASKS: Final = 120


def _headers(seeds: Seeds, **more: str) -> dict[str, str]:
    return {
        "X-Gate-Secret": SECRET,
        "x-api-key": seeds.merchant_key,
        **{name.replace("_", "-"): text for name, text in more.items()},
    }


def _settings(folder: Path) -> dict[str, str]:
    path = folder / "gate.toml"
    path.write_text(RULES)
    return {"FAREBOX_GATE_FILE": str(path), "FAREBOX_GATE_SECRET": SECRET}


async def _available(farebox: Farebox, seeds: Seeds) -> str:
    account = await farebox.services.queries.account(seeds.merchant_id)
    assert account is not None
    return f"{account.paid / 1_000_000:.2f}"


async def test_each_request_is_charged_once_however_often_and_whichever_process_is_asked(
    database_url: str, tmp_path: Path
) -> None:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        with Server(database_url, workers=2, environment=_settings(tmp_path)) as server:
            async with plain_http.async_client(
                base_url=server.url, limits=httpx.Limits(max_connections=AT_ONCE)
            ) as client:
                told = {"X_Original_Method": "POST", "X_Original_URI": "/v1/images"}
                one = _headers(seeds, X_Request_Id=request_id(), **told)
                same = await asyncio.gather(*(client.get(NGINX.path, headers=one) for _ in range(AT_ONCE)))
                assert 1 == len({(reply.status_code, reply.headers["x-transfer-id"]) for reply in same})
                assert 1 == len({reply.headers["x-gate-token"] for reply in same})
                each = await asyncio.gather(
                    *(
                        client.get(PLAIN.path, headers=_headers(seeds, X_Request_Id=request_id(), **told))
                        for _ in range(ASKS)
                    )
                )
                assert {200} == {reply.status_code for reply in each}
                assert ASKS == len({reply.headers["x-transfer-id"] for reply in each})
        assert f"{100 - 0.01 * (1 + ASKS):.2f}" == await _available(farebox, seeds)


async def test_targets_come_to_the_gate_as_they_were_sent(database_url: str, tmp_path: Path) -> None:
    """On Envoy's path they are a part of the request's own, which servers like to tidy."""
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        with Server(database_url, environment=_settings(tmp_path)) as server:
            for method, target, status in (
                ("POST", "/v1/images?a=%2F/../b", 200),
                ("POST", "//v1/./images/", 200),
                ("POST", "/v1/x/%2e%2e/images", 200),
                ("POST", "/%76%31/images", 200),
                ("POST", "/v1%2Fimages", 400),
                ("POST", "/v1/images;x", 400),
                ("POST", "/../v1/images", 400),
                ("POST", "/v1/images%00", 400),
                ("POST", "/v1\\images", 400),
                ("POST", "/v1/%252e%252e/images", 400),
                ("HEAD", "/v1/images/7", 200),
                ("DELETE", "/v1/images/7", 200),
                ("PUT", "/v1/images", 405),
            ):
                envoy = await _raw(server, method, ENVOY.path + target, _headers(seeds, X_Request_Id=request_id()))
                told = {"X_Forwarded_Method": method, "X_Forwarded_Uri": target}
                caddy = await _raw(server, "GET", CADDY.path, _headers(seeds, X_Request_Id=request_id(), **told))
                assert (status, status) == (envoy, caddy), (method, target)


async def test_a_held_ask_of_a_proxy_without_ids_expires_unless_it_is_settled(
    database_url: str, tmp_path: Path
) -> None:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        with Server(database_url, environment=_settings(tmp_path)) as server:
            headers = _headers(seeds, X_Forwarded_Method="POST", X_Forwarded_Uri="/v1/images")
            async with plain_http.async_client(base_url=server.url) as client:
                replies = [await client.get(TRAEFIK.path, headers=headers) for _ in range(2)]
                assert {NOTHING} == {reply.headers["x-transfer-id"] for reply in replies}
                assert 2 == len({reply.headers["x-hold-id"] for reply in replies})
                assert b"" == replies[0].content


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"FAREBOX_GATE_FILE": "none.toml", "FAREBOX_GATE_SECRET": SECRET},
            "none.toml: it can't be read: No such file",
        ),
        (
            {"FAREBOX_GATE_FILE": "bad.toml", "FAREBOX_GATE_SECRET": SECRET},
            "bad.toml: line 2, method: 'get' is no method",
        ),
        (
            {"FAREBOX_GATE_FILE": "good.toml"},
            "FAREBOX_GATE_SECRET is missing, which the gate of FAREBOX_GATE_FILE needs",
        ),
        ({"FAREBOX_GATE_FILE": "good.toml", "FAREBOX_GATE_SECRET": "short"}, "FAREBOX_GATE_SECRET has 5 characters"),
        (
            {"FAREBOX_GATE_FILE": " good.toml", "FAREBOX_GATE_SECRET": SECRET},
            "FAREBOX_GATE_FILE is ' good.toml'; write",
        ),
    ],
)
def test_a_server_does_not_start_with_a_gate_that_can_not_be_used(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    (tmp_path / "good.toml").write_text(RULES)
    (tmp_path / "bad.toml").write_text(RULES.replace('"POST"', '"get"', 1).lstrip())
    done = subprocess.run(
        [sys.executable, "-m", "farebox", "serve", "--port", "1"],
        env={**os.environ, "FAREBOX_DATABASE_URL": "sqlite:///farebox.db", **settings},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (True, "") == (done.returncode in (1, 2), done.stdout)
    assert done.stderr.startswith(f"farebox: {words}"), done.stderr
    assert 1 == len(done.stderr.splitlines())


async def test_a_server_says_by_which_rules_its_gate_goes(tmp_path: Path) -> None:
    settings, url = _settings(tmp_path), f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(url):
        pass
    with Server(url, environment=settings) as server:
        assert f"The gate goes by 8 routes of {settings['FAREBOX_GATE_FILE']}." in server.log()
        assert SECRET not in server.log()


async def _raw(server: Server, method: str, target: str, headers: dict[str, str]) -> int:
    """Send a request whose target no client tidies, and return the status of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [f"{method} {target} HTTP/1.1", "Host: farebox", "Connection: close"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    status = int((await reader.readline()).split()[1])
    await reader.read()
    writer.close()
    await writer.wait_closed()
    return status
