"""A real Farebox server for tests: processes of its own on a free loopback port, over any database."""

import asyncio
import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import psutil

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.money import format_amount
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.errors import Conflict
from farebox.service.id_generator import IdGenerator
from farebox.service.ledger.operations import Operations
from farebox.service.operator.grants import Grant, GrantFields
from farebox.service.operator.merchants import Merchants
from farebox.service.operator.prices import Prices
from farebox.service.people.api_keys import Principal, digest
from farebox.storage.records import Login, Realm
from tests.support import plain_http
from tests.support.clock import StoppableClock
from tests.support.originals import copy_ledger_to

START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 30
PORT_ATTEMPTS_MAX: Final = 10

# The server must not outlive the tests, however they end: the guard waits until the pipe from the test process closes,
# which even SIGKILL does, and then kills the server's process group.
_GUARD: Final = 'cat; kill -KILL "-$1"'


class ServerError(Exception):
    """The server did not start or stop; the message ends with its log."""


class Server:
    """`farebox serve` on 127.0.0.1, in a folder of its own.

        with Server("sqlite:////tmp/x.db") as server:
            httpx.get(f"{server.url}/healthz")

    Args:
        database_url: Where the ledger is; it has its schema already.
        workers: How many processes serve.
        environment: Further settings, such as `{"FAREBOX_CORS_ORIGINS": "*"}`.
        is_privileged: False takes from root the power to write where a file's mode forbids it.
        program: The module that is run, another one that serves in Farebox's way.
        folder: Its working directory, which stays; a new one, which goes, if none is given.
    """

    def __init__(
        self,
        database_url: str,
        *,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        is_privileged: bool = True,
        program: str = "farebox",
        folder: Path | None = None,
    ) -> None:
        self._database_url = database_url
        self._workers = workers
        self._environment = dict(environment or {})
        self._is_privileged = is_privileged
        self._program = program
        self._is_folder_given = folder is not None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="farebox-serve-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, again on the port it had if it ran before, and wait until it answers.

        Raises:
            ServerError: It did not come up.
        """
        if self.port:
            self._launch()
            return
        for attempt in range(PORT_ATTEMPTS_MAX):
            self.port = free_port()
            try:
                self._launch()
            except ServerError:
                self.port = 0
                if attempt == PORT_ATTEMPTS_MAX - 1 or "Address already in use" not in self.log():
                    raise
            else:
                return

    def stop(self) -> int:
        """Ask the server to stop, as a service manager does, and return its exit status."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_TIMEOUT_S)
        self._forget()
        return status

    def kill(self) -> None:
        """Kill all processes of the server at once."""
        process = self._running()
        members = self._members()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT_S)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(_is_alive(member) for member in members):
            if time.monotonic() > deadline:
                raise ServerError("Processes of a killed server stay on.")
            time.sleep(0.005)
        self._forget()

    def limit_file_size(self, bytes_max: int = resource.RLIM_INFINITY) -> None:
        """Let no file that the server writes grow beyond a size, as a full disk does; without one, lift the limit."""
        for member in self._members():
            member.rlimit(resource.RLIMIT_FSIZE, (bytes_max, resource.RLIM_INFINITY))

    def is_running(self) -> bool:
        """Tell whether the server's first process is there."""
        return self._process is not None and self._process.poll() is None

    def first_process(self) -> psutil.Process:
        """Return the process that `farebox serve` began with."""
        return psutil.Process(self._running().pid)

    def log(self) -> str:
        """Return what the server logged so far."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Kill what still runs and remove the server's folder."""
        if self._process is not None:
            self.kill()
        if not self._is_folder_given:
            shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(self) -> None:
        arguments = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self._workers)]
        command = [sys.executable, "-m", self._program, "serve", *arguments]
        if not self._is_privileged and os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, "FAREBOX_DATABASE_URL": self._database_url, **self._environment},
                start_new_session=True,
            )
        self._process = process
        self._guard = start_guard(process)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"The server did not start (status {process.returncode}):\n{self.log()[-4000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return plain_http.get(f"{self.url}/healthz", timeout=10).status_code == 200
        return False

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError("The server is not running.")
        return self._process

    def _members(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._running().pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _forget(self) -> None:
        self._process = None
        if self._guard is not None:
            self._guard.communicate()
            self._guard = None


@dataclass(frozen=True)
class Seeds:
    """A merchant with money, and the keys to ask for it and to spend it."""

    merchant_id: int
    merchant: str
    """The merchant's public id."""
    merchant_key: str
    merchant_key_id: str
    """The public id of the merchant's key."""
    service_key: str
    support_key: str


@contextlib.asynccontextmanager
async def open_farebox(database_url: str, **settings: str) -> AsyncIterator[Farebox]:
    """Create a database's schema, if it has none, and open Farebox's parts over it within this process."""
    copy_ledger_to(database_url)
    farebox = Farebox.build(Settings.of(database_url=database_url, **settings), clock=StoppableClock())
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        yield farebox


async def staff_member(farebox: Farebox, name: str) -> Principal:
    """Add one of the staff with every role, a person of its own, and return it as it asks when signed in."""
    login_id = IdGenerator(farebox.clock).next()
    email = f"{name}-{login_id}@farebox.example"
    login = Login(login_id, Realm.SUPPORT, email, name, farebox.clock.now(), "no password", roles=EVERY_ROLE)
    await farebox.stores.logins.add(login)
    return Principal(email, roles=EVERY_ROLE, login_id=login_id)


async def support_key_of(farebox: Farebox, name: str) -> str:
    """Add one of the staff, and return the text of a support key of this name that they made."""
    made = await farebox.services.merchants.create_key(KeyKind.SUPPORT, name=name)
    await _assign(farebox, made.key.key_id, name)
    return made.text


async def _assign(farebox: Farebox, key_id: int, name: str) -> None:
    """Let a key be one that a new member of the staff made; the audit log says nothing of it."""
    maker = await staff_member(farebox, name)
    assert maker.login_id is not None
    await farebox.stores.api_keys.assign(key_id, frozenset({maker.login_id}))


async def seed(farebox: Farebox, *, balance: str | None = "100", credit_limit: str = "0") -> Seeds:
    """Add a merchant with this balance, a service's key, one of the staff with a support key, and two prices.

    An `image` costs 0.01; a `call` is variable: its amount is named.
    """
    services = farebox.services
    seeds = await seed_through(
        services.merchants, services.prices, services.operations, balance=balance, credit_limit=credit_limit
    )
    key = await farebox.stores.api_keys.authenticate(None, digest(seeds.support_key))
    assert key is not None
    await _assign(farebox, key.key_id, "ann")
    return seeds


async def give_credit(farebox: Farebox, merchant_id: int, amount: str = "5", **more: Any) -> Grant:
    """Give a merchant credit, which starts at once unless told otherwise, and return the grant."""
    fields = GrantFields(**{"amount": amount, "reference": "GIVEN", "reason": "trial", **more})
    outcome = await farebox.services.grants.give(merchant_id, fields, principal=Principal("sam", roles=EVERY_ROLE))
    assert outcome.grant is not None, outcome.message
    return outcome.grant


async def empty(farebox: Farebox, merchant_id: int, *, is_closed: bool) -> None:
    """Pay out what a merchant has, and close it if asked."""
    operations = farebox.services.operations
    _, account = await farebox.services.merchants.get(merchant_id)
    paid_out = await operations.adjust(
        merchant_id,
        amount=f"-{format_amount(account.paid)}",
        reference="closing",
        reason="paid out",
        principal=None,
    )
    assert paid_out.is_ok, paid_out
    if is_closed:
        closed = await operations.set_closed(merchant_id, is_closed=True, reason="gone", principal=None)
        assert closed.is_ok, closed


async def seed_through(
    merchants: Merchants,
    prices: Prices,
    operations: Operations,
    *,
    balance: str | None = "100",
    credit_limit: str = "0",
) -> Seeds:
    """Add what `seed` adds, through these services; the support key is the command line's."""
    merchant, _, key = await merchants.create(
        name="Northwind Imaging", currency="USD", thresholds=[], credit_limit=credit_limit
    )
    service = await merchants.create_key(KeyKind.SERVICE, name="recognition")
    support = await merchants.create_key(KeyKind.SUPPORT, name="ann")
    for request_type, unit_price in (("image", "0.01"), ("call", None)):
        # Where the clock is stopped, a second merchant comes at the same moment.
        with contextlib.suppress(Conflict):
            await prices.set(request_type, unit_price)
    if balance is not None:
        topped_up = await operations.top_up(
            merchant.merchant_id, amount=balance, reference="INV-1", note=None, principal=None
        )
        assert topped_up.is_ok
    return Seeds(
        merchant_id=merchant.merchant_id,
        merchant=ids.public_id(ids.MERCHANT, merchant.merchant_id),
        merchant_key=key.text,
        merchant_key_id=ids.public_id(ids.KEY, key.key.key_id),
        service_key=service.text,
        support_key=support.text,
    )


def is_listening(process: psutil.Process) -> bool:
    """Tell whether a process accepts connections; one that is gone does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(each.status == psutil.CONN_LISTEN for each in process.net_connections())
    return False


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs; one that nobody has buried yet does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def start_guard(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Start what kills a process and its group when the tests have ended, however they did, or when it is closed."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", str(process.pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def free_port() -> int:
    """Find a free port below those that the system gives to clients."""
    for _ in range(PORT_ATTEMPTS_MAX):
        port = random.randint(15_000, 32_000)
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(("127.0.0.1", port))
            return port
    raise ServerError("No port is free for the server.")


def seeded(database_url: str, *, balance: str | None = "100") -> Seeds:
    """Create a database's schema and what `seed` adds, for tests that have no loop."""

    async def prepare() -> Seeds:
        async with open_farebox(database_url) as farebox:
            return await seed(farebox, balance=balance)

    return asyncio.run(prepare())
