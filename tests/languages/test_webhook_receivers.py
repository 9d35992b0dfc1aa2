"""The receivers of docs/how-to/receive-webhooks.md, in Python and JavaScript as they stand there, sent webhooks."""

import asyncio
import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import pytest

from farebox.core.alerts import AlertKind
from farebox.presenters.events import event_body
from farebox.service.address_guard import AddressGuard
from farebox.webhooks.sender import GuardedClient
from farebox.webhooks.signing import signed_headers
from tests.languages.programs import node
from tests.presenters.test_events import alert
from tests.support.server import free_port

# npm fetches its packages.
pytestmark = pytest.mark.timeout(300)

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = Path(__file__).parent / "webhooks"
PAGE: Final = ROOT / "docs" / "how-to" / "receive-webhooks.md"
SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NEW_SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


def _example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


@contextmanager
def _receiver(language: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """Run the page's receiver; yields its port, and where what it prints stands."""
    if language == "python":
        program, command = folder / "receiver.py", [sys.executable]
    else:
        for source in PACKAGES.iterdir():
            shutil.copy(source, folder)
        npm = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        path = os.pathsep.join([str(node().parent), os.environ["PATH"]])
        install = [str(node()), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, check=True, cwd=folder, env={**os.environ, "PATH": path})
        program, command = folder / "receiver.mjs", [str(node())]
    program.write_text(_example(language), encoding="utf-8")
    port, printed = free_port(), folder / "printed"
    environment = {**os.environ, "WEBHOOK_SECRET": NEW_SECRET, "PORT": str(port)}
    with printed.open("w") as file:
        process = subprocess.Popen(
            [*command, program], cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield port, printed
        finally:
            process.kill()
            process.wait()


async def _post(client: GuardedClient, port: int, body: str, headers: Mapping[str, str]) -> int | None:
    """Send a message; a receiver that is starting is waited for."""
    deadline = time.monotonic() + 60
    while True:
        result = await client.post(f"http://127.0.0.1:{port}/hooks", body.encode(), headers)
        if result.status is not None or time.monotonic() > deadline:
            return result.status
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_the_receiver_of_the_page(language: str, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000
    kinds, body = list(AlertKind), event_body(alert(AlertKind.TOP_UP))
    client = GuardedClient(AddressGuard([ip_network("127.0.0.0/8")]))
    try:
        with _receiver(language, tmp_path) as (port, printed):
            for kind in kinds:
                told = event_body(alert(kind))
                # By the new secret alone, and by both while it takes the old one's place; each comes twice.
                for secrets in ([NEW_SECRET], [SECRET, NEW_SECRET]):
                    headers = signed_headers(secrets, webhook_id=f"alert_{kind}_dest", body=told, now=now)
                    assert 204 == await _post(client, port, told, headers), printed.read_text()
            headers = signed_headers([NEW_SECRET], webhook_id="id", body=body, now=now)
            assert 400 == await _post(client, port, body.replace("mer_", "MER_"), headers)
            assert 400 == await _post(client, port, body, signed_headers([SECRET], webhook_id="id", body=body, now=now))
            old = signed_headers([NEW_SECRET], webhook_id="id", body=body, now=now - 600_000_000)
            assert 400 == await _post(client, port, body, old)
            for value in ("", "v1", "v1,", "v1,!", "v2,x", "v1,x v1", ","):
                assert 400 == await _post(client, port, body, {**headers, "webhook-signature": value})
            assert 400 == await _post(client, port, body, {"webhook-id": "id"})
            lines = printed.read_text().splitlines()
    finally:
        await client.close()
    events = [line.split()[0] for line in lines if line.split()[:1] and "." in line.split()[0] and "mer_" in line]
    assert len(kinds) == len(events)
    assert len(set(events)) == len(events)


def test_the_lock_of_npm_names_no_registry() -> None:
    assert '"resolved"' not in (PACKAGES / "package-lock.json").read_text(encoding="utf-8")
