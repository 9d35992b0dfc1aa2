"""The examples that charge, each run by its own language's program: against a server, and against one that fails."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Final

import pytest

from farebox.web.examples import CHARGE, charge_examples
from tests.languages.programs import Program
from tests.languages.scripted import Asked, ScriptedServer, Step
from tests.support import plain_http
from tests.support.server import Server, open_farebox, seed

# The first test of a language may have to install it.
pytestmark = pytest.mark.timeout(900)

ATTEMPTS: Final = 6
# The status that the examples end with when a merchant can't pay.
NOT_CHARGED: Final = 3
# Where a comma parts the decimals, and a point parts nothing or thousands.
LANGUAGES: Final = ["C", "de_DE.UTF-8", "fr_FR.UTF-8"]
OVERLOADED: Final = '{"isSuccess":false,"statusCode":503,"errorMessage":"Overloaded","data":null}'
UNKNOWN: Final = '{"isSuccess":false,"statusCode":500,"errorMessage":"Outcome unknown","data":null}'


def _charged(available: str = "1250.74", cost: str = "0.01") -> str:
    data = {"transferId": "xfer_1", "cost": cost, "balance": available, "available": available}
    return json.dumps({"isSuccess": True, "statusCode": 200, "errorMessage": None, "data": data})


SLOW_SERVERS: Final = {
    "asks again": (
        Step(is_dropped=True),
        Step(500, UNKNOWN),
        Step(502, "<html><title>Bad gateway</title></html>"),
        # curl waits twice as long each time, unless it is told how long: that comes where it would wait most.
        Step(503, OVERLOADED, retry_after="2"),
        Step(429, OVERLOADED.replace("503", "429"), retry_after="1"),
        Step(200, _charged()),
    ),
    "stops waiting": (Step(is_hanging=True), Step(200, _charged())),
    "gives up": (Step(429, OVERLOADED.replace("503", "429"), retry_after="1"),),
    "takes no other answer": (Step(200, "<html><title>Sign in to this network</title></html>"),),
}
"""Servers at which an example mostly waits, by what it does there."""


@dataclass(frozen=True)
class Site:
    """A running server, and the keys to charge at it with; one merchant has something, one has nothing."""

    server: Server
    service_key: str
    merchant: str
    merchant_key: str
    poor_key: str

    def balance(self) -> str:
        """Read what the first merchant has left."""
        answer = plain_http.get(f"{self.server.url}/api/balance", headers={"x-api-key": self.merchant_key})
        return str(answer.json()["data"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    async def prepare() -> tuple[str, str, str, str]:
        async with open_farebox(database) as farebox:
            seeds = await seed(farebox, balance="1250.75")
            _, _, poor = await farebox.services.merchants.create(
                name="Southwind Imaging", currency="USD", thresholds=[], credit_limit="0"
            )
            return seeds.service_key, seeds.merchant, seeds.merchant_key, poor.text

    keys = asyncio.run(prepare())
    with Server(database) as server:
        yield Site(server, *keys)


@dataclass(frozen=True)
class Run:
    """An example's end at a scripted server, and the requests that this got."""

    done: CompletedProcess[str]
    asked: list[Asked]


@pytest.fixture(scope="module")
def programs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    """Return the examples by their names, as this server would show them."""
    return {
        example.name: Program(example, tmp_path_factory.mktemp("example"))
        for example in charge_examples(site.server.url)
    }


@pytest.fixture(scope="module")
def slow_runs(programs: dict[str, Program]) -> Iterator[dict[tuple[str, str], Future[Run]]]:
    """Have all examples wait at the slow servers at once; return each run by the example's name and what it does."""
    with ThreadPoolExecutor(len(programs) * len(SLOW_SERVERS)) as pool:
        yield {
            (name, does): pool.submit(_run_slow, program, steps)
            for name, program in programs.items()
            for does, steps in SLOW_SERVERS.items()
        }


@pytest.fixture(scope="module", params=[name for _, name in CHARGE])
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of each of the examples in turn."""
    return str(request.param)


@pytest.fixture
def program(name: str, programs: dict[str, Program]) -> Program:
    return programs[name]


def _told(done: CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def _run_scripted(program: Program, server: ScriptedServer, **environment: str) -> CompletedProcess[str]:
    environment = {"FAREBOX_MERCHANT": "mer_1", **environment}
    return program.run("job-8812", key="fbs_KEY", url=server.url, environment=environment)


def _run_slow(program: Program, steps: tuple[Step, ...]) -> Run:
    with ScriptedServer(*steps) as server:
        return Run(_run_scripted(program, server), server.asked)


def test_examples_charge_a_request_once_however_often_they_are_run(program: Program, site: Site) -> None:
    before = site.balance()
    # A service charges by the key that a request came with, or by the merchant's id.
    for name, payers in (("by-key", [site.merchant_key] * 2), ("by-id", [site.merchant])):
        told = [
            program.run(f"{name}-{before}", key=site.service_key, environment={"FAREBOX_MERCHANT": payer})
            for payer in payers
        ]
        assert {(0, "")} == {(done.returncode, done.stderr) for done in told}
        assert {f"Charged 0.01, {site.balance()} left.\n"} == {done.stdout for done in told}
    assert 2 == round((float(before) - float(site.balance())) * 100)


def test_examples_tell_a_merchant_that_cannot_pay_from_a_failure(program: Program, site: Site) -> None:
    done = program.run("job-1", key=site.service_key, environment={"FAREBOX_MERCHANT": site.poor_key})
    assert (NOT_CHARGED, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("Not charged: ")


def test_examples_raise_with_the_servers_message(program: Program, site: Site) -> None:
    done = program.run("job-1", key="no-such-key", environment={"FAREBOX_MERCHANT": site.merchant_key})
    assert done.returncode not in (0, NOT_CHARGED)
    assert "Farebox answered 401: Invalid API key" in _told(done)
    assert "no-such-key" not in _told(done)
    assert site.merchant_key not in _told(done)


def test_examples_do_not_start_without_the_id_of_a_request(program: Program, site: Site) -> None:
    before = site.balance()
    done = program.run(key=site.service_key, environment={"FAREBOX_MERCHANT": site.merchant_key})
    assert done.returncode not in (0, NOT_CHARGED)
    assert before == site.balance()


@pytest.mark.parametrize("does", ["asks again", "stops waiting"])
def test_examples_ask_again_under_the_same_key_until_they_are_answered(
    name: str, does: str, slow_runs: dict[tuple[str, str], Future[Run]]
) -> None:
    """Of a time-out, a lost connection and `outcome_unknown` nobody knows whether they charged."""
    run = slow_runs[name, does].result()
    assert (0, "Charged 0.01, 1250.74 left.\n") == (run.done.returncode, run.done.stdout)
    steps = SLOW_SERVERS[does]
    assert len(steps) == len(run.asked)
    assert {("fbs_KEY", run.asked[0].body)} == {(asked.key, asked.body) for asked in run.asked}
    assert {"merchant": "mer_1", "type": "image", "quantity": 1, "idempotencyKey": "job-8812"} == json.loads(
        run.asked[0].body
    )
    for step, asked, again in zip(steps, run.asked, run.asked[1:], strict=False):
        assert again.at - asked.at >= int(step.retry_after or 0)


@pytest.mark.parametrize(
    ("status", "message"), [(404, "No such merchant"), (409, "Used for something else"), (422, "Unknown type")]
)
def test_examples_ask_once_what_stays_wrong(program: Program, status: int, message: str) -> None:
    body = {"isSuccess": False, "statusCode": status, "errorMessage": message, "data": None}
    with ScriptedServer(Step(status, json.dumps(body))) as server:
        done = _run_scripted(program, server)
    assert done.returncode not in (0, NOT_CHARGED)
    assert f"Farebox answered {status}: {message}" in _told(done)
    assert 1 == len(server.asked)


def test_examples_give_up_in_the_end(name: str, slow_runs: dict[tuple[str, str], Future[Run]]) -> None:
    run = slow_runs[name, "gives up"].result()
    assert run.done.returncode not in (0, NOT_CHARGED)
    assert "Farebox answered 429: Overloaded" in _told(run.done)
    assert "Charged" not in run.done.stdout
    assert ATTEMPTS == len(run.asked)


def test_examples_take_no_other_answer_for_a_charge(name: str, slow_runs: dict[tuple[str, str], Future[Run]]) -> None:
    done = slow_runs[name, "takes no other answer"].result().done
    assert done.returncode not in (0, NOT_CHARGED)
    assert "Charged" not in done.stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_tell_amounts_exactly_in_every_language(program: Program, language: str) -> None:
    # A 64-bit float has no such number.
    with ScriptedServer(Step(200, _charged("9007199254740.993001", "1250.75"))) as server:
        done = _run_scripted(program, server, LC_ALL=language)
    assert (0, "Charged 1250.75, 9007199254740.993001 left.\n", "") == (done.returncode, done.stdout, done.stderr)
