"""What settling needs: a server, what the gate would have made, lines of logs, and settlers as processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from farebox.service.gate.tokens import GateSigner, GateToken, Mode
from tests.support import plain_http
from tests.support.server import Seeds, Server, seeded

SECRET: Final = "q7Vw2mZx9Lk4Tn8Rb3Yd6Hf1Jc5Gp0Sa"
PRICE: Final = Decimal("0.01")
PAID: Final = Decimal(100)
TIMEOUT_S: Final = 60
SIGNER: Final = GateSigner(SECRET)


@dataclass
class Asked:
    """A request that the gate let through."""

    token: str
    subject: str
    mode: Mode
    is_paid: bool | None = None
    """Whether it is to be paid in the end, by what its line tells; None while there is no line."""


@dataclass
class Site:
    """A server with a merchant that has 100.00; an `image` costs 0.01."""

    server: Server
    seeds: Seeds
    folder: Path
    asked: list[Asked] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """Where the proxy logs."""
        return self.folder / "access.log"

    @property
    def state(self) -> Path:
        return self.folder / "settle.db"

    @property
    def rejects(self) -> list[dict[str, Any]]:
        """What stands in the file of rejects."""
        path = self.folder / "settle.db.rejects.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def ask(self, mode: Mode = Mode.HOLD, *, ttl: int = 900, issued_ago: int = 0) -> Asked:
        """Do what the gate does for a request."""
        asked = self._ask(mode, ttl=ttl, issued_ago=issued_ago)
        self.asked.append(asked)
        return asked

    def _ask(self, mode: Mode, *, ttl: int, issued_ago: int) -> Asked:
        body: dict[str, Any] = {
            "merchant": self.seeds.merchant,
            "type": "image",
            "idempotencyKey": f"gate:{len(self.asked)}",
        }
        if mode is Mode.HOLD:
            subject = self.post("/api/holds", {**body, "ttlSeconds": ttl})["holdId"]
        else:
            subject = self.post("/api/charges", body)["transferId"]
        token = GateToken(mode, self.seeds.merchant, subject, int(time.time()) - issued_ago, "image", 1, None, None)
        return Asked(SIGNER.token(token), subject, mode)

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Ask the API as a service, and return the answer's data."""
        headers = {"x-api-key": key or self.seeds.service_key}
        answer = plain_http.post(self.server.url + path, json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def read(self, path: str) -> Any:
        """Ask the API as the merchant, and return the answer's data."""
        headers = {"x-api-key": self.seeds.merchant_key}
        answer = plain_http.get(self.server.url + path, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def write(self, *lines: str | bytes, path: Path | None = None) -> None:
        """Append lines to the log, as a proxy does."""
        with (path or self.log).open("ab") as log:
            for line in lines:
                log.write((line if isinstance(line, bytes) else line.encode()) + b"\n")

    def command(self, *arguments: str | Path, once: bool = True, state: Path | None = None) -> list[str]:
        """Write a settler's command."""
        given = [str(argument) for argument in (arguments or (self.log,))]
        options = ["--state", str(state or self.state), "--url", self.server.url, *(["--once"] if once else [])]
        return [sys.executable, "-m", "farebox", "settle", *given, *options]

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "FAREBOX_API_KEY": self.seeds.service_key,
            "FAREBOX_GATE_SECRET": SECRET,
            "PYTHONUNBUFFERED": "1",
            **more,
        }

    def settle(
        self, *arguments: str | Path, state: Path | None = None, status: int = 0, text: bytes = b"", **more: str
    ) -> dict[str, Any]:
        """Settle once, and return the counts."""
        done = subprocess.run(
            [*self.command(*arguments, state=state), "--json"],
            input=text,
            capture_output=True,
            cwd=self.folder,
            env=self.environment(**more),
            timeout=TIMEOUT_S,
            check=False,
        )
        assert status == done.returncode, done.stderr.decode()
        if status:
            error: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
            return error
        counts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return counts

    @contextlib.contextmanager
    def following(self, *arguments: str | Path, state: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """Run a settler that follows, and kill it at the end if it still runs."""
        process = self.start(*arguments, state=state)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def start(self, *arguments: str | Path, state: Path | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.command(*arguments, once=False, state=state), "--report", "1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self.environment(),
        )

    def wait_until_settled(self, seconds: float = TIMEOUT_S) -> None:
        """Wait until the ledger is as the lines say."""
        deadline = time.monotonic() + seconds
        while self.ledger() != self.model():
            assert time.monotonic() < deadline, (self.ledger(), self.model())
            time.sleep(0.1)

    def model(self) -> dict[str, Decimal]:
        """Tell what the account has to be, by the lines."""
        paid = sum(
            asked.is_paid is True or (asked.is_paid is None and asked.mode is Mode.CHARGE) for asked in self.asked
        )
        held = sum(asked.is_paid is None and asked.mode is Mode.HOLD for asked in self.asked)
        return {"posted": PAID - paid * PRICE, "held": held * PRICE}

    def ledger(self) -> dict[str, Decimal]:
        """Tell what the account is."""
        account = self.read("/api/account")
        return {"posted": Decimal(account["posted"]), "held": Decimal(account["held"])}


def stop(process: subprocess.Popen[bytes]) -> str:
    """End a settler as a service manager does, and return what it printed."""
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def nginx(asked: Asked | str, status: int = 200, *, upstream: str | None = None, sent: str = "80") -> str:
    """Write nginx's line of a request, and note whether it is to be paid."""
    of_api = str(status) if upstream is None else upstream
    if isinstance(asked, Asked) and asked.is_paid is None:
        is_reached = sent != "0"
        asked.is_paid = is_reached and ((of_api.isdigit() and int(of_api) < 500) or status == 499)
    return json.dumps(
        {
            "proxy": "nginx",
            "time": f"{time.time():.3f}",
            "request_id": os.urandom(16).hex(),
            "gate_token": asked if isinstance(asked, str) else asked.token,
            "upstream_status": of_api,
            "upstream_bytes": sent,
            "status": str(status),
        }
    )


def failed(asked: Asked) -> str:
    """Write the line of a request that the API failed at."""
    return nginx(asked, 502)


@contextlib.contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Serve a new ledger from a folder."""
    folder.mkdir(exist_ok=True)
    database_url = f"sqlite:///{folder / 'farebox.db'}"
    seeds = seeded(database_url)
    with Server(database_url) as server:
        yield Site(server, seeds, folder)
