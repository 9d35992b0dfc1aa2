"""One mailbox is one person: how addresses are compared, and what becomes of databases in which they were not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.audit_log import AuditEntry
from farebox.storage import sql
from farebox.storage.interface import AlreadyExists
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.records import Delivery, DeliveryState, Login, Realm, Role, User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, Refused
from tests.support.ledger import ANN, BEN, NOW, add_merchant, fire

VERSION_BEFORE: Final = [name for name, _ in sql.migrations("sqlite")].index("0006_mailboxes")
LATER: Final = NOW + 10**9
WAYS: Final = ("ann@x.example", "Ann@x.example", "ANN@X.EXAMPLE")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@x.example", "ANN@X.Example"),
        ("jürgen@bücher.example", "JÜRGEN@xn--bcher-kva.EXAMPLE"),
        ("jürgen@x.example", "jürgen@x.example"),
        ("ann@bücher.example", "Ann@BÜCHER.example"),
        ("δοκιμή@x.example", "ΔΟΚΙΜΉ@x.example"),
    ],
)
def test_addresses_of_one_mailbox(one: str, other: str) -> None:
    assert mailbox_of(one) == mailbox_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@x.example", "ann@y.example"),
        ("strasse@x.example", "straße@x.example"),
        ("ann@strasse.example", "ann@straße.example"),
        ("ann+alerts@x.example", "ann@x.example"),
        ("a.nn@x.example", "ann@x.example"),
        # Characters that look like others, or that some programs fold into them, are other mailboxes.
        ("\u0131an@x.example", "ian@x.example"),
        ("\u017fam@x.example", "sam@x.example"),
        ("\u0430nn@x.example", "ann@x.example"),
    ],
)
def test_addresses_of_two_mailboxes(one: str, other: str) -> None:
    assert mailbox_of(one) != mailbox_of(other)


@given(st.text(max_size=40))
def test_a_mailbox_is_its_own(text: str) -> None:
    """Any text that is in a database has one, which is found again by itself."""
    assert mailbox_of(text) == mailbox_of(mailbox_of(text))


@pytest.fixture(name="before")
async def database_before(empty_engine: Engine) -> Engine:
    """A database as it was before mailboxes were compared."""
    first = {dialect: sql.migrations(dialect)[:VERSION_BEFORE] for dialect in ("sqlite", "postgres")}
    with mock.patch.object(sql, "migrations", first.__getitem__):
        await empty_engine.stores().connector.migrate(NOW)
    for merchant_id in (ANN, BEN):
        await empty_engine.execute(f"INSERT INTO merchant VALUES ({merchant_id}, 'Acme', {NOW})")
    return empty_engine


async def add(engine: Engine, table: str, **values: Any) -> None:
    """Insert a row as the earlier program did."""
    literals = [
        "NULL"
        if value is None
        else str(value)
        if isinstance(value, int)
        else engine.blob(value)
        if isinstance(value, bytes)
        else f"'{value}'"
        for value in values.values()
    ]
    await engine.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(literals)})")


async def add_user(engine: Engine, number: int, email: str, role: Role, merchant_id: int = ANN) -> None:
    await add(
        engine,
        "merchant_user",
        merchant_id=merchant_id,
        user_id=number,
        email=email,
        created_at=NOW - number,
        role=role.value,
    )


async def add_login(engine: Engine, number: int, email: str, realm: Realm = Realm.MERCHANT, **values: Any) -> None:
    row = {"login_id": number, "realm": realm.value, "email": email, "name": email, "created_at": NOW}
    await add(engine, "login", **row, **values)


async def add_mail(engine: Engine, number: int, user_id: int, email: str, state: DeliveryState) -> None:
    sent_at = NOW if state is DeliveryState.SENT else None
    await add(
        engine,
        "outbox",
        merchant_id=ANN,
        alert_number=number,
        user_id=user_id,
        email=email,
        state=state.value,
        attempts=0,
        next_attempt_at=NOW,
        sent_at=sent_at,
    )


@asynccontextmanager
async def upgraded(engine: Engine) -> AsyncIterator[Stores]:
    stores = engine.stores()
    assert "0006_mailboxes" in await stores.connector.migrate(LATER)
    await stores.connector.open()
    try:
        yield stores
    finally:
        await stores.connector.close()


async def notes(stores: Stores) -> list[tuple[int | None, str, str | None, str]]:
    entries: Sequence[AuditEntry] = await stores.audit_log.list(merchant_id=None, before=(LATER + 1, 0), limit=99)
    return [(entry.merchant_id, entry.action, entry.subject, entry.detail) for entry in reversed(entries)]


async def test_users_of_one_mailbox_become_one_with_the_highest_role(before: Engine) -> None:
    """The earliest stays, registration and all; other merchants' users are others."""
    for number, email in enumerate(WAYS, 1):
        await add_user(before, number, email, Role(number))
    await add_user(before, 4, "ben@x.example", Role.VIEWER)
    await add_user(before, 9, "ANN@x.example", Role.VIEWER, merchant_id=BEN)
    async with upgraded(before) as stores:
        # Number 3 registered first: three units of time before NOW.
        assert [
            User(ANN, 3, WAYS[2], NOW - 3, Role.OWNER),
            User(ANN, 4, "ben@x.example", NOW - 4, Role.VIEWER),
        ] == list(await stores.users.list(ANN))
        assert [User(BEN, 9, "ANN@x.example", NOW - 9, Role.VIEWER)] == list(await stores.users.list(BEN))
        detail = "Ann@x.example (member), ann@x.example (owner): one mailbox, one user, who is owner"
        assert [(ANN, "merge_users", WAYS[2], detail)] == await notes(stores)
        assert [(ANN, Role.OWNER), (BEN, Role.VIEWER)] == [
            (membership.merchant_id, membership.role) for membership in await stores.users.memberships("aNN@X.example")
        ]


async def test_mails_owed_to_one_mailbox_become_one_and_who_was_told_is_not_told_again(before: Engine) -> None:
    for number, email in enumerate(WAYS, 1):
        await add_user(before, number, email, Role.MEMBER)
    for number in (1, 2, 3):
        await add(before, "alert", merchant_id=ANN, number=number, threshold=5, posted=1, fired_at=NOW)
    for user_id, email in enumerate(WAYS, 1):
        # Three copies wait of the first; one was sent of the second; the third was owed to two who are dropped.
        await add_mail(before, 1, user_id, email, DeliveryState.WAITING)
        await add_mail(before, 2, user_id, email, DeliveryState.SENT if user_id == 2 else DeliveryState.WAITING)
        if user_id != 3:
            await add_mail(before, 3, user_id, email, DeliveryState.WAITING)
    async with upgraded(before) as stores:
        mails: Sequence[Delivery] = await stores.deliveries.mails(merchant_id=ANN, limit=99)
        by_alert: dict[int, dict[int, int]] = {number: {} for number in (1, 2, 3)}
        for mail in mails:
            by_alert[mail.alert.number][mail.recipient_id] = mail.state
        waits, sent, withdrawn = DeliveryState.WAITING, DeliveryState.SENT, DeliveryState.WITHDRAWN
        assert {1: withdrawn, 2: withdrawn, 3: waits} == by_alert[1]
        assert {1: withdrawn, 2: sent, 3: withdrawn} == by_alert[2]
        assert {1: withdrawn, 3: waits} == by_alert[3]


async def test_logins_without_a_password_are_merged_with_what_was_mailed_to_them(before: Engine) -> None:
    await add_login(before, 1, "Ann@x.example")
    await add_login(before, 2, "ann@x.example", password_hash="hash")
    await add_login(before, 3, "ANN@x.example", Realm.SUPPORT)
    mailed = {"merchant_id": None, "seed": bytes(32), "created_at": NOW, "expires_at": LATER + 9, "state": 2}
    await add(
        before,
        "letter",
        letter_id=1,
        purpose=1,
        login_id=1,
        email="Ann@x.example",
        attempts=1,
        next_attempt_at=NOW,
        sent_at=NOW,
        **mailed,
    )
    async with upgraded(before) as stores:
        kept = await stores.logins.find(Realm.MERCHANT, "ANN@X.example")
        assert (2, "ann@x.example", "hash", None) == (
            *((kept.login_id, kept.email, kept.password_hash, kept.disabled_at) if kept else ()),
        )
        assert await stores.logins.get(1) is None
        account_mail = await stores.account_mails.find(1)
        assert account_mail is not None
        assert (2, None) == (account_mail.login_id, account_mail.used_at)
        staff = await stores.logins.find(Realm.SUPPORT, "ann@x.example")
        assert (3, None) == ((staff.login_id, staff.disabled_at) if staff else ())
        detail = "Ann@x.example had no password: one mailbox, one login on the dashboard"
        assert [(None, "merge_logins", "ann@x.example", detail)] == await notes(stores)


async def test_logins_with_passwords_are_named_and_one_is_left(before: Engine) -> None:
    """Codes go first, then who signed in last. The other is there, closed, and what was mailed to it is void."""
    seed = b"s" * 32
    await add_login(before, 1, "ann@x.example", Realm.SUPPORT, password_hash="one", signed_in_at=NOW + 5)
    await add_login(before, 2, "Ann@x.example", Realm.SUPPORT, password_hash="two", totp_seed=seed, signed_in_at=NOW)
    await add_login(before, 3, "ANN@x.example", Realm.SUPPORT, password_hash="three", totp_seed=seed, disabled_at=NOW)
    for number in (1, 2):
        await add(
            before,
            "session",
            digest=bytes([number] * 32),
            login_id=number,
            created_at=NOW,
            seen_at=NOW,
            expires_at=LATER + 9,
            agent="a browser",
        )
    await add(
        before,
        "letter",
        letter_id=1,
        purpose=2,
        login_id=1,
        email="ann@x.example",
        seed=bytes(32),
        created_at=NOW,
        expires_at=LATER + 9,
        state=1,
        attempts=0,
        next_attempt_at=NOW,
    )
    async with upgraded(before) as stores:
        kept = await stores.logins.find(Realm.SUPPORT, "ann@x.example")
        assert kept is not None
        assert (2, None, "two") == (kept.login_id, kept.disabled_at, kept.password_hash)
        assert [kept] == list(await stores.logins.list(Realm.SUPPORT))
        aside = [await stores.logins.get(number) for number in (1, 3)]
        assert [("one", LATER), ("three", NOW)] == [
            (it.password_hash, it.disabled_at) for it in aside if it is not None
        ]
        assert await stores.sessions.find(bytes([1] * 32), LATER) is None
        assert await stores.sessions.find(bytes([2] * 32), LATER) is not None
        account_mail = await stores.account_mails.find(1)
        assert account_mail is not None
        assert (1, LATER, DeliveryState.GIVEN_UP) == (account_mail.login_id, account_mail.used_at, account_mail.state)
        assert ["ann@x.example has a password", "ANN@x.example has a password"] == [
            detail.partition(" of its own and is closed at the console;")[0] for _, _, _, detail in await notes(stores)
        ]


async def test_the_login_that_stays_is_the_person_of_all(before: Engine) -> None:
    """What one of them asked for the other does not approve, and the keys that one made are the other's."""
    await add_login(before, 5, "ann@x.example", Realm.SUPPORT, password_hash="one", counts_as="6,7")
    await add_login(before, 6, "Ann@x.example", Realm.SUPPORT)
    await add_login(before, 7, "ben@x.example", Realm.SUPPORT, counts_as="6")
    key = {"kind": 3, "name": "till", "hint": "fbu_…8K2P", "created_at": NOW}
    await add(before, "staff_key", digest=bytes([1] * 32), key_id=1, people="6,7", **key)
    await add(before, "staff_key", digest=bytes([2] * 32), key_id=2, people="1", **key)
    for number, people in ((1, "6"), (2, "7")):
        await add(
            before,
            "approval",
            merchant_id=ANN,
            number=number,
            kind=1,
            amount=5,
            reference=f"R-{number}",
            idempotency_key=f"key {number}",
            content=bytes(8),
            requested_by="Ann@x.example",
            requested_at=NOW,
            state=1,
            requested_people=people,
        )
    async with upgraded(before):
        assert [("5,7",), ("1",)] == list(await before.execute("SELECT people FROM staff_key ORDER BY key_id"))
        assert [("5",), ("7",)] == list(await before.execute("SELECT requested_people FROM approval ORDER BY number"))
        assert [("7",), ("5",)] == list(await before.execute("SELECT counts_as FROM login ORDER BY login_id"))


async def test_addresses_beyond_ascii_are_found_by_the_upgrade(before: Engine) -> None:
    await add_user(before, 1, "Jürgen@bücher.example", Role.MEMBER)
    await add_user(before, 2, "JÜRGEN@bücher.example", Role.VIEWER)
    async with upgraded(before) as stores:
        assert [2] == [user.user_id for user in await stores.users.list(ANN)]
        assert Role.MEMBER == await stores.users.role(ANN, "jürgen@XN--BCHER-KVA.example")


async def test_the_database_itself_keeps_one_person_to_a_mailbox(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores)
    await stores.users.add(User(ANN, 1, WAYS[0], NOW))
    await stores.logins.add(Login(1, Realm.MERCHANT, WAYS[0], "Ann", NOW))
    await stores.logins.add(Login(2, Realm.SUPPORT, WAYS[0], "Ann", NOW))
    for number, email in enumerate(WAYS, 10):
        for write in (
            stores.users.add(User(ANN, number, email, NOW)),
            stores.users.invite(User(ANN, number, email, NOW), account_mail=None, login=None),
            stores.logins.add(Login(number, Realm.MERCHANT, email, "Ann", NOW)),
            stores.logins.add(Login(number, Realm.SUPPORT, email, "Ann", NOW)),
        ):
            with pytest.raises(AlreadyExists):
                await write
    with pytest.raises(Refused):
        await engine.execute("UPDATE login SET realm = 1 WHERE login_id = 2")
    alert, mails = await fire(stores)
    assert [WAYS[0]] == [mail.email for mail in mails if mail.alert == alert]


async def test_of_many_who_register_one_mailbox_at_once_one_does(stores: Stores) -> None:
    await add_merchant(stores)
    ways = ["aNn", "anN", "Ann", "ANN", "ann"]
    outcomes = await asyncio.gather(
        *[stores.users.add(User(ANN, number, f"{way}@x.example", NOW)) for number, way in enumerate(ways)],
        return_exceptions=True,
    )
    assert 1 == outcomes.count(None)
    assert 1 == len(await stores.users.list(ANN))
