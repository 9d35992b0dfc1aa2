"""One simulated day of servers, clients and troubles, told from a seed, and what must be true at its end."""

import asyncio
from collections import Counter
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.mail import MailSettings
from farebox.alerts.outbox import Outbox
from farebox.alerts.relay import Relay
from farebox.core.accounts import Account, Kind
from farebox.core.commands import (
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExtendHold,
    GiveCredit,
    KeyKind,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetThresholds,
    TopUp,
    TransferCommand,
)
from farebox.core.credit.grants import GrantState, read_given
from farebox.core.credit.shortfalls import Above
from farebox.core.currencies import fits_minor_unit
from farebox.core.holds import HoldState
from farebox.core.ids import ALERT, book_id
from farebox.core.outcomes import Code, Outcome
from farebox.core.prices import Price
from farebox.core.pricing.priced import read_priced
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Step, Tier, Tiers
from farebox.core.replaying.alerts import alert_faults
from farebox.core.replaying.books import Replay
from farebox.service.errors import ServiceError
from farebox.service.insight.forecast import Runway, RunwayReader
from farebox.service.ledger.committer import Committer, CommitterLimits
from farebox.service.ledger.expiry import SWEEP_SECONDS, Expiry
from farebox.service.ledger.grant_sweep import GrantSweep
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import Unsubscribing
from farebox.service.periodic import Periodic
from farebox.storage.records import ApiKey, DeliveryState, Merchant, User
from tests.simulation.budget_story import BudgetStory
from tests.simulation.shortfall_checks import check_shortfalls
from tests.simulation.world import SECOND, START, Connection, Database, Post, WorldClock, WorldLoop
from tests.support.told import is_mailed, untold

UNIT: Final = 1_000_000
MERCHANTS: Final = (1 << 50, (1 << 50) + 1)
CURRENCIES: Final = ("USD", "JPY")
USERS: Final = 2
CLIENTS: Final = 5
REQUESTS_EACH: Final = 5
QUEUE_MAX: Final = 8
"""How many commands may wait in one server: a sweep that asks for more is refused."""
RULES: Final = {
    "tokens": Rule(
        Rates(
            (Line("input", UNIT, 7), Line("output", UNIT, 3)),
            tiers=Tiers(("input",), (Tier(9, (Line("input", 2 * UNIT, 7), Line("output", UNIT))),)),
        )
    ),
    "calls": Rule(
        Rates((Line("calls", 0, steps=(Step(1, 0), Step(11, UNIT), Step(31, UNIT, 3))),)),
        period=Period(PeriodUnit.DAY, "UTC", refunds_give_back=True),
    ),
    "seats": Rule(Rates((Line("seats", UNIT, 2, included=4),)), period=Period(PeriodUnit.MONTH, "Europe/Berlin")),
    "ping": Rule(Rates((Line("requests", 0),))),
}
"""Prices of several lines, of units counted over a day or a month, and of nothing."""

_PARTS: Final = (
    (None,),
    (UNIT,),
    (None, None, None, 1),
    (UNIT // 2, None, None, 2),
    (8 * UNIT,),
    (None, None, None, 60),
)
"""What captures name: nothing, an amount, a quantity or both, in the command's order."""
_CLIENTS_SECONDS_MAX: Final = 3_600.0
_HOURS_AFTER: Final = 4
_LATER_ROWS: Final = ("shortfalls", "grants")


class _ServerDied(Exception):
    """The server is gone, and so is the answer."""


class _NoRunways(RunwayReader):
    """Mails say nothing of runways here."""

    async def read(self, account: Account) -> Runway | None:
        return None


class Server:
    """What one process runs: a committer, the expiry of holds, the sweep of grants, a dispatcher."""

    def __init__(self, database: Database, post: Post, clock: WorldClock) -> None:
        self.connection = Connection(database)
        stores = self.connection.stores
        limits = CommitterLimits(queue_commands_max=QUEUE_MAX, part_commands_min=1)
        self.committer = Committer(stores.connector, clock, limits=limits)
        settings = MailSettings("farebox@example.com", "https://pay.example", "support")
        outbox = Outbox(
            stores,
            _NoRunways(stores, clock),
            settings,
            Unsubscribing(stores, Signer(""), clock),
        )
        self.dispatcher = Dispatcher(outbox, Relay(post, stores.mail_servers, clock, server="mail.example:25"), clock)
        self.expiry = Expiry(stores.holds, self.committer, clock, sweep_holds_max=QUEUE_MAX)
        self.grants = GrantSweep(stores.grants, self.committer, clock)
        self._died = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to work."""
        await self.committer.start()
        expiry = Periodic("holds to expire", self.expiry.expire_due, pause_seconds=SWEEP_SECONDS)
        grants = Periodic("grants to settle", self.grants.settle_due, pause_seconds=SWEEP_SECONDS)
        self._tasks = [asyncio.create_task(work.run()) for work in (self.dispatcher.periodic("mails"), expiry, grants)]

    async def rest(self) -> None:
        """Let go of what is done at the server's own pace; what it is asked for is still done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """End at once: nothing that it still does has any effect, and nobody is answered."""
        self.connection.is_dead = True
        self._died.set()

    async def submit(self, command: Command) -> Outcome:
        """Ask for a command, as a client over the network.

        Raises:
            _ServerDied: there will be no answer.
            ServiceError: the server says so.
        """
        call = asyncio.ensure_future(self.committer.submit(command))
        death = asyncio.ensure_future(self._died.wait())
        await asyncio.wait({call, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if self.connection.is_dead or not call.done():
            call.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise _ServerDied
        return call.result()


class Story:
    """All that happens, from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._asked: dict[tuple[int, str], TransferCommand] = {}
        self._told: dict[tuple[int, str], Outcome] = {}
        self._extended: list[tuple[ExtendHold, Outcome]] = []
        self._granted: list[tuple[GiveCredit | EndGrant, Outcome]] = []
        self._budgets = BudgetStory(self._random)
        self._servers: list[Server] = []

    async def tell(self) -> None:
        """Let everything happen, then let the troubles end, and check what is left."""
        random = self._random
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WorldLoop)
        self._database = Database(random)
        self._post = self._make_post()
        self._clocks = [WorldClock(loop), WorldClock(loop)]
        await self._found()
        self._servers = [Server(self._database, self._post, clock) for clock in self._clocks]
        for server in self._servers:
            await server.start()
        self._database.trouble = random.choice((0, 0.05, 0.3))
        self._post.trouble = random.choice((0, 0.1, 0.5))
        troubles = asyncio.create_task(self._make_trouble())
        await asyncio.wait_for(
            asyncio.gather(*[self._client(number) for number in range(CLIENTS)], self._people()), _CLIENTS_SECONDS_MAX
        )
        troubles.cancel()
        await asyncio.gather(troubles, return_exceptions=True)
        self._database.trouble = self._post.trouble = 0
        self._database.is_away = False
        for clock in self._clocks:
            clock.skew = 0
        for place, server in enumerate(self._servers):
            if server.connection.is_dead:
                await self._start_anew(place)
        for server in self._servers:
            await server.rest()
        # Long enough for the leases of dead servers to end, for back-offs, and for every hold to expire.
        for _ in range(_HOURS_AFTER):
            await asyncio.sleep(3_600)
            for server in self._servers:
                while await server.expiry.sweep() or await server.grants.sweep() or await server.dispatcher.run_once():
                    pass
        self._check()

    def _make_post(self) -> Post:
        return Post(self._random)

    async def _people(self) -> None:
        """Let people do what they do beside the clients: here owners set budgets of keys."""
        for _ in range(self._random.choice((0, 3, 12))):
            # As a transaction of its own, which waits for batches that are under way.
            async with self._database.lock:
                await self._budgets.set_any(self._database.rows)
            await asyncio.sleep(self._random.uniform(0, 1))

    async def _found(self) -> None:
        rows = self._database.rows
        stores = rows.stores
        for number, (merchant_id, currency) in enumerate(zip(MERCHANTS, CURRENCIES, strict=True), 1):
            key = ApiKey(number, KeyKind.MERCHANT, bytes([number]) * 32, "fb…", START, merchant_id)
            await stores.merchants.create(Merchant(merchant_id, "Acme", START), Account(merchant_id, currency), key)
            for user in range(USERS):
                await stores.users.add(User(merchant_id, user, f"user{user}@m{number}.example", START))
        await stores.prices.add(Price(1, "image", UNIT, 0), START)
        for number, (request_type, rule) in enumerate(RULES.items(), 2):
            await stores.prices.add(Price(number, request_type, None, 0, rule=rule), START)
        for merchant_id in MERCHANTS:
            rows.do(
                TopUp(merchant_id, self._random.choice((3, 20)) * UNIT, "INV-1"),
                SetThresholds(merchant_id, (10 * UNIT, 20 * UNIT)),
                *(self._grant(merchant_id, f"G-{lot}", START) for lot in range(self._random.choice((1, 1, 3, 25)))),
                now=START,
            )

    async def _make_trouble(self) -> None:
        """Kill servers, take the database away, step clocks."""
        random = self._random
        while True:
            await asyncio.sleep(random.uniform(0.001, 0.5))
            match random.choice(("kill", "away", "clock", "calm", "calm")):
                case "kill":
                    place = random.randrange(len(self._servers))
                    self._servers[place].kill()
                    await asyncio.sleep(random.uniform(0, 0.2))
                    await self._start_anew(place)
                case "away":
                    self._database.is_away = True
                    await asyncio.sleep(random.uniform(0, 15))
                    self._database.is_away = False
                case "clock":
                    random.choice(self._clocks).skew = random.choice((0, -5, 5, -3_600, 40)) * SECOND

    async def _start_anew(self, place: int) -> None:
        self._servers[place] = Server(self._database, self._post, self._clocks[place])
        await self._servers[place].start()

    async def _client(self, number: int) -> None:
        for turn in range(REQUESTS_EACH):
            command = self._command(f"key-{number}-{turn}")
            if isinstance(command, ExtendHold):
                self._extended.append((command, await self._done(command)))
            elif isinstance(command, GiveCredit | EndGrant):
                self._granted.append((command, await self._done(command)))
            else:
                place = (command.merchant_id, command.idempotency_key)
                self._asked[place] = command
                self._told[place] = await self._done(command)
            if self._random.random() < 0.3:
                await asyncio.sleep(self._random.uniform(0, 2))

    async def _done(self, command: Command) -> Outcome:
        """Ask for a command, of one server or another, until one answers."""
        book = self._database.rows.books[command.merchant_id]
        while True:
            last_seq = len(book)
            try:
                outcome = await self._random.choice(self._servers).submit(command)
            except (_ServerDied, ServiceError):
                await asyncio.sleep(self._random.uniform(0.001, 1))
                continue
            if outcome.code is Code.KEY_BUDGET_EXCEEDED:
                self._budgets.refused(self._database.rows, command, outcome, (last_seq, len(book)))
            return outcome

    def _grant(self, merchant_id: int, reference: str, now: int) -> GiveCredit:
        """Give credit: now or soon, for ever or for seconds, for all requests or some."""
        random = self._random
        starts_at = now + random.randint(1, 5) * SECOND if random.random() < 0.2 else None
        lasts = random.choice((None, 1, 2, 5, 5, 60, 3_600))
        expires_at = None if lasts is None else (starts_at or now) + lasts * SECOND
        types = random.choice((None, None, None, "image", "calls tokens"))
        amount = random.randint(1, 5) * UNIT
        return GiveCredit(
            merchant_id, amount, reference, "gift", starts_at, expires_at, types, random.choice((0, 0, 2))
        )

    def _command(self, key: str) -> TransferCommand | ExtendHold:
        random = self._random
        merchant_id = random.choice(MERCHANTS)
        done = [
            outcome
            for (owner, _), outcome in self._told.items()
            if owner == merchant_id and outcome.transfer is not None
        ]
        holds = [outcome.hold.seq for outcome in done if outcome.hold is not None]
        made = [made for item in done for made in (item.transfer, item.charge) if made is not None]
        charges = [item.seq for item in made if item.kind != Kind.HOLD]
        kinds = (
            *["charge"] * 5,
            *["hold"] * 5,
            *["end"] * 8,
            "refund",
            "refund",
            "top_up",
            "top_up",
            "grant",
            "grant",
            "reverse",
        )
        match random.choice(kinds):
            case "hold":
                ttl_seconds = random.choice((1, 3, 900))
                return self._spend(CreateHold, merchant_id, key, ttl_seconds=ttl_seconds)
            case "end" if holds:
                what, seq = random.choice(("release", "capture", "capture", "extend")), random.choice(holds)
                if what == "extend":
                    return ExtendHold(merchant_id, seq, random.choice(self._clocks).now() + self._more_time())
                return ReleaseHold(merchant_id, seq, key) if what == "release" else self._capture(merchant_id, seq, key)
            case "grant":
                if random.random() < 0.2:
                    return EndGrant(merchant_id, random.randint(1, 3), "a mistake")
                return self._grant(merchant_id, key, random.choice(self._clocks).now())
            case "refund" if charges:
                return Refund(merchant_id, random.choice(charges), key, random.choice((None, UNIT, UNIT + 1)))
            case "top_up":
                # Now and then finer than any currency, which is refused.
                return TopUp(merchant_id, random.randint(1, 15) * UNIT + random.choice((0, 0, 0, 1)), key)
            case "reverse":
                top_ups = [1, *(item.seq for item in made if item.kind == Kind.TOP_UP)]
                amount = random.choice((None, UNIT, 5 * UNIT))
                is_owed = random.random() < 0.8
                return ReverseTopUp(merchant_id, random.choice(top_ups), key, "bounced", amount, is_owed=is_owed)
        return self._spend(Charge, merchant_id, key, above=random.choice((Above.REFUSE, Above.UNCOLLECTED)))

    def _spend(self, kind: type[Any], merchant_id: int, key: str, **more: Any) -> Charge | CreateHold:
        random = self._random
        request_type = random.choice(("image", "image", *RULES))
        if request_type in RULES:
            lines = RULES[request_type].names
            more["quantities"] = tuple(sorted((name, random.randint(0, 12)) for name in lines))
        digest = random.choice((None, *(key.digest for key in self._keys_of(merchant_id))))
        spend: Charge | CreateHold = kind(
            Payer(merchant_id, digest), request_type, 1 if request_type in RULES else random.randint(1, 6), key, **more
        )
        return spend

    def _keys_of(self, merchant_id: int) -> list[ApiKey]:
        return [key for key in self._database.rows.keys.values() if key.merchant_id == merchant_id]

    def _more_time(self) -> int:
        """Make up how much longer a hold is to last: seconds, an hour or two, now and then longer than one may."""
        return self._random.choice((1, 2, 5, 5, 3_600, 7_200, 8 * 24 * 3_600)) * SECOND

    def _capture(self, merchant_id: int, seq: int, key: str) -> CaptureHold:
        """Capture all of a hold, an amount, or some of its quantities, now and then more than it has."""
        random = self._random
        made_by = self._database.rows.books[merchant_id][seq - 1]
        above = random.choice(tuple(Above))
        if made_by.pricing is None or random.random() < 0.2:
            return replace(CaptureHold(merchant_id, seq, key, *random.choice(_PARTS)), above=above)
        held = read_priced(made_by.pricing).quantities
        more = random.choice((0, 12))
        used = tuple((name, random.randint(0, number + more)) for name, number in held.items())
        return CaptureHold(merchant_id, seq, key, quantities=used, above=above)

    @property
    def troubles(self) -> Counter[str]:
        """How often each fate came to a transaction."""
        return self._database.troubles

    @property
    def mails_taken(self) -> int:
        """How many mails were delivered."""
        return len(self._post.taken)

    @property
    def extensions(self) -> Counter[str]:
        """What became of holds that were to last longer: how often each answer came."""
        return Counter("again" if outcome.is_replay else outcome.code for _, outcome in self._extended)

    @property
    def budgets(self) -> Counter[str]:
        """What became of budgets of keys: how often they were set, spent from, and exceeded."""
        return self._budgets.seen

    @property
    def given(self) -> Counter[str]:
        """What became of given credit: how often it was taken, came back and ended, and how each was done."""
        transfers = [item for item in self.rows()["transfers"] if item.given is not None]
        words = {Kind.GRANT: "given", Kind.CHARGE: "charged", Kind.HOLD: "held", Kind.CAPTURE: "captured"}
        seen = Counter(words.get(item.kind, "came back") for item in transfers if item.kind != Kind.GRANT_EXPIRY)
        for item in transfers:
            if item.kind == Kind.GRANT_EXPIRY:
                way = "at once" if " after " in item.idempotency_key else "in its time"
                seen[f"ended {way if item.note is None else 'by support'}"] += 1
        return seen

    def rows(self) -> dict[str, list[Any]]:
        """Return the ledger as the story left it."""
        return self._database.rows.rows()

    # The promises that must hold at the end.

    def _check(self) -> None:
        rows = self._database.rows.rows()
        transfers = {(item.merchant_id, item.idempotency_key): item for item in rows["transfers"]}
        assert len(transfers) == len(rows["transfers"])
        for place in self._asked:
            outcome = self._told[place]
            # An acknowledged command is there, as it was answered; a refused one is not, ever.
            assert transfers.get(place) == outcome.transfer, (place, outcome)
        for account in rows["accounts"]:
            self._check_book(account, rows)
        self._check_extensions(rows)
        self._check_grants(rows)
        self._budgets.check(self._database.rows)
        check_shortfalls(self._asked, self._told, rows)
        self._check_mails(rows)

    def _check_book(self, account: Account, rows: dict[str, list[Any]]) -> None:
        stored_rows = self._database.rows
        replay = Replay(account.merchant_id, {price.price_id: price for price in stored_rows.prices})
        book = [item for item in rows["transfers"] if item.merchant_id == account.merchant_id]
        for item in book:
            assert item.kind != Kind.TOP_UP or fits_minor_unit(item.amount, account.currency)
        holds = [item for item in rows["holds"] if item.merchant_id == account.merchant_id]
        faults = [fault for item in book for fault in replay.feed(item)]
        originals = {item.seq: item for item in book if item.seq in replay.returned}
        counts = [count for count in rows["period_counts"] if count.merchant_id == account.merchant_id]
        beside = [[row for row in rows[name] if row.merchant_id == account.merchant_id] for name in _LATER_ROWS]
        assert [] == [*faults, *replay.finish(account, holds, originals, counts, *beside)]
        alerts = [item for item in rows["alerts"] if item.merchant_id == account.merchant_id]
        named = {item.seq: item for item in book}
        assert [] == [*untold(book, alerts), *alert_faults(account, alerts, named, replay.last_arrival_seq)]
        assert account.wallet - account.given + account.credit_limit >= 0
        # By now every hold's time is over, and whatever was not taken went back.
        assert 0 == account.held
        assert HoldState.HELD not in {hold.state for hold in holds}

    def _check_grants(self, rows: dict[str, list[Any]]) -> None:
        """A grant is there once, was spent in its time alone, and is over after it; a refused one is not there."""
        grants = {(grant.merchant_id, grant.number): grant for grant in rows["grants"]}
        named = {(grant.merchant_id, grant.reference): grant for grant in rows["grants"]}
        assert len(named) == len(rows["grants"])
        for command, outcome in self._granted:
            if isinstance(command, GiveCredit):
                grant = named.get((command.merchant_id, command.reference))
                assert (grant and grant.number) == (outcome.grant and outcome.grant.number), (command, outcome)
            elif outcome.is_ok:
                assert grants[command.merchant_id, command.number].state == GrantState.ENDED
        for item in rows["transfers"]:
            if item.kind in (Kind.CHARGE, Kind.HOLD):
                for number, _ in read_given(item.given):
                    grant = grants[item.merchant_id, number]
                    assert grant.starts_at <= item.committed_at < (grant.expires_at or item.committed_at + 1)
                    assert grant.lot.pays_for(item.request_type)
        # By now whatever has an end is over.
        for grant in rows["grants"]:
            assert grant.state == GrantState.ENDED or (grant.state == GrantState.OPEN and grant.expires_at is None)

    def _check_extensions(self, rows: dict[str, list[Any]]) -> None:
        """A hold that was extended is there until then, whatever ended it: nothing gave it back for its time sooner."""
        holds = {(hold.merchant_id, hold.seq): hold for hold in rows["holds"]}
        expired = {(item.merchant_id, item.refers_to): item for item in rows["transfers"] if item.kind == Kind.EXPIRE}
        for command, outcome in self._extended:
            if outcome.is_ok:
                place = (command.merchant_id, command.hold_seq)
                assert holds[place].expires_at >= command.expires_at
                assert place not in expired or expired[place].committed_at >= command.expires_at

    def _check_mails(self, rows: dict[str, list[Any]]) -> None:
        mailed = [alert for alert in rows["alerts"] if is_mailed(alert)]
        owed = Counter((alert.merchant_id, alert.number) for alert in mailed for _ in range(USERS))
        assert owed == Counter((mail.alert.merchant_id, mail.alert.number) for mail in rows["mails"])
        assert {DeliveryState.SENT, DeliveryState.GIVEN_UP, DeliveryState.WITHDRAWN} >= {
            mail.state for mail in rows["mails"]
        }
        named = {book_id(ALERT, merchant_id=merchant_id, seq=number) for merchant_id, number in owed}
        delivered: dict[tuple[str, str], int] = Counter(self._post.taken)
        for mail in rows["mails"]:
            alert_id = book_id(ALERT, merchant_id=mail.alert.merchant_id, seq=mail.alert.number)
            ids = {message_id for message_id, to in delivered if to == mail.email and alert_id in message_id}
            # However often it was sent, it is one mail; and one that is written down as sent was.
            assert len(ids) <= 1
            assert mail.state != DeliveryState.SENT or 1 == len(ids)
        assert all(any(alert_id in message_id for alert_id in named) for message_id, _ in delivered)
