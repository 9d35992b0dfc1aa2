"""A slow and obvious ledger, told from its description alone, to hold the real one against.

Each merchant has a list of entries. Nothing is kept that the entries tell: balances, holds and what was given back are
worked out from the first entry every time. Amounts are fractions of the currency's unit.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    KeyKind,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.pricing import Price
from farebox.core.state import KeyRecord

Entry = dict[str, Any]

DEBIT_CREDIT = {
    "top_up": ("funding", "wallet"),
    "top_up_reversal": ("wallet", "funding"),
    "charge": ("wallet", "revenue"),
    "refund": ("revenue", "wallet"),
    "hold": ("wallet", "held"),
    "capture": ("held", "revenue"),
    "release": ("held", "wallet"),
    "expire": ("held", "wallet"),
    "credit": ("adjustments", "wallet"),
    "debit": ("wallet", "adjustments"),
}
LARGEST_AMOUNT = Fraction(10**12)
LARGEST_BALANCE = 4 * LARGEST_AMOUNT
SERVICE_COMMANDS = (Charge, CreateHold, CaptureHold, ReleaseHold, Refund)
SUPPORT_COMMANDS = (Refund, TopUp, ReverseTopUp, Adjust, SetThresholds, SetCreditLimit, SetFrozen)


def units(micros: int) -> Fraction:
    """Turn micros into the currency's units."""
    return Fraction(micros, 10**6)


@dataclass
class Answer:
    """What became of a command; `entry` is the one it made, or made the first time."""

    code: str
    is_replay: bool = False
    entry: Entry | None = None


@dataclass
class Merchant:
    """A merchant's entries and settings. A threshold is true while it is armed."""

    entries: list[Entry] = field(default_factory=list)
    firings: list[Entry] = field(default_factory=list)
    thresholds: dict[Fraction, bool] = field(default_factory=dict)
    credit_limit: Fraction = Fraction(0)
    is_frozen: bool = False

    def balance(self, account: str) -> Fraction:
        """Sum what came to an account, less what left it."""
        came = sum((e["amount"] for e in self.entries if e["credit"] == account), Fraction(0))
        left = sum((e["amount"] for e in self.entries if e["debit"] == account), Fraction(0))
        return came - left

    def posted(self) -> Fraction:
        """The wallet and what is held."""
        return self.balance("wallet") + self.balance("held")

    def find(self, seq: int, *kinds: str) -> Entry | None:
        """Find an entry by its number, of these kinds or of any."""
        return next((e for e in self.entries if e["seq"] == seq and (not kinds or e["kind"] in kinds)), None)

    def referring_to(self, seq: int, *kinds: str) -> list[Entry]:
        """List the entries of these kinds that name this one."""
        return [e for e in self.entries if e["of"] == seq and e["kind"] in kinds]

    def hold_state(self, seq: int) -> str:
        """Tell from the entries how a hold ended; a capture's rest goes back by a release."""
        for kind, state in (("capture", "captured"), ("release", "released"), ("expire", "expired")):
            if self.referring_to(seq, kind):
                return state
        return "held"


class Model:
    """The ledger of all merchants."""

    def __init__(self, merchants: tuple[int, ...], keys: dict[bytes, KeyRecord], prices: tuple[Price, ...]) -> None:
        self.merchants = {number: Merchant() for number in merchants}
        self.keys = keys
        self.prices = prices

    def do(self, command: Command, now: int) -> Answer:
        """Do what is asked at this time, or say why not."""
        refusal = self.caller_refusal(command, now)
        if refusal:
            return Answer(refusal)
        merchant = self.payer(command, now)
        if merchant is None:
            return Answer("merchant_not_found")
        if isinstance(command, SetThresholds | SetCreditLimit | SetFrozen):
            return Answer(self.set(merchant, command))
        key, content = idempotency(command)
        for entry in merchant.entries:
            if entry["key"] == key:
                is_same = entry["content"] == content
                return Answer("ok", True, entry) if is_same else Answer("idempotency_conflict")
        made = self.make(merchant, command, now)
        if isinstance(made, str):
            return Answer(made)
        first, *rest = made
        refusal = self.limit_refusal(merchant, first)
        if refusal:
            return Answer(refusal)
        first |= {"key": key, "content": content}
        entries = [self.post(merchant, entry, now) for entry in [first, *rest]]
        return Answer("ok", False, entries[0])

    def valid_key(self, digest: bytes, now: int) -> KeyRecord | None:
        """Find an API key that exists, has not expired and is not revoked."""
        record = self.keys.get(digest)
        if record is None:
            return None
        ends = [at for at in (record.expires_at, record.revoked_at) if at is not None]
        return None if any(at <= now for at in ends) else record

    def caller_refusal(self, command: Command, now: int) -> str | None:
        """Ask whether the caller's key is one, and may do this."""
        if command.caller is None:
            return None
        record = self.valid_key(command.caller.digest, now)
        if record is None or record.merchant_id != command.caller.merchant_id:
            return "invalid_api_key"
        may = {KeyKind.SERVICE: SERVICE_COMMANDS, KeyKind.SUPPORT: SUPPORT_COMMANDS}.get(KeyKind(record.kind), ())
        return None if isinstance(command, may) else "forbidden"

    def payer(self, command: Command, now: int) -> Merchant | None:
        """Find the merchant, who for a charge or hold may be named by an API key."""
        if isinstance(command, Charge | CreateHold) and command.payer.digest is not None:
            record = self.valid_key(command.payer.digest, now)
            if record is None or record.merchant_id != command.merchant_id:
                return None
        return self.merchants.get(command.merchant_id)

    def price(self, merchant_id: int, request_type: str, now: int) -> Price | None:
        """Find the newest version that has begun: the merchant's own, else the default."""
        for owner in (merchant_id, None):
            begun = [
                price
                for price in self.prices
                if price.merchant_id == owner and price.request_type == request_type and price.starts_at <= now
            ]
            if begun:
                return max(begun, key=lambda price: price.starts_at)
        return None

    def set(self, merchant: Merchant, command: SetThresholds | SetCreditLimit | SetFrozen) -> str:
        """Change a setting; a new threshold above posted fires at once, one that was there stays as it is."""
        if isinstance(command, SetFrozen):
            merchant.is_frozen = command.is_frozen
        elif isinstance(command, SetCreditLimit):
            if merchant.balance("wallet") < -units(command.credit_limit):
                return "credit_limit_in_use"
            merchant.credit_limit = units(command.credit_limit)
        else:
            asked = {units(amount) for amount in command.amounts}
            too_high = {amount for amount in asked - set(merchant.thresholds) if amount > merchant.posted()}
            kept = {amount: armed for amount, armed in merchant.thresholds.items() if amount in asked}
            merchant.thresholds = {amount: amount not in too_high for amount in asked} | kept
            if too_high:
                merchant.firings.append({"threshold": min(too_high), "posted": merchant.posted(), "seq": None})
        return "ok"

    def make(self, merchant: Merchant, command: Command, now: int) -> list[Entry] | str:
        """Work out the entries that a command makes, or why it makes none."""
        if isinstance(command, Charge | CreateHold):
            return self.spend(merchant, command, now)
        if isinstance(command, CaptureHold | ReleaseHold | ExpireHold):
            return self.end_hold(merchant, command, now)
        if isinstance(command, Refund):
            return self.give_back(merchant, command, "refund")
        if isinstance(command, ReverseTopUp):
            return self.give_back(merchant, command, "top_up_reversal")
        if isinstance(command, Adjust):
            return [{"kind": "credit" if command.is_credit else "debit", "amount": units(command.amount)}]
        assert isinstance(command, TopUp)
        return [{"kind": "top_up", "amount": units(command.amount)}]

    def spend(self, merchant: Merchant, command: Charge | CreateHold, now: int) -> list[Entry] | str:
        """Cost a charge or hold."""
        if merchant.is_frozen:
            return "merchant_frozen"
        price = self.price(command.merchant_id, command.request_type, now)
        if price is None:
            return "unknown_type"
        if price.unit_price is None:
            if command.amount is None:
                return "amount_required"
            amount = units(command.amount)
        else:
            if command.amount is not None:
                return "amount_not_allowed"
            amount = units(price.unit_price) * command.quantity
        entry = {"kind": "charge", "amount": amount, "price": price.price_id}
        if isinstance(command, CreateHold):
            entry |= {"kind": "hold", "due": now + command.ttl_seconds * 1_000_000}
        return [entry]

    def end_hold(
        self, merchant: Merchant, command: CaptureHold | ReleaseHold | ExpireHold, now: int
    ) -> list[Entry] | str:
        """Capture, release or expire a hold that is still open."""
        hold = merchant.find(command.hold_seq, "hold")
        if hold is None:
            return "hold_not_found"
        state = merchant.hold_state(command.hold_seq)
        if state != "held":
            return {
                "captured": "hold_already_captured",
                "released": "hold_already_released",
                "expired": "hold_expired",
            }[state]
        is_over = now >= hold["due"]
        if isinstance(command, ExpireHold):
            return [{"kind": "expire", "amount": hold["amount"], "of": hold["seq"]}] if is_over else "hold_not_due"
        if is_over:
            return "hold_expired"
        if isinstance(command, ReleaseHold):
            return [{"kind": "release", "amount": hold["amount"], "of": hold["seq"]}]
        amount = hold["amount"] if command.amount is None else units(command.amount)
        if amount > hold["amount"]:
            return "capture_exceeds_hold"
        made: list[Entry] = [{"kind": "capture", "amount": amount, "of": hold["seq"]}]
        if amount < hold["amount"]:
            made.append({"kind": "release", "amount": hold["amount"] - amount, "of": hold["seq"]})
        return made

    def give_back(self, merchant: Merchant, command: Refund | ReverseTopUp, kind: str) -> list[Entry] | str:
        """Refund a charge or capture, or reverse a top-up, as far as it has not been already."""
        original = merchant.find(command.transfer_seq)
        if original is None:
            return "transfer_not_found"
        if kind == "refund" and original["kind"] not in ("charge", "capture"):
            return "transfer_not_refundable"
        if kind == "top_up_reversal" and original["kind"] != "top_up":
            return "transfer_not_reversible"
        given = sum((e["amount"] for e in merchant.referring_to(command.transfer_seq, kind)), Fraction(0))
        left = original["amount"] - given
        amount = left if command.amount is None else units(command.amount)
        if left == 0 or amount > left:
            return "refund_exceeds_transfer" if kind == "refund" else "reversal_exceeds_top_up"
        return [{"kind": kind, "amount": amount, "of": command.transfer_seq}]

    def limit_refusal(self, merchant: Merchant, entry: Entry) -> str | None:
        """Ask whether an entry keeps the amounts small enough, and the wallet above the credit limit's floor."""
        if entry["amount"] > LARGEST_AMOUNT:
            return "amount_too_large"
        debit, credit = DEBIT_CREDIT[entry["kind"]]
        names = ("wallet", "held", "revenue", "funding", "adjustments")
        after = {name: merchant.balance(name) for name in names}
        after[debit] -= entry["amount"]
        after[credit] += entry["amount"]
        too_large = [name for name in names if name != "wallet" and abs(after[name]) > LARGEST_BALANCE]
        # All that is held may come back into the wallet.
        if too_large or after["wallet"] + after["held"] > LARGEST_BALANCE:
            return "balance_limit_exceeded"
        if debit == "wallet" and after["wallet"] < -merchant.credit_limit:
            return "insufficient_balance"
        return None

    def post(self, merchant: Merchant, entry: Entry, now: int) -> Entry:
        """Append an entry, and see which thresholds it crosses."""
        before = merchant.posted()
        debit, credit = DEBIT_CREDIT[entry["kind"]]
        # Two clocks may differ; the book's times still never go back.
        at = max([now, *(e["at"] for e in merchant.entries)])
        seq = len(merchant.entries) + 1
        entry = {"of": None, "key": None} | entry | {"seq": seq, "debit": debit, "credit": credit, "at": at}
        merchant.entries.append(entry)
        posted = merchant.posted()
        if entry["kind"] in ("charge", "capture", "debit", "top_up_reversal"):
            crossed = [amount for amount, armed in merchant.thresholds.items() if armed and before >= amount > posted]
            if crossed:
                merchant.thresholds |= dict.fromkeys(crossed, False)
                merchant.firings.append({"threshold": min(crossed), "posted": posted, "seq": seq})
        elif entry["kind"] in ("top_up", "credit"):
            merchant.thresholds |= {amount: True for amount in merchant.thresholds if posted >= amount}
        return entry


def idempotency(command: Command) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Name the key that a command has for ever, and what it asks for; remarks and who asks are not part of it."""
    match command:
        case Charge():
            content = (command.request_type, command.quantity, command.amount, command.reference)
            return ("caller", command.idempotency_key), ("charge", *content)
        case CreateHold():
            asked = (command.request_type, command.quantity, command.amount, command.reference, command.ttl_seconds)
            return ("caller", command.idempotency_key), ("hold", *asked)
        case CaptureHold():
            return ("caller", command.idempotency_key), ("capture", command.hold_seq, command.amount, command.reference)
        case ReleaseHold():
            return ("caller", command.idempotency_key), ("release", command.hold_seq, command.reference)
        case Refund():
            return (
                ("caller", command.idempotency_key),
                ("refund", command.transfer_seq, command.amount, command.reference),
            )
        case ExpireHold():
            return ("expiry", command.hold_seq), ()
        case TopUp():
            return ("top-up", command.reference), (command.amount,)
        case ReverseTopUp():
            return ("reversal", command.reference), (command.transfer_seq, command.amount)
        case Adjust():
            return ("adjustment", command.reference), (command.amount, command.is_credit)
    raise AssertionError(command)
