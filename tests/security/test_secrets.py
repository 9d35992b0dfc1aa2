"""Secrets stay where they belong: a server that strangers are unkind to tells none of them to its log or to `ps`."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil
import pytest

from tests.support import plain_http
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import TIMEOUT_S, exchange
from tests.web.gate import RULES, SECRET

PASSWORD: Final = "hush-7f3a9c"
SECRET_KEY: Final = "whisper-7d1f0c3ab95e62848f3e6ad0b2"
KEY: Final = re.compile(r"fb[msu]_[0-9A-Z]{10,}")


@dataclass(frozen=True)
class Site:
    server: Server
    seeds: Seeds

    @property
    def secrets(self) -> list[str]:
        """The secrets: keys without the characters by which people tell them apart, and what settings hold."""
        keys = (self.seeds.merchant_key, self.seeds.service_key, self.seeds.support_key)
        return [PASSWORD, SECRET_KEY, SECRET, *(key[-26:-4] for key in keys)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    async def prepare() -> Seeds:
        async with open_farebox(database) as farebox:
            seeds = await seed(farebox)
            # Their mails can't be sent, which is logged.
            await farebox.services.merchants.add_user(seeds.merchant_id, "ann@northwind.example")
            return seeds

    seeds = asyncio.run(prepare())
    rules = tmp_path_factory.mktemp("gate") / "gate.toml"
    rules.write_text(RULES)
    environment = {
        "FAREBOX_GATE_FILE": str(rules),
        "FAREBOX_GATE_SECRET": SECRET,
        "FAREBOX_SMTP_URL": f"smtp://farebox:{PASSWORD}@127.0.0.1:1",
        "FAREBOX_SECRET_KEY": SECRET_KEY,
        "FAREBOX_BAD_KEYS": "0",
    }
    with Server(database, environment=environment) as server:
        yield Site(server, seeds)


def test_nothing_that_is_sent_or_set_comes_out_in_the_log_or_the_list_of_processes(site: Site) -> None:
    port, seeds = site.server.port, site.seeds
    keys = [seeds.merchant_key, seeds.service_key, seeds.support_key]
    answers, secret = [], b"x-gate-secret: " + SECRET.encode()
    for key in keys:
        text = key.encode()
        lines = (
            (b"GET /api/balance HTTP/1.1", b"x-api-key: " + text),
            (b"GET /api/balance HTTP/1.1", b"x-api-key: " + text + b"0"),
            (b"GET /api/balance HTTP/1.1", b"x-api-key: " + text, b"x-api-key: " + text),
            (b"GET /api/balance HTTP/1.1", b"authorization: Bearer " + text),
            (b"GET /api/balance?key=" + text + b" HTTP/1.1",),
            (b"GET /api/transfers?cursor=" + text + b" HTTP/1.1", b"x-api-key: " + text),
            (b"GET /" + text + b" HTTP/1.1",),
            (b"GET /api/" + text + b"%0d%0a%00 HTTP/1.1", b"x-api-key: " + text),
            (b"GET /api/admin/merchants/" + text + b" HTTP/1.1", b"x-api-key: " + text),
            (b"POST /api/admin/keys/" + text + b"/revoke HTTP/1.1", b"x-api-key: " + text),
            (b"GET /sign-in HTTP/1.1", b"cookie: session=" + text),
            (b"GET /gate/nginx HTTP/1.1", b"x-gate-secret: " + text, b"x-api-key: " + text),
            (b"GET /gate/nginx HTTP/1.1", secret, b"x-api-key: " + text),
            (b"GET /gate/envoy/" + text + b" HTTP/1.1", secret, b"x-api-key: " + text, b"x-request-id: " + text),
            (b"GET /gate/envoy/v1/images HTTP/1.1", secret, b"x-api-key: " + text, b"x-request-id: 1"),
            (b"GET /gate/refused HTTP/1.1", secret, b"x-farebox-refusal: " + text),
            (text + b" / HTTP/1.1",),
            (b"GET /api/balance HTTP/" + text,),
            (b"POST /api/charges HTTP/1.1", b"x-api-key: " + text, b"content-length: x" + text),
        )
        answers += [exchange(port, *case) for case in lines]
        for body in (
            text,
            b'{"merchant":"' + text,
            json.dumps({"merchant": key, "type": key, "idempotencyKey": key}).encode(),
            json.dumps({"merchant": [key], "type": "image", "idempotencyKey": "1"}).encode(),
            json.dumps({key: key}).encode(),
        ):
            length = b"content-length: %d" % len(body)
            for path in (b"/api/charges", b"/api/charges/batch", b"/api/holds", b"/api/admin/keys"):
                start = b"POST " + path + b" HTTP/1.1"
                answers.append(exchange(port, start, b"x-api-key: " + text, length, body=body))
    # One that makes a mail, which fails.
    with plain_http.client(base_url=site.server.url, timeout=TIMEOUT_S) as client:
        support = {"x-api-key": seeds.support_key}
        merchant = f"/api/admin/merchants/{seeds.merchant}"
        assert 200 == client.patch(merchant, headers=support, json={"thresholds": ["5000"]}).status_code
        _await_log(site, "mail")
    processes = [_command_line(process) for process in psutil.process_iter()]
    assert any("farebox" in line and str(port) in line for line in processes)
    log = site.server.log()
    for hidden in site.secrets:
        assert hidden not in log
        assert not any(hidden in line for line in processes)
    assert not KEY.search(log)
    assert "a proxy is set up wrongly at /gate/nginx" in log
    assert "Traceback" not in log
    # The sender of a key knows it; but answers end up in the logs of other programs.
    for answer in answers:
        assert not any(key.encode() in answer for key in keys), answer


def _await_log(site: Site, words: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while words not in site.server.log():
        assert time.monotonic() < deadline, site.server.log()
        time.sleep(0.05)


def _command_line(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return "\0".join(process.cmdline())
    return ""
