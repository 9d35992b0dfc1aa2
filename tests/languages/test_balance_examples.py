"""The examples of the Balance API, each run by its own language's program, against a server and against odd answers."""

import asyncio
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

from farebox.core import ids
from farebox.web.examples import BALANCE, CHARGE, URL, balance_examples, charge_examples
from farebox.web.schemas.spending import ChargeRequest
from tests.languages.programs import Program
from tests.support.local_http import answer, serving
from tests.support.server import Server, open_farebox, seed

# The first test of a language may have to install it.
pytestmark = pytest.mark.timeout(900)

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = [name for _, name in BALANCE]
CHARGING_NAMES: Final = [name for _, name in CHARGE]


@dataclass(frozen=True)
class Site:
    """A running server, and the keys of a merchant with plenty and of one with little."""

    server: Server
    rich_key: str
    poor_key: str


class Answers(BaseHTTPRequestHandler):
    """Gives the answer that the path asks for, before `/api/balance`: a status, and a body."""

    def do_GET(self) -> None:
        _, status, body, *rest = self.path.split("/")
        assert ["api", "balance"] == rest
        answer(self, int(status), unquote(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class AnswerSite:
    """A server with any answer."""

    port: int

    def url(self, status: int, body: str) -> str:
        """Return where this answer is, as a client is told where its server is."""
        escaped = "".join(f"%{byte:02x}" for byte in body.encode())
        return f"http://127.0.0.1:{self.port}/{status}/{escaped}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    async def prepare() -> tuple[str, str]:
        async with open_farebox(database) as farebox:
            rich = await seed(farebox, balance="1250.75")
            merchant, _, key = await farebox.services.merchants.create(
                name="Southwind Imaging", currency="USD", thresholds=[], credit_limit="0"
            )
            await farebox.services.operations.top_up(
                merchant.merchant_id, amount="100", reference="INV-2", note=None, principal=None
            )
            spent = ChargeRequest(ids.public_id(ids.MERCHANT, merchant.merchant_id), "call", "spent", amount="0.0025")
            assert (await farebox.services.operations.charge(spent, caller=None)).is_ok
            return rich.merchant_key, key.text

    rich_key, poor_key = asyncio.run(prepare())
    with Server(database) as server:
        yield Site(server, rich_key, poor_key)


@pytest.fixture(scope="module")
def answers() -> Iterator[AnswerSite]:
    with serving(Answers) as port:
        yield AnswerSite(port)


@pytest.fixture(scope="module", params=NAMES)
def program(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Each of the examples in turn, as this server would show it."""
    example = next(one for one in balance_examples(site.server.url) if one.name == request.param)
    return Program(example, tmp_path_factory.mktemp("example"))


def _envelope(data: str) -> str:
    return json.dumps({"isSuccess": True, "statusCode": 200, "errorMessage": None, "data": data})


def test_examples_tell_a_balance_and_whether_it_is_low(program: Program, site: Site) -> None:
    done = program.run(key=site.rich_key)
    assert (0, "Balance: 1250.75\n", "") == (done.returncode, done.stdout, done.stderr)
    done = program.run(key=site.poor_key)
    assert (0, "Balance: 99.9975\nBelow 100: top up.\n", "") == (done.returncode, done.stdout, done.stderr)


def test_examples_raise_with_the_servers_message(program: Program) -> None:
    done = program.run(key="no-such-key")
    assert 0 != done.returncode
    assert "Farebox answered 401: Invalid API key" in done.stdout + done.stderr
    assert "Balance:" not in done.stdout
    assert "no-such-key" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("data", "balance", "is_low"),
    [
        ("1,250,000.75", "1250000.75", False),
        ("100.00", "100.00", False),
        ("99.999999", "99.999999", True),
        ("-250.50", "-250.50", True),
        # A 64-bit float has no such number.
        ("9007199254740.993001", "9007199254740.993001", False),
    ],
)
def test_examples_read_amounts_exactly(
    program: Program, answers: AnswerSite, data: str, balance: str, *, is_low: bool
) -> None:
    done = program.run(key="any", url=answers.url(200, _envelope(data)))
    output = f"Balance: {balance}\n" + ("Below 100: top up.\n" if is_low else "")
    assert (0, output, "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, '{"isSuccess":false,"statusCode":500,"errorMessage":"Internal server error","data":null}'),
        # What stands before a server may answer in words of its own.
        (502, "<html><title>Bad gateway</title></html>"),
        (200, "<html><title>Sign in to this network</title></html>"),
    ],
)
def test_examples_take_no_failure_for_a_balance(program: Program, answers: AnswerSite, status: int, body: str) -> None:
    done = program.run(key="any", url=answers.url(status, body))
    assert 0 != done.returncode
    assert "Balance:" not in done.stdout
    if status == 500:
        assert "Farebox answered 500: Internal server error" in done.stdout + done.stderr


@pytest.mark.parametrize("name", [*NAMES, *CHARGING_NAMES])
def test_an_example_names_its_server_once(name: str) -> None:
    def text(url: str) -> str:
        return next(one.text for one in (*balance_examples(url), *charge_examples(url)) if one.name == name)

    assert 1 == text(URL).count(URL)
    assert 1 == text("https://pay.example/farebox/").count("https://pay.example/farebox")
    assert URL not in text("https://pay.example")


def test_a_url_never_ends_the_string_that_it_stands_in() -> None:
    url = "https://pay.example/'\"$`\\{x}<"
    for example in (*balance_examples(url), *charge_examples(url)):
        assert "https://pay.example/%27%22%24%60%5C%7Bx%7D%3C" in example.text


def test_every_example_is_in_the_package_that_is_installed(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("farebox/web/examples/")}
    there = {f"farebox/web/examples/{path.name}" for path in (ROOT / "src/farebox/web/examples").iterdir()}
    assert there - {"farebox/web/examples/__pycache__"} == packed
    assert packed == {f"farebox/web/examples/{name}" for name in ("__init__.py", *NAMES, *CHARGING_NAMES)}
