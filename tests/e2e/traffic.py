"""Clients that charge a merchant, many at once, and keep a record of every answer they got."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from farebox.bootstrap import Farebox
from farebox.service.operator.verifier import Verifier
from tests.support.server import Seeds, Server
from tests.support.wire import Client

CLIENTS: Final = 64
ATTEMPTS_MAX: Final = 2_000
PAUSE_S: Final = 0.02
TIMEOUT_S: Final = 60
TROUBLE: Final = {(503, "unavailable"), (503, "database_replaced"), (503, "overloaded"), (500, "outcome_unknown")}


@dataclass(frozen=True)
class Answer:
    """What a client got for a key; `is_replay` if it was the first answer again."""

    status: int
    code: str | None
    body: bytes
    is_replay: bool

    @property
    def transfer_id(self) -> str:
        """The charge's transfer."""
        return str(json.loads(self.body)["data"]["transferId"])


@dataclass
class Traffic:
    """Clients of some servers on one ledger, and the answers they got, the last one for each key."""

    servers: Sequence[Server]
    seeds: Seeds
    answers: dict[str, Answer] = field(default_factory=dict)
    troubles: Counter[tuple[int, str | None]] = field(default_factory=Counter)
    """The answers that said Farebox itself was in trouble, by status and code."""
    lost: int = 0
    """How many requests got no answer at all."""
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def acknowledged(self) -> dict[str, Answer]:
        """The keys that were charged, as far as the clients know."""
        return {key: answer for key, answer in self.answers.items() if answer.status == 200}

    async def charge_once(self, keys: Iterable[str]) -> None:
        """Charge for each key, once, with as many clients as there are."""
        await self._run(keys, attempts_max=1)

    async def charge_until_answered(self, keys: Iterable[str]) -> None:
        """Charge for each key, again and again under the same key while Farebox is in trouble."""
        await self._run(keys, attempts_max=ATTEMPTS_MAX)

    async def reached(self, count: int) -> None:
        """Wait until so many keys are acknowledged."""
        async with asyncio.timeout(TIMEOUT_S), self.arrived:
            await self.arrived.wait_for(lambda: len(self.acknowledged) >= count)

    async def _run(self, keys: Iterable[str], *, attempts_max: int) -> None:
        waiting = iter(keys)

        async def work(number: int) -> None:
            # Each client prefers one of the servers and goes on to the next when that one gives no answer.
            clients = [Client(server.port, self.seeds.service_key) for server in self.servers]
            try:
                for key in waiting:
                    await self._settle([*clients[number % len(clients) :], *clients], key, attempts_max)
            finally:
                for client in clients:
                    await client.close()

        await asyncio.gather(*[work(number) for number in range(CLIENTS)])

    async def _settle(self, clients: Sequence[Client], key: str, attempts_max: int) -> None:
        content = {"merchant": self.seeds.merchant, "type": "image", "idempotencyKey": key}
        body = json.dumps(content).encode()
        for attempt in range(attempts_max):
            try:
                answer = await clients[attempt % len(self.servers)].send("POST", "/api/charges", body)
            except (OSError, EOFError):
                self.lost += 1
            else:
                if await self._note(key, *answer):
                    return
            if attempt + 1 < attempts_max:
                await asyncio.sleep(PAUSE_S)

    async def _note(self, key: str, status: int, headers: dict[str, str], body: bytes) -> bool:
        """Keep an answer and tell whether it settles the matter."""
        envelope = json.loads(body)
        assert ["isSuccess", "statusCode", "errorMessage", "data"] == list(envelope)
        assert status == envelope["statusCode"]
        code = headers.get("x-error-code")
        if status >= 500:
            assert (status, code) in TROUBLE, body
            self.troubles[status, code] += 1
            return False
        self.answers[key] = Answer(status, code, body, headers.get("idempotent-replay") == "true")
        async with self.arrived:
            self.arrived.notify_all()
        return True


async def check_books(farebox: Farebox, seeds: Seeds, *, charged: int, balance_micros: int) -> None:
    """Replay the whole ledger and check that so many charges are in the merchant's book, and its balance."""
    audit = Verifier(farebox.stores.connector)
    assert [] == [fault async for fault in audit.faults(None)]
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    assert (balance_micros, 0) == (account.wallet, account.held)
    # The top-up is the book's first transfer, and every other one is a charge.
    assert 1 + charged == account.seq == audit.transfers_count
