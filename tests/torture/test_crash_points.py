"""Crashes at the very points where something could be lost or doubled, each hit for sure."""

import asyncio
import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from farebox.core.commands import SetThresholds
from farebox.service.operator.verifier import Verifier
from farebox.storage.records import DeliveryState
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import Client

UNIT = 1_000_000
ROOT = Path(__file__).parents[2]
WAIT_S = 30
PUBLIC = {"FAREBOX_PUBLIC_URL": "https://farebox.example"}
"""One for all servers of a ledger: what a mail links to is a part of what it says."""


def crashing_server(database_url: str, point: str, folder: Path | None = None) -> Server:
    environment = {"FAREBOX_TEST_CRASH": point, "PYTHONPATH": str(ROOT), **PUBLIC}
    return Server(database_url, environment=environment, program="tests.torture.crashing", folder=folder)


async def prepare(database_url: str) -> Seeds:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        await farebox.services.merchants.add_user(seeds.merchant_id, "ann@example.com")
        return seeds


async def charge(server: Server, seeds: Seeds, key: str, quantity: int = 1) -> tuple[int, bool, str]:
    content = {"merchant": seeds.merchant, "type": "image", "quantity": quantity, "idempotencyKey": key}
    client = Client(server.port, seeds.service_key)
    try:
        status, headers, body = await client.send("POST", "/api/charges", json.dumps(content).encode())
    finally:
        await client.close()
    assert status == 200, body
    return status, "idempotent-replay" in headers, str(json.loads(body)["data"]["transferId"])


async def charges_in_the_book(database_url: str, seeds: Seeds) -> int:
    async with open_farebox(database_url) as farebox:
        audit = Verifier(farebox.stores.connector)
        assert [] == [fault async for fault in audit.faults(None)]
        return audit.transfers_count - 1


@pytest.mark.parametrize("times", [0, 1, 5])
@pytest.mark.parametrize(("point", "is_there"), [("before_commit", False), ("after_commit", True)])
async def test_a_crash_around_commit_leaves_all_of_a_charge_or_nothing_and_its_retry_settles_it(
    database_url: str, point: str, is_there: bool, times: int
) -> None:
    seeds = await prepare(database_url)
    with crashing_server(database_url, f"{point}:{times}") as server:
        for number in range(times):
            assert not (await charge(server, seeds, f"k{number}"))[1]
        with pytest.raises((OSError, EOFError)):
            await charge(server, seeds, "last")
    assert times + is_there == await charges_in_the_book(database_url, seeds)
    with Server(database_url) as server:
        _, is_replay, transfer_id = await charge(server, seeds, "last")
        assert is_there == is_replay
        assert (200, True, transfer_id) == await charge(server, seeds, "last")
    assert times + 1 == await charges_in_the_book(database_url, seeds)


def mails_in(folder: Path) -> list[EmailMessage]:
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in folder.glob("mail/*.eml")]


async def test_a_crash_between_sending_a_mail_and_writing_that_down_sends_the_same_mail_again(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await prepare(database_url)
    async with open_farebox(database_url) as farebox:
        await farebox.committer.submit(SetThresholds(seeds.merchant_id, (50 * UNIT,)))
    folder = tmp_path / "server"
    folder.mkdir()
    with crashing_server(database_url, "mail_sent:0", folder) as server:
        await charge(server, seeds, "k", quantity=6_000)
        async with asyncio.timeout(WAIT_S):
            while server.is_running():
                await asyncio.sleep(0.05)
    (first,) = mails_in(folder)
    async with open_farebox(database_url) as farebox:
        (mail,) = await farebox.stores.deliveries.mails(merchant_id=None, limit=9)
        assert (DeliveryState.WAITING, 1) == (mail.state, mail.attempts)
        # The lease of the process that died would end by itself, ten minutes on.
        assert 1 == await farebox.stores.deliveries.retry_mails(farebox.clock.now())
    for path in folder.glob("mail/*.eml"):
        path.unlink()
    with Server(database_url, environment=PUBLIC, folder=folder):
        async with asyncio.timeout(WAIT_S):
            while not mails_in(folder):
                await asyncio.sleep(0.05)
            state = DeliveryState.WAITING
            while state != DeliveryState.SENT:
                await asyncio.sleep(0.05)
                async with open_farebox(database_url) as farebox:
                    (mail,) = await farebox.stores.deliveries.mails(merchant_id=None, limit=9)
                    state = DeliveryState(mail.state)
    (second,) = mails_in(folder)
    assert 2 == mail.attempts
    assert first["Message-ID"] == second["Message-ID"]
    assert first["To"] == second["To"]
