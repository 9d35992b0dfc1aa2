"""Told in time: servers are killed while a mail server and a receiver of webhooks fail, hang, and go away themselves.

All causes happen through the API of those servers (told_causes.py). Each event owes a mail and two webhooks, to
its merchant's destination and to the operator's. A tenth of them fail at first, some by hanging. In the end none is
missing, no id came with two contents, and each merchant's came in order.
"""

import asyncio
import base64
import json
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import unified_diff
from email.message import EmailMessage
from pathlib import Path
from random import Random
from typing import Final
from zlib import crc32

from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook

from farebox.alerts.mail import name_of
from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.alerts import EVENT_TYPES, AlertKind, kind_set
from farebox.core.commands import SetThresholds
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.errors import ServiceError
from farebox.service.people.api_keys import Principal
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.storage.records import DeliveryState, User
from tests.alerts.mailserver import DIES as MAIL_DIES
from tests.alerts.mailserver import HANGS as MAIL_HANGS
from tests.alerts.mailserver import MailServer
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.torture.requests import Contradiction
from tests.torture.told_causes import FULL, THRESHOLDS, TOLD_KINDS, Causes, Told
from tests.webhooks.outgoing import add, destination
from tests.webhooks.receiver import DIES, HANGS, Received, Receiver

ROOT: Final = Path(__file__).parents[2]
OPERATORS: Final = 1_000
SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SETTLE_S: Final = 3_600
LOOK_S: Final = 0.5
RETRY_S: Final = 2.0
"""How often the operator asks for all mails to be tried again: the waits of mails are minutes."""

OUTAGE_S: Final = 2.0
"""How long the mail server and the receiver are away, one after the other."""

OVER: Final = frozenset(
    {AlertKind.LOW_BALANCE, AlertKind.USED_UP, AlertKind.RECOVERED, AlertKind.FROZEN, AlertKind.UNFROZEN}
)
"""Kinds whose mail is withdrawn once what it tells is over, or told anew."""

_EVERYBODY: Final = Principal("olga", roles=EVERY_ROLE)


@dataclass
class ToldFigures:
    """What a run came to."""

    events: int = 0
    kills: int = 0
    seconds: float = 0
    mails: int = 0
    mail_attempts: int = 0
    withdrawn: int = 0
    """Mails of what was over before they were sent."""
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
        self.alerts: Counter[str] = Counter()
        """How often a mail of each alert was taken."""

        self.hanging = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await super().handle_DATA(server, session, envelope)
        message = self.received.pop()[1]
        self.offered.append(message)
        name = name_of(message)
        self.attempts[name] += 1
        trouble = troubles(name, self.attempts[name])
        if not trouble:
            self.taken.append(name)
            self.alerts[_alert_of(name)] += 1
            return "250 OK"
        self.hanging += trouble == 1
        self.data.append({1: MAIL_HANGS, 2: MAIL_DIES}.get(trouble, "451 4.3.0 Try again later"))
        return await self._answer(server, self.data)


@dataclass
class _Run:
    """One run: its merchants, who receives what they are told, and the servers that are killed."""

    farebox: Farebox
    merchants: list[Seeds]
    receiver: FailingReceiver
    mail_server: FailingMailServer
    causes: Causes
    figures: ToldFigures
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def prepare(self) -> None:
        """Give each merchant thresholds, a user and a destination, and the operator one of its own."""
        secrets, stores = DestinationSecrets(""), self.farebox.stores
        for seeds in self.merchants:
            # Set while there is more, so that all are armed.
            await self.farebox.committer.submit(SetThresholds(seeds.merchant_id, THRESHOLDS))
        rows = await stores.connector.fetch("SELECT merchant_id, count(*) FROM alert GROUP BY merchant_id")
        self.causes.told_before = {row[0]: row[1] for row in rows}
        for place, merchant_id in enumerate([None, *(seeds.merchant_id for seeds in self.merchants)]):
            number = OPERATORS + place
            of = {"kinds": kind_set(*TOLD_KINDS), "secret": secrets.encrypt(number, SECRET)}
            url = f"{self.receiver.url}/{merchant_id or 'operator'}"
            await add(stores, destination(number, merchant_id, url=url, **of))
            if merchant_id is not None:
                user = User(merchant_id, number, f"user{place}@example.com", self.farebox.clock.now())
                await stores.users.add(user)
        statement = f"UPDATE merchant_user SET mail_kinds = {kind_set(*TOLD_KINDS)}"
        await stores.connector.run_in_transaction(lambda fetch: fetch(statement))

    async def waiting(self) -> int:
        """Count what waits to be sent.

        Raises:
            Contradiction: something was given up that goes through in the end.
        """
        rows = await self.farebox.stores.connector.fetch(
            "SELECT channel, state, count(*) FROM delivery GROUP BY channel, state"
        )
        states = {(row[0], row[1]): row[2] for row in rows}
        if any(state == DeliveryState.GIVEN_UP for _, state in states):
            raise Contradiction(f"something was given up: {states}")
        return sum(count for (_, state), count in states.items() if state == DeliveryState.WAITING)

    async def look_after(self) -> None:
        """Let mails be tried again as an operator may, until it is over."""
        while not self.is_over.is_set():
            with suppress(ServiceError):
                await self.farebox.services.console.retry(principal=_EVERYBODY)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.is_over.wait(), RETRY_S)

    async def caused(self, share: float) -> None:
        """Wait until this share of all events has happened."""
        while self.causes.count < share * self.causes.events:
            await asyncio.sleep(LOOK_S / 5)

    async def kill(self, kills: int, random: Random) -> None:
        """Kill servers at moments that are spread over the run, and start them again."""
        running = self.causes.servers
        for number in range(kills):
            await self.caused((number + random.random()) / (kills + 1))
            victims = random.sample(running, random.randint(1, len(running)))
            await asyncio.gather(*[asyncio.to_thread(victim.kill) for victim in victims])
            self.figures.kills += len(victims)
            await asyncio.gather(*[asyncio.to_thread(victim.start) for victim in victims])

    async def go_away(self) -> None:
        """Take the receiver away, and then the mail server, each for a while in the middle of the run."""
        for share, server in ((0.4, self.receiver), (0.6, self.mail_server)):
            await self.caused(share)
            await server.stop()
            await asyncio.sleep(OUTAGE_S)
            await server.start()

    async def all_settled(self) -> None:
        """Wait until nothing waits any more."""
        deadline = time.monotonic() + SETTLE_S
        while await self.waiting():
            if time.monotonic() > deadline:
                raise Contradiction("something waits still")
            await asyncio.sleep(LOOK_S)


async def told_torture(
    database_url: str, *, servers: int, events: int, kills: int, merchants: int, seed_number: int
) -> ToldFigures:
    """Run it on an empty database, and return what it came to."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        receiver, mail_server = FailingReceiver(), FailingMailServer()
        for server in (receiver, mail_server):
            await server.start()
            stack.push_async_callback(server.stop)
        farebox = await stack.enter_async_context(open_farebox(database_url))
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
        sites = [await seed(farebox, balance=str(FULL)) for _ in range(merchants)]
        causes = Causes(running, events, lambda alert_id: alert_id in mail_server.alerts)
        run = _Run(farebox, sites, receiver, mail_server, causes, ToldFigures())
        await run.prepare()
        for process in running:
            stack.callback(process.close)
            await asyncio.to_thread(process.start)
        async with asyncio.TaskGroup() as group:
            group.create_task(run.look_after())
            async with asyncio.TaskGroup() as trouble:
                trouble.create_task(run.causes.run(sites, seed_number))
                trouble.create_task(run.kill(kills, Random(seed_number)))
                trouble.create_task(run.go_away())
            await run.all_settled()
            run.is_over.set()
        run.figures.events = run.causes.count
        run.figures.seconds = time.monotonic() - began
        for process in running:
            assert 0 == await asyncio.to_thread(process.stop), process.log()
        _check_webhooks(run)
        await _check_mails(run)
    return run.figures


def _check_webhooks(run: _Run) -> None:
    """Hold what came against what happened: all of it, in order, each id with one content and a good signature."""
    receiver, figures = run.receiver, run.figures
    bodies: defaultdict[str, set[str]] = defaultdict(set)
    for request in receiver.received:
        bodies[request.headers["webhook-id"]].add(request.body)
    if any(len(texts) > 1 for texts in bodies.values()):
        raise Contradiction("an id came with two contents")
    lanes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    known: set[str] = set()
    for request in receiver.taken:
        name = request.headers["webhook-id"]
        # Its timestamp may be minutes old by now; the signature is what is checked.
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        if Webhook(SECRET).sign(name, at, request.body) != request.headers["webhook-signature"]:
            raise Contradiction("a signature does not verify")
        if name not in known:
            known.add(name)
            merchant = json.loads(request.body)["data"]["merchantId"]
            lanes[(request.path, merchant)].append(request.body)
    for seeds in run.merchants:
        for path in (f"/{seeds.merchant_id}", "/operator"):
            _check_lane(run.causes.told[seeds.merchant_id], lanes.pop((path, seeds.merchant), []))
    if lanes:
        raise Contradiction(f"events came where nobody was to hear of them: {list(lanes)}")
    figures.webhooks, figures.webhook_attempts = len(known), len(receiver.received)
    figures.twins += len(receiver.taken) - len(known)
    figures.hanging += receiver.hanging


def _check_lane(told: list[Told], bodies: list[str]) -> None:
    """Hold what one destination was told of one merchant against what happened to it."""
    if len(told) != len(bodies):
        raise Contradiction(f"{len(told)} webhooks were owed, {len(bodies)} came")
    for expected, body in zip(told, bodies, strict=True):
        if not expected.is_told_by(json.loads(body)):
            raise Contradiction(f"a lane is out of order: {expected} was to come, and not {body}")


async def _check_mails(run: _Run) -> None:
    """Hold the mails against what happened: each was taken, or withdrawn as what it told was over."""
    mail_server, figures = run.mail_server, run.figures
    contents: dict[str, str] = {}
    for message in mail_server.offered:
        content = _content(message)
        known = contents.setdefault(str(message["Message-ID"]), content)
        if content != known:
            lines = "\n".join(unified_diff(known.splitlines(), content.splitlines(), lineterm="", n=0))
            raise Contradiction(f"a Message-ID came with two contents: {message['Message-ID']}\n{lines}")
    taken = mail_server.alerts
    rows = await run.farebox.stores.connector.fetch(
        "SELECT d.merchant_id, d.alert_number, d.state, d.last_error, a.kind FROM delivery d "
        "JOIN alert a ON a.merchant_id = d.merchant_id AND a.number = d.alert_number WHERE d.channel = 1"
    )
    owed = {(row[0], row[1]): row[2:] for row in rows}
    caused = {
        (merchant_id, number): event.type
        for merchant_id, told in run.causes.told.items()
        for number, event in enumerate(told, start=run.causes.told_before[merchant_id] + 1)
    }
    if len(rows) != len(owed) or caused != {key: EVENT_TYPES[row[2]] for key, row in owed.items()}:
        raise Contradiction("what happened, and what mails were owed, differ")
    for (merchant_id, number), (state, reason, kind) in owed.items():
        alert_id = ids.book_id(ids.ALERT, merchant_id=merchant_id, seq=number)
        if state == DeliveryState.SENT and not taken[alert_id]:
            raise Contradiction(f"{alert_id} was written down as sent, and never taken")
        if state == DeliveryState.WITHDRAWN and kind not in OVER:
            raise Contradiction(f"{alert_id} was withdrawn: {reason}")
        figures.withdrawn += state == DeliveryState.WITHDRAWN and not taken[alert_id]
    figures.mails, figures.mail_attempts = len(taken), len(mail_server.offered)
    figures.twins += taken.total() - len(taken)
    figures.hanging += mail_server.hanging
    if figures.mails + figures.withdrawn != len(caused):
        raise Contradiction("mails came of what never happened, or did not come")


def _alert_of(message_name: str) -> str:
    """Tell which alert a mail is about, by its name."""
    return message_name.partition(".")[0]


def _content(message: EmailMessage) -> str:
    """Write all that a mail says: its headers and its texts, but for the boundary that each writing of it has anew."""
    headers = [f"{name}: {value}" for name, value in message.items() if name != "Content-Type"]
    texts = [str(part.get_content()) for part in message.walk() if not part.is_multipart()]
    return "\n".join([*headers, *texts])
