"""A real SQLite ledger with one merchant, whose thresholds fire by real charges."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farebox.core.accounts import Account
from farebox.core.commands import CaptureHold, Charge, Command, CreateHold, Payer, SetThresholds, TopUp
from farebox.core.decide import decide
from farebox.core.pricing import Price
from farebox.core.state import Decision, reads
from farebox.storage.rows import ApiKey, MailState, Merchant, OutboxMail, User
from farebox.storage.sqlite import SqliteStore

START: Final = 1_800_000_000_000_000
"""15 January 2027, 08:00 UTC."""

SECOND: Final = 1_000_000
UNIT: Final = 1_000_000
MERCHANT_ID: Final = 3_774_873_600_000_000_007


class HeldClock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> int:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)


@dataclass
class Ledger:
    """One merchant, Northwind Imaging; an `image` costs 0.50, a `call` is variable."""

    path: Path
    store: SqliteStore
    clock: HeldClock = field(default_factory=HeldClock)
    merchant_id: int = MERCHANT_ID

    async def open(self, name: str = "Northwind Imaging") -> None:
        now = self.clock.now()
        await self.store.migrate(now)
        await self.store.open()
        key = ApiKey(1, 1, secrets.token_bytes(32), "fb…", now, MERCHANT_ID)
        await self.store.create_merchant(Merchant(MERCHANT_ID, name, now), Account(MERCHANT_ID, "USD"), key)
        await self.store.set_price(Price(1, "image", UNIT // 2, now - 10**15), now)
        await self.store.set_price(Price(2, "call", None, now - 10**15), now)

    async def run(self, *commands: Command) -> Decision:
        """Commit commands at the time of the clock; each must go through."""
        now = self.clock.now()
        decision = await self.store.transact(reads(commands, now), lambda state: decide(state, commands, now))
        assert [] == [outcome for outcome in decision.outcomes if not outcome.is_ok]
        return decision

    async def top_up(self, units: int) -> Decision:
        return await self.run(TopUp(MERCHANT_ID, units * UNIT, f"INV-{secrets.token_hex(8)}"))

    async def set_thresholds(self, *units: int) -> Decision:
        return await self.run(SetThresholds(MERCHANT_ID, tuple(amount * UNIT for amount in units)))

    async def charge(self, images: int) -> Decision:
        return await self.run(Charge(Payer(MERCHANT_ID), "image", images, secrets.token_hex(8)))

    async def hold(self, images: int) -> int:
        decision = await self.run(CreateHold(Payer(MERCHANT_ID), "image", images, secrets.token_hex(8)))
        return decision.transfers[-1].seq

    async def capture(self, hold_seq: int) -> Decision:
        return await self.run(CaptureHold(MERCHANT_ID, hold_seq, secrets.token_hex(8)))

    async def add_user(self, email: str, number: int | None = None) -> None:
        user_id = secrets.randbits(60) if number is None else number
        await self.store.add_user(User(MERCHANT_ID, user_id, email, self.clock.now()))

    async def fire(self, *emails: str) -> Decision:
        """Register people, and let a charge bring the balance from 400.00 to 399.50, below the threshold of 400.00."""
        for number, email in enumerate(emails, 1):
            await self.add_user(email, number)
        await self.top_up(400)
        await self.set_thresholds(400)
        decision = await self.charge(1)
        assert 1 == len(decision.alerts)
        return decision

    async def mails(self) -> dict[str, OutboxMail]:
        """Read the outbox, by address."""
        return {mail.email: mail for mail in await self.store.mails(merchant_id=MERCHANT_ID, limit=1000)}

    async def is_all_sent(self) -> bool:
        """Tell whether every mail that is owed is sent, and known to be."""
        return {MailState.SENT} == {mail.state for mail in (await self.mails()).values()}
