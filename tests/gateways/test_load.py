"""Under load, with an API that fails and hangs and clients that leave: what is charged is what was delivered.

Then the settler, the gate and the proxy are killed in the middle. No more is accounted for otherwise after that than
what was under way when the gate or the proxy was killed: a proxy that is killed writes no line of it, and a gate
may have charged and not said so.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.service.gate.tokens import Mode
from tests.cli.shell import Shell
from tests.gateways.load import Accounts, Load, accounts, statement_of
from tests.gateways.parts import Api, gate_environment
from tests.gateways.programs import PROGRAMS, Gateway, Program
from tests.gateways.settling import Settler
from tests.support.server import Seeds, Server, seeded

IS_LONG: Final = bool(os.environ.get("FAREBOX_TEST_GATEWAYS_LONG"))
API_LIMIT_S: Final = 5 if IS_LONG else 2
"""How long the proxy waits; in minutes of load on a busy machine an API that is not to hang can stand still for two."""
HOLD_S: Final = 20 if IS_LONG else 10
PHASE_S: Final = 20.0 if IS_LONG else 0.7
"""How long each phase of load is at least; it goes on until the API was asked for enough."""
ROUNDS: Final = 5 if IS_LONG else 1
CLIENTS: Final = 32 if IS_LONG else 12
PHASE_TIMEOUT_S: Final = 60
MARGIN_S: Final = 1.0
REQUESTS_MIN: Final = 30
"""In each phase at least so many requests reach the API, or the load was none."""

RULES: Final = f"""
[[route]]
method = "POST"
path = "/v1/search"
type = "image"

[[route]]
method = "POST"
path = "/v1/held"
type = "image"
mode = "hold"
hold_for = {HOLD_S}
"""

CASES: Final = [
    pytest.param(program, mode, id=f"{program.name}-{mode}")
    for program in PROGRAMS.values()
    if program.is_there
    for mode in Mode
    if mode is Mode.HOLD or program.knows_requests
    if IS_LONG or mode is (Mode.CHARGE if program.knows_requests and program.tells_who_left else Mode.HOLD)
]


@dataclass
class Site:
    """A gate, a proxy, an API and a settler of their own, and clients."""

    database_url: str
    seeds: Seeds
    farebox: Server
    gateway: Gateway
    api: Api
    settler: Settler
    calm: Load
    killing: Load

    async def accounts(self) -> tuple[Accounts, list[dict[str, Any]]]:
        """Settle what is logged, and read both accounts."""
        await asyncio.to_thread(self.settler.finish)
        statement = await statement_of(self.farebox.url, self.seeds.merchant_key)
        left = self.calm.left | self.killing.left
        return accounts(self.api.requests(), statement, left=left, limit_s=API_LIMIT_S), statement

    def told_of(self, made: list[str], statement: list[dict[str, Any]], killed_at: list[float]) -> str:
        """Return what API, proxy and statement tell of requests, and when anything was killed."""
        log = self.gateway.access_log.read_text(errors="replace").splitlines()
        lines = [f"killed: {[datetime.fromtimestamp(at, UTC).isoformat() for at in killed_at]}"]
        for number in made:
            api = [line for line in self.api.requests() if number in f"{line['x-transfer-id']} {line['x-hold-id']}"]
            ids = {line["x-request-id"] for line in api} - {None, "-"}
            lines += [f"{number}: the API: {api}"]
            lines += [f"{number}: the proxy: {line}" for line in log if any(each in line for each in ids)]
            lines += [f"{number}: the statement: {item}" for item in statement if number in str(item)]
        return "\n".join(lines)


@asynccontextmanager
async def _site(program: Program, mode: Mode, folder: Path) -> AsyncIterator[Site]:
    url = f"sqlite:///{folder / 'farebox.db'}"
    seeds = await asyncio.to_thread(seeded, url, balance="10000")
    (folder / "gate.toml").write_text(RULES)
    environment = {**gate_environment(folder / "gate.toml"), "FAREBOX_RATE_LIMIT": "0"}
    api = Api(folder)
    try:
        with (
            Server(url, environment=environment) as farebox,
            Gateway(program, api_port=api.port, farebox_port=farebox.port, api_limit_s=API_LIMIT_S) as gateway,
        ):
            settler = Settler(farebox.url, seeds.service_key, gateway.access_log, folder / "settle.db")
            target = "/v1/search" if mode is Mode.CHARGE else "/v1/held"
            loads = [Load(gateway.port, seeds.merchant_key, target, clients=CLIENTS, seed=seed) for seed in range(2)]
            try:
                yield Site(url, seeds, farebox, gateway, api, settler, *loads)
            finally:
                settler.kill()
    finally:
        api.close()


async def _phase(site: Site, load: Load) -> None:
    """Let clients ask for a while, and until they asked often enough, and asked the API to hang and to fail."""
    already = len(site.api.requests())
    await asyncio.sleep(PHASE_S)
    deadline = time.monotonic() + PHASE_TIMEOUT_S
    while len(site.api.requests()) - already <= 3 * REQUESTS_MIN or not {"hang", "fail"} <= load.tasks.keys():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def _calm(site: Site) -> None:
    """Let clients ask for a while, and nothing else happen."""
    site.settler.start()
    asking = asyncio.create_task(site.calm.run())
    await _phase(site, site.calm)
    site.calm.stop()
    await asking
    # Requests of clients that left may still be under way.
    await asyncio.sleep(API_LIMIT_S + MARGIN_S)


async def _killing(site: Site) -> list[float]:
    """Let clients ask while one program after the other is killed, and return when that was."""
    killed_at: list[float] = []
    site.settler.start()
    asking = asyncio.create_task(site.killing.run())
    for _ in range(ROUNDS):
        await _phase(site, site.killing)
        site.settler.kill()
        site.settler.start()
        for kill, start in ((site.farebox.kill, site.farebox.start), (site.gateway.kill, site.gateway.start)):
            killed_at.append(time.time())
            await asyncio.to_thread(kill)
            killed_at.append(time.time())
            await asyncio.to_thread(start)
            await _phase(site, site.killing)
    site.killing.stop()
    await asking
    await asyncio.sleep(API_LIMIT_S + MARGIN_S)
    return killed_at


async def _until_nothing_is_held(site: Site) -> None:
    """Wait until holds have ended that nobody captured or released, as no line told of them."""
    deadline = time.monotonic() + HOLD_S + 20
    while (await statement_of(site.farebox.url, site.seeds.merchant_key))[-1]["heldAfter"] != "0.00":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)


def _was_near(made: str, statement: list[dict[str, Any]], killed_at: list[float]) -> bool:
    """Tell whether a request was under way when anything was killed."""
    item: Mapping[str, Any] = next(item for item in statement if item["transferId"].endswith(made))
    at = datetime.fromisoformat(item["committedAt"]).timestamp()
    return any(killed - API_LIMIT_S - MARGIN_S < at < killed + MARGIN_S for killed in killed_at)


@pytest.mark.parametrize(
    ("seconds", "left", "lost"),
    [(0.1, {"1"}, {"A"}), (1.2, {"1"}, set()), (1.7, set(), set()), (2.0, set(), set()), (2.0, {"1"}, set())],
)
def test_an_api_that_began_late_is_not_taken_for_one_that_was_left(
    seconds: float, left: set[str], lost: set[str]
) -> None:
    api = [{"x-transfer-id": "-", "x-hold-id": "hold_A", "x-client": "1", "status": None, "seconds": seconds}]
    statement = [
        {"transferId": "xfer_A", "kind": "hold", "idempotencyKey": "gate:1"},
        {"transferId": "xfer_B", "kind": "release", "idempotencyKey": "settle:hold_A", "refersTo": "xfer_A"},
    ]
    assert lost == accounts(api, statement, left=left, limit_s=2).lost


@pytest.mark.timeout(1_200 if IS_LONG else 300)
@pytest.mark.parametrize(("program", "mode"), CASES)
async def test_what_is_charged_is_what_was_delivered(program: Program, mode: Mode, tmp_path: Path) -> None:
    async with _site(program, mode, tmp_path) as site:
        await _calm(site)
        calm, _ = await site.accounts()
        assert len(calm.delivered) > REQUESTS_MIN
        assert calm.undelivered
        if program.tells_who_left or mode is Mode.HOLD:
            assert calm.lost == frozenset()
        else:
            assert calm.lost <= calm.made - calm.delivered - calm.undelivered
            assert len(calm.lost) <= len(site.calm.left)

        killed_at = await _killing(site)
        await asyncio.to_thread(site.gateway.stop)
        await site.accounts()
        await _until_nothing_is_held(site)
        ended, statement = await site.accounts()
        assert len(ended.delivered) > len(calm.delivered) + REQUESTS_MIN
        sys.stdout.write(
            f"{program.name}, {mode}: {len(ended.made)} asks let through, {len(ended.delivered)} delivered, "
            f"{len(ended.paid)} paid; by kills {len(ended.paid - ended.delivered)} paid that were not delivered, "
            f"{len(ended.delivered - ended.paid)} delivered that were not paid\n"
        )
        if program.tells_who_left or mode is Mode.HOLD:
            unexplained = [made for made in ended.lost if not _was_near(made, statement, killed_at)]
            assert unexplained == [], site.told_of(unexplained, statement, killed_at)
            assert len(ended.lost) <= ROUNDS * CLIENTS * (2 if program.logs_at_once else 8)
        # What a kill leaves behind is to the operator's favour or to the merchant's, as the mode has it.
        if mode is Mode.CHARGE:
            assert ended.delivered <= ended.paid
        else:
            assert ended.paid <= ended.delivered | ended.unsure
        verified = await asyncio.to_thread(Shell(site.database_url).run, "verify")
        assert verified.status == 0, verified
