"""Tries what was installed, by its commands and over HTTP: a ledger up to a verified statement, and the demo."""

import json
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tools.release.running import ReleaseFailed, environment, run

START_SECONDS_MAX: Final = 90
STOP_SECONDS_MAX: Final = 40

_SECRET_KEY: Final = "q7Yt0vKpXz3LmB8sWd5NhRc2JfUe9AgT"
_PATHS: Final = ("/sign-in", "/support/sign-in", "/docs", "/docs/assets/swagger-ui.css", "/openapi.json", "/healthz")
_CLIENT: Final = """\
import sys

from farebox_client import Farebox

url, service_key, merchant_key = sys.argv[1:]
with Farebox(url, key=service_key) as farebox:
    charge = farebox.charge(merchant=merchant_key, type="image", key="smoke-2")
    print(charge.cost, charge.available)
"""


class Installed:
    """The programs of an environment that one distribution was installed in."""

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self.bin_folder = bin_folder
        self._folder = folder

    def run(self, program: str, *arguments: str, **variables: str) -> str:
        """Run a program of the environment."""
        return run([self.bin_folder / program, *arguments], folder=self._folder, variables=variables)

    @contextmanager
    def started(self, *arguments: str, url: str, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start `farebox` with these arguments, wait until it would take a charge, and stop it at the end.

        Raises:
            ReleaseFailed: It did not come up, or did not stop as told.
        """
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.bin_folder / "farebox", *arguments],
                cwd=self._folder,
                env=environment(**variables),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _await_ready(process, url, log)
            yield process
            process.send_signal(signal.SIGTERM)
            status = process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise ReleaseFailed(f"The server did not stop:\n{log.read_text()}") from error
        finally:
            process.kill()
            process.wait()
        if status != 0:
            raise ReleaseFailed(f"The server ended with {status}:\n{log.read_text()}")


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            ask(f"{url}/readyz")
        except (OSError, ReleaseFailed):
            time.sleep(0.1)
        else:
            return
    raise ReleaseFailed(f"The server did not come up:\n{log.read_text()}")


def free_url() -> str:
    """Return the URL of a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def ask(url: str, *, key: str = "", body: dict[str, Any] | None = None, language: str = "en") -> str:
    """Ask a server, and return its answer.

    Raises:
        ReleaseFailed: The answer is no success.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "accept-language": language}
    if key:
        headers["x-api-key"] = key
    request = urllib.request.Request(url, data, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            text: str = answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        raise ReleaseFailed(f"{url} answered {error.code}: {error.read().decode()}") from error
    return text


def expect(wanted: object, seen: object, what: str) -> None:
    """Hold what was seen to what is right.

    Raises:
        ReleaseFailed: They differ.
    """
    if wanted != seen:
        raise ReleaseFailed(f"{what}: {seen!r} where {wanted!r} is right")


def try_ledger(server: Installed, client: Installed, folder: Path) -> str:
    """Make a merchant, top it up, charge it, read its balance, verify its statement and the ledger; tell the result."""
    settings = {"FAREBOX_SECRET_KEY": _SECRET_KEY}
    url = free_url()
    server.run("farebox", "init", **settings)
    creating = ["Northwind Imaging", "--currency", "USD", "--threshold", "100", "--json"]
    merchant = json.loads(server.run("farebox", "merchant", "create", *creating, **settings))
    key = json.loads(server.run("farebox", "key", "create", "--service", "smoke", "--json", **settings))["apiKey"]
    server.run("farebox", "user", "add", merchant["merchantId"], "ann@northwind.example", **settings)
    server.run("farebox", "price", "set", "image", "0.85", **settings)
    server.run("farebox", "topup", merchant["merchantId"], "150", "--reference", "INV-1", **settings)
    serving = ["serve", "--port", url.rpartition(":")[2]]
    with server.started(*serving, url=url, log=folder / "serve.log", **settings):
        _try_pages(url)
        charge = {"merchant": merchant["merchantId"], "type": "image", "quantity": 60, "idempotencyKey": "smoke-1"}
        for _ in range(2):
            answer = json.loads(ask(f"{url}/api/charges", key=key, body=charge))
            expect(
                ("51.00", "99.00"), (answer["data"]["cost"], answer["data"]["available"]), "the charge and its repeat"
            )
        script = folder / "charge.py"
        script.write_text(_CLIENT)
        told = client.run("python", str(script), url, key, merchant["apiKey"])
        expect("0.85 98.15\n", told, "the client's charge")
        balance = json.loads(ask(f"{url}/api/balance", key=merchant["apiKey"]))
        expect({"isSuccess": True, "statusCode": 200, "errorMessage": None, "data": "98.15"}, balance, "the balance")
        statement = folder / "statement.jsonl"
        statement.write_text(ask(f"{url}/api/transfers?format=jsonl", key=merchant["apiKey"]))
        verified = client.run("python", "-m", "farebox_client.statement", str(statement))
        server.run("farebox", "verify-statement", str(statement))
        _await_mail(folder / "mail")
    replayed = server.run("farebox", "verify", **settings)
    expect("Clean: 1 merchant, 3 transfers", replayed.rpartition(",")[0], "farebox verify")
    return verified.strip()


def _try_pages(url: str) -> None:
    """Read pages in another language, with the files that they name: templates, catalogues and assets are installed."""
    for path in _PATHS:
        ask(f"{url}{path}")
    page = ask(f"{url}/sign-in", language="de")
    expect(True, '<html lang="de"' in page, "the page in German")
    assets = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page)
    expect(True, len(assets) > 0, "the page's assets")
    for asset in assets:
        ask(f"{url}{asset}")


def _await_mail(folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not any(folder.glob("*.eml")):
        if time.monotonic() > deadline:
            raise ReleaseFailed("The mail below the threshold was not written")
        time.sleep(0.1)


def try_demo(server: Installed, folder: Path) -> str:
    """Run `farebox demo`, read a balance with the key that it prints, and stop it; tell what it answered."""
    url = free_url()
    log = folder / "demo.log"
    with server.started("demo", "--port", url.rpartition(":")[2], url=url, log=log):
        deadline = time.monotonic() + START_SECONDS_MAX
        while (line := re.search(r"curl -H 'x-api-key: (\S+)' (\S+/api/balance)", log.read_text())) is None:
            if time.monotonic() > deadline:
                raise ReleaseFailed(f"The demo printed no key:\n{log.read_text()}")
            time.sleep(0.1)
        answer = json.loads(ask(line[2], key=line[1]))
        expect(200, answer["statusCode"], "the demo's balance")
    left = list(Path(tempfile.gettempdir()).glob("farebox-demo-*"))
    mine = [path for path in left if str(path) in log.read_text()]
    expect([], mine, "what the demo leaves behind")
    return f"a balance of {answer['data']}"
