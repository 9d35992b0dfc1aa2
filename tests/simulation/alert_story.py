"""A simulated day of alerts: users come and go, money comes in dribs and drabs, mails wait for a network that fails.

What users must have been told is worked out from the book and from what every mail met when it was written, not from
the code that tells them.
"""

import asyncio
import re
from bisect import bisect_right
from decimal import Decimal
from email.message import EmailMessage
from random import Random
from typing import Any, Final, NamedTuple

from farebox.alerts.transport import Compose
from farebox.core import ids
from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert, AlertKind
from farebox.core.commands import (
    CaptureHold,
    Charge,
    CreateHold,
    KeyKind,
    Payer,
    Refund,
    ReleaseHold,
    TopUp,
    TransferCommand,
)
from farebox.core.outcomes import Code
from farebox.core.prices import Price
from farebox.core.state import Decision
from farebox.core.thresholds import Threshold
from farebox.service import parsing
from farebox.storage.records import ApiKey, Delivery, DeliveryState, Merchant, User
from tests.simulation.story import UNIT, Story
from tests.simulation.world import START, Post
from tests.support.memory import MemoryConnector
from tests.support.told import is_mailed, untold

MERCHANT: Final = 1 << 50
TURNS: Final = 12
_LOWERING: Final = {Kind.CHARGE, Kind.CAPTURE}
_AMOUNT: Final = r"(-?[\d,]+\.\d+) USD"
CLAIMS: Final = {
    "below": re.compile(rf"Acme: (?:nothing left to spend, )?balance below {_AMOUNT}"),
    "back": re.compile(rf"Acme: balance back at {_AMOUNT}, was below {_AMOUNT}"),
    "left": re.compile(rf"Acme: a request was refused, {_AMOUNT} can be spent"),
    "used up": re.compile(r"Acme: (?:balance|balance and credit) used up, requests are refused"),
    "new": re.compile(r"Acme: never topped up, requests are refused"),
}


class Moment(NamedTuple):
    """How the account stood from a time on."""

    at: float
    account: Account


class Stay(NamedTuple):
    """A user's time on the account: from and until when, and how many alerts there were before and at its end."""

    user: User
    since: float
    alerts_before: int
    until: float = float("inf")
    alerts_at_end: int = 10**9


class ReceivedMail(NamedTuple):
    """A mail that was delivered: to whom, what it said, and between which times it was written."""

    user_id: int
    number: int
    subject: str
    began: float
    ended: float


class WatchedRows(MemoryConnector):
    """Rows that remember how the account stood, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[Moment] = []

    def apply(self, decision: Decision) -> None:
        super().apply(decision)
        self.note()

    def note(self) -> None:
        """Remember how the account stands now."""
        self.moments.append(Moment(asyncio.get_running_loop().time(), self.accounts[MERCHANT]))


class WatchedPost(Post):
    """A mail network that remembers when each mail was written."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.received: list[ReceivedMail] = []
        self._began: dict[str, float] = {}

    async def send(self, compose: Compose[EmailMessage], to: str) -> None:
        """Carry one mail."""

        async def timed() -> EmailMessage:
            began = asyncio.get_running_loop().time()
            message = await compose()
            # By the mail and not by its user, to whom two may be written at once.
            self._began[str(message["Message-ID"])] = began
            return message

        await super().send(timed, to)

    def take(self, message: EmailMessage, to: str) -> None:
        """Deliver a mail."""
        super().take(message, to)
        user_id = int(to.removeprefix("user").partition("@")[0])
        _, number = parsing.parse_book_id(ids.ALERT, message["Message-ID"].removeprefix("<").partition(".")[0])
        now = asyncio.get_running_loop().time()
        self.received.append(
            ReceivedMail(user_id, number, str(message["Subject"]), self._began[str(message["Message-ID"])], now)
        )


class AlertStory(Story):
    """All that happens, from one seed."""

    async def _found(self) -> None:
        random = self._random
        self._rows = WatchedRows()
        self._database.rows = self._rows
        self._stays: dict[int, Stay] = {}
        stores = self._rows.stores
        credit = random.choice((0, 0, 10))
        allowed = (5, 10, 20, 40, *((-5, -10) if credit else ()))
        self._thresholds = sorted(random.sample(allowed, random.choice((0, 1, 2, 3))))
        key = ApiKey(1, KeyKind.MERCHANT, bytes(32), "fb…", START, MERCHANT)
        thresholds = tuple(Threshold(amount * UNIT, True) for amount in self._thresholds)
        account = Account(MERCHANT, "USD", credit_limit=credit * UNIT, thresholds=thresholds)
        await stores.merchants.create(Merchant(MERCHANT, "Acme", START), account, key)
        await stores.prices.add(Price(1, "image", UNIT, 0), START)
        self._rows.note()
        for _ in range(random.choice((0, 1, 2))):
            await self._join()

    def _make_post(self) -> Post:
        self._watched = WatchedPost(self._random)
        return self._watched

    async def _people(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(self._random.uniform(0, 1))
            # As a transaction of its own, which waits for batches that are under way.
            async with self._database.lock:
                here = [stay for stay in self._stays.values() if stay.until == float("inf")]
                if len(here) < 2 or (len(here) < 4 and self._random.random() < 0.4):
                    await self._join()
                else:
                    await self._leave(self._random.choice(here))

    async def _join(self) -> None:
        number = len(self._stays) + 1
        user = User(MERCHANT, number, f"user{number}@acme.example", self._clocks[0].now())
        stay = Stay(user, asyncio.get_running_loop().time(), len(self._rows.alerts))
        await self._rows.stores.users.add(user)
        self._rows.note()
        self._stays[number] = stay
        self._check_joiner(user)

    async def _leave(self, stay: Stay) -> None:
        await self._rows.stores.users.remove(MERCHANT, stay.user.email, is_owner_needed=False)
        now = asyncio.get_running_loop().time()
        self._stays[stay.user.user_id] = stay._replace(until=now, alerts_at_end=len(self._rows.alerts))

    def _command(self, key: str) -> TransferCommand:
        random = self._random
        done = [outcome for outcome in self._told.values() if outcome.transfer is not None]
        holds = [outcome.hold.seq for outcome in done if outcome.hold is not None]
        charges = [item.transfer.seq for item in done if item.transfer and item.transfer.kind == Kind.CHARGE]
        match random.choice(("charge", "charge", "charge", "hold", "end", "refund", "top_up", "top_up")):
            case "hold":
                return CreateHold(Payer(MERCHANT), "image", random.randint(1, 9), key, ttl_seconds=900)
            case "end" if holds:
                ends = (ReleaseHold, CaptureHold)
                return random.choice(ends)(MERCHANT, random.choice(holds), key)
            case "refund" if charges:
                return Refund(MERCHANT, random.choice(charges), key, random.choice((None, UNIT)))
            case "top_up":
                return TopUp(MERCHANT, random.choice((1, 4, 8, 15, 30)) * UNIT, key)
        return Charge(Payer(MERCHANT), "image", random.randint(1, 9), key)

    def tally(self) -> list[str]:
        """Tell what mails said, and what became of them."""
        mails = self._rows.rows()["mails"]
        claims = [claim for item in self._watched.received for claim in CLAIMS if CLAIMS[claim].fullmatch(item.subject)]
        states = [DeliveryState(mail.state).name.lower().replace("_", " ") for mail in mails]
        joined = ["joined" for mail in mails if mail.alert.user_id is not None]
        left = ["too late for who left" for mail in mails if mail.last_error == "the user was removed from the account"]
        return [*claims, *states, *joined, *left]

    # The promises that must hold.

    def _check_joiner(self, user: User) -> None:
        """See that a user who joins is told how it stands, alone."""
        account = self._rows.accounts[MERCHANT]
        told = [mail.alert for mail in self._rows.deliveries.values() if mail.recipient_id == user.user_id]
        assert all(alert.user_id == user.user_id for alert in told)
        below = self._running(list(self._rows.books[MERCHANT])) if account.seq else set()
        below = {amount for amount in below if amount * UNIT > account.posted}
        lowest = [min(below) * UNIT] if below else [None] if account.is_exhausted else []
        assert lowest == [alert.threshold for alert in told], (below, told)

    def _running(self, book: list[Any]) -> set[int]:
        """List the thresholds that an episode of runs after a book."""
        running: set[int] = set()
        for transfer in book:
            below = {amount for amount in self._thresholds if amount * UNIT > transfer.posted_after}
            if transfer.kind == Kind.TOP_UP:
                running = below
            elif transfer.kind in _LOWERING:
                running |= below
        return running

    def _check_mails(self, rows: dict[str, list[Any]]) -> None:
        book, alerts, mails = rows["transfers"], rows["alerts"], rows["mails"]
        for_all = [alert for alert in alerts if alert.user_id is None]
        self._check_episodes(book, [alert for alert in for_all if alert.kind == AlertKind.LOW_BALANCE])
        self._check_refusals(book, [alert for alert in for_all if alert.kind == AlertKind.USED_UP])
        self._check_recoveries(book, for_all)
        assert [] == untold(book, alerts)
        self._check_owed([alert for alert in for_all if is_mailed(alert)], mails)
        for received in self._watched.received:
            self._check_received(received)
            self._check_newest(received, mails)
        for mail in mails:
            self._check_fate(mail, mails, rows["accounts"][0])

    def _check_episodes(self, book: list[Any], told: list[Alert]) -> None:
        expected = []
        for place, transfer in enumerate(book):
            before, after = self._running(book[:place]), self._running(book[: place + 1])
            begun = after if transfer.kind == Kind.TOP_UP else after - before
            if begun:
                expected.append((transfer.seq, min(begun) * UNIT))
        assert expected == [(alert.transfer_seq, alert.threshold) for alert in told]

    def _check_refusals(self, book: list[Any], told: list[Alert]) -> None:
        arrivals = [transfer.seq for transfer in book if transfer.kind == Kind.TOP_UP]
        episodes = [bisect_right(arrivals, alert.transfer_seq or 0) for alert in told]
        assert sorted(set(episodes)) == episodes
        was_refused = any(outcome.code is Code.INSUFFICIENT_BALANCE for outcome in self._told.values())
        assert bool(told) or not was_refused

    def _check_recoveries(self, book: list[Any], told: list[Alert]) -> None:
        """See that money which ended an episode was told of right after its top-up, and other money was not."""
        expected, is_used_up = [], False
        for alert in told:
            if alert.kind == AlertKind.USED_UP:
                is_used_up = True
            elif alert.kind == AlertKind.TOP_UP:
                seq = alert.transfer_seq or 0
                ended = self._running(book[: seq - 1]) - self._running(book[:seq])
                if ended or is_used_up:
                    expected.append((alert.number + 1, seq, sorted(amount * UNIT for amount in ended), is_used_up))
                is_used_up = False
        found = [
            (alert.number, alert.transfer_seq, facts["thresholds"], facts["was_used_up"])
            for alert in told
            if alert.kind == AlertKind.RECOVERED and (facts := alert.read_facts)
        ]
        assert expected == found

    def _check_owed(self, for_all: list[Alert], mails: list[Delivery]) -> None:
        """See that each alert is owed once to each user who was there."""
        numbers = {alert.number for alert in for_all}
        owed = [(mail.alert.number, mail.recipient_id) for mail in mails if mail.alert.number in numbers]
        expected = [
            (alert.number, stay.user.user_id)
            for alert in for_all
            for stay in self._stays.values()
            if stay.alerts_before < alert.number <= stay.alerts_at_end
        ]
        assert sorted(expected) == sorted(owed)

    def _check_received(self, received: ReceivedMail) -> None:
        """See that a mail went to somebody who was there, and said what was true, while it was written."""
        stay = self._stays[received.user_id]
        assert stay.since <= received.ended, received
        assert received.began <= stay.until, received
        moments = self._rows.moments
        first = max(0, bisect_right([moment.at for moment in moments], received.began) - 1)
        # Several at the very time count all, as do those before it that are of that time.
        while first > 0 and moments[first - 1].at == moments[first].at:
            first -= 1
        met = [moment.account for moment in moments[max(0, first - 1) :] if moment.at <= received.ended]
        assert any(_is_true(received.subject, account) for account in met), (received, met)

    def _check_newest(self, received: ReceivedMail, mails: list[Delivery]) -> None:
        """See that no newer mail was to tell the user the same when one began to be written."""
        before = [moment.account.alerts_count for moment in self._rows.moments if moment.at < received.began]
        (mail,) = [mail for mail in mails if _names(received, mail)]
        newer = [
            item.alert.number
            for item in mails
            if (item.recipient_id, item.alert.kind, item.alert.threshold)
            == (mail.recipient_id, mail.alert.kind, mail.alert.threshold)
            and mail.alert.number < item.alert.number <= max(before, default=0)
        ]
        assert [] == newer, received

    def _check_fate(self, mail: Delivery, mails: list[Delivery], account: Account) -> None:
        """See that what is still true for somebody who is still there was not withdrawn."""
        assert mail.state in (DeliveryState.SENT, DeliveryState.GIVEN_UP, DeliveryState.WITHDRAWN)
        delivered = [item for item in self._watched.received if _names(item, mail)]
        assert mail.state != DeliveryState.SENT or delivered
        if mail.state != DeliveryState.WITHDRAWN or self._stays[mail.recipient_id].until != float("inf"):
            return
        # An alert names the lowest of the thresholds that posted fell below, and so tells of the higher ones, too.
        same = [
            item for item in mails if item.recipient_id == mail.recipient_id and _tells_of(item, mail.alert.threshold)
        ]
        if mail.alert.number < max(item.alert.number for item in same):
            return
        states = {threshold.amount: threshold.is_armed for threshold in account.thresholds}
        is_over = not account.is_exhausted if mail.alert.threshold is None else states[mail.alert.threshold]
        assert is_over, mail


def _is_true(subject: str, account: Account) -> bool:
    spendable = max(0, account.available + account.credit_limit)
    for claim, pattern in CLAIMS.items():
        found = pattern.fullmatch(subject)
        if found is None:
            continue
        amounts = [int(Decimal(text.replace(",", "")) * UNIT) for text in found.groups()]
        match claim:
            case "below":
                return account.posted < amounts[0] and ("nothing left" not in subject or spendable == 0)
            case "back":
                is_over = Threshold(amounts[1], True) in account.thresholds
                return account.posted == amounts[0] and account.posted >= amounts[1] and not is_over
            case "left":
                return spendable == amounts[0] > 0
            case _:
                return spendable == 0 and (account.seq == 0) is (claim == "new")
    raise AssertionError(f"nobody knows what {subject!r} says")


def _tells_of(mail: Delivery, threshold: int | None) -> bool:
    """Tell whether a mail tells that posted fell below a threshold, or, for None, that the balance is used up."""
    named = mail.alert.threshold
    return named == threshold if named is None or threshold is None else named <= threshold


def _names(received: ReceivedMail, mail: Delivery) -> bool:
    return (received.user_id, received.number) == (mail.recipient_id, mail.alert.number)
