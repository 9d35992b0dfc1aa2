"""What a gate adds to a request: each proxy that is there with the gate and without, and an API with the middleware."""

import contextlib
import re
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import serving
from benchmarks.report import progress
from benchmarks.results import GatewayResult
from benchmarks.rounds import figure
from tests.gateways.parts import Api, gate_environment
from tests.gateways.programs import PROGRAMS, Gateway, Program
from tests.support.server import Server, seeded

PLAIN: Final = "without the gate"
FREE: Final = "free"
CHARGED: Final = "charged"
HELD: Final = "held"
CAPTURED: Final = "held and captured"
MIDDLEWARE: Final = "middleware"

RULES: Final = """
[[route]]
method = "POST"
path = "/charged"
type = "image"

[[route]]
method = "POST"
path = "/free"
free = true
"""
_BALANCE: Final = "1000000"
_WARM_UP_REQUESTS: Final = 50
_REQUESTS_MIN: Final = 20
_REQUESTS_MAX: Final = 900
_CHUNK_BYTES: Final = 65_536
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_END: Final = b"\r\n\r\n"


def measure(*, rounds: int, seconds: float) -> list[GatewayResult]:
    """Measure each proxy over one connection, with charges on SQLite."""
    with tempfile.TemporaryDirectory(prefix="farebox-bench-gateways-") as path:
        folder = Path(path)
        url = f"sqlite:///{folder / 'farebox.db'}"
        seeds = seeded(url, balance=_BALANCE)
        (folder / "gate.toml").write_text(RULES)
        environment = {**gate_environment(folder / "gate.toml"), "FAREBOX_RATE_LIMIT": "0"}
        with contextlib.closing(Api(folder)) as api, Server(url, environment=environment) as farebox:
            results: list[GatewayResult] = []
            for program in PROGRAMS.values():
                if program.is_there:
                    with _proxied(program, api.port, farebox.port) as cases:
                        results += _measure(program.name, program.version(), cases, seeds.merchant_key, rounds, seconds)
            with _with_middleware(farebox.url, seeds.service_key) as cases:
                results += _measure(MIDDLEWARE, "", cases, seeds.merchant_key, rounds, seconds)
            return results


Cases = Mapping[str, tuple[int, str]]
"""The requests: where they go, and under which path."""


@contextlib.contextmanager
def _proxied(program: Program, api_port: int, farebox_port: int) -> Iterator[Cases]:
    """Run a proxy twice, once with its gate taken out."""
    paid = CHARGED if program.knows_requests else HELD
    with (
        Gateway(program, api_port=api_port, farebox_port=farebox_port, edit=without_gate) as plain,
        Gateway(program, api_port=api_port, farebox_port=farebox_port) as gated,
    ):
        yield {PLAIN: (plain.port, "/free"), FREE: (gated.port, "/free"), paid: (gated.port, "/charged")}


@contextlib.contextmanager
def _with_middleware(url: str, key: str) -> Iterator[Cases]:
    """Run an API twice, once with the middleware. A free request needs no key there, and asks nobody."""
    app = "benchmarks.middleware_app"
    with (
        serving.running(lambda port: ["-m", app, str(port)], "") as plain,
        serving.running(lambda port: ["-m", app, str(port), url, key], "") as charging,
    ):
        yield {PLAIN: (plain.port, "/free"), FREE: (charging.port, "/free"), CAPTURED: (charging.port, "/charged")}


def _measure(name: str, version: str, cases: Cases, key: str, rounds: int, seconds: float) -> Iterator[GatewayResult]:
    progress(f"measuring {name}")
    found: dict[str, list[tuple[float, float]]] = {what: [] for what in cases}
    for _ in range(rounds):
        for what, (port, target) in cases.items():
            found[what].append(_percentiles(_times(port, target, key, seconds)))
    for what, times in found.items():
        added = [
            (p50 - plain_p50, p99 - plain_p99)
            for (p50, p99), (plain_p50, plain_p99) in zip(times, found[PLAIN], strict=True)
        ]
        is_plain = what == PLAIN
        yield GatewayResult(
            name,
            version,
            what,
            figure(p50 for p50, _ in times),
            figure(p99 for _, p99 in times),
            None if is_plain else figure(p50 for p50, _ in added),
            None if is_plain else figure(p99 for _, p99 in added),
        )


def _percentiles(times: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def _times(port: int, target: str, key: str, seconds: float) -> list[float]:
    """Ask over one connection after the other, and return how many milliseconds each answer took.

    A proxy may end a connection after a thousand requests.
    """
    request = f"POST {target} HTTP/1.1\r\nhost: api\r\nx-api-key: {key}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    _times_of_connection(port, request, _WARM_UP_REQUESTS, 0)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        times += _times_of_connection(port, request, _REQUESTS_MIN, end)
    return times


def _times_of_connection(port: int, request: bytes, at_least: int, end: float) -> list[float]:
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while len(times) < at_least or (time.perf_counter() < end and len(times) < _REQUESTS_MAX):
            began = time.perf_counter()
            _ask(connection, request)
            times.append((time.perf_counter() - began) * 1_000)
    return times


def _ask(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    answer = b""
    while _END not in answer:
        answer += _received(connection)
    head, _, body = answer.partition(_END)
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200 ") or length is None:
        raise RuntimeError(f"this is not what was asked for: {answer!r}")
    left = int(length[1]) - len(body)
    while left > 0:
        left -= len(_received(connection))


def _received(connection: socket.socket) -> bytes:
    part = connection.recv(_CHUNK_BYTES)
    if not part:
        raise RuntimeError("the proxy closed the connection")
    return part


def _less(*patterns: str) -> Callable[[str], str]:
    """Return what takes parts out of a text, each of which must be there."""

    def edit(text: str) -> str:
        for pattern in patterns:
            text, count = re.subn(pattern, "", text, flags=re.DOTALL | re.MULTILINE)
            if not count:
                raise RuntimeError(f"the configuration has no {pattern}")
        return text

    return edit


_GATES: Final[Mapping[str, Callable[[str], str]]] = {
    "nginx.conf": _less(r"^ *auth_request /_gate;\n"),
    "Caddyfile": _less(r"^\t\treverse_proxy 127\.0\.0\.1:\d+ \{\n\t\t\tmethod GET\n.*?^\t\t\}\n"),
    "routes.yaml": _less(r"(?<=middlewares: \[only-ours, )ask, gate, "),
    "envoy.yaml": _less(
        r"^ {18}- name: envoy\.filters\.http\.ext_authz\n.*?(?=^ {18}- name: envoy\.filters\.http\.router\n)"
    ),
    "haproxy.cfg": _less(r"^ *http-request lua\.ask_gate [^\n]*\n", r"^ *http-request return status 503 [^\n]*\n"),
    "apache.conf": _less(r"^LuaHookAccessChecker [^\n]*\n"),
}


def without_gate(name: str, text: str) -> str:
    """Take the gate out of a shipped configuration, and nothing else."""
    return _GATES[name](text) if name in _GATES else text
