"""Told in time: servers are killed while a mail server and a receiver of webhooks fail and hang; then both are asked.

Each event owes one mail and two webhooks, to its merchant's destination and to the operator's. A tenth of them fail at
first, some by hanging. In the end none is missing, no id came with two contents, and each merchant's came in order.
"""

import asyncio
import base64
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import unified_diff
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final
from zlib import crc32

from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook

from farebox.bootstrap import Farebox
from farebox.core.accounts import Account
from farebox.core.alerts import AlertKind, kind_set
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.storage.interface import Fetch, StorageError
from farebox.storage.records import DeliveryState, User
from tests.alerts.mailserver import DIES as MAIL_DIES
from tests.alerts.mailserver import HANGS as MAIL_HANGS
from tests.alerts.mailserver import MailServer
from tests.support.server import Server, open_farebox, seed
from tests.torture.requests import Contradiction
from tests.webhooks.outgoing import add, destination
from tests.webhooks.receiver import DIES, HANGS, Received, Receiver

ROOT: Final = Path(__file__).parents[2]
OPERATORS: Final = 1_000
SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SETTLE_S: Final = 1_200
LOOK_S: Final = 0.5
RETRY_S: Final = 3.0
"""How often the operator asks for all mails to be tried again: the waits of mails are minutes."""

_REFERENCE: Final = re.compile(r"INV-[0-9]+")


@dataclass
class ToldFigures:
    """What a run came to."""

    events: int = 0
    kills: int = 0
    seconds: float = 0
    mails: int = 0
    mail_attempts: int = 0
    webhooks: int = 0
    webhook_attempts: int = 0
    hanging: int = 0
    twins: int = 0
    """Messages that were taken again, because the server that had sent one was killed before it wrote that down."""


def troubles(name: str, attempt: int) -> int:
    """Tell which trouble a message meets at an attempt: 0 for none; a tenth of all fail once to three times."""
    chance = crc32(name.encode())
    return 1 + chance // 100 % 8 if chance % 10 == 0 and attempt <= 1 + chance // 10 % 3 else 0


class FailingReceiver(Receiver):
    """Takes most webhooks; some it refuses, cuts or leaves without an answer, at first."""

    def __init__(self) -> None:
        super().__init__(answer="204")
        self.attempts: Counter[str] = Counter()
        self.taken: list[Received] = []
        self.hanging = 0

    def choose(self, request: Received) -> str:
        name = request.headers["webhook-id"]
        self.attempts[name] += 1
        trouble = troubles(name, self.attempts[name])
        if not trouble:
            self.taken.append(request)
            return "204"
        self.hanging += trouble == 1
        return {1: HANGS, 2: DIES, 3: "503 busy", 4: "302"}.get(trouble, "500 sorry")


class FailingMailServer(MailServer):
    """Takes most mails; some it refuses for now, cuts or leaves without an answer, at first."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts: Counter[str] = Counter()
        self.offered: list[EmailMessage] = []
        self.taken: list[str] = []
        self.hanging = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await super().handle_DATA(server, session, envelope)
        message = self.received.pop()[1]
        self.offered.append(message)
        name = str(message["Message-ID"])
        self.attempts[name] += 1
        trouble = troubles(name, self.attempts[name])
        if not trouble:
            self.taken.append(name)
            return "250 OK"
        self.hanging += trouble == 1
        self.data.append({1: MAIL_HANGS, 2: MAIL_DIES}.get(trouble, "451 4.3.0 Try again later"))
        return await self._answer(server, self.data)


@dataclass
class _Run:
    """One run's merchants, and how many events each was told."""

    farebox: Farebox
    merchants: list[int]
    told: Counter[int] = field(default_factory=Counter)

    async def prepare(self, url: str) -> None:
        """Give each merchant a user and a destination, and the operator one of its own."""
        secrets, stores = DestinationSecrets(""), self.farebox.stores
        for place, merchant_id in enumerate([None, *self.merchants]):
            number = OPERATORS + place
            of = {"kinds": kind_set(AlertKind.TOP_UP), "secret": secrets.encrypt(number, SECRET)}
            await add(stores, destination(number, merchant_id, url=f"{url}/{merchant_id or 'operator'}", **of))
            if merchant_id is not None:
                user = User(merchant_id, number, f"user{place}@example.com", self.farebox.clock.now())
                await stores.users.add(user)
        statement = f"UPDATE merchant_user SET mail_kinds = {kind_set(AlertKind.TOP_UP)}"
        await stores.connector.run_in_transaction(lambda fetch: fetch(statement))

    async def tell(self, events: int) -> None:
        """Write events, of one merchant after the other."""
        for number in range(events):
            merchant_id = self.merchants[number % len(self.merchants)]
            while not await self._tell(merchant_id, number):
                await asyncio.sleep(LOOK_S)
            self.told[merchant_id] += 1

    async def _tell(self, merchant_id: int, number: int) -> bool:
        async def due(_: Fetch, __: Account) -> Mapping[str, Any]:
            return {"amount": 1_000_000 + number, "reference": f"INV-{number}"}

        try:
            now = self.farebox.clock.now()
            return await self.farebox.stores.deliveries.tell(merchant_id, AlertKind.TOP_UP, now, due) is not None
        except StorageError:
            return False

    async def all_sent(self) -> None:
        """Wait until nothing waits any more; mails are tried again meanwhile, as an operator may."""
        deadline, retried_at = time.monotonic() + SETTLE_S, 0.0
        while True:
            rows = await self.farebox.stores.connector.fetch(
                "SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state"
            )
            states = {row[0]: row[1] for row in rows}
            if states.keys() <= {DeliveryState.SENT}:
                return
            if DeliveryState.GIVEN_UP in states or DeliveryState.WITHDRAWN in states:
                raise Contradiction(f"something was given up or withdrawn: {states}")
            if time.monotonic() > deadline:
                raise Contradiction(f"something waits still: {states}")
            if time.monotonic() > retried_at + RETRY_S:
                await self.farebox.stores.deliveries.retry_mails(self.farebox.clock.now())
                retried_at = time.monotonic()
            await asyncio.sleep(LOOK_S)


async def told_torture(
    database_url: str, *, servers: int, events: int, kills: int, merchants: int, seed_number: int
) -> ToldFigures:
    """Run it on an empty database, and return what it came to."""
    random, figures, began = Random(seed_number), ToldFigures(events=events), time.monotonic()
    async with AsyncExitStack() as stack:
        receiver, mail_server = FailingReceiver(), FailingMailServer()
        for server in (receiver, mail_server):
            await server.start()
            stack.push_async_callback(server.stop)
        farebox = await stack.enter_async_context(open_farebox(database_url))
        run = _Run(farebox, [(await seed(farebox, balance=None)).merchant_id for _ in range(merchants)])
        await run.prepare(receiver.url)
        settings = {
            "FAREBOX_SMTP_URL": mail_server.url,
            # Links begin with it; a server that is told none would name its own port.
            "FAREBOX_PUBLIC_URL": "https://pay.example",
            "FAREBOX_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": str(ROOT),
        }
        running = [
            Server(database_url, environment=settings, program="tests.torture.told_server") for _ in range(servers)
        ]
        for process in running:
            stack.callback(process.close)
            await asyncio.to_thread(process.start)
        async with asyncio.TaskGroup() as group:
            group.create_task(run.tell(events))
            for _ in range(kills):
                await asyncio.sleep(random.uniform(0.2, 2))
                victims = random.sample(running, random.randint(1, len(running)))
                await asyncio.gather(*[asyncio.to_thread(victim.kill) for victim in victims])
                figures.kills += len(victims)
                await asyncio.gather(*[asyncio.to_thread(victim.start) for victim in victims])
        await run.all_sent()
        figures.seconds = time.monotonic() - began
        for process in running:
            assert 0 == await asyncio.to_thread(process.stop), process.log()
        _check_webhooks(receiver, run, figures)
        _check_mails(mail_server, run, figures)
    return figures


def _check_webhooks(receiver: FailingReceiver, run: _Run, figures: ToldFigures) -> None:
    bodies: defaultdict[str, set[str]] = defaultdict(set)
    for request in receiver.received:
        bodies[request.headers["webhook-id"]].add(request.body)
    if any(len(texts) > 1 for texts in bodies.values()):
        raise Contradiction("an id came with two contents")
    lines: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    known: set[str] = set()
    for request in receiver.taken:
        name = request.headers["webhook-id"]
        verifier = Webhook(SECRET)
        # Its timestamp may be minutes old by now; the signature is what is checked.
        signature = verifier.sign(
            name, datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC), request.body
        )
        if signature != request.headers["webhook-signature"]:
            raise Contradiction("a signature does not verify")
        if name not in known:
            known.add(name)
            alert_id = name.partition("_dest_")[0]
            lines[(request.path, alert_id[:-8])].append(alert_id)
    if 2 * sum(run.told.values()) != len(known):
        raise Contradiction(f"{2 * sum(run.told.values()) - len(known)} webhooks are missing")
    for alerts in lines.values():
        if any(one >= other for one, other in pairwise(alerts)):
            raise Contradiction("a lane came out of order")
    figures.webhooks, figures.webhook_attempts = len(known), len(receiver.received)
    figures.twins += len(receiver.taken) - len(known)
    figures.hanging += receiver.hanging


def _check_mails(mail_server: FailingMailServer, run: _Run, figures: ToldFigures) -> None:
    contents: dict[str, str] = {}
    for message in mail_server.offered:
        name, content = str(message["Message-ID"]), _content(message)
        known = contents.setdefault(name, content)
        if content != known:
            lines = "\n".join(unified_diff(known.splitlines(), content.splitlines(), lineterm="", n=0))
            raise Contradiction(f"a Message-ID came with two contents: {name}\n{lines}")
    references = [set(_REFERENCE.findall(content)) for content in contents.values()]
    if any(len(each) != 1 for each in references) or len(contents) != len(set().union(*references)):
        raise Contradiction("an event was mailed under two Message-IDs, or not alone")
    taken = set(mail_server.taken)
    if sum(run.told.values()) != len(taken):
        raise Contradiction(f"{sum(run.told.values()) - len(taken)} mails are missing")
    figures.mails, figures.mail_attempts = len(taken), len(mail_server.offered)
    figures.twins += len(mail_server.taken) - len(taken)
    figures.hanging += mail_server.hanging


def _content(message: EmailMessage) -> str:
    """Write all that a mail says: its headers and its texts, but for the boundary that each writing of it has anew.

    The accounts stand still here, so that the balance of now, which a mail tells, is the same at each attempt.
    """
    headers = [f"{name}: {value}" for name, value in message.items() if name != "Content-Type"]
    texts = [str(part.get_content()) for part in message.walk() if not part.is_multipart()]
    return "\n".join([*headers, *texts])
