"""Holds a ledger against what its clients were told: nothing lost, nothing doubled, no money made or missed."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.accounts import KIND_WORDS, Account, Kind
from farebox.core.alerts import AlertKind
from farebox.core.credit.grants import Grant, GrantState, read_given, read_terms
from farebox.core.credit.shortfalls import is_payment
from farebox.core.holds import HoldState
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from farebox.service import parsing
from farebox.service.operator.verifier import Verifier
from farebox.storage.interface import Snapshot
from tests.support.server import Seeds
from tests.support.told import is_mailed, untold
from tests.torture.budgets import above_place, check_budgets
from tests.torture.requests import MOVING_NOTHING, Contradiction, Request

MICROS: Final = 1_000_000
_OWN_KEYS: Final = ("expire ", "release ", "end of grant ", "owed ", "above ")
"""How keys begin under which Farebox itself gives money back, ends credit, or takes what is owed, or above a hold."""

_LOWERING: Final = {Kind.CHARGE, Kind.CAPTURE, Kind.ADJUSTMENT_DEBIT, Kind.TOP_UP_REVERSAL, Kind.GRANT_EXPIRY}
_ARRIVING: Final = {Kind.TOP_UP, Kind.ADJUSTMENT_CREDIT, Kind.GRANT}


_SPENT_SIGNS: Final = {
    Kind.CHARGE: 1,
    Kind.HOLD: 1,
    Kind.CAPTURE: 0,
    Kind.REFUND: -1,
    Kind.RELEASE: -1,
    Kind.EXPIRE: -1,
    Kind.GRANT_EXPIRY: 1,
}
"""What each kind that names grants takes of them, ends included; a capture takes what its hold had taken."""


async def check(farebox: Farebox, merchants: list[Seeds], requests: list[Request], *, users: int) -> int:
    """Check all books and return how many transfers they hold.

    Args:
        farebox: an open ledger that nobody writes to.
        merchants: whose books these are; each was topped up once, as INV-1, before the requests.
        requests: all that clients asked for, every one of them settled.
        users: how many people are registered on each merchant.

    Raises:
        Contradiction: naming what clients were told and what the ledger says.
    """
    audit = Verifier(farebox.stores.connector)
    faults = [fault async for fault in audit.faults(None)]
    if faults:
        raise Contradiction(f"the ledger is damaged: {faults[:10]}")
    async with farebox.stores.connector.snapshot() as snapshot:
        for seeds in merchants:
            await _check_book(
                farebox, snapshot, seeds, [request for request in requests if request.seeds is seeds], users
            )
    return audit.transfers_count


async def check_beginning(
    farebox: Farebox, original: Farebox, merchants: list[Seeds], told: list[Request]
) -> tuple[int, int]:
    """Check that each book is a beginning of the original's, and return how many transfers there are in each ledger.

    Args:
        farebox: an open ledger, restored from a backup.
        original: the open ledger that it is of.
        merchants: whose books these are.
        told: what clients had been told to be done before the backup's moment.

    Raises:
        Contradiction: naming what is not as it was.
    """
    audit = Verifier(farebox.stores.connector)
    faults = [fault async for fault in audit.faults(None)]
    if faults:
        raise Contradiction(f"the restored ledger is damaged: {faults[:10]}")
    count = original_count = 0
    for seeds in merchants:
        book, whole = [await _book(ledger, seeds) for ledger in (farebox, original)]
        if book != whole[: len(book)]:
            raise Contradiction(f"the restored book of {seeds.merchant} is no beginning of the original")
        ids = {transfer.id for transfer in book} | {grant.id for grant in await _grants(farebox, seeds)}
        lost = [
            request.name
            for request in told
            if request.seeds is seeds
            and request.kind not in MOVING_NOTHING
            and request.data[_id_field(request)] not in ids
        ]
        if lost:
            raise Contradiction(f"told before the backup, and not in it: {lost[:5]}")
        count, original_count = count + len(book), original_count + len(whole)
    return count, original_count


async def _book(farebox: Farebox, seeds: Seeds) -> list[Transfer]:
    async with farebox.stores.connector.snapshot() as snapshot:
        return [transfer async for chunk in snapshot.transfers(seeds.merchant_id) for transfer in chunk]


async def _grants(farebox: Farebox, seeds: Seeds) -> Sequence[Grant]:
    async with farebox.stores.connector.snapshot() as snapshot:
        return await snapshot.grants(seeds.merchant_id)


async def _check_book(farebox: Farebox, snapshot: Snapshot, seeds: Seeds, requests: list[Request], users: int) -> None:
    book = [transfer async for chunk in snapshot.transfers(seeds.merchant_id) for transfer in chunk]
    by_key: dict[str, Transfer] = {transfer.idempotency_key: transfer for transfer in book}
    if len(by_key) != len(book):
        raise Contradiction("an idempotency key stands twice in a book")
    known = {"top_up INV-1"}
    grants = {grant.id: grant for grant in await snapshot.grants(seeds.merchant_id)}
    for request in requests:
        if request.kind in MOVING_NOTHING:
            continue
        place = _ledger_key(request)
        known.add(place)
        transfer = by_key.get(place)
        if request.kind == "grant" and request.state == "done":
            _check_grant(grants, request, transfer)
        elif request.state == "done":
            if transfer is None:
                raise Contradiction(f"lost: {request.kind} {request.name} was acknowledged as {request.data}")
            if transfer.id != request.data["transferId"] or KIND_WORDS[transfer.kind] != _word(request):
                raise Contradiction(f"{request.kind} {request.name} was told {request.data}, the ledger has {transfer}")
            if transfer.amount != _told_amount(request) or transfer.uncollected != _told_missing(request):
                raise Contradiction(f"{request.kind} {request.name} was told {request.data}, the ledger has {transfer}")
            _check_above(by_key, request)
        elif transfer is not None:
            raise Contradiction(
                f"{request.kind} {request.name} was refused as {request.code}, and yet it is there: {transfer}"
            )
    strangers = [key for key in by_key if key not in known and not key.startswith(_OWN_KEYS)]
    if strangers:
        raise Contradiction(f"nobody asked for {strangers[:5]}")
    _check_given(book, requests)
    _check_owed(await snapshot.account(seeds.merchant_id), book, requests)
    check_budgets(parsing.parse_public_id(ids.KEY, seeds.merchant_key_id), book, requests)
    await _check_ends(snapshot, seeds, book, requests)
    await _check_balances(snapshot, seeds, requests, by_key["top_up INV-1"].amount, book)
    await _check_alerts(farebox, seeds, book, users)


async def _check_ends(snapshot: Snapshot, seeds: Seeds, book: list[Transfer], requests: list[Request]) -> None:
    """See that no hold expired before its end, and that each lasts as long as was acknowledged."""
    holds = {hold.id: hold for hold in await snapshot.holds(seeds.merchant_id)}
    expired = {transfer.refers_to: transfer.committed_at for transfer in book if transfer.kind == Kind.EXPIRE}
    for hold in holds.values():
        if expired.get(hold.seq, hold.expires_at) < hold.expires_at:
            raise Contradiction(f"{hold} expired at {expired[hold.seq]}")
    for request in requests:
        if request.kind == "extend" and request.state == "done":
            hold = holds[request.data["holdId"]]
            if hold.expires_at < _micros(request.content["expiresAt"]):
                raise Contradiction(f"{hold} was acknowledged to last until {request.content['expiresAt']}")


def _check_grant(grants: Mapping[str, Grant], request: Request, transfer: Transfer | None) -> None:
    """See that a grant that was acknowledged is there, as a transfer or waiting."""
    grant = grants.get(request.data["grantId"])
    if grant is None or grant.reference != request.name or grant.amount != _told_amount(request):
        raise Contradiction(f"lost: grant {request.name} was acknowledged as {request.data}, the ledger has {grant}")
    if transfer is None and grant.state != GrantState.WAITING:
        raise Contradiction(f"grant {request.name} started without a transfer: {grant}")
    if transfer is not None and (transfer.kind, transfer.amount) != (Kind.GRANT, grant.amount):
        raise Contradiction(f"grant {request.name} was told {request.data}, the ledger has {transfer}")


def _check_above(by_key: Mapping[str, Transfer], request: Request) -> None:
    """See that what a capture came to above its hold is there, and no more than was told."""
    if request.kind != "capture":
        return
    transfer = by_key.get(above_place(request))
    told = request.data.get("above")
    found = None if transfer is None else (transfer.id, transfer.amount, transfer.uncollected)
    expected = None
    if told is not None:
        missing = told["uncollected"]
        expected = (told["transferId"], _as_micros(told["charged"]), None if missing is None else _as_micros(missing))
    if found != expected:
        raise Contradiction(f"capture {request.name} was told {request.data}, above its hold the ledger has {transfer}")


def _check_owed(account: Account | None, book: list[Transfer], requests: list[Request]) -> None:
    """See that what reversals could not take back is owed until it is paid, and that nothing is spent meanwhile."""
    reversals = {request.name for request in requests if request.kind == "reverse"}
    owed = 0
    for transfer in book:
        if transfer.kind == Kind.TOP_UP_REVERSAL:
            owed += (transfer.uncollected or 0) if transfer.reference in reversals else -transfer.amount
        elif transfer.kind in (Kind.CHARGE, Kind.HOLD) and owed and transfer.amount:
            raise Contradiction(f"{transfer} was made while {owed} micros were owed")
    if account is None or account.owed != owed:
        raise Contradiction(f"{owed} micros must be owed; the ledger has {account}")


def _check_given(book: list[Transfer], requests: list[Request]) -> None:
    """See that no grant was spent beyond its amount, for another type, or from its end on, as clients know it."""
    contents = {request.name: request.content for request in requests if request.kind == "grant"}
    given: dict[int, dict[str, Any]] = {}
    spent: Counter[int] = Counter()
    for transfer in book:
        if transfer.kind == Kind.GRANT:
            given[read_terms(transfer.given or "")[0]] = contents[transfer.reference or ""]
            continue
        for number, micros in read_given(transfer.given):
            content = given[number]
            if transfer.kind in (Kind.CHARGE, Kind.HOLD):
                end = content.get("expiresAt")
                if end is not None and transfer.committed_at >= _micros(end):
                    raise Contradiction(f"{transfer} took of grant {number}, which had ended at {end}")
                if transfer.request_type not in content.get("types", [transfer.request_type]):
                    raise Contradiction(f"{transfer} took of grant {number}, which is for {content['types']}")
            spent[number] += _SPENT_SIGNS[Kind(transfer.kind)] * micros
            if not 0 <= spent[number] <= Decimal(content["amount"]) * MICROS:
                raise Contradiction(f"of grant {number} of {content['amount']}, {spent[number]} micros were taken")


def _micros(time: str) -> int:
    moment = datetime.fromisoformat(time)
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


async def _check_balances(
    snapshot: Snapshot, seeds: Seeds, requests: list[Request], paid: int, book: list[Transfer]
) -> None:
    """Come to the balance by arithmetic on what clients were told, and on what the book has of grants, and compare."""
    account = await snapshot.account(seeds.merchant_id)
    if account is None:
        raise Contradiction("an account is gone")
    signs = {"charge": -1, "capture": -1, "refund": 1, "top_up": 1, "reverse": -1}
    posted = paid + sum(
        transfer.amount if transfer.kind == Kind.GRANT else -transfer.amount
        for transfer in book
        if transfer.kind in (Kind.GRANT, Kind.GRANT_EXPIRY) or is_payment(transfer)
    )
    for request in requests:
        if request.state == "done" and request.kind not in MOVING_NOTHING:
            down = request.kind == "adjust" and request.content["amount"].startswith("-")
            sign = signs.get(request.kind, 0) if request.kind != "adjust" else -1 if down else 1
            posted += sign * _told_amount(request)
            if request.kind == "capture" and "above" in request.data:
                posted -= _as_micros(request.data["above"]["charged"])
    held = sum(hold.amount for hold in await snapshot.holds(seeds.merchant_id) if hold.state == HoldState.HELD)
    if (account.posted, account.held) != (posted, held):
        raise Contradiction(f"posted and held are {account.posted, account.held}, they must be {posted, held}")
    if account.wallet < -account.credit_limit:
        raise Contradiction(f"the wallet is at {account.wallet}, below its floor")


_ALERTS_MAX: Final = 10**6


async def _check_alerts(farebox: Farebox, seeds: Seeds, book: list[Transfer], users: int) -> None:
    """See that each threshold was told of when it had to be, and that each alert owes one mail to each user."""
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    amounts = [threshold.amount for threshold in account.thresholds] if account else []
    armed = set(amounts)
    told: list[int] = []
    for transfer in book:
        if transfer.kind in _LOWERING:
            begun = {amount for amount in armed if amount > transfer.posted_after}
        elif transfer.kind in _ARRIVING:
            begun = {amount for amount in amounts if amount > transfer.posted_after}
            armed = set(amounts)
        else:
            continue
        armed -= begun
        told += [transfer.seq] if begun else []
    alerts = list(reversed(await farebox.stores.deliveries.alerts(seeds.merchant_id, _ALERTS_MAX)))
    faults = untold(book, alerts)
    if faults:
        raise Contradiction(f"not all was told: {faults}")
    below = [alert.transfer_seq for alert in alerts if alert.kind == AlertKind.LOW_BALANCE]
    if below != told:
        raise Contradiction(f"thresholds were told of at {below}, they must be at {told}")
    _check_used_up([alert.transfer_seq or 0 for alert in alerts if alert.kind == AlertKind.USED_UP], account, book)
    mails = await farebox.stores.deliveries.mails(merchant_id=seeds.merchant_id, limit=len(alerts) * users + 1)
    owed = Counter(mail.alert.number for mail in mails)
    if owed != Counter({alert.number: users for alert in alerts if is_mailed(alert)}):
        raise Contradiction(f"mails owed per alert: {owed}")
    if account is not None and {item for item in account.thresholds if item.is_armed} != {
        Threshold(amount, True) for amount in armed
    }:
        raise Contradiction(f"armed are {account.thresholds}, they must be {armed}")


def _check_used_up(refused_after: list[int], account: Account | None, book: list[Transfer]) -> None:
    """See that refusals for lack of money were told of once between one arrival of money and the next."""
    arrivals = [transfer.seq for transfer in book if transfer.kind in _ARRIVING]
    episodes = [bisect_right(arrivals, seq) for seq in refused_after]
    if len(set(episodes)) < len(episodes):
        raise Contradiction(f"refusals were told of after {refused_after}, with money arriving at {arrivals}")
    if account is not None and account.is_exhausted is not (len(arrivals) in episodes):
        raise Contradiction(f"refusals were told of after {refused_after}; used up is {account.is_exhausted}")


def _id_field(request: Request) -> str:
    """Name what an answer tells of what was made: a grant may be no transfer yet."""
    return "grantId" if request.kind == "grant" else "transferId"


def _ledger_key(request: Request) -> str:
    words = {"top_up": "top_up ", "adjust": "adjustment ", "grant": "grant ", "reverse": "top_up_reversal "}
    prefix = words.get(request.kind, "")
    return prefix + request.name


def _word(request: Request) -> str:
    return {"adjust": "adjustment", "reverse": "top_up_reversal"}.get(request.kind, request.kind)


def _told_amount(request: Request) -> int:
    """Read the amount that a client was told, in micros."""
    name = {"charge": "cost", "capture": "captured", "release": "released"}.get(request.kind, "amount")
    return _as_micros(request.data[name])


def _told_missing(request: Request) -> int | None:
    """Read what a client was told of what could not be taken, in micros."""
    missing = request.data.get("owed" if request.kind == "reverse" else "uncollected")
    return None if missing is None else _as_micros(missing)


def _as_micros(amount: str) -> int:
    return int(Decimal(amount) * MICROS)
