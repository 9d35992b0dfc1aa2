"""Small ledgers on any store: what tests put into them, short ways to move money in them, and to read them whole."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_type_hints

from msgspec.structs import astuple, replace

from farebox.core.accounts import Account
from farebox.core.alerts import Alert
from farebox.core.commands import (
    Actor,
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    KeyKind,
    Payer,
    SetThresholds,
    TopUp,
)
from farebox.core.decide import decide
from farebox.core.holds import Hold
from farebox.core.ids import NUMBER_MAX, SEQ_MAX
from farebox.core.outcomes import Code, Outcome
from farebox.core.prices import Price
from farebox.core.replaying.alerts import alert_faults, named_seqs
from farebox.core.replaying.books import Replay
from farebox.core.replaying.budgets import BudgetReplay
from farebox.core.replaying.hours import HourReplay
from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE
from farebox.core.state import BatchState, Decision, reads
from farebox.core.transfers import Transfer
from farebox.storage.records import ApiKey, Delivery, DeliveryState, Login, Merchant, Realm, User
from farebox.storage.stores import Stores
from tests.support.memory import MemoryConnector, at_once

UNIT: Final = 1_000_000
SECOND: Final = 1_000_000
NOW: Final = 1_800_000_000 * SECOND
"""15 January 2027, 08:00 UTC."""

ANN: Final = 1 << 50
BEN: Final = (1 << 50) + 1
NOBODY: Final = (1 << 50) + 2
NORTHWIND: Final = 3_774_873_600_000_000_007
"""The merchant of `Ledger`: a number as they are made, of the time and of chance."""


class HeldClock:
    """Stands still at NOW unless a test moves it."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> int:
        """Return the time, microseconds since 1970."""
        return self.time

    def move(self, seconds: float = 0, *, micros: int = 0) -> None:
        """Move the clock, forwards or back."""
        self.time += round(seconds * SECOND) + micros


# Commands


def top_up(units: int, reference: str = "INV-1") -> TopUp:
    return TopUp(ANN, units * UNIT, reference)


def charge(units: int = 1, key: str = "charge", merchant_id: int = ANN, **more: Any) -> Charge:
    return Charge(Payer(merchant_id), "image", units, key, **more)


def hold(units: int, key: str = "hold", **more: Any) -> CreateHold:
    return CreateHold(Payer(ANN), "image", units, key, **more)


def adjust(units: int, reference: str = "ADJ-1") -> Adjust:
    return Adjust(ANN, abs(units) * UNIT, units > 0, reference, "mistake")


# What a ledger has


def digest(number: int) -> bytes:
    """Make up a key's digest."""
    return number.to_bytes(32, "big")


def merchant_key(number: int, merchant_id: int = ANN, **fields: Any) -> ApiKey:
    """Make up a merchant's key."""
    return ApiKey(number, KeyKind.MERCHANT, digest(number), "fbm_…1234", NOW, merchant_id, **fields)


def staff_key(number: int, kind: KeyKind = KeyKind.SERVICE, **fields: Any) -> ApiKey:
    """Make up a service's or support's key."""
    roles = EVERY_ROLE if kind == KeyKind.SUPPORT else NO_ROLE
    given = {"roles": roles, "people": "1", **fields}
    return ApiKey(number, kind, digest(number), "fbs_…1234", NOW, None, "recognition", **given)


async def add_merchant(
    stores: Stores, merchant_id: int = ANN, *, name: str = "Acme", currency: str = "USD", funds: int = 0, **rules: Any
) -> None:
    """Add a merchant whose first key has its own number, and pay so many units of money in."""
    account = Account(merchant_id, currency, **rules)
    await stores.merchants.create(Merchant(merchant_id, name, NOW), account, merchant_key(merchant_id, merchant_id))
    if funds:
        await do(stores, TopUp(merchant_id, funds * UNIT, "funds"))


async def add_neighbour(stores: Stores, *, funds: int = 50) -> int:
    """Add a merchant whose commands may be in one batch with ANN's, whatever the engine."""
    route = stores.connector.route
    neighbour = next(number for number in range(BEN + 1, BEN + 1_000) if route(number) == route(ANN))
    await add_merchant(stores, neighbour, funds=funds)
    return neighbour


BY_ANN, BY_BEN = Actor(1, "ann", login_id=501), Actor(2, "ben", login_id=502)
"""Two of the operator's staff, each a person of its own."""


async def add_staff(stores: Stores) -> None:
    """Add the accounts of BY_ANN and BY_BEN."""
    for actor in (BY_ANN, BY_BEN):
        assert actor.login_id is not None
        email = f"{actor.name}@farebox.example"
        await stores.logins.add(
            Login(actor.login_id, Realm.SUPPORT, email, actor.name, NOW, "no password", roles=EVERY_ROLE)
        )


async def add_price(stores: Stores, price_id: int = 1, **fields: Any) -> None:
    """Add a price: by default an image costs a unit of money."""
    await stores.prices.add(replace(Price(price_id, "image", UNIT, NOW), **fields), NOW)


async def decided(stores: Stores, *commands: Command, now: int = NOW) -> Decision:
    """Commit commands as one batch."""
    return await stores.connector.transact(reads(commands, now), lambda state: decide(state, commands, now))


async def do(stores: Stores, *commands: Command, now: int = NOW) -> list[Outcome]:
    """Commit commands as one batch, or as one for each group that they belong to, and return their outcomes."""
    outcomes: dict[int, Outcome] = {}
    for places in groups_of(stores, commands):
        decision = await decided(stores, *[commands[place] for place in places], now=now)
        outcomes.update(zip(places, decision.outcomes, strict=True))
    return [outcomes[place] for place in range(len(commands))]


def groups_of(stores: Stores, commands: Sequence[Command]) -> list[list[int]]:
    """Tell the places of the commands of each group, as a batch stays within one."""
    groups: dict[int, list[int]] = {}
    for place, command in enumerate(commands):
        groups.setdefault(stores.connector.route(command.merchant_id), []).append(place)
    return list(groups.values())


async def loaded(stores: Stores, *commands: Command, now: int = NOW) -> BatchState:
    """Return what commands would meet, as one batch or as one for each group that they belong to."""
    whole = BatchState()

    def look(state: BatchState) -> Decision:
        for name in state.__struct_fields__:
            here, more = getattr(whole, name), getattr(state, name)
            more = dict(more) if isinstance(more, Mapping) else more
            both = (*here, *more) if isinstance(more, list | tuple) else here | more
            setattr(whole, name, both if here else more)
        return Decision([])

    for places in groups_of(stores, commands) or [[]]:
        await stores.connector.transact(reads([commands[place] for place in places], now), look)
    return whole


async def account_of(stores: Stores, merchant_id: int = ANN) -> Account:
    """Read an account that is there."""
    account = await stores.accounts.find(merchant_id)
    assert account is not None
    return account


async def wallet(stores: Stores, merchant_id: int = ANN) -> int:
    """Read the units of money in a wallet."""
    return (await account_of(stores, merchant_id)).wallet // UNIT


async def book(stores: Stores, merchant_id: int = ANN) -> Sequence[Transfer]:
    """Read a whole book."""
    return await stores.transfers.page(merchant_id, first_seq=1, last_seq=SEQ_MAX, limit=10**6, newest_first=False)


async def holds_of(stores: Stores, merchant_id: int = ANN) -> Sequence[Hold]:
    """Read a merchant's holds."""
    async with stores.connector.snapshot() as snapshot:
        return await snapshot.holds(merchant_id)


async def fire(stores: Stores, *users: User, merchant_id: int = ANN) -> tuple[Alert, list[Delivery]]:
    """Register users, let a threshold that is too high fire, and return the alert and its mails."""
    for user in users:
        await stores.users.add(user)
    account = await account_of(stores, merchant_id)
    await do(stores, SetThresholds(merchant_id, (account.posted + UNIT + account.alerts_count,)))
    alert = (await stores.deliveries.alerts(merchant_id, 1))[0]
    return alert, [
        mail for mail in await stores.deliveries.mails(merchant_id=merchant_id, limit=100) if mail.alert == alert
    ]


async def everything(stores: Stores, merchant_ids: Sequence[int]) -> dict[str, list[Any]]:
    """Read every row that commands write, in the form of `MemoryConnector.rows`."""
    async with stores.connector.snapshot() as snapshot:
        holds = [hold for number in merchant_ids for hold in await snapshot.holds(number)]
        grants = [grant for number in merchant_ids for grant in await snapshot.grants(number)]
        period_counts = sorted(await snapshot.period_counts(merchant_ids), key=astuple)
        shortfalls = list(await snapshot.shortfalls(merchant_ids))
        budgets = list(await snapshot.budgets(merchant_ids))
    alerts = [alert for number in merchant_ids for alert in reversed(await stores.deliveries.alerts(number, 10**6))]
    mails = await stores.deliveries.mails(merchant_id=None, limit=10**6)
    approvals = await stores.approvals.list(merchant_id=None, before=NUMBER_MAX, limit=10**6)
    audit_entries = await stores.audit_log.list(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=10**6)
    return {
        "accounts": [await account_of(stores, number) for number in merchant_ids],
        "transfers": [transfer for number in merchant_ids for transfer in await book(stores, number)],
        "holds": holds,
        "grants": grants,
        "shortfalls": shortfalls,
        "period_counts": period_counts,
        "budgets": budgets,
        "alerts": alerts,
        "mails": sorted(mails, key=lambda mail: (mail.alert.merchant_id, mail.alert.number, mail.recipient_id)),
        "lone_moves": [move for number in merchant_ids for move in await stores.approvals.lone_moves(number, -1)],
        "approvals": sorted(approvals, key=lambda approval: (approval.merchant_id, approval.approval_id)),
        "audit_entries": sorted(
            audit_entries, key=lambda audit_entry: (audit_entry.merchant_id or 0, audit_entry.at, audit_entry.entry_id)
        ),
    }


async def faults(stores: Stores, merchant_id: int = ANN) -> list[str]:
    """Replay a merchant's book as an audit does."""
    async with stores.connector.snapshot() as snapshot:
        replay = Replay(merchant_id, {**await snapshot.default_prices(), **await snapshot.own_prices([merchant_id])})
        account = await snapshot.account(merchant_id)
        assert account is not None
        found = [
            fault
            async for chunk in snapshot.transfers(merchant_id)
            for transfer in chunk
            for fault in replay.feed(transfer)
        ]
        alerts = await snapshot.alerts(merchant_id)
        named = await snapshot.transfers_at(merchant_id, sorted(named_seqs(alerts) | replay.returned.keys()))
        counts, short = await snapshot.period_counts([merchant_id]), await snapshot.shortfalls([merchant_id])
        grants = await snapshot.grants(merchant_id)
        found += replay.finish(account, await snapshot.holds(merchant_id), named, counts, short, grants)
        found += alert_faults(account, alerts, named, replay.last_arrival_seq)
        keys = {key.key_id: key.budget_id for key in await snapshot.budgets_of_keys([merchant_id])}
        spent = BudgetReplay(await snapshot.budgets([merchant_id]), keys)
        marks, kept = await snapshot.hour_marks([merchant_id]), await snapshot.spent_by_hour([merchant_id])
        hours = HourReplay(marks.get(merchant_id, 0), kept.get(merchant_id, {}))
        async for chunk in snapshot.transfers(merchant_id):
            spent.feed_all(chunk)
            hours.feed_all(chunk)
        return [*found, *spent.finish(), *hours.finish(account.seq)]


def balances(account: Account) -> dict[str, int]:
    """Return the units of money in each part of an account that has any."""
    names = ("wallet", "held", "revenue", "funding", "adjustments", "promotions")
    return {name: getattr(account, name) // UNIT for name in names if getattr(account, name)}


# Ledgers with a merchant and prices


class MemoryLedger(MemoryConnector):
    """Ann and Ben in a store in memory, without waiting; an image costs a unit, a call is variable."""

    def __init__(self, **rules: Any) -> None:
        super().__init__()
        self.now = NOW
        stores = self.stores
        at_once(add_merchant(stores, ANN, **rules))
        at_once(add_merchant(stores, BEN))
        at_once(add_price(stores, starts_at=0))
        at_once(add_price(stores, 2, request_type="call", unit_price=None, starts_at=0))

    @property
    def ann(self) -> Account:
        """Her account."""
        return at_once(account_of(self.stores))

    def run(self, *commands: Command) -> list[Outcome]:
        """Decide commands as one batch at the present time."""
        return self.do(*commands, now=self.now)

    def code(self, command: Command) -> Code:
        """Decide a command and return its outcome's code."""
        return self.run(command)[0].code

    def move(self, command: Command) -> Transfer:
        """Decide a command that goes through and return its transfer."""
        outcome = self.run(command)[0]
        assert outcome.transfer is not None, outcome.message
        assert not outcome.is_replay
        return outcome.transfer

    def fired(self) -> list[tuple[int, int, int | None]]:
        """List the thresholds that were told of, and at which posted balance and transfer."""
        alerts = at_once(self.stores.deliveries.alerts(ANN, 1000))[::-1]
        return [
            (alert.threshold // UNIT, alert.posted // UNIT, alert.transfer_seq)
            for alert in alerts
            if alert.threshold is not None
        ]

    def used_up(self) -> list[tuple[int, int | None]]:
        """List the refusals that were told of: what the request would have taken, and after which transfer."""
        alerts = at_once(self.stores.deliveries.alerts(ANN, 1000))[::-1]
        return [(alert.refused // UNIT, alert.transfer_seq) for alert in alerts if alert.refused is not None]

    def armed(self) -> dict[int, bool]:
        """Tell which thresholds are armed."""
        return {item.amount // UNIT: item.is_armed for item in self.ann.thresholds}


@dataclass
class Ledger:
    """One merchant on SQLite, and a clock; an image costs half a unit, a call is variable."""

    path: Path
    stores: Stores
    clock: HeldClock = field(default_factory=HeldClock)
    merchant_id: int = NORTHWIND

    async def open(self) -> None:
        """Make the merchant and the prices."""
        await self.stores.connector.open()
        await add_merchant(self.stores, self.merchant_id, name="Northwind Imaging")
        await add_price(self.stores, unit_price=UNIT // 2)
        await add_price(self.stores, 2, request_type="call", unit_price=None)

    async def run(self, *commands: Command) -> Decision:
        """Commit commands at the time of the clock; each must go through."""
        decision = await decided(self.stores, *commands, now=self.clock.now())
        assert [] == [outcome for outcome in decision.outcomes if not outcome.is_ok]
        return decision

    async def top_up(self, units: int) -> Decision:
        return await self.run(TopUp(self.merchant_id, units * UNIT, f"INV-{secrets.token_hex(8)}"))

    async def set_thresholds(self, *units: int) -> Decision:
        return await self.run(SetThresholds(self.merchant_id, tuple(amount * UNIT for amount in units)))

    async def charge(self, images: int) -> Decision:
        return await self.run(charge(images, secrets.token_hex(8), self.merchant_id))

    async def refused(self, images: int) -> Decision:
        """Commit a charge that the balance does not cover."""
        command = charge(images, secrets.token_hex(8), self.merchant_id)
        decision = await decided(self.stores, command, now=self.clock.now())
        assert [Code.INSUFFICIENT_BALANCE] == [outcome.code for outcome in decision.outcomes]
        return decision

    async def hold(self, images: int) -> int:
        """Hold money and return the hold's number in the book."""
        decision = await self.run(CreateHold(Payer(self.merchant_id), "image", images, secrets.token_hex(8)))
        return decision.transfers[-1].seq

    async def capture(self, hold_seq: int) -> Decision:
        return await self.run(CaptureHold(self.merchant_id, hold_seq, secrets.token_hex(8)))

    async def add_user(self, email: str, number: int | None = None) -> None:
        user_id = secrets.randbits(60) if number is None else number
        await self.stores.users.add(User(self.merchant_id, user_id, email, self.clock.now()))

    async def fire(self, *emails: str) -> Decision:
        """Register people, and let a charge bring the balance from 400.00 to 399.50, below the threshold of 400.00."""
        for number, email in enumerate(emails, 1):
            await self.add_user(email, number)
        await self.top_up(400)
        await self.set_thresholds(400)
        decision = await self.charge(1)
        assert 1 == len(decision.alerts)
        return decision

    async def mails(self) -> dict[str, Delivery]:
        """Read the outbox, by address."""
        return {
            mail.email: mail for mail in await self.stores.deliveries.mails(merchant_id=self.merchant_id, limit=1000)
        }

    async def is_all_sent(self) -> bool:
        """Tell whether every mail that is owed is sent, and known to be."""
        return {DeliveryState.SENT} == {mail.state for mail in (await self.mails()).values()}


def takes_an_entry(*subjects: str) -> set[str]:
    """Name the methods of these subjects' stores that write an entry of the audit log."""
    kinds = get_type_hints(Stores)
    return {
        f"{subject}.{name}"
        for subject in subjects
        for name, method in vars(kinds[subject]).items()
        if not name.startswith("_") and "audit_entry" in getattr(method, "__annotations__", ()) and name != "append"
    }
