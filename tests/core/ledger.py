"""A small ledger in memory, and short ways to say what is asked of it."""

from typing import Any, Final

from farebox.core.accounts import Account
from farebox.core.commands import (
    Adjust,
    Charge,
    Command,
    CreateHold,
    KeyKind,
    Payer,
    TopUp,
)
from farebox.core.outcomes import Code, Outcome
from farebox.core.pricing import Price
from farebox.core.transfers import Transfer
from farebox.storage.rows import ApiKey, Merchant
from tests.support.memory import MemoryStore, at_once

UNIT: Final = 1_000_000
SECOND: Final = 1_000_000
NOW: Final = 1_800_000_000 * SECOND
ANN: Final = 1 << 50
BEN: Final = (1 << 50) + 1


def digest(merchant_id: int) -> bytes:
    """Make up the digest of a merchant's key."""
    return merchant_id.to_bytes(32, "big")


class Ledger(MemoryStore):
    """One merchant, and prices: an image costs a unit, a call is variable."""

    def __init__(self, **rules: Any) -> None:
        super().__init__()
        self.now = NOW
        for number, name in ((ANN, "Ann"), (BEN, "Ben")):
            key = ApiKey(number, KeyKind.MERCHANT, digest(number), "fb…", NOW, number)
            account = Account(number, **{"currency": "USD", **(rules if number == ANN else {})})
            at_once(self.create_merchant(Merchant(number, name, NOW), account, key))
        at_once(self.set_price(Price(1, "image", UNIT, 0), NOW))
        at_once(self.set_price(Price(2, "call", None, 0), NOW))

    @property
    def ann(self) -> Account:
        """Her account."""
        account = at_once(self.account(ANN))
        assert account is not None
        return account

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
        """List the thresholds that fired, and at which posted balance and transfer."""
        found = at_once(self.alerts(ANN, 1000))[::-1]
        return [(alert.threshold // UNIT, alert.posted // UNIT, alert.transfer_seq) for alert in found]

    def armed(self) -> dict[int, bool]:
        """Tell which thresholds are armed."""
        return {item.amount // UNIT: item.is_armed for item in self.ann.thresholds}


def top_up(units: int, reference: str = "INV-1") -> TopUp:
    return TopUp(ANN, units * UNIT, reference)


def charge(units: int, key: str = "charge", **more: Any) -> Charge:
    return Charge(Payer(ANN), "image", units, key, **more)


def hold(units: int, key: str = "hold", **more: Any) -> CreateHold:
    return CreateHold(Payer(ANN), "image", units, key, **more)


def adjust(units: int, reference: str = "ADJ-1") -> Adjust:
    return Adjust(ANN, abs(units) * UNIT, units > 0, reference, "mistake")


def balances(account: Account) -> dict[str, int]:
    names = ("wallet", "held", "revenue", "funding", "adjustments")
    return {name: getattr(account, name) // UNIT for name in names if getattr(account, name)}
