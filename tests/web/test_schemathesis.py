"""A tool that knows nothing but the OpenAPI document asks a running server for all that it tells of, and for more.

It takes the document at its word: whatever an answer has that the document does not tell of, whatever is accepted that
the document forbids, or refused that it allows, is a failure. schemathesis.toml beside this file says how it is set up.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from farebox.core.commands import KeyKind
from tests.support import plain_http
from tests.support.server import Seeds, Server, open_farebox, seeded

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
RUN_TIMEOUT_S: Final = 1_800

# A minute where nothing else runs, and twenty where much does; the first of these tests waits for it.
pytestmark = pytest.mark.timeout(RUN_TIMEOUT_S + 60)

SPARE: Final = 40
"""How many of each thing there are that can be used up, such as holds."""


@dataclass(frozen=True)
class Run:
    """What schemathesis came to."""

    status: int
    report: str
    tally: Counter[tuple[str, str]]
    """How often each operation was answered with each status."""
    operations: set[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("schemathesis")
    database = f"sqlite:///{folder / 'farebox.db'}"

    seeds, bea = seeded(database, balance="1000000"), _support_key(database, "bea")
    with Server(database, environment={"FAREBOX_APPROVAL_ABOVE": "1000", "FAREBOX_BAD_KEYS": "0"}) as server:
        with plain_http.client(base_url=server.url) as client:
            own_keys = _own_keys(client, seeds)
            things = _things(client, seeds, bea)
            document = client.get("/openapi.json").json()
        for name, values in things.items():
            (folder / f"{name}.dict").write_text("".join(f'"{value}"\n' for value in values))
        environment = {"FAREBOX_TEST_OWN_KEYS": " ".join(own_keys), "FAREBOX_TEST_SPARE_KEY": things["keys"][0]}
        yield _run(folder, server, seeds, document, environment)


def test_the_server_is_as_its_document_says(run: Run) -> None:
    assert run.status == 0, run.report


def test_every_operation_was_met_with_success(run: Run) -> None:
    """An operation that is always refused is not tested; the ids and keys that the tool is given prevent that."""
    succeeded = {operation for operation, status in run.tally if status.startswith("2")}
    assert set() == run.operations - succeeded


def test_no_operation_was_spared(run: Run) -> None:
    tried = Counter(operation for operation, _ in run.tally.elements())
    assert [] == [operation for operation in run.operations if tried[operation] < 20]


def _own_keys(client: httpx.Client, seeds: Seeds) -> list[str]:
    """Return the ids of the keys that the tool is given."""
    lists = [
        client.get(path, headers={"x-api-key": seeds.support_key}).json()["data"]["keys"]
        for path in ("/api/admin/keys", f"/api/admin/merchants/{seeds.merchant}/keys")
    ]
    return [key["keyId"] for keys in lists for key in keys]


def _support_key(database: str, name: str) -> str:
    """Make the key of another support person, whose requests the tool's own may approve."""

    async def make() -> str:
        async with open_farebox(database) as farebox:
            return (await farebox.services.merchants.create_key(KeyKind.SUPPORT, name=name)).text

    return asyncio.run(make())


def _things(client: httpx.Client, seeds: Seeds, bea: str) -> dict[str, list[str]]:
    """Put into the ledger what paths and bodies name, and return the ids by the names of their dictionaries."""
    merchant = f"/api/admin/merchants/{seeds.merchant}"

    def post(path: str, key: str, content: object = None) -> Any:
        body = {} if content is None else {"json": content}
        answer = client.post(path, headers={"x-api-key": key}, **body)  # type: ignore[arg-type]
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def spend(path: str, **more: object) -> Any:
        asked = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": str(uuid.uuid4()), **more}
        return post(path, seeds.service_key, asked)

    def top_up(amount: str, number: int) -> Any:
        asked = {"amount": amount, "reference": f"{amount}-{number}"}
        return post(f"{merchant}/topups", bea, asked)

    def give(number: int) -> Any:
        asked = {"amount": "5", "reference": f"given-{number}", "reason": "trial"}
        return post(f"{merchant}/grants", bea, asked)

    def price(path: str, number: int) -> Any:
        asked = {"type": f"later-{number}", "unitPrice": "1", "startsAt": "2100-01-01T00:00:00Z"}
        return post(path, seeds.support_key, asked)["priceId"]

    def suspended() -> Any:
        key = post(f"{merchant}/keys", seeds.support_key, {})["key"]["keyId"]
        return post(f"/api/admin/keys/{key}/suspend", seeds.support_key)["keyId"]

    def hook(path: str) -> Any:
        # No name server knows this one (RFC 6761), so nothing leaves this machine.
        asked = {"channel": "webhook", "url": "https://hooks.invalid/farebox", "types": ["topup.posted"]}
        return post(path, seeds.support_key, asked)["destinationId"]

    told = hook(f"{merchant}/destinations")
    # Each merchant may have twenty, and so may the operator, so that some can be added still.
    hooks = [hook("/api/admin/destinations") for _ in range(12)] + [hook(f"{merchant}/destinations") for _ in range(8)]
    top_ups = [top_up("10", number)["transferId"] for number in range(SPARE)]
    sent = client.get(f"/api/admin/destinations/{told}/events", headers={"x-api-key": seeds.support_key})
    return {
        "merchants": [seeds.merchant],
        "told_destinations": [told],
        "events": [event["eventId"] for event in sent.json()["data"]["sent"]],
        "destinations": hooks,
        "urls": [f"https://hooks.invalid/{number}" for number in range(SPARE)],
        "suspended_keys": [suspended() for _ in range(SPARE)],
        # Only those can be closed.
        "empty_merchants": [
            post("/api/admin/merchants", seeds.support_key, {"name": f"Empty {number}", "currency": "USD"})[
                "merchantId"
            ]
            for number in range(SPARE)
        ],
        "merchant_keys": [post(f"{merchant}/keys", seeds.support_key, {})["key"]["keyId"] for _ in range(SPARE)],
        "types": ["image", "call"],
        "ending_types": [
            post(path, seeds.support_key, {"type": f"ending-{number}", "unitPrice": "1"})["type"]
            for number in range(SPARE)
            for path in ("/api/admin/prices", f"{merchant}/prices")
        ],
        "holds": [spend("/api/holds", quantity=100)["holdId"] for _ in range(SPARE)],
        "releasable_holds": [spend("/api/holds", quantity=1)["holdId"] for _ in range(SPARE)],
        "grants": [give(number)["grantId"] for number in range(SPARE)],
        "charges": [spend("/api/charges", quantity=100)["transferId"] for _ in range(SPARE)],
        # Together they are below what a second person has to approve, whatever grants there are.
        "top_ups": top_ups,
        "approvals": [top_up("5000", number)["approvalId"] for number in range(SPARE)],
        "users": [
            post(f"{merchant}/users", seeds.support_key, {"email": f"{number}@northwind.example"})["userId"]
            for number in range(SPARE)
        ],
        "prices": [price("/api/admin/prices", number) for number in range(SPARE)],
        "own_prices": [price(f"{merchant}/prices", number) for number in range(SPARE)],
        "keys": [
            post("/api/admin/keys", seeds.support_key, {"kind": "service", "name": f"n{number}"})["key"]["keyId"]
            for number in range(SPARE)
        ],
    }


def _run(folder: Path, server: Server, seeds: Seeds, document: dict[str, Any], environment: dict[str, str]) -> Run:
    shutil.copy(CONFIG, folder)
    tally = folder / "tally"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file",
            CONFIG.name,
            "run",
            f"{server.url}/openapi.json",
        ],
        check=False,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "127.0.0.1",
            **environment,
            "FAREBOX_TEST_TALLY": str(tally),
            "FAREBOX_TEST_MERCHANT_KEY": seeds.merchant_key,
            "FAREBOX_TEST_SERVICE_KEY": seeds.service_key,
            "FAREBOX_TEST_SUPPORT_KEY": seeds.support_key,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    lines = tally.read_text().splitlines() if tally.exists() else []
    return Run(
        status=done.returncode,
        report=f"{done.stdout}\n{server.log()[-4000:]}",
        tally=Counter((line.rpartition(" ")[0], line.rpartition(" ")[2]) for line in lines),
        operations={f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item},
    )
