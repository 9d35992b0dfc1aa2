"""The contract of a store, on every engine."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, get_type_hints

import pytest
from hypothesis import given
from msgspec.structs import astuple, replace

from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert, AlertKind, written_facts
from farebox.core.audit_log import Action, audit_entry
from farebox.core.commands import (
    Actor,
    Adjust,
    Caller,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    ExtendHold,
    KeyKind,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.credit.grants import Grant
from farebox.core.decide import decide
from farebox.core.holds import Hold, HoldState
from farebox.core.invariants import InvariantViolation
from farebox.core.outcomes import DONE, Code
from farebox.core.prices import Price
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.core.staff_roles import EVERY_ROLE
from farebox.core.state import BatchState, Decision, KeyRecord, MoreGrantsNeeded, ReadSet, reads
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from farebox.storage import sql
from farebox.storage.api_keys import KeyEnded, KeyUnchanged
from farebox.storage.batch_grants import more_merchants
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.destination_records import Channel
from farebox.storage.interface import (
    AlreadyExists,
    Decide,
    Fetch,
    NotFound,
    SchemaMismatch,
    StorageError,
    StoreUnavailable,
)
from farebox.storage.records import (
    Delivery,
    DeliveryState,
    MailServerPause,
    Merchant,
    MerchantNote,
    MerchantOrder,
    Repeat,
    Role,
    TransferFilter,
    User,
)
from farebox.storage.stores import Stores
from tests.core.scenarios import MERCHANTS, Batch, Scenario, found, founded, prepare, scenarios
from tests.storage.engines import CitusEngine, Engine, accepted, every_store
from tests.support.effort import examples
from tests.support.ledger import (
    ANN,
    BEN,
    NOBODY,
    NOW,
    SECOND,
    UNIT,
    account_of,
    add_merchant,
    add_price,
    book,
    charge,
    digest,
    do,
    everything,
    faults,
    fire,
    groups_of,
    holds_of,
    loaded,
    merchant_key,
    staff_key,
    wallet,
)
from tests.support.memory import MemoryConnector

PAUSE: Final = MailServerPause("mail.example:25", NOW, NOW + 30, 1, "no answer")


# The schema.


async def test_a_new_database_is_made_once_and_opens(empty_engine: Engine) -> None:
    stores = empty_engine.stores()
    names = await stores.connector.migrate(NOW)
    assert names[0] == "0001_ledger"
    assert [] == await stores.connector.migrate(NOW + 1)
    assert [(name, NOW) for name in names] == await empty_engine.execute(
        "SELECT name, applied_at FROM farebox_migration"
    )
    await stores.connector.open()
    assert await stores.accounts.find(ANN) is None
    await stores.connector.close()


async def test_stores_that_migrate_at_once_do_it_once(empty_engine: Engine) -> None:
    def migrate() -> list[str]:
        return asyncio.run(empty_engine.stores().connector.migrate(NOW))

    names = await asyncio.gather(*[asyncio.to_thread(migrate) for _ in range(6)])
    applied = [name for (name,) in await empty_engine.execute("SELECT name FROM farebox_migration ORDER BY name")]
    assert applied == sorted(name for found in names for name in found)


async def opened(engine: Engine) -> Stores:
    stores = engine.stores()
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    return stores


async def test_a_database_without_a_schema_is_refused_with_what_to_do(empty_engine: Engine) -> None:
    with pytest.raises(SchemaMismatch, match=r"no Farebox schema yet; run: farebox init"):
        await empty_engine.stores().connector.open()


@pytest.fixture
def newer_program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let this program know one migration more, from now on."""
    known = {dialect: sql.migrations(dialect) for dialect in ("sqlite", "postgres")}

    def upgrade(script: str) -> None:
        monkeypatch.setattr(sql, "migrations", lambda dialect: [*known[dialect], ("9998_more", script)])

    return upgrade


async def test_an_older_database_is_refused_until_it_is_migrated(
    empty_engine: Engine, newer_program: Callable[[str], None]
) -> None:
    stores = await opened(empty_engine)
    await add_merchant(stores, funds=5)
    await stores.connector.close()
    newer_program("CREATE TABLE more (x BIGINT)")
    with pytest.raises(SchemaMismatch, match=r"older than this program: it lacks 9998_more; run: farebox init"):
        await stores.connector.open()
    assert ["9998_more"] == await stores.connector.migrate(NOW)
    await stores.connector.open()
    assert 5 == await wallet(stores)
    assert [] == await empty_engine.execute("SELECT x FROM more")
    await stores.connector.close()


async def test_a_newer_database_is_refused_and_left_alone(empty_engine: Engine) -> None:
    stores = await opened(empty_engine)
    await stores.connector.close()
    await empty_engine.execute("INSERT INTO farebox_migration VALUES ('9999_from_the_future', 0)")
    for attempt in (stores.connector.open, lambda: stores.connector.migrate(NOW)):
        with pytest.raises(SchemaMismatch, match=r"newer than this program: it has 9999_from_the_future.*run a newer"):
            await attempt()
    with pytest.raises(StoreUnavailable, match="not open"):
        await stores.accounts.find(ANN)


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_engine: Engine, newer_program: Callable[[str], None]
) -> None:
    stores = empty_engine.stores()
    await stores.connector.migrate(NOW)
    newer_program("CREATE TABLE more (x BIGINT); CREATE TABLE merchant (x BIGINT)")
    with pytest.raises(StorageError, match="merchant"):
        await stores.connector.migrate(NOW)
    assert [] == await empty_engine.execute("SELECT name FROM farebox_migration WHERE name = '9998_more'")
    newer_program("CREATE TABLE more (x BIGINT)")
    assert ["9998_more"] == await stores.connector.migrate(NOW)


# Opening and closing.


async def read_one(fetch: Fetch) -> None:
    """Do nothing in particular in a transaction."""
    assert [1] == [row[0] for row in await fetch("SELECT 1")]


async def nothing_due(_: Fetch, __: Account) -> None:
    """Have nothing to tell."""


CALLS: Final[dict[str, Callable[[Stores], Awaitable[Any]]]] = {
    "connector.transact": lambda stores: do(stores, TopUp(ANN, UNIT, "R")),
    "connector.balances": lambda stores: stores.connector.balances([(ANN, digest(ANN))], NOW),
    "api_keys.authenticate": lambda stores: stores.api_keys.authenticate(None, digest(1)),
    "api_keys.authenticate of a merchant": lambda stores: stores.api_keys.authenticate(ANN, digest(1)),
    "accounts.find": lambda stores: stores.accounts.find(ANN),
    "merchants.find": lambda stores: stores.merchants.find(ANN),
    "merchants.page": lambda stores: stores.merchants.page(0, 10),
    "transfers.page": book,
    "transfers.at": lambda stores: stores.transfers.at(ANN, [1]),
    "transfers.find": lambda stores: stores.transfers.find(ANN, first_seq=1, last_seq=9, wanted=TransferFilter()),
    "transfers.funding_after": lambda stores: stores.transfers.funding_after(ANN, 1),
    "transfers.returns_of": lambda stores: stores.transfers.returns_of(ANN, 1, 9),
    "transfers.returned_of": lambda stores: stores.transfers.returned_of(ANN, 1),
    "holds.find_open": lambda stores: stores.holds.find_open(ANN, 1),
    "holds.due": lambda stores: stores.holds.due(NOW, 10),
    "grants.find": lambda stores: stores.grants.find(ANN, 1),
    "grants.at": lambda stores: stores.grants.at(ANN, [1]),
    "grants.list": lambda stores: stores.grants.list(ANN, before=9, limit=9),
    "grants.waiting": lambda stores: stores.grants.waiting(ANN, 9),
    "grants.due": lambda stores: stores.grants.due(NOW, 9),
    "merchants.create": add_merchant,
    "merchants.set_tags": lambda stores: stores.merchants.set_tags(ANN, ",vip,"),
    "merchants.add_note": lambda stores: stores.merchants.add_note(MerchantNote(ANN, 1, NOW, "sam", "pays late")),
    "merchants.notes": lambda stores: stores.merchants.notes(ANN, before=9, limit=9),
    "merchants.with_tag": lambda stores: stores.merchants.with_tag("vip", limit=9, offset=0),
    "merchants.rename": lambda stores: stores.merchants.rename(ANN, "Ann"),
    "users.add": lambda stores: stores.users.add(User(ANN, 1, "ann@example.com", NOW)),
    "users.list": lambda stores: stores.users.list(ANN),
    "users.at": lambda stores: stores.users.at(ANN, 1),
    "users.stop_mails": lambda stores: stores.users.stop_mails(ANN, 1, 2),
    "api_keys.create": lambda stores: stores.api_keys.create(staff_key(1)),
    "api_keys.add_imported": lambda stores: stores.api_keys.add_imported([merchant_key(1)]),
    "api_keys.imported_owners": lambda stores: stores.api_keys.imported_owners([digest(1)]),
    "merchants.add_all": lambda stores: stores.merchants.add_all(
        [(Merchant(ANN, "Ann", NOW), Account(ANN, "USD"), None)]
    ),
    "merchants.currencies": lambda stores: stores.merchants.currencies([ANN]),
    "api_keys.list": lambda stores: stores.api_keys.list(None),
    "api_keys.find": lambda stores: stores.api_keys.find(1),
    "api_keys.expire": lambda stores: stores.api_keys.expire(1, NOW, now=NOW),
    "api_keys.revoke": lambda stores: stores.api_keys.revoke(1, NOW),
    "api_keys.suspend": lambda stores: stores.api_keys.suspend(1, NOW),
    "api_keys.resume": lambda stores: stores.api_keys.resume(1),
    "api_keys.rotate": lambda stores: stores.api_keys.rotate(1, successor=staff_key(2), expires_at=NOW),
    "prices.add": add_price,
    "prices.add_all": lambda stores: stores.prices.add_all([Price(7, "image", UNIT, NOW)], NOW),
    "prices.made_with": lambda stores: stores.prices.made_with(ANN, 1),
    "prices.list": lambda stores: stores.prices.list(None),
    "prices.page": lambda stores: stores.prices.page(None, None, limit=9),
    "prices.page of a merchant": lambda stores: stores.prices.page(ANN, None, limit=9),
    "prices.find": lambda stores: stores.prices.find(ANN, 1),
    "approvals.find": lambda stores: stores.approvals.find(ANN, 1),
    "approvals.list": lambda stores: stores.approvals.list(merchant_id=None, before=9, limit=9),
    "approvals.list of a merchant": lambda stores: stores.approvals.list(merchant_id=ANN, before=9, limit=9),
    "approvals.pending": lambda stores: stores.approvals.pending(9),
    "approvals.lone_moves": lambda stores: stores.approvals.lone_moves(ANN, NOW),
    "api_keys.assign": lambda stores: stores.api_keys.assign(1, frozenset({7})),
    "audit_log.list": lambda stores: stores.audit_log.list(merchant_id=None, before=(9, 9), limit=9),
    "audit_log.list of a merchant": lambda stores: stores.audit_log.list(merchant_id=ANN, before=(9, 9), limit=9),
    "usage.roll_up": lambda stores: stores.usage.roll_up(ANN, transfers_max=9),
    "usage.roll_up_books": lambda stores: stores.usage.roll_up_books([ANN], transfers_max=9),
    "usage.books_to_roll_up": lambda stores: stores.usage.books_to_roll_up(0, transfers_min=1, limit=9),
    "usage.buckets": lambda stores: stores.usage.buckets(
        ANN, first_quarter=0, last_quarter=9, offset_quarters=0, bucket_quarters=4
    ),
    "usage.spent_by_hour": lambda stores: stores.usage.spent_by_hour(ANN, first_hour=0, last_hour=9),
    "deliveries.alerts": lambda stores: stores.deliveries.alerts(ANN, 10),
    "deliveries.alert": lambda stores: stores.deliveries.alert(ANN, 1),
    "deliveries.claim_mails": lambda stores: stores.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=10),
    "mail_servers.find": lambda stores: stores.mail_servers.find("mail.example:25"),
    "mail_servers.pause": lambda stores: stores.mail_servers.pause(PAUSE),
    "mail_servers.resume": lambda stores: stores.mail_servers.resume("mail.example:25"),
    "mail_servers.resume_all": lambda stores: stores.mail_servers.resume_all(),
    "deliveries.settle": lambda stores: stores.deliveries.settle(
        Delivery(Alert(ANN, 1, UNIT, 0, NOW, None), Channel.EMAIL, 1, "ann@example.com", DeliveryState.WAITING, 0, NOW)
    ),
    "deliveries.is_told_anew": lambda stores: stores.deliveries.is_told_anew(
        Delivery(Alert(ANN, 1, UNIT, 0, NOW, None), Channel.EMAIL, 1, "ann@example.com", DeliveryState.WAITING, 0, NOW)
    ),
    "deliveries.ending_grants": lambda stores: stores.deliveries.ending_grants(NOW, until=NOW + 9, lasting=9, limit=9),
    "deliveries.tell_of_end": lambda stores: stores.deliveries.tell_of_end(
        Grant(ANN, 1, UNIT, UNIT, "G", "welcome", "grant G", bytes(8), transfer_seq=1), NOW
    ),
    "deliveries.tell": lambda stores: stores.deliveries.tell(ANN, AlertKind.FROZEN, NOW, nothing_due),
    "deliveries.shown_alerts": lambda stores: stores.deliveries.shown_alerts(ANN, 9),
    "deliveries.last_low_alert": lambda stores: stores.deliveries.last_low_alert(ANN, UNIT),
    "deliveries.alert_mails": lambda stores: stores.deliveries.alert_mails(Alert(ANN, 1, UNIT, 0, NOW, None)),
    "deliveries.mails": lambda stores: stores.deliveries.mails(merchant_id=None, limit=10),
    "deliveries.retry_mails": lambda stores: stores.deliveries.retry_mails(NOW),
    "deliveries.oldest_waiting": lambda stores: stores.deliveries.oldest_waiting(),
    "deliveries.next_mail_at": lambda stores: stores.deliveries.next_mail_at(),
    "budgets.list": lambda stores: stores.budgets.list(ANN),
    "budgets.put": lambda stores: stores.budgets.put(ANN, ANN, [], zone="UTC"),
    "budgets.would_be": lambda stores: stores.budgets.would_be(ANN, merchant_key(2), [], zone="UTC", now=NOW),
    "api_keys.rename": lambda stores: stores.api_keys.rename(merchant_key(2), "batch jobs"),
    "usage.buckets_by_key": lambda stores: stores.usage.buckets_by_key(
        ANN, first_quarter=0, last_quarter=1, offset_quarters=0, bucket_quarters=4
    ),
    "prices.withdraw": lambda stores: stores.prices.withdraw(Price(1, "image", UNIT, NOW), lambda: NOW),
    "prices.named_by": lambda stores: stores.prices.named_by(
        Transfer(ANN, 1, Kind.CHARGE, UNIT, "key", bytes(16), 0, 0, NOW, bytes(32), "image", 1, UNIT, 1)
    ),
    "prices.versions": lambda stores: stores.prices.versions(None, "image"),
    "prices.own_count": lambda stores: stores.prices.own_count("image", NOW),
    "prices.in_force": lambda stores: stores.prices.in_force(None, "image", NOW),
    "shortfalls.page": lambda stores: stores.shortfalls.page(ANN, before=(NOW, 1, 1), limit=1),
    "shortfalls.owed": lambda stores: stores.shortfalls.owed(ANN),
    "prices.period_counts": lambda stores: stores.prices.period_counts(ANN, "image", NOW),
    "connector.check": lambda stores: stores.connector.check(),
    "connector.check_writable": lambda stores: stores.connector.check_writable(),
    "prices.shows_clock_behind": lambda stores: stores.prices.shows_clock_behind(ANN, "image", NOW),
    "prices.is_any_made_after": lambda stores: stores.prices.is_any_made_after(NOW),
    "connector.fetch": lambda stores: stores.connector.fetch("SELECT 1"),
    "connector.run_in_transaction": lambda stores: stores.connector.run_in_transaction(read_one),
    "merchants.names": lambda stores: stores.merchants.names([ANN]),
    "merchants.in_order": lambda stores: stores.merchants.in_order(MerchantOrder.AGE, limit=9, offset=0),
    "merchants.search": lambda stores: stores.merchants.search("a", limit=9, offset=0),
    "merchants.with_accounts": lambda stores: stores.merchants.with_accounts([ANN]),
    "merchants.counts": lambda stores: stores.merchants.counts(),
    "users.with_logins": lambda stores: stores.users.with_logins(ANN),
    "users.memberships": lambda stores: stores.users.memberships("ann@example.com"),
    "users.find": lambda stores: stores.users.find(ANN, "ann@example.com"),
    "users.set_mail_kinds": lambda stores: stores.users.set_mail_kinds(ANN, "ann@example.com", 6),
    "users.role": lambda stores: stores.users.role(ANN, "ann@example.com"),
    "users.invite": lambda stores: stores.users.invite(
        User(ANN, 1, "ann@example.com", NOW), account_mail=None, login=None
    ),
    "users.set_role": lambda stores: stores.users.set_role(ANN, "ann@example.com", Role.OWNER, is_owner_needed=False),
    "erasure.kept": lambda stores: stores.erasure.kept("ann@example.com"),
    "erasure.delete": lambda stores: stores.erasure.delete("ann@example.com"),
    "users.remove": lambda stores: stores.users.remove(ANN, "ann@example.com", is_owner_needed=False),
    "api_keys.note_use": lambda stores: stores.api_keys.note_use([(ANN, digest(ANN))], NOW),
    "repeats.claim": lambda stores: stores.repeats.claim(Repeat(1, "key", bytes(16), 1, NOW)),
    "repeats.find": lambda stores: stores.repeats.find(1, "key", NOW),
    "repeats.forget": lambda stores: stores.repeats.forget(NOW),
    "audit_log.append": lambda stores: stores.audit_log.append(
        audit_entry(Actor(1, "ann"), merchant_id=ANN, at=NOW, action=Action.LOOK_AS_MERCHANT)
    ),
}


CALLED_ELSEWHERE: Final = {
    *("account_mails", "message_queue", "destinations", "logins", "sessions", "runway_snapshots"),
    *("verifications", "refusals", "reports", "runway_episodes", "spending"),
    # It is read by a connection of its own, which needs none that is open.
    "revenue",
}
"""Stores whose calls other tests make."""


def test_every_call_of_a_store_is_in_the_list() -> None:
    """But those that need no open connector, or open one by themselves."""
    by_themselves = {"engine", "dialect", "open", "close", "migrate", "route", "snapshot", "backup"}
    by_themselves |= {"batches_at_once", "disk_free_bytes", "log_bytes"}
    kinds = get_type_hints(Stores)
    names = {
        f"{subject}.{name}"
        for subject in kinds.keys() - CALLED_ELSEWHERE
        for name in vars(kinds[subject])
        if not name.startswith("_") and name not in by_themselves
    }
    assert names == {name.partition(" ")[0] for name in CALLS}


async def test_a_store_that_is_not_open_is_unavailable(engine: Engine) -> None:
    stores = engine.stores()
    await stores.connector.migrate(NOW)
    await stores.connector.close()
    for _ in range(2):
        for call in CALLS.values():
            with pytest.raises(StoreUnavailable):
                await call(stores)
        await stores.connector.open()
        await stores.connector.close()
        await stores.connector.close()


async def test_a_store_can_be_opened_again_and_finds_what_was_there(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await stores.connector.close()
    await stores.connector.open()
    await stores.connector.open()
    await do(stores, Adjust(ANN, UNIT, True, "R", "mistake"))
    assert 6 == await wallet(stores)


async def test_an_engine_tells_its_name_and_version(engine: Engine, stores: Stores) -> None:
    assert stores.connector.engine.startswith(f"{engine.name} ")
    assert stores.connector.engine.split()[1][0].isdigit()


async def test_merchants_are_in_one_group_unless_spread_over_shards(engine: Engine, stores: Stores) -> None:
    groups = {stores.connector.route(merchant_id) for merchant_id in (1, ANN, BEN, 2**63 - 1)}
    assert (len(groups) > 1) == isinstance(engine, CitusEngine)


# Merchants.


@every_store
async def test_a_new_merchant_has_a_name_an_account_and_a_key(stores: Stores) -> None:
    account = Account(ANN, "EUR", credit_limit=5, thresholds=(Threshold(7, False), Threshold(9, False)))
    await stores.merchants.create(Merchant(ANN, "Ännchen 🦊", NOW), account, merchant_key(3))
    assert Merchant(ANN, "Ännchen 🦊", NOW) == await stores.merchants.find(ANN)
    assert account == await stores.accounts.find(ANN)
    assert [merchant_key(3)] == await stores.api_keys.list(ANN)
    assert await stores.merchants.find(BEN) is None
    assert await stores.accounts.find(BEN) is None


@every_store
async def test_a_merchants_id_is_given_once(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    with pytest.raises(AlreadyExists):
        await stores.merchants.create(Merchant(ANN, "Another", NOW), Account(ANN, "EUR"), merchant_key(8))
    assert Merchant(ANN, "Acme", NOW) == await stores.merchants.find(ANN)
    assert 5 == await wallet(stores)
    assert [merchant_key(ANN)] == await stores.api_keys.list(ANN)


@every_store
async def test_an_account_that_breaks_a_rule_is_not_created(stores: Stores) -> None:
    with pytest.raises(InvariantViolation, match="sum to zero"):
        await stores.merchants.create(Merchant(ANN, "Ann", NOW), Account(ANN, "USD", wallet=1), merchant_key(1))
    assert await stores.merchants.find(ANN) is None


@every_store
async def test_merchants_are_listed_page_by_page(stores: Stores) -> None:
    for merchant_id in (BEN, ANN, NOBODY, 1):
        await add_merchant(stores, merchant_id)
    assert [1, ANN, BEN, NOBODY] == [merchant.merchant_id for merchant, _ in await stores.merchants.page(0, 10)]
    page = await stores.merchants.page(1, 2)
    assert [(Merchant(number, "Acme", NOW), Account(number, "USD")) for number in (ANN, BEN)] == page
    assert [] == await stores.merchants.page(NOBODY, 10)


@every_store
async def test_a_merchant_is_renamed(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.merchants.rename(ANN, "Ann & Sons")
    assert Merchant(ANN, "Ann & Sons", NOW) == await stores.merchants.find(ANN)
    with pytest.raises(NotFound):
        await stores.merchants.rename(BEN, "Ben")


async def test_a_merchant_has_a_name_of_1_to_200_characters(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.merchants.rename(ANN, "é" * 200)
    for name in ("", "é" * 201):
        with pytest.raises(StorageError):
            await stores.merchants.rename(ANN, name)
    assert Merchant(ANN, "é" * 200, NOW) == await stores.merchants.find(ANN)


# Users.

USERS: Final = (
    User(ANN, 3, "one@example.com", NOW),
    User(ANN, 5, "two@example.com", NOW + 1),
    User(BEN, 4, "one@example.com", NOW + 2),
)


@every_store
async def test_users_are_listed_oldest_first(stores: Stores) -> None:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    for user in reversed(USERS):
        await stores.users.add(user)
    assert list(USERS[:2]) == await stores.users.list(ANN)
    assert [USERS[2]] == await stores.users.list(BEN)
    assert [] == await stores.users.list(NOBODY)


@every_store
async def test_an_address_is_registered_once_with_a_merchant_that_exists(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.users.add(USERS[0])
    with pytest.raises(AlreadyExists):
        await stores.users.add(User(ANN, 9, "one@example.com", NOW))
    with pytest.raises(NotFound, match="no such merchant"):
        await stores.users.add(USERS[2])
    assert [USERS[0]] == await stores.users.list(ANN)


# Keys.


@every_store
async def test_a_key_is_found_by_its_digest_its_id_and_its_merchant(stores: Stores) -> None:
    await add_merchant(stores)
    theirs = merchant_key(2, expires_at=NOW + 5, revoked_at=NOW + 6)
    service, support = staff_key(3), staff_key(4, KeyKind.SUPPORT, expires_at=NOW)
    for key in (support, service, theirs):
        await stores.api_keys.create(key)
    assert KeyRecord(2, KeyKind.MERCHANT, ANN, NOW + 5, NOW + 6) == await stores.api_keys.authenticate(ANN, digest(2))
    assert KeyRecord(
        4, KeyKind.SUPPORT, None, NOW, None, EVERY_ROLE, None, None, support.name, "1"
    ) == await stores.api_keys.authenticate(None, digest(4))
    for merchant_id, number in ((None, 2), (BEN, 2), (ANN, 3), (None, 9)):
        assert await stores.api_keys.authenticate(merchant_id, digest(number)) is None
    assert [theirs, merchant_key(ANN)] == await stores.api_keys.list(ANN)
    assert [service, support] == await stores.api_keys.list(None)
    assert [theirs, service, None] == [await stores.api_keys.find(number) for number in (2, 3, 9)]


@every_store
async def test_a_key_is_made_for_a_merchant_that_exists(stores: Stores) -> None:
    with pytest.raises(NotFound, match="no such merchant"):
        await stores.api_keys.create(merchant_key(2))
    assert await stores.api_keys.find(2) is None


@every_store
@pytest.mark.parametrize("is_staff", [False, True])
async def test_a_revoked_key_stays_revoked(stores: Stores, is_staff: bool) -> None:
    await add_merchant(stores)
    key = staff_key(2) if is_staff else merchant_key(2)
    others = (staff_key(3), merchant_key(4))
    for each in (key, *others):
        await stores.api_keys.create(each)
    await stores.api_keys.revoke(2, NOW + 5)
    with pytest.raises(KeyEnded):
        await stores.api_keys.revoke(2, NOW + 9)
    assert replace(key, revoked_at=NOW + 5) == await stores.api_keys.find(2)
    await stores.api_keys.revoke(2, NOW + 3)
    assert replace(key, revoked_at=NOW + 3) == await stores.api_keys.find(2)
    assert list(others) == [await stores.api_keys.find(number) for number in (3, 4)]
    with pytest.raises(NotFound):
        await stores.api_keys.revoke(9, NOW)


@every_store
async def test_a_suspended_key_opens_nothing_until_it_is_resumed(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    key = merchant_key(2)
    await stores.api_keys.create(key)
    await stores.api_keys.suspend(2, NOW + 5)
    with pytest.raises(KeyUnchanged):
        await stores.api_keys.suspend(2, NOW + 9)
    assert replace(key, suspended_at=NOW + 5) == await stores.api_keys.find(2)
    assert KeyRecord(2, KeyKind.MERCHANT, ANN, None, None, suspended_at=NOW + 5) == await stores.api_keys.authenticate(
        ANN, digest(2)
    )
    asked = [(ANN, digest(2)), (ANN, digest(ANN))]
    assert {digest(ANN): 5 * UNIT} == await stores.connector.balances(asked, NOW + 5)
    # From the moment at which it is written, whatever a process's clock says.
    assert {digest(ANN): 5 * UNIT} == await stores.connector.balances(asked, NOW)
    await stores.api_keys.resume(2)
    with pytest.raises(KeyUnchanged):
        await stores.api_keys.resume(2)
    assert key == await stores.api_keys.find(2)
    assert {digest(2): 5 * UNIT, digest(ANN): 5 * UNIT} == await stores.connector.balances(asked, NOW)


@every_store
async def test_a_suspended_key_pays_for_nothing(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await add_price(stores)
    await stores.api_keys.create(merchant_key(2))
    named = Payer(ANN, digest(2))
    await stores.api_keys.suspend(2, NOW)
    (refused,) = await do(stores, Charge(named, "image", 1, "a"))
    assert Code.MERCHANT_NOT_FOUND == refused.code
    await stores.api_keys.resume(2)
    (charged,) = await do(stores, Charge(named, "image", 1, "a"))
    assert Code.OK == charged.code


@every_store
async def test_only_a_merchants_key_that_has_not_ended_is_suspended(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.api_keys.create(staff_key(2))
    for number, ends in ((3, {"revoked_at": NOW}), (4, {"expires_at": NOW})):
        await stores.api_keys.create(merchant_key(number, **ends))
        with pytest.raises(KeyEnded):
            await stores.api_keys.suspend(number, NOW)
    for number in (2, 9):
        with pytest.raises(NotFound):
            await stores.api_keys.suspend(number, NOW)
        with pytest.raises(NotFound):
            await stores.api_keys.resume(number)


@every_store
async def test_a_suspended_keys_successor_works_and_the_key_itself_stays_suspended(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await stores.api_keys.create(merchant_key(2))
    await stores.api_keys.suspend(2, NOW)
    await stores.api_keys.rotate(2, successor=merchant_key(3), expires_at=NOW + 9)
    assert replace(merchant_key(2), suspended_at=NOW, expires_at=NOW + 9) == await stores.api_keys.find(2)
    assert merchant_key(3) == await stores.api_keys.find(3)
    assert [digest(3)] == list(await stores.connector.balances([(ANN, digest(2)), (ANN, digest(3))], NOW))


@every_store
@pytest.mark.parametrize("is_staff", [False, True])
@pytest.mark.parametrize(("before", "after"), [(None, 5), (9, 5), (3, 3)])
async def test_a_rotated_key_ends_in_time_and_has_a_successor(
    stores: Stores, is_staff: bool, before: int | None, after: int
) -> None:
    await add_merchant(stores)
    expires_at = None if before is None else NOW + before
    key, successor = (
        (staff_key(2, expires_at=expires_at), staff_key(3))
        if is_staff
        else (merchant_key(2, expires_at=expires_at), merchant_key(3))
    )
    await stores.api_keys.create(key)
    await stores.api_keys.rotate(2, successor=successor, expires_at=NOW + 5)
    assert [replace(key, expires_at=NOW + after), successor] == [
        await stores.api_keys.find(number) for number in (2, 3)
    ]


@every_store
async def test_a_key_that_is_not_there_is_not_rotated(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.api_keys.rotate(2, successor=staff_key(3), expires_at=NOW)
    assert await stores.api_keys.find(3) is None


async def test_a_key_is_there_once(stores: Stores) -> None:
    await add_merchant(stores)
    for key in (staff_key(2), merchant_key(3)):
        await stores.api_keys.create(key)
        with pytest.raises(AlreadyExists):
            await stores.api_keys.create(key)
    with pytest.raises(AlreadyExists):
        await stores.api_keys.rotate(2, successor=staff_key(2), expires_at=NOW)
    assert staff_key(2) == await stores.api_keys.find(2)


# Prices.


@every_store
async def test_prices_are_listed_by_type_and_start(stores: Stores) -> None:
    await add_merchant(stores)
    default = [
        Price(4, "call", None, NOW),
        Price(1, "image", UNIT, NOW - 1),
        Price(5, "image", 7, NOW - 1, withdrawn_at=NOW - 2),
        Price(2, "image", 2 * UNIT, NOW),
    ]
    own = [Price(6, "image", None, NOW, ANN), Price(3, "scan", 10**18, NOW, ANN)]
    for price in (*reversed(default), *reversed(own)):
        await stores.prices.add(price, NOW)
    assert default == await stores.prices.list(None)
    assert own == await stores.prices.list(ANN)
    assert [] == await stores.prices.list(BEN)
    for merchant_id, prices in ((None, default), (ANN, own), (BEN, [])):
        assert prices[:3] == await stores.prices.page(merchant_id, None, limit=3)
        for place, price in enumerate(prices):
            assert prices[place + 1 :][:2] == await stores.prices.page(merchant_id, price, limit=2)
    for price in (*default, *own):
        assert price == await stores.prices.find(price.merchant_id, price.price_id)
        assert None is await stores.prices.find(BEN, price.price_id)
    assert [None, None] == [await stores.prices.find(None, 6), await stores.prices.find(ANN, 2)]


@every_store
@pytest.mark.parametrize("merchant_id", [None, ANN])
async def test_many_prices_are_added_together_or_not_at_all(stores: Stores, merchant_id: int | None) -> None:
    await add_merchant(stores)
    before = Price(1, "chat", UNIT, NOW, merchant_id)
    await stores.prices.add(before, NOW)
    rule = Rule(Rates((Line("input", 150_000, 1_000_000),)))
    free = Price(2, "free", None, NOW + 5, merchant_id, rule)
    together = [free, Price(3, "image", UNIT, NOW, merchant_id), Price(4, "voice", None, NOW, merchant_id)]
    with pytest.raises(AlreadyExists):
        await stores.prices.add_all([*together, Price(5, "chat", UNIT, NOW, merchant_id)], NOW + 1)
    assert [before] == await stores.prices.list(merchant_id)
    await stores.prices.add_all(together, NOW + 1)
    assert [before, *together] == await stores.prices.list(merchant_id)
    assert together == await stores.prices.made_with(merchant_id, 3)
    assert [before] == await stores.prices.made_with(merchant_id, 1)
    assert [] == await stores.prices.made_with(merchant_id, 9)
    with pytest.raises(NotFound):
        await stores.prices.add_all([Price(8, "image", UNIT, NOW, BEN)], NOW)


@every_store
async def test_a_price_is_set_once_and_for_a_merchant_that_exists(stores: Stores) -> None:
    await add_merchant(stores)
    for merchant_id in (None, ANN):
        price = Price(1 if merchant_id is None else 2, "image", UNIT, NOW, merchant_id)
        await stores.prices.add(price, NOW)
        with pytest.raises(AlreadyExists):
            await stores.prices.add(price, NOW)
        assert [price] == await stores.prices.list(merchant_id)
    with pytest.raises(NotFound, match="no such merchant"):
        await stores.prices.add(Price(3, "image", UNIT, NOW, BEN), NOW)


@every_store
async def test_a_price_of_later_shows_a_clock_that_is_behind_by_its_making_or_by_the_book(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.prices.add(Price(1, "image", UNIT, NOW), NOW)
    await stores.prices.add(Price(2, "planned", UNIT, NOW), NOW - 100)
    await stores.prices.add(Price(3, "own", UNIT, NOW, ANN), NOW)

    async def is_behind(request_type: str, now: int, merchant_id: int = ANN) -> bool:
        return await stores.prices.shows_clock_behind(merchant_id, request_type, now)

    assert [True, False] == [await is_behind("image", now) for now in (NOW - 1, NOW)]
    assert [True, False] == [await is_behind("own", NOW - 1, merchant_id) for merchant_id in (ANN, BEN)]
    assert not await is_behind("video", NOW - 1)
    # It was made for later, and its time has not come, as far as anybody knows.
    assert not await is_behind("planned", NOW - 1)
    assert await is_behind("planned", NOW - 101)
    # A transfer of later shows that it has.
    await do(stores, TopUp(ANN, UNIT, "INV-1"))
    assert await is_behind("planned", NOW - 1)
    assert [True, False] == [await stores.prices.is_any_made_after(now) for now in (NOW - 1, NOW)]


# Batches.


@every_store
async def test_a_batch_meets_what_it_asks_for_and_no_more(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_merchant(stores, BEN, funds=50)
    await add_price(stores)
    await add_price(stores, 2, request_type="call", unit_price=None)
    await add_price(stores, 3, merchant_id=BEN, unit_price=2 * UNIT)
    await stores.api_keys.create(staff_key(5))
    hold = CreateHold(Payer(ANN), "image", 3, "hold")
    await do(stores, hold, charge(4, "charge"), CaptureHold(ANN, 2, "capture", UNIT), Refund(ANN, 3, "refund", UNIT))
    before = await book(stores)
    asked: list[Command] = [
        replace(charge(1, "charge"), payer=Payer(ANN, digest(ANN)), caller=Caller(digest(5))),
        replace(charge(1, "new", merchant_id=BEN), caller=Caller(digest(BEN), BEN)),
        hold,
        CaptureHold(ANN, 2, "new capture"),
        Refund(ANN, 3, "new refund"),
        Refund(ANN, 1000, "new refund"),
        SetFrozen(NOBODY, True, Caller(digest(77))),
    ]
    state = await loaded(stores, *asked)
    assert {ANN: await stores.accounts.find(ANN), BEN: await stores.accounts.find(BEN)} == state.accounts
    assert {number: digest(number) for number in (ANN, 5, BEN)} == {
        record.key_id: key for key, record in state.keys.items()
    }
    assert {"image": Price(1, "image", UNIT, NOW)} == state.default_prices
    assert {(BEN, "image"): Price(3, "image", 2 * UNIT, NOW, BEN)} == state.merchant_prices
    assert {(ANN, "charge"): before[2], (ANN, "hold"): before[1]} == state.replays
    assert {(ANN, 2): Hold(ANN, 2, 3 * UNIT, NOW + 900 * SECOND, HoldState.CAPTURED, UNIT, 3, "image")} == state.holds
    assert [((ANN, 2), before[1], 0), ((ANN, 3), before[2], UNIT)] == [
        (place, original.transfer, original.returned) for place, original in state.originals.items()
    ]
    assert before == await book(stores)


@every_store
async def test_an_empty_batch_meets_nothing(stores: Stores) -> None:
    assert BatchState() == await loaded(stores)


@every_store
async def test_prices_are_those_in_force_at_the_time_of_the_batch(stores: Stores) -> None:
    await add_merchant(stores)
    for number, (starts_at, merchant_id) in enumerate([(0, None), (4, None), (5, None), (6, ANN), (8, ANN)], 1):
        await add_price(stores, number, starts_at=NOW + starts_at, merchant_id=merchant_id)
    found = {}
    for later in (-1, 0, 4, 5, 6, 8):
        state = await loaded(stores, charge(1, "key"), now=NOW + later)
        prices = [state.default_prices.get("image"), state.merchant_prices.get((ANN, "image"))]
        found[later] = tuple(price and price.price_id for price in prices)
    assert {-1: (None, None), 0: (1, None), 4: (2, None), 5: (3, None), 6: (3, 4), 8: (3, 5)} == found


@every_store
async def test_a_batch_tells_when_each_step_was_done_and_one_that_fails_how_far_it_came(stores: Stores) -> None:
    commands: list[Command] = [TopUp(ANN, UNIT, "R")]
    steps = BatchSteps(time.monotonic_ns())
    await stores.connector.transact(reads(commands, NOW), lambda state: decide(state, commands, NOW), steps)
    times = list(astuple(steps))
    assert times == sorted(times)
    assert 0 not in times

    def fail(_: BatchState) -> Decision:
        raise KeyError

    failed = BatchSteps(time.monotonic_ns())
    with pytest.raises(KeyError):
        await stores.connector.transact(reads(commands, NOW), fail, failed)
    assert failed.loaded >= failed.locked >= failed.begun
    assert (0, 0, 0) == (failed.decided, failed.applied, failed.committed)


@every_store
@pytest.mark.parametrize("error", [KeyError, InvariantViolation, asyncio.CancelledError, KeyboardInterrupt])
async def test_a_batch_that_can_not_be_decided_changes_nothing(stores: Stores, error: type[BaseException]) -> None:
    await add_merchant(stores, funds=5)

    def fail(state: BatchState) -> Decision:
        raise error("no decision")

    with pytest.raises(error):
        await stores.connector.transact(reads([TopUp(ANN, UNIT, "R")], NOW), fail)
    await do(stores, TopUp(ANN, UNIT, "R"))
    assert 6 == await wallet(stores)


def a_decision(commands: list[Command], **changes: Any) -> Callable[[BatchState], Decision]:
    """Decide commands, and then something else."""

    def decide_wrongly(state: BatchState) -> Decision:
        decision = decide(state, commands, NOW)
        for name, change in changes.items():
            setattr(decision, name, [change(row) for row in getattr(decision, name)])
        return decision

    return decide_wrongly


@every_store
@pytest.mark.parametrize(
    "changes",
    [
        {"accounts": lambda account: replace(account, wallet=account.wallet + 1)},
        {"accounts": lambda account: replace(account, wallet=-UNIT, revenue=account.revenue + account.wallet + UNIT)},
        {"new_holds": lambda hold: replace(hold, captured=hold.amount)},
        {"changed_holds": lambda hold: replace(hold, captured=hold.amount + 1)},
    ],
    ids=["unbalanced", "overdrawn", "new hold", "changed hold"],
)
async def test_a_decision_that_breaks_a_rule_is_rolled_back_with_all_that_belongs_to_it(
    stores: Stores, changes: dict[str, Any]
) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await stores.users.add(USERS[0])
    await do(stores, CreateHold(Payer(ANN), "image", 2, "hold"), SetThresholds(ANN, (45 * UNIT,)))
    before = await everything(stores, [ANN])
    commands: list[Command] = [
        charge(10, "charge"),
        CreateHold(Payer(ANN), "image", 2, "another"),
        CaptureHold(ANN, 2, "capture"),
    ]
    with pytest.raises(InvariantViolation):
        await stores.connector.transact(reads(commands, NOW), a_decision(commands, **changes))
    assert before == await everything(stores, [ANN])
    assert [Code.OK] * 3 == [outcome.code for outcome in await do(stores, *commands)]
    assert [AlertKind.LOW_BALANCE, AlertKind.TOP_UP] == [one.kind for one in await stores.deliveries.alerts(ANN, 10)]


@pytest.mark.parametrize(
    "changes",
    [
        {"transfers": lambda transfer: replace(transfer, seq=1)},
        {"transfers": lambda transfer: replace(transfer, idempotency_key="top_up funds")},
        {"transfers": lambda transfer: replace(transfer, amount=0)},
        {"alerts": lambda alert: replace(alert, posted=alert.threshold)},
        {"alerts": lambda alert: replace(alert, number=1)},
    ],
    ids=["seq taken", "key taken", "no amount", "not below", "number taken"],
)
async def test_rows_that_the_database_refuses_are_rolled_back_with_all_that_belongs_to_them(
    stores: Stores, changes: dict[str, Any]
) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await fire(stores, USERS[0])
    await do(stores, SetThresholds(ANN, (45 * UNIT,)))
    before = await everything(stores, [ANN])
    commands: list[Command] = [charge(10, "charge")]
    with pytest.raises(StorageError):
        await stores.connector.transact(reads(commands, NOW), a_decision(commands, **changes))
    assert before == await everything(stores, [ANN])
    assert Code.OK is (await do(stores, *commands))[0].code


@every_store
async def test_a_decision_without_an_account_is_not_written(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    transfer = (await book(stores))[0]
    await stores.connector.transact(
        reads([SetFrozen(ANN, True)], NOW), lambda _: Decision([DONE], transfers=[replace(transfer, seq=2)])
    )
    assert [transfer] == await book(stores)


CHANGES: Final[dict[str, dict[str, Any]]] = {
    "currency": {"currency": "EUR"},
    "wallet": {"wallet": 4 * UNIT, "funding": -4 * UNIT},
    "held": {"wallet": 2 * UNIT, "held": 3 * UNIT},
    "revenue": {"wallet": 1 * UNIT, "revenue": 4 * UNIT},
    "funding": {"funding": -6 * UNIT, "revenue": 1 * UNIT},
    "adjustments": {"wallet": 4 * UNIT, "adjustments": 1 * UNIT},
    "promotions": {"wallet": 6 * UNIT, "promotions": -1 * UNIT},
    "credit_limit": {"credit_limit": 7},
    "is_frozen": {"is_frozen": True},
    "seq": {"seq": 9},
    "last_hash": {"last_hash": bytes(range(32))},
    "last_at": {"last_at": NOW + 1},
    "alerts_count": {"alerts_count": 3},
    "is_exhausted": {"is_exhausted": True},
    "given": {"given": 2},
    "grants_count": {"grants_count": 2},
    "grants_due_at": {"grants_due_at": NOW},
    "owed": {"owed": 2},
    "closed_at": {"wallet": 0, "revenue": 5 * UNIT, "closed_at": NOW},
    "thresholds": {"thresholds": (Threshold(3, True),)},
}


@pytest.mark.parametrize("field", [name for name in Account.__struct_fields__ if name != "merchant_id"])
async def test_whatever_changes_of_an_account_is_written(stores: Stores, field: str) -> None:
    await add_merchant(stores, funds=5)
    before = await stores.accounts.find(ANN)
    assert before is not None
    changed = replace(before, **CHANGES[field])
    assert getattr(before, field) != getattr(changed, field)
    await stores.connector.transact(reads([SetFrozen(ANN, True)], NOW), lambda _: Decision([DONE], accounts=[changed]))
    assert changed == await stores.accounts.find(ANN)


async def test_a_stored_account_that_breaks_a_rule_is_never_used(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await engine.execute(f"UPDATE account SET thresholds = '[[{6 * UNIT},true]]'")
    for call in (
        lambda: do(stores, TopUp(ANN, UNIT, "R")),
        lambda: stores.accounts.find(ANN),
        lambda: stores.merchants.page(0, 9),
    ):
        with pytest.raises(InvariantViolation, match="armed above"):
            await call()
    async with stores.connector.snapshot() as snapshot:
        assert (Threshold(6 * UNIT, True),) == (await snapshot.account(ANN) or Account(0, "")).thresholds
    await engine.execute("UPDATE account SET thresholds = '[]'")
    await do(stores, TopUp(ANN, UNIT, "R"))


async def test_a_stored_hold_that_breaks_a_rule_is_never_used(
    engine: Engine, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The databases refuse such rows too, so the rule that is broken here is a made-up one."""
    await add_merchant(stores, funds=5)
    await add_price(stores)
    await do(stores, CreateHold(Payer(ANN), "image", 2, "hold"))
    monkeypatch.setattr("farebox.core.invariants.hold_faults", lambda hold: ["it is a Sunday"])
    with pytest.raises(InvariantViolation, match="it is a Sunday"):
        await do(stores, CaptureHold(ANN, 2, "capture"))
    monkeypatch.undo()
    assert Code.OK is (await do(stores, CaptureHold(ANN, 2, "capture")))[0].code


@every_store
async def test_every_field_of_every_kind_of_transfer_is_read_back(stores: Stores) -> None:
    await add_merchant(stores)
    await add_price(stores, 2**62)
    await add_price(stores, 2, request_type="call", unit_price=None)
    outcomes = []
    commands: list[Command] = [
        TopUp(ANN, 10**18, "№ 1 🦊", "Grüße; 'quoted' \"twice\" \\"),
        CreateHold(Payer(ANN), "call", 3, "hold", 10**18 - 9 * UNIT, "R-2"),
        CaptureHold(ANN, 2, "capture", 7, "R-3"),
        CreateHold(Payer(ANN), "image", 1, "second", ttl_seconds=0),
        ExpireHold(ANN, 5),
        CreateHold(Payer(ANN), "image", 1, "third"),
        ReleaseHold(ANN, 7, "release", "R-4"),
        charge(2, "charge"),
        Refund(ANN, 9, "refund", 1, "R-5", "Sorry"),
        ReverseTopUp(ANN, 1, "R-6", "bounced", 10_000),
        Adjust(ANN, 10_000, True, "R-7", "mistake"),
        Adjust(ANN, 10_000, False, "R-8", "mistake"),
    ]
    for command in commands:
        outcomes += await do(stores, command)
    assert {Code.OK} == {outcome.code for outcome in outcomes}
    made = {outcome.transfer.seq: outcome.transfer for outcome in outcomes if outcome.transfer}
    stored = {transfer.seq: transfer for transfer in await book(stores)}
    assert made == {seq: transfer for seq, transfer in stored.items() if seq != 4}
    assert (2, 10**18 - 9 * UNIT - 7, "release 2") == (stored[4].refers_to, stored[4].amount, stored[4].idempotency_key)
    assert [2, 5, 7] == [hold.seq for hold in await holds_of(stores)]


# Balances.


@every_store
async def test_balances_are_of_keys_that_open_something(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await add_merchant(stores, BEN)
    for number, ends in enumerate([{}, {"expires_at": NOW + 1}, {"expires_at": NOW}, {"revoked_at": NOW}], 2):
        await stores.api_keys.create(merchant_key(number, **ends))
    await stores.api_keys.create(merchant_key(6, revoked_at=NOW + 1))
    await stores.api_keys.create(staff_key(7))
    asked = [(ANN, digest(number)) for number in range(1, 9)] + [
        (BEN, digest(BEN)),
        (BEN, digest(ANN)),
        (ANN, digest(ANN)),
    ]
    expected = {digest(number): 5 * UNIT for number in (2, 3, 6, ANN)} | {digest(BEN): 0}
    assert expected == await stores.connector.balances(asked, NOW)
    assert {} == await stores.connector.balances([], NOW)
    assert {digest(2): 5 * UNIT} == await stores.connector.balances([(ANN, digest(2))] * 3, NOW)


@every_store
async def test_balances_are_what_is_available_and_never_stale(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=5, credit_limit=9 * UNIT)
    await add_price(stores)
    other = engine.stores()
    await other.connector.open()
    commands: list[Command] = [charge(2, "a"), CreateHold(Payer(ANN), "image", 3, "b"), charge(4, "c")]
    for number, command in enumerate([*commands, CaptureHold(ANN, 3, "d", UNIT)]):
        await do(other if number % 2 else stores, command)
        for reader in (stores, other):
            assert [(3, 0, -4, -2)[number] * UNIT] == list(
                (await reader.connector.balances([(ANN, digest(ANN))], NOW)).values()
            )
    await other.connector.close()


# Reading books.


@every_store
async def test_a_stretch_of_a_book_is_read_from_either_end(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_merchant(stores, BEN, funds=50)
    await add_price(stores)
    await do(stores, *[charge(1, f"key {number}") for number in range(8)])

    async def seqs(first_seq: int, last_seq: int, limit: int, newest_first: bool) -> list[int]:
        found = await stores.transfers.page(
            ANN, first_seq=first_seq, last_seq=last_seq, limit=limit, newest_first=newest_first
        )
        assert {ANN} >= {transfer.merchant_id for transfer in found}
        return [transfer.seq for transfer in found]

    assert list(range(1, 10)) == await seqs(1, 10**9, 100, False)
    assert [3, 4, 5] == await seqs(3, 5, 100, False)
    assert [5, 4, 3] == await seqs(3, 5, 100, True)
    assert [3, 4] == await seqs(3, 9, 2, False)
    assert [9, 8] == await seqs(3, 9, 2, True)
    assert [] == await seqs(10, 20, 9, False)
    assert [] == await seqs(5, 3, 9, True)
    assert [] == await stores.transfers.page(NOBODY, first_seq=1, last_seq=9, limit=9, newest_first=True)


@every_store
async def test_transfers_are_found_by_kind_type_and_reference_within_a_stretch(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await add_price(stores, 2, request_type="scan")
    await do(
        stores,
        charge(1, "a"),
        Charge(Payer(ANN), "scan", 1, "b", reference="job"),
        Charge(Payer(ANN), "image", 1, "c", reference="job"),
        Adjust(ANN, UNIT, True, "job", "gift"),
        Adjust(ANN, UNIT, False, "S", "mistake"),
    )

    async def seqs(first_seq: int = 1, last_seq: int = 100, **wanted: Any) -> list[int]:
        found = await stores.transfers.find(
            ANN, first_seq=first_seq, last_seq=last_seq, wanted=TransferFilter(**wanted)
        )
        stored = await stores.transfers.at(ANN, [item.seq for item in found])
        assert list(found) == [stored[item.seq] for item in found]
        return [item.seq for item in found]

    assert [6, 5, 4, 3, 2, 1] == await seqs()
    assert [5, 4, 3] == await seqs(3, 5)
    assert [4, 3, 2] == await seqs(kinds=(Kind.CHARGE,))
    assert [6, 5, 1] == await seqs(kinds=(Kind.ADJUSTMENT_CREDIT, Kind.ADJUSTMENT_DEBIT, Kind.TOP_UP))
    assert [4, 2] == await seqs(request_type="image")
    assert [5, 4, 3] == await seqs(reference="job")
    assert [4] == await seqs(kinds=(Kind.CHARGE,), request_type="image", reference="job")
    assert [] == await seqs(4, 3)
    assert [] == await seqs(reference="JOB")


@every_store
async def test_single_transfers_are_read_by_their_seq(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await do(stores, *[charge(1, f"key {number}") for number in range(4)])
    stored = {transfer.seq: transfer for transfer in await book(stores)}
    assert {seq: stored[seq] for seq in (2, 4)} == await stores.transfers.at(ANN, [4, 2, 9, 0])
    assert {} == await stores.transfers.at(ANN, [])
    assert {} == await stores.transfers.at(BEN, [1])


@every_store
async def test_what_came_in_from_outside_is_read_apart_from_what_was_spent(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await do(
        stores,
        charge(1, "charge"),
        Adjust(ANN, UNIT, True, "R", "mistake"),
        Refund(ANN, 2, "refund"),
        Adjust(ANN, UNIT, False, "S", "mistake"),
        ReverseTopUp(ANN, 1, "R", "bounced", UNIT),
        CreateHold(Payer(ANN), "image", 1, "hold"),
    )
    assert [1, 3, 5, 6] == [transfer.seq for transfer in await stores.transfers.funding_after(ANN, 1)]
    assert [5, 6] == [transfer.seq for transfer in await stores.transfers.funding_after(ANN, 4)]
    assert [] == await stores.transfers.funding_after(ANN, 7)
    assert [] == await stores.transfers.funding_after(BEN, 1)


FIRST: Final = (-1, 0, 0)


@every_store
async def test_open_holds_are_listed_by_their_ends_with_what_made_them(stores: Stores) -> None:
    for number in (ANN, BEN):
        await add_merchant(stores, number, funds=50)
    await add_price(stores)
    await do(
        stores,
        *[
            CreateHold(Payer(ANN), "image", 1, f"key {number}", None, f"R-{number}", ttl)
            for number, ttl in enumerate((60, 10, 30, 30, 20))
        ],
        CreateHold(Payer(BEN), "image", 2, "key", None, None, 30),
        CaptureHold(ANN, 6, "capture"),
        ExtendHold(ANN, 3, NOW + 90 * SECOND),
    )

    async def listed(merchant_id: int | None, after: tuple[int, int, int] = FIRST, limit: int = 9) -> list[Any]:
        rows = await stores.holds.open(merchant_id, after=after, limit=limit)
        for row in rows:
            made_by = await stores.transfers.at(row.hold.merchant_id, [row.hold.seq])
            assert [row.made_by] == list(made_by.values())
        return [(row.hold.merchant_id, row.hold.seq, (row.hold.expires_at - NOW) // SECOND) for row in rows]

    soonest_first = [(ANN, 4, 30), (ANN, 5, 30), (BEN, 2, 30), (ANN, 2, 60), (ANN, 3, 90)]
    assert soonest_first == await listed(None)
    assert [one for one in soonest_first if one[0] == ANN] == await listed(ANN)
    assert [(BEN, 2, 30)] == await listed(BEN)
    assert [] == await listed(NOBODY)
    assert soonest_first[:2] == await listed(None, limit=2)
    assert soonest_first[1:] == await listed(None, (NOW + 30 * SECOND, ANN, 4))
    assert soonest_first[3:4] == await listed(ANN, (NOW + 30 * SECOND, ANN, 5), limit=1)
    found = await stores.holds.find_open(ANN, 3)
    assert found is not None
    assert (NOW + 90 * SECOND, "R-1") == (found.hold.expires_at, found.made_by.reference)
    for ended in ((ANN, 6), (ANN, 1), (ANN, 99), (NOBODY, 2)):
        assert await stores.holds.find_open(*ended) is None


@every_store
async def test_an_extended_hold_is_due_at_its_new_end_alone(stores: Stores) -> None:
    """An extension moves no money and writes no transfer, and is written all the same."""
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await do(stores, CreateHold(Payer(ANN), "image", 1, "key", None, None, 10))
    before = await account_of(stores, ANN)
    (extended,) = await do(stores, ExtendHold(ANN, 2, NOW + 20 * SECOND))
    assert extended.hold is not None
    assert before == await account_of(stores, ANN)
    assert [] == await stores.holds.due(NOW + 20 * SECOND - 1, 9)
    assert [extended.hold] == await stores.holds.due(NOW + 20 * SECOND, 9)
    assert Code.HOLD_NOT_DUE is (await do(stores, ExpireHold(ANN, 2), now=NOW + 20 * SECOND - 1))[0].code
    assert Code.OK is (await do(stores, CaptureHold(ANN, 2, "capture"), now=NOW + 20 * SECOND - 1))[0].code


@every_store
async def test_what_was_given_back_of_a_transfer_is_read_newest_first_and_summed_up(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await do(
        stores,
        charge(3, "charge"),
        Refund(ANN, 2, "one", UNIT),
        ReverseTopUp(ANN, 1, "R", "bounced", UNIT),
        Refund(ANN, 2, "two", 2),
        CreateHold(Payer(ANN), "image", 1, "hold"),
        CaptureHold(ANN, 6, "capture"),
    )

    async def returns(merchant_id: int, seq: int, limit: int = 9) -> list[int]:
        return [transfer.seq for transfer in await stores.transfers.returns_of(merchant_id, seq, limit)]

    assert ([5, 3], [5], [4]) == (await returns(ANN, 2), await returns(ANN, 2, 1), await returns(ANN, 1))
    assert (UNIT + 2, UNIT) == (await stores.transfers.returned_of(ANN, 2), await stores.transfers.returned_of(ANN, 1))
    # A hold is referred to by its capture, which gives nothing back.
    assert ([], 0) == (await returns(ANN, 6), await stores.transfers.returned_of(ANN, 6))
    assert ([], 0) == (await returns(BEN, 2), await stores.transfers.returned_of(BEN, 2))


@every_store
async def test_due_holds_are_those_whose_time_is_over_the_longest_over_first(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_merchant(stores, BEN, funds=50)
    await add_price(stores)
    for number, (merchant_id, seconds) in enumerate([(ANN, 9), (BEN, 3), (ANN, 6), (ANN, 1), (ANN, 7)]):
        await do(stores, CreateHold(Payer(merchant_id), "image", 1, f"key {number}", ttl_seconds=seconds))
    await do(stores, ReleaseHold(ANN, 4, "release"))

    async def due(seconds: int, limit: int = 10) -> list[tuple[int, int]]:
        return [(hold.merchant_id, hold.seq) for hold in await stores.holds.due(NOW + seconds * SECOND, limit)]

    assert [] == await due(0)
    assert [(BEN, 2)] == await due(3)
    assert [(BEN, 2), (ANN, 3), (ANN, 5), (ANN, 2)] == await due(9)
    assert [(BEN, 2), (ANN, 3)] == await due(9, limit=2)


# Alerts and the outbox.


@every_store
async def test_an_alert_owes_one_mail_to_each_user_registered_at_that_moment(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_merchant(stores, BEN, funds=50)
    await add_price(stores)
    await stores.users.add(USERS[2])
    alert, mails = await fire(stores, *USERS[:2])
    assert (ANN, 2, 51 * UNIT + 1, 50 * UNIT, NOW, None) == (
        *(alert.merchant_id, alert.number, alert.threshold, alert.posted, alert.fired_at, alert.transfer_seq),
    )
    assert ["one@example.com", "two@example.com"] == [mail.email for mail in mails]
    for user, mail in zip(USERS, mails, strict=False):
        assert (user.user_id, DeliveryState.WAITING, 0, NOW) == (
            *(mail.recipient_id, mail.state, mail.attempts, mail.next_attempt_at),
        )
        assert (None, None) == (mail.sent_at, mail.last_error)
    await do(stores, SetThresholds(ANN, (40 * UNIT,)))
    await stores.users.add(User(ANN, 9, "new@example.com", NOW))
    await do(stores, charge(11, "charge"), now=NOW + 7)
    second = (await stores.deliveries.alerts(ANN, 10))[0]
    assert (3, 40 * UNIT, 39 * UNIT, NOW + 7, 2) == (
        *(second.number, second.threshold, second.posted, second.fired_at, second.transfer_seq),
    )
    found = [(mail.alert.number, mail.email) for mail in await stores.deliveries.mails(merchant_id=ANN, limit=10)]
    both = ["one@example.com", "two@example.com"]
    assert [(3, "one@example.com"), (3, "two@example.com"), (3, "new@example.com"), *((2, it) for it in both)] == found
    assert [] == await stores.deliveries.mails(merchant_id=BEN, limit=10)


@every_store
async def test_a_user_who_joins_an_account_that_is_below_is_owed_a_mail_alone(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await fire(stores, *USERS[:1])
    await stores.users.add(replace(USERS[1], created_at=NOW + 5))
    await stores.users.add(User(ANN, 9, "new@example.com", NOW + 6))
    alerts = await stores.deliveries.alerts(ANN, 10)
    facts = written_facts(await account_of(stores))
    assert [
        Alert(ANN, 4, 51 * UNIT + 1, 50 * UNIT, NOW + 6, None, AlertKind.LOW_BALANCE, None, 9, facts),
        Alert(ANN, 3, 51 * UNIT + 1, 50 * UNIT, NOW + 5, None, AlertKind.LOW_BALANCE, None, 5, facts),
    ] == alerts[:2]
    mails = await stores.deliveries.mails(merchant_id=ANN, limit=10)
    assert [(4, 9), (3, 5), (2, 3)] == [(mail.alert.number, mail.recipient_id) for mail in mails]
    assert [(NOW + 6, 0), (NOW + 5, 0), (NOW, 0)] == [(mail.next_attempt_at, mail.attempts) for mail in mails]
    # The book goes on counting from there.
    await do(stores, TopUp(ANN, UNIT // 2, "INV-2"))
    assert 6 == (await stores.deliveries.alerts(ANN, 1))[0].number
    # And the third user, whose address is registered already, is owed nothing.
    before = await everything(stores, [ANN])
    with pytest.raises(AlreadyExists):
        await stores.users.add(User(ANN, 10, "new@example.com", NOW + 7))
    assert before == await everything(stores, [ANN])


@every_store
async def test_the_first_refusal_for_lack_of_money_is_written_and_owes_mails(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await add_price(stores)
    await stores.users.add(USERS[0])
    for number in range(3):
        (outcome,) = await do(stores, charge(6, f"refused {number}"), now=NOW + number)
        assert outcome.code is Code.INSUFFICIENT_BALANCE
    account = await account_of(stores)
    assert (True, 2) == (account.is_exhausted, account.alerts_count)
    alert, _ = await stores.deliveries.alerts(ANN, 9)
    assert (2, NOW, 1, AlertKind.USED_UP, 6 * UNIT) == (
        *(alert.number, alert.fired_at, alert.transfer_seq, alert.kind, alert.refused),
    )
    (mail,) = await stores.deliveries.mails(merchant_id=ANN, limit=9)
    assert (2, NOW) == (mail.alert.number, mail.next_attempt_at)
    assert [mail.alert] == [
        claimed.alert for claimed in await stores.deliveries.claim_mails(NOW, lease_until=NOW, limit=9)
    ]
    await do(stores, TopUp(ANN, UNIT, "INV-2"))
    assert not (await account_of(stores)).is_exhausted
    assert [] == await faults(stores)


@every_store
async def test_what_tells_the_same_anew_is_of_the_same_kind_threshold_and_user(stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await add_price(stores)
    await stores.users.add(USERS[0])
    await do(stores, SetThresholds(ANN, (10 * UNIT, 20 * UNIT)), charge(6, "refused"))
    await stores.users.add(USERS[1])
    await do(stores, TopUp(ANN, 10 * UNIT, "INV-2"), charge(6, "below 10 again"))
    mails = await stores.deliveries.mails(merchant_id=ANN, limit=99)
    one, two = (user.user_id for user in USERS[:2])
    told = {
        (mail.alert.number, mail.alert.threshold, mail.recipient_id): await stores.deliveries.is_told_anew(mail)
        for mail in mails
    }
    assert {
        (2, 10 * UNIT, one): True,
        (3, None, one): False,
        (4, 10 * UNIT, two): True,
        (7, 20 * UNIT, one): False,
        (7, 20 * UNIT, two): False,
        (8, 10 * UNIT, one): False,
        (8, 10 * UNIT, two): False,
    } == told


@every_store
async def test_a_withdrawn_mail_is_never_due_again(stores: Stores) -> None:
    await add_merchant(stores)
    _, (mail,) = await fire(stores, USERS[0])
    await stores.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=9)
    await stores.deliveries.settle(replace(mail, state=DeliveryState.WITHDRAWN, last_error="removed"))
    assert 0 == await stores.deliveries.retry_mails(NOW + 5)
    assert await stores.deliveries.next_mail_at() is None
    assert [] == await stores.deliveries.claim_mails(NOW + 10**9, lease_until=NOW + 10**9, limit=9)
    assert ["removed"] == [kept.last_error for kept in await stores.deliveries.mails(merchant_id=ANN, limit=9)]


@every_store
async def test_a_user_is_registered_until_removed(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.users.add(USERS[0])
    assert USERS[0] == await stores.users.at(ANN, USERS[0].user_id)
    assert await stores.users.at(BEN, USERS[0].user_id) is None
    await stores.users.remove(ANN, USERS[0].email, is_owner_needed=False)
    assert await stores.users.at(ANN, USERS[0].user_id) is None


@every_store
async def test_an_alert_without_users_is_recorded_all_the_same(stores: Stores) -> None:
    await add_merchant(stores)
    alert, mails = await fire(stores)
    assert [alert] == await stores.deliveries.alerts(ANN, 10)
    assert [] == mails


@every_store
async def test_several_alerts_of_one_batch_owe_mails_each(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_merchant(stores, BEN, funds=50)
    for user in USERS:
        await stores.users.add(user)
    both = [SetThresholds(merchant_id, (60 * UNIT,)) for merchant_id in (ANN, BEN)]
    await do(stores, *both, SetThresholds(ANN, (70 * UNIT,)))
    assert [3, 2, 1] == [alert.number for alert in await stores.deliveries.alerts(ANN, 10)]
    assert [3] == [alert.number for alert in await stores.deliveries.alerts(ANN, 1)]

    async def places(limit: int) -> list[tuple[int, int, int]]:
        mails = await stores.deliveries.mails(merchant_id=None, limit=limit)
        return [(mail.alert.merchant_id, mail.alert.number, mail.recipient_id) for mail in mails]

    expected = [(ANN, 3, 3), (ANN, 3, 5), (ANN, 2, 3), (ANN, 2, 5), (BEN, 2, 4)]
    assert expected == await places(9)
    assert expected[:2] == await places(2)


@every_store
async def test_the_whole_outbox_is_listed_newest_first(stores: Stores) -> None:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    for user in USERS[1:]:
        await stores.users.add(user)
    for later, merchant_id in ((0, ANN), (5, BEN), (9, ANN)):
        await do(stores, SetThresholds(merchant_id, (later + 1,)), now=NOW + later)
    fired = [mail.alert.fired_at - NOW for mail in await stores.deliveries.mails(merchant_id=None, limit=9)]
    assert [9, 5, 0] == fired


@every_store
async def test_a_mail_is_claimed_by_one_until_its_lease_ends(stores: Stores) -> None:
    await add_merchant(stores)
    _, mails = await fire(stores, *USERS[:2])
    assert NOW == await stores.deliveries.next_mail_at()
    assert [] == await stores.deliveries.claim_mails(NOW - 1, lease_until=NOW + 10, limit=9)
    first = await stores.deliveries.claim_mails(NOW, lease_until=NOW + 10, limit=1)
    second = await stores.deliveries.claim_mails(NOW + 5, lease_until=NOW + 20, limit=9)
    assert sorted(mail.recipient_id for mail in mails) == sorted(mail.recipient_id for mail in [*first, *second])
    assert [(1, NOW + 10), (1, NOW + 20)] == [(mail.attempts, mail.next_attempt_at) for mail in [*first, *second]]
    assert [] == await stores.deliveries.claim_mails(NOW + 9, lease_until=NOW + 30, limit=9)
    assert NOW + 10 == await stores.deliveries.next_mail_at()
    again = await stores.deliveries.claim_mails(NOW + 10, lease_until=NOW + 30, limit=9)
    assert [(first[0].recipient_id, 2)] == [(mail.recipient_id, mail.attempts) for mail in again]


@every_store
async def test_merchants_take_turns_in_claiming_mails(stores: Stores) -> None:
    """One with many mails, all due for longer, holds up nobody: each has one mail claimed before any has two."""
    await add_merchant(stores)
    await fire(stores, *[User(ANN, number, f"user{number}@example.com", NOW) for number in range(1, 31)])
    for merchant_id, users in ((BEN, 1), (BEN + 1, 3)):
        await add_merchant(stores, merchant_id)
        for number in range(1, users + 1):
            await stores.users.add(User(merchant_id, 100 + number, f"other{number}@example.com", NOW))
        await do(stores, SetThresholds(merchant_id, (1,)), now=NOW + 5)

    async def claimed(after: int, limit: int = 1) -> Counter[int]:
        mails = await stores.deliveries.claim_mails(NOW + 9, lease_until=NOW + 99, limit=limit, after=after)
        return Counter(mail.alert.merchant_id for mail in mails)

    assert {ANN: 1} == await claimed(0)
    assert {BEN: 1} == await claimed(ANN)
    # Ben has no more; the turn goes round, whoever was last.
    assert {BEN + 1: 1} == await claimed(ANN)
    assert {ANN: 1} == await claimed(BEN + 1)
    assert {ANN: 5, BEN + 1: 2} == await claimed(BEN, limit=7)
    assert {ANN: 23} == await claimed(NOBODY + 7, limit=99)
    assert {} == await claimed(0)
    again = await stores.deliveries.claim_mails(NOW + 99, lease_until=NOW + 199, limit=4, after=BEN)
    assert {ANN: 1, BEN: 1, BEN + 1: 2} == Counter(mail.alert.merchant_id for mail in again)


@every_store
async def test_a_mail_server_is_given_up_until_it_is_resumed(stores: Stores) -> None:
    assert await stores.mail_servers.find("mail.example:25") is None
    await stores.mail_servers.pause(PAUSE)
    await stores.mail_servers.pause(replace(PAUSE, server="other:25"))
    later = replace(PAUSE, paused_until=NOW + 90, pauses=2, reason="refused")
    await stores.mail_servers.pause(later)
    assert later == await stores.mail_servers.find("mail.example:25")
    await stores.mail_servers.resume("mail.example:25")
    assert await stores.mail_servers.find("mail.example:25") is None
    assert replace(PAUSE, server="other:25") == await stores.mail_servers.find("other:25")
    await stores.mail_servers.resume_all()
    assert await stores.mail_servers.find("other:25") is None


async def test_many_claimers_never_get_the_same_mail(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores)
    _, mails = await fire(stores, *[User(ANN, number, f"user{number}@example.com", NOW) for number in range(20)])
    others = [engine.stores() for _ in range(2)]
    for other in others:
        await other.connector.open()
    claims = [
        claimer.deliveries.claim_mails(NOW, lease_until=NOW + 10, limit=3)
        for claimer in (stores, *others)
        for _ in range(4)
    ]
    claimed = [mail.recipient_id for some in await asyncio.gather(*claims) for mail in some]
    assert len(claimed) == len(set(claimed))
    for other in others:
        await other.connector.close()
    assert {mail.recipient_id for mail in mails} >= set(claimed)


@every_store
async def test_a_settled_mail_is_what_it_was_settled_as(stores: Stores) -> None:
    await add_merchant(stores)
    await fire(stores, *USERS[:2])
    one, two = sorted(
        await stores.deliveries.claim_mails(NOW, lease_until=NOW + 10, limit=9), key=lambda mail: mail.recipient_id
    )
    sent = replace(one, state=DeliveryState.SENT, sent_at=NOW + 3)
    failed = replace(two, next_attempt_at=NOW + 60, last_error="4.2.1 mailbox busy")
    await stores.deliveries.settle(sent)
    await stores.deliveries.settle(failed)
    assert [sent, failed] == await stores.deliveries.mails(merchant_id=ANN, limit=9)
    assert NOW + 60 == await stores.deliveries.next_mail_at()
    assert [] == await stores.deliveries.claim_mails(NOW + 59, lease_until=NOW + 70, limit=9)
    given_up = replace(failed, state=DeliveryState.GIVEN_UP)
    await stores.deliveries.settle(given_up)
    assert await stores.deliveries.next_mail_at() is None
    assert [] == await stores.deliveries.claim_mails(NOW + 600, lease_until=NOW + 700, limit=9)


@every_store
async def test_a_retry_makes_all_that_is_not_sent_due(stores: Stores) -> None:
    await add_merchant(stores)
    await fire(stores, *USERS[:2], User(ANN, 8, "three@example.com", NOW))
    one, two, three = sorted(
        await stores.deliveries.claim_mails(NOW, lease_until=NOW + 10, limit=9), key=lambda mail: mail.recipient_id
    )
    await stores.deliveries.settle(replace(one, state=DeliveryState.SENT, sent_at=NOW))
    await stores.deliveries.settle(replace(two, state=DeliveryState.GIVEN_UP, last_error="no such mailbox"))
    await stores.deliveries.settle(replace(three, next_attempt_at=NOW + 999))
    assert 2 == await stores.deliveries.retry_mails(NOW + 5)
    due = await stores.deliveries.claim_mails(NOW + 5, lease_until=NOW + 10, limit=9)
    assert {(two.recipient_id, 2), (three.recipient_id, 2)} == {(mail.recipient_id, mail.attempts) for mail in due}


@every_store
async def test_nothing_waits_in_an_empty_outbox(stores: Stores) -> None:
    assert await stores.deliveries.next_mail_at() is None
    assert [] == await stores.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=9)
    assert [] == await stores.deliveries.mails(merchant_id=None, limit=9)
    assert 0 == await stores.deliveries.retry_mails(NOW)


async def test_a_mail_that_is_not_there_can_not_be_settled(stores: Stores) -> None:
    await add_merchant(stores)
    _, mails = await fire(stores, USERS[0])
    with pytest.raises(NotFound):
        await stores.deliveries.settle(replace(mails[0], recipient_id=99))


# Snapshots.


@every_store
async def test_a_snapshot_sees_one_moment_whatever_is_committed_meanwhile(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await do(stores, CreateHold(Payer(ANN), "image", 3, "hold"), *[charge(1, f"key {number}") for number in range(5)])
    before = (await account_of(stores), await book(stores), await holds_of(stores))
    chunked = engine.stores(snapshot_chunk_rows=3).connector
    await chunked.open()
    async with chunked.snapshot() as snapshot:
        chunks = []
        async for chunk in snapshot.transfers(ANN):
            chunks.append(chunk)
            # A writer is not held up, even in the middle of reading.
            await do(stores, charge(1, f"later {len(chunks)}"))
        await do(stores, CaptureHold(ANN, 2, "capture"))
        await add_merchant(stores, BEN)
        found = [transfer for chunk in chunks for transfer in chunk]
        assert before == (await snapshot.account(ANN), found, await snapshot.holds(ANN))
        assert {1: before[1][0], 7: before[1][6]} == await snapshot.transfers_at(ANN, [7, 1, 8])
        assert [ANN] == await snapshot.merchant_ids()
        assert await snapshot.account(BEN) is None
        assert [] == [chunk async for chunk in snapshot.transfers(BEN)]
        assert [] == await snapshot.holds(BEN)
    assert 7 + len(chunks) + 1 == (await account_of(stores)).seq
    await chunked.close()


async def test_a_snapshot_that_is_left_in_the_middle_leaves_nothing_behind(stores: Stores) -> None:
    await add_merchant(stores, funds=50)

    async def leave() -> None:
        async with stores.connector.snapshot() as snapshot:
            async for _ in snapshot.transfers(ANN):
                raise KeyError

    with pytest.raises(KeyError):
        await leave()
    await do(stores, TopUp(ANN, UNIT, "R"))


# Several stores on one database.


async def test_stores_that_race_for_an_account_never_overspend_it(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=15, credit_limit=5 * UNIT)
    await add_price(stores)
    other = engine.stores()
    await other.connector.open()
    outcomes = await asyncio.gather(
        *[do((stores, other)[number % 2], charge(1, f"key {number}")) for number in range(36)]
    )
    codes = sorted(outcome.code for (outcome,) in outcomes)
    assert [Code.INSUFFICIENT_BALANCE] * 16 + [Code.OK] * 20 == codes
    assert -5 == await wallet(other)
    assert [] == await faults(stores)
    await other.connector.close()


async def test_of_stores_that_use_one_key_at_once_one_moves_the_money(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=15)
    await add_price(stores)
    other = engine.stores()
    await other.connector.open()
    outcomes = await asyncio.gather(*[do((stores, other)[number % 2], charge(4, "key")) for number in range(8)])
    assert 11 == await wallet(stores)
    assert [False] + [True] * 7 == sorted(outcome.is_replay for (outcome,) in outcomes)
    assert 1 == len({outcome.transfer.seq for (outcome,) in outcomes if outcome.transfer})
    await other.connector.close()


async def test_of_extensions_and_expiries_at_once_the_hold_ends_once_or_lasts(engine: Engine, stores: Stores) -> None:
    """The account's lock decides: who extends a hold before it is swept keeps it, and who comes after is refused."""
    await add_merchant(stores, funds=50)
    await add_price(stores)
    other = engine.stores()
    await other.connector.open()
    for seq in range(2, 12, 2):
        start = NOW + seq * 100 * SECOND
        end, later = start + 10 * SECOND, start + 60 * SECOND
        await do(stores, CreateHold(Payer(ANN), "image", 1, f"key {seq}", None, None, 10), now=start)
        extensions = [do(stores, ExtendHold(ANN, seq, later + number), now=end - 1) for number in range(3)]
        sweeps = [do(other, ExpireHold(ANN, seq), now=end) for _ in range(3)]
        outcomes = [outcome for (outcome,) in await asyncio.gather(*extensions, *sweeps)]
        extended, swept = outcomes[:3], outcomes[3:]
        if any(outcome.is_ok for outcome in extended):
            assert {Code.OK} == {outcome.code for outcome in extended}
            assert {Code.HOLD_NOT_DUE} == {outcome.code for outcome in swept}
            assert Code.OK is (await do(stores, ExpireHold(ANN, seq), now=later + 2))[0].code
        else:
            assert {Code.HOLD_EXPIRED} == {outcome.code for outcome in extended}
            assert {Code.OK} == {outcome.code for outcome in swept}
    assert 50 == await wallet(stores)
    assert [] == await faults(stores)
    await other.connector.close()


async def test_of_stores_that_end_one_hold_at_once_one_does(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=15)
    await add_price(stores)
    await do(stores, CreateHold(Payer(ANN), "image", 4, "hold", ttl_seconds=9))
    other = engine.stores()
    await other.connector.open()
    captures = [do(stores, CaptureHold(ANN, 2, f"capture {number}")) for number in range(4)]
    releases = [do(other, ReleaseHold(ANN, 2, f"release {number}")) for number in range(4)]
    codes = [outcome.code for (outcome,) in await asyncio.gather(*captures, *releases)]
    assert 1 == codes.count(Code.OK)
    assert [] == await faults(stores)
    await other.connector.close()


# The same histories come to the same on every engine.


@examples(20)
@given(scenario=scenarios())
async def test_a_history_comes_to_the_same_on_every_engine(engine: Engine, stores: Stores, scenario: Scenario) -> None:
    memory = founded(scenario)
    # Cleared under an open connector, it would be a database that went back to an earlier time.
    await stores.connector.close()
    await engine.clear()
    await stores.connector.open()
    await found(stores, scenario.accounts)
    for step in scenario.steps:
        if not isinstance(step, Batch):
            await prepare(stores, step)
            await prepare(memory.stores, step)
            continue
        for places in groups_of(stores, step.commands):
            batch = Batch(step.now, tuple(step.commands[place] for place in places))
            asked = reads(batch.commands, batch.now)
            decision = await stores.connector.transact(asked, _as_in_memory(memory, batch, asked))
            assert memory.do(*batch.commands, now=batch.now) == decision.outcomes
    assert memory.rows() == await everything(stores, MERCHANTS)
    for merchant_id in MERCHANTS:
        assert [] == await faults(stores, merchant_id)


def _as_in_memory(memory: MemoryConnector, batch: Batch, asked: ReadSet) -> Decide:
    """Decide a batch, and see that it meets what it would in memory, also if it asks for more grants."""
    more: frozenset[int] = frozenset()

    def decide_batch(state: BatchState) -> Decision:
        nonlocal more
        _see_the_same(memory.load(asked, more), state)
        try:
            return decide(state, batch.commands, batch.now)
        except MoreGrantsNeeded as error:
            more = more_merchants(error, more, asked)
            raise

    return decide_batch


def _see_the_same(in_memory: BatchState, state: BatchState) -> None:
    """Compare what a batch meets. Of the first grants that are read in memory, an engine may read some, or more."""
    assert in_memory.first_grants.keys() == state.first_grants.keys()
    for merchant_id, first in state.first_grants.items():
        most = in_memory.first_grants[merchant_id]
        assert [*most.lots.values()][: len(first.lots)] == [*first.lots.values()]
        assert not first.are_all or most == first
        assert first.lots
    firsts = {(merchant_id, number) for merchant_id, first in state.first_grants.items() for number in first.lots}
    grants = {place: grant for place, grant in state.grants.items() if place in in_memory.grants or place not in firsts}
    assert replace(in_memory, first_grants=state.first_grants) == replace(state, grants=grants)


# The database's own constraints.

COLUMNS: Final = (
    "merchant_id, seq, kind, amount, idempotency_key, content, wallet_after, held_after, committed_at, hash, "
    "request_type, quantity, unit_price, price_id, refers_to, reference, note"
)
BAD_ROWS: Final = {
    "unbalanced book": "UPDATE account SET wallet = wallet + 1",
    "wallet below the limit": "UPDATE account SET revenue = revenue + wallet + 1, wallet = -1",
    "negative held": "UPDATE account SET held = -1, wallet = wallet + held + 1",
    "negative revenue": "UPDATE account SET revenue = -1, wallet = wallet + revenue + 1",
    "positive funding": "UPDATE account SET funding = 1, wallet = wallet + funding - 1, credit_limit = 999999999",
    "negative credit limit": "UPDATE account SET credit_limit = -1",
    "negative seq": "UPDATE account SET seq = -1",
    "short hash of the account": "UPDATE account SET last_hash = {short}",
    "a currency of four characters": "UPDATE account SET currency = 'USDT'",
    "six thresholds": "UPDATE account SET thresholds = '[[1,false],[2,false],[3,false],[4,false],[5,false],[6,false]]'",
    "thresholds that are no JSON": "UPDATE account SET thresholds = '[[1,fal'",
    "an account without a merchant": "UPDATE account SET merchant_id = 5",
    "a second account": "INSERT INTO account SELECT * FROM account",
    "no amount": "UPDATE transfer SET amount = 0, unit_price = NULL WHERE seq = 1",
    "negative amount": "UPDATE transfer SET amount = -1, unit_price = NULL WHERE seq = 1",
    "an amount that is not unit price x quantity": "UPDATE transfer SET amount = amount + 1 WHERE seq = 2",
    "no quantity": "UPDATE transfer SET quantity = 0, unit_price = NULL WHERE seq = 2",
    "a free price": "UPDATE transfer SET unit_price = 0 WHERE seq = 2",
    "an unknown kind": "UPDATE transfer SET kind = 13 WHERE seq = 1",
    "seq 0": "UPDATE transfer SET seq = 0 WHERE seq = 1",
    "a second transfer of a seq": "UPDATE transfer SET seq = 1 WHERE seq = 2",
    "a second transfer of a key": "UPDATE transfer SET idempotency_key = 'top_up funds' WHERE seq = 2",
    "a transfer twice": "INSERT INTO transfer ({columns}) SELECT {columns} FROM transfer WHERE seq = 1",
    "an empty key": "UPDATE transfer SET idempotency_key = '' WHERE seq = 1",
    "a short fingerprint": "UPDATE transfer SET content = {short} WHERE seq = 1",
    "a short hash": "UPDATE transfer SET hash = {short} WHERE seq = 1",
    "negative held after": "UPDATE transfer SET held_after = -1 WHERE seq = 1",
    "a reference to itself": "UPDATE transfer SET refers_to = seq WHERE seq = 2",
    "a reference to nothing": "UPDATE transfer SET refers_to = 0 WHERE seq = 2",
    "a transfer without a time": "UPDATE transfer SET committed_at = NULL WHERE seq = 2",
    "a hold captured for too much": "UPDATE hold SET state = 2, captured = amount + 1",
    "an open hold that was captured": "UPDATE hold SET captured = 1",
    "a hold in no state": "UPDATE hold SET state = 5",
    "a free default price": "UPDATE default_price SET unit_price = 0",
    "a free merchant's price": "UPDATE merchant_price SET unit_price = 0",
    "a price without a merchant": "UPDATE merchant_price SET merchant_id = 5",
    "a short digest": "UPDATE merchant_key SET digest = {short}",
    "a key without a merchant": "UPDATE merchant_key SET merchant_id = 5",
    "a staff key of a merchant's kind": "UPDATE staff_key SET kind = 1",
    "a user without a merchant": "UPDATE merchant_user SET merchant_id = 5",
    "an address twice": "UPDATE merchant_user SET email = 'same'",
    "an alert of nothing": "UPDATE alert SET threshold = NULL",
    "an alert of both kinds": "UPDATE alert SET kind = 2",
    "an alert of no kind": "UPDATE alert SET kind = 0, threshold = NULL",
    "an alert without its threshold": "UPDATE alert SET kind = 3",
    "an alert of empty facts": "UPDATE alert SET facts = ''",
    "a refusal below a threshold": "UPDATE alert SET refused = 5",
    "a refusal of nothing": "UPDATE alert SET kind = 2, threshold = NULL, refused = 0",
    "an alert above its threshold": "UPDATE alert SET posted = threshold",
    "an alert without a number": "UPDATE alert SET number = 0",
    "a mail without an alert": "UPDATE delivery SET alert_number = 9",
    "a mail sent at no time": "UPDATE delivery SET state = 2",
    "a mail not sent at a time": "UPDATE delivery SET sent_at = 1",
    "a mail in no state": "UPDATE delivery SET state = 5",
    "a mail tried fewer than no times": "UPDATE delivery SET attempts = -1",
    "a mail to no address": "UPDATE delivery SET email = ''",
    "a webhook to an address": "UPDATE delivery SET channel = 2",
    "a delivery by no channel": "UPDATE delivery SET channel = 4, email = ''",
    "a nameless merchant": "UPDATE merchant SET name = ''",
}


async def test_the_database_itself_refuses_rows_that_break_a_rule(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await add_price(stores, 2, merchant_id=ANN)
    await stores.api_keys.create(staff_key(2))
    await do(stores, charge(2, "charge"), CreateHold(Payer(ANN), "image", 3, "hold"))
    await fire(stores, *USERS[:2])
    before = await everything(stores, [ANN])
    written = {
        name: statement.format(short=engine.blob(bytes(7)), columns=COLUMNS) for name, statement in BAD_ROWS.items()
    }
    assert [] == await accepted(engine, written)
    assert before == await everything(stores, [ANN])


# Texts.

TEXTS: Final = [
    *(
        "\x00",
        "a\x00b",
        "\x7f",
        "\u200b",
        "\u2028",
        "e\u0301",
        "🦊" * 500,
        "'; DROP TABLE transfer; --",
        '"',
        "\\",
        "%s $1 ?1",
    ),
    "x" * 1_000_000,
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:12]))
async def test_a_text_is_kept_as_it_is_or_refused(stores: Stores, text: str) -> None:
    await add_merchant(stores)
    await add_price(stores)
    user = User(ANN, 1, text, NOW)
    kept = 0
    try:
        await do(stores, TopUp(ANN, UNIT, text, text))
        kept += 1
    except StorageError:
        pass
    assert [(text, text)] * kept == [(item.reference, item.note) for item in await book(stores)]
    try:
        await stores.users.add(user)
    except StorageError:
        assert [] == await stores.users.list(ANN)
    else:
        assert [user] == await stores.users.list(ANN)
    await do(stores, TopUp(ANN, UNIT, "plain"))
    assert kept + 1 == await wallet(stores)
