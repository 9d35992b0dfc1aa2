"""What tests of stores put into them, and short ways to move money in them."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.commands import Charge, Command, KeyKind, Payer, SetThresholds, TopUp
from farebox.core.decide import decide
from farebox.core.holds import Hold
from farebox.core.ids import NUMBER_MAX, SEQ_MAX
from farebox.core.outcomes import Outcome
from farebox.core.pricing import Price
from farebox.core.replay import Replay
from farebox.core.state import Alert, BatchState, Decision, reads
from farebox.core.transfers import Transfer
from farebox.storage.interface import Store
from farebox.storage.rows import ApiKey, Merchant, OutboxMail, User

UNIT: Final = 1_000_000
SECOND: Final = 1_000_000
NOW: Final = 1_800_000_000 * SECOND
ANN: Final = 1 << 50
BEN: Final = (1 << 50) + 1
NOBODY: Final = (1 << 50) + 2


def digest(number: int) -> bytes:
    """Make up a key's digest."""
    return number.to_bytes(32, "big")


def merchant_key(number: int, merchant_id: int = ANN, **fields: Any) -> ApiKey:
    """Make up a merchant's key."""
    return ApiKey(number, KeyKind.MERCHANT, digest(number), "fbm_…1234", NOW, merchant_id, **fields)


def staff_key(number: int, kind: KeyKind = KeyKind.SERVICE, **fields: Any) -> ApiKey:
    """Make up a service's or support's key."""
    return ApiKey(number, kind, digest(number), "fbs_…1234", NOW, None, "recognition", **fields)


async def add_merchant(store: Store, merchant_id: int = ANN, *, funds: int = 0, **rules: Any) -> None:
    """Add a merchant whose first key has its own number, and pay so many units of money in."""
    account = Account(merchant_id, "USD", **rules)
    await store.create_merchant(Merchant(merchant_id, "Acme", NOW), account, merchant_key(merchant_id, merchant_id))
    if funds:
        await do(store, TopUp(merchant_id, funds * UNIT, "funds"))


async def add_price(store: Store, price_id: int = 1, **fields: Any) -> None:
    """Add a price: by default an image costs a unit of money."""
    await store.set_price(replace(Price(price_id, "image", UNIT, NOW), **fields), NOW)


def charge(key: str, units: int = 1, merchant_id: int = ANN) -> Charge:
    """Ask for some units of money."""
    return Charge(Payer(merchant_id), "image", units, key)


async def do(store: Store, *commands: Command, now: int = NOW) -> list[Outcome]:
    """Commit commands as one batch."""
    decision = await store.transact(reads(commands, now), lambda state: decide(state, commands, now))
    return decision.outcomes


async def loaded(store: Store, *commands: Command, now: int = NOW) -> BatchState:
    """Return what commands would meet."""
    states: list[BatchState] = []

    def look(state: BatchState) -> Decision:
        states.append(state)
        return Decision([])

    await store.transact(reads(commands, now), look)
    return states[0]


async def account_of(store: Store, merchant_id: int = ANN) -> Account:
    """Read an account that is there."""
    account = await store.account(merchant_id)
    assert account is not None
    return account


async def wallet(store: Store, merchant_id: int = ANN) -> int:
    """Read the units of money in a wallet."""
    return (await account_of(store, merchant_id)).wallet // UNIT


async def book(store: Store, merchant_id: int = ANN) -> Sequence[Transfer]:
    """Read a whole book."""
    return await store.transfers(merchant_id, first_seq=1, last_seq=SEQ_MAX, limit=10**6, newest_first=False)


async def holds_of(store: Store, merchant_id: int = ANN) -> Sequence[Hold]:
    """Read a merchant's holds."""
    async with store.snapshot() as snapshot:
        return await snapshot.holds(merchant_id)


async def fire(store: Store, *users: User, merchant_id: int = ANN) -> tuple[Alert, list[OutboxMail]]:
    """Register users, let a threshold that is too high fire, and return the alert and its mails."""
    for user in users:
        await store.add_user(user)
    account = await account_of(store, merchant_id)
    await do(store, SetThresholds(merchant_id, (account.posted + UNIT + account.alerts_count,)))
    alert = (await store.alerts(merchant_id, 1))[0]
    return alert, [mail for mail in await store.mails(merchant_id=merchant_id, limit=100) if mail.alert == alert]


async def everything(store: Store, merchant_ids: Sequence[int]) -> dict[str, list[Any]]:
    """Read every row that commands write, in the form of `MemoryStore.rows`."""
    async with store.snapshot() as snapshot:
        holds = [hold for number in merchant_ids for hold in await snapshot.holds(number)]
    alerts = [alert for number in merchant_ids for alert in reversed(await store.alerts(number, 10**6))]
    mails = await store.mails(merchant_id=None, limit=10**6)
    approvals = await store.approvals(merchant_id=None, before=NUMBER_MAX, limit=10**6)
    audit_entries = await store.audit_entries(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=10**6)
    return {
        "accounts": [await account_of(store, number) for number in merchant_ids],
        "transfers": [transfer for number in merchant_ids for transfer in await book(store, number)],
        "holds": holds,
        "alerts": alerts,
        "mails": sorted(mails, key=lambda mail: (mail.alert.merchant_id, mail.alert.number, mail.user_id)),
        "approvals": sorted(approvals, key=lambda approval: (approval.merchant_id, approval.approval_id)),
        "audit_entries": sorted(
            audit_entries, key=lambda audit_entry: (audit_entry.merchant_id or 0, audit_entry.at, audit_entry.entry_id)
        ),
    }


async def faults(store: Store, merchant_id: int = ANN) -> list[str]:
    """Replay a merchant's book as an audit does."""
    replay = Replay(merchant_id)
    async with store.snapshot() as snapshot:
        account = await snapshot.account(merchant_id)
        assert account is not None
        found = [
            fault
            async for chunk in snapshot.transfers(merchant_id)
            for transfer in chunk
            for fault in replay.feed(transfer)
        ]
        originals = await snapshot.transfers_at(merchant_id, sorted(replay.returned))
        return found + list(replay.finish(account, await snapshot.holds(merchant_id), originals))
