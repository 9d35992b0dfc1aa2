"""The clients that generators make of the OpenAPI document: made, typed and run against a server, in two languages."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.languages.programs import node
from tests.support import plain_http
from tests.support.server import Seeds, Server, open_farebox, seed

# npm fetches its packages, and mypy reads some hundred modules for the first time.
pytestmark = pytest.mark.timeout(900)

HERE: Final = Path(__file__).parent
PACKAGE: Final = "farebox_api"
OUTCOMES: Final = [
    "1250.75",
    "1250.75",
    "0.03",
    ["0.03", "1250.72"],
    "true",
    ["1.25", "1.25"],
    "0.01",
    ["0.03", "unknown_type"],
    ["0.03", "0.03"],
    [402, False, "insufficient_balance"],
]


class Site:
    """A running server with a merchant of its own for each client, and what it says of itself."""

    def __init__(self, server: Server, seeds: list[Seeds], folder: Path) -> None:
        self._server = server
        self._seeds = seeds
        answer = plain_http.get(f"{server.url}/openapi.json")
        self.document = folder / "openapi.json"
        self.document.write_bytes(answer.content)

    def environment(self) -> dict[str, str]:
        """Return what a program is told of the server and of a merchant that nobody has charged yet."""
        seeds = self._seeds.pop()
        return {
            "FAREBOX_URL": self._server.url,
            "FAREBOX_MERCHANT": seeds.merchant,
            "FAREBOX_MERCHANT_KEY": seeds.merchant_key,
            "FAREBOX_SERVICE_KEY": seeds.service_key,
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ledger")
    database = f"sqlite:///{folder / 'farebox.db'}"

    async def prepare() -> list[Seeds]:
        async with open_farebox(database) as farebox:
            return [await seed(farebox, balance="1250.75") for _ in range(2)]

    seeds = asyncio.run(prepare())
    with Server(database) as server:
        yield Site(server, seeds, folder)


def _run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a tool, which has to succeed, and return all that it says."""
    # Tools call others by name, which stand beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": path, **(environment or {})},
    )
    told = done.stdout + done.stderr
    assert 0 == done.returncode, told
    return told


def _outcomes(told: str) -> list[object]:
    return [json.loads(line) for line in told.splitlines()]


@pytest.fixture(scope="module")
def python_client(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the package that openapi-python-client makes, and what that said."""
    folder = tmp_path_factory.mktemp("python")
    generator = Path(sys.executable).with_name("openapi-python-client")
    told = _run(
        [generator, "generate", "--path", site.document, "--meta", "none", "--output-path", folder / PACKAGE], folder
    )
    shutil.copy(HERE / "python" / "spending.py", folder)
    return folder, told


def test_the_python_generator_leaves_nothing_out_but_lines(python_client: tuple[Path, str]) -> None:
    _, told = python_client
    warnings = [line for line in told.splitlines() if line.startswith(("WARNING", "ERROR", "Unsupported", "Unable"))]
    assert ["WARNING parsing POST /api/charges/batch within spending.", "Unsupported content type"] == [
        warnings[0],
        warnings[1].removesuffix(" application/x-ndjson"),
    ]
    assert 2 == len(warnings), told


def test_a_generated_python_client_is_typed(python_client: tuple[Path, str]) -> None:
    folder, _ = python_client
    # It hands `*args: object` on to httpx, which types what it takes; that is so whatever the document is.
    exception = f"[mypy-{PACKAGE}.client]\ndisable_error_code = arg-type\n"
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = True\n{exception}", encoding="utf-8")
    _run([sys.executable, "-m", "mypy", "--config-file=mypy.ini", PACKAGE, "spending.py"], folder)


def test_a_generated_python_client_charges(python_client: tuple[Path, str], site: Site) -> None:
    folder, _ = python_client
    assert OUTCOMES == _outcomes(_run([sys.executable, "spending.py"], folder, site.environment()))


@pytest.fixture(scope="module")
def typescript_client(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the types that openapi-typescript makes, and the packages that its program needs."""
    folder = tmp_path_factory.mktemp("typescript")
    for source in (HERE / "typescript").iterdir():
        shutil.copy(source, folder)
    npm = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _run([node(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, {"PATH": _path_of_node()})
    generator = folder / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    _run([node(), generator, site.document, "--output", folder / "farebox.d.ts"], folder)
    return folder


def _path_of_node() -> str:
    return os.pathsep.join([str(node().parent), os.environ["PATH"]])


def test_a_generated_typescript_client_is_typed(typescript_client: Path) -> None:
    compiler = typescript_client / "node_modules" / "typescript" / "bin" / "tsc"
    _run([node(), compiler, "--project", typescript_client], typescript_client)


def test_a_generated_typescript_client_charges(typescript_client: Path, site: Site) -> None:
    told = _run([node(), "spending.ts"], typescript_client, site.environment())
    assert OUTCOMES == _outcomes(told)


def test_the_lock_of_npm_names_no_registry() -> None:
    lock = json.loads((HERE / "typescript" / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package
        assert not name or package["integrity"].startswith("sha512-")
