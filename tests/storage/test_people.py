"""People who sign in, their sessions, links and account mails, and what they may do: on both engines."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core import audit_log
from farebox.core.alerts import AlertKind
from farebox.core.audit_log import Action, AuditEntry
from farebox.core.commands import Actor
from farebox.core.ids import NUMBER_MAX
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.storage.interface import AlreadyExists, NotFound, StorageError
from farebox.storage.people.logins import AlreadySo, ChangedMeanwhile, LastAdministrator, LinkGone, LoginClosed
from farebox.storage.people.users import LastOwner
from farebox.storage.records import (
    AccountMail,
    DeliveryState,
    Login,
    Maker,
    Membership,
    Purpose,
    Realm,
    Role,
    Session,
    User,
)
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, Refused, open_without_rows
from tests.support.ledger import ANN, BEN, NOBODY, NOW, SECOND, add_merchant, fire, takes_an_entry

ADDRESS: Final = "ann@northwind.example"
LOGIN: Final = Login(1, Realm.MERCHANT, ADDRESS, "Ann", NOW, "a hash")
OTHER: Final = Login(2, Realm.SUPPORT, ADDRESS, "Ann", NOW + 1, None, b"\7" * 32, 41, NOW + 2, NOW + 3, EVERY_ROLE)
LATER: Final = NOW + 1000 * SECOND


def session(number: int, login_id: int = 1, **fields: Any) -> Session:
    """Make up a session."""
    made = Session(number.to_bytes(32, "big"), login_id, NOW, NOW + number, LATER, "203.0.113.7", "a browser")
    return replace(made, **fields)


def account_mail(number: int, login_id: int = 1, **fields: Any) -> AccountMail:
    """Make up an account mail that is due."""
    made = AccountMail(
        account_mail_id=number,
        purpose=Purpose.RESET,
        login_id=login_id,
        merchant_id=None,
        email=ADDRESS,
        seed=number.to_bytes(32, "big"),
        created_at=NOW + number,
        expires_at=LATER,
        used_at=None,
        state=DeliveryState.WAITING,
        attempts=0,
        next_attempt_at=NOW,
    )
    return replace(made, **fields)


def audit_entry(number: int, **fields: Any) -> AuditEntry:
    """Make up an audit_entry of the audit log."""
    made = audit_log.audit_entry(Actor(number, "sam"), merchant_id=ANN, at=NOW, action=Action.ADD_USER, subject=ADDRESS)
    return replace(made, **fields)


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    """Open stores, with somebody who can sign in."""
    stores = await open_without_rows(engine)
    await stores.logins.add(LOGIN)
    yield stores
    await stores.connector.close()


@pytest.fixture
async def rivals(engine: Engine, stores: Stores) -> AsyncIterator[list[Stores]]:
    """The stores as several processes see them."""
    async with AsyncExitStack() as stack:
        rivals = [engine.stores() for _ in range(4)]
        for rival in rivals:
            await rival.connector.open()
            stack.push_async_callback(rival.connector.close)
        yield rivals


async def outcomes(*actions: Awaitable[object]) -> Counter[object]:
    """Do all at once, and count what comes of it: results, and errors by their type."""
    found = await asyncio.gather(*actions, return_exceptions=True)
    return Counter(type(it) if isinstance(it, Exception) else it for it in found)


# Logins


async def test_logins_are_read_back_as_they_were_written(stores: Stores) -> None:
    await stores.logins.add(OTHER)
    assert [LOGIN, OTHER, None] == [await stores.logins.get(number) for number in (1, 2, 3)]
    assert LOGIN == await stores.logins.find(Realm.MERCHANT, ADDRESS)
    assert OTHER == await stores.logins.find(Realm.SUPPORT, ADDRESS)
    assert await stores.logins.find(Realm.SUPPORT, ADDRESS.upper()) == await stores.logins.find(Realm.SUPPORT, ADDRESS)
    first = replace(OTHER, login_id=3, email="Zoe@northwind.example")
    await stores.logins.add(first)
    assert [first, OTHER] == await stores.logins.list(Realm.SUPPORT)


async def test_an_address_signs_in_once_in_each_realm(stores: Stores) -> None:
    for number in (1, 9):
        with pytest.raises(AlreadyExists):
            await stores.logins.add(replace(LOGIN, login_id=number))
    await stores.logins.add(replace(LOGIN, login_id=9, realm=Realm.SUPPORT))


async def test_a_password_that_is_changed_ends_sessions_and_links_but_the_session_that_changed_it(
    stores: Stores,
) -> None:
    await stores.logins.add(OTHER)
    for number in (1, 2, 3):
        await stores.sessions.add(session(number), "a hash")
    await stores.account_mails.add(account_mail(1))
    await stores.account_mails.add(account_mail(2, used_at=NOW))
    await stores.logins.change_password(1, "another hash", before="a hash", at=NOW + 9, keep=session(2).digest)
    assert "another hash" == (await login_of(stores)).password_hash
    assert [session(2)] == await stores.sessions.list(1, NOW)
    assert [NOW + 9, NOW] == [(await account_mail_of(stores, number)).used_at for number in (1, 2)]
    with pytest.raises(ChangedMeanwhile):
        await stores.logins.change_password(1, "a third", before="a hash", at=NOW)
    assert [session(2)] == await stores.sessions.list(1, NOW)
    await stores.logins.change_password(1, "a third", before="another hash", at=NOW)
    assert [] == await stores.sessions.list(1, NOW)


@pytest.mark.parametrize("login_id", [2, 7])
async def test_who_is_closed_or_not_there_gets_no_password(stores: Stores, login_id: int) -> None:
    await stores.logins.add(OTHER)
    with pytest.raises(NotFound):
        await stores.logins.change_password(login_id, "a hash", before=OTHER.password_hash, at=NOW)
    assert OTHER == await stores.logins.get(2)


async def test_who_is_closed_has_no_sessions_and_links_then_and_none_of_them_when_opened_again(
    stores: Stores,
) -> None:
    await stores.sessions.add(session(1), "a hash")
    await stores.account_mails.add(account_mail(1))
    await stores.logins.set_disabled(1, NOW + 5, audit_entry(1))
    assert [] == await stores.sessions.list(1, NOW)
    assert NOW + 5 == (await login_of(stores)).disabled_at
    await stores.logins.set_disabled(1, None, audit_entry(2))
    assert (await login_of(stores)).disabled_at is None
    assert await stores.sessions.find(session(1).digest, NOW) is None
    with pytest.raises(LinkGone):
        await stores.logins.use_link(1, "a hash", NOW + 6)
    with pytest.raises(NotFound):
        await stores.logins.set_disabled(7, NOW)


# Sessions


async def test_a_session_is_read_with_its_login_until_it_ends(stores: Stores) -> None:
    made = session(1, address=None)
    await stores.sessions.add(made, "a hash")
    login = replace(LOGIN, signed_in_at=NOW)
    assert (made, login) == await stores.sessions.find(made.digest, LATER - 1)
    assert await stores.sessions.find(made.digest, LATER) is None
    assert await stores.sessions.find(session(2).digest, NOW) is None
    assert [made] == await stores.sessions.list(1, LATER - 1)
    assert [] == await stores.sessions.list(1, LATER)


async def test_a_session_of_a_closed_login_opens_nothing(engine: Engine, stores: Stores) -> None:
    await stores.sessions.add(session(1), "a hash")
    await engine.execute(f"UPDATE login SET disabled_at = {NOW} WHERE login_id = 1")
    assert await stores.sessions.find(session(1).digest, NOW) is None


async def test_sessions_are_listed_by_when_they_were_last_seen(stores: Stores) -> None:
    for number in (1, 2, 3):
        await stores.sessions.add(session(number), "a hash")
    await stores.sessions.touch(session(1).digest, seen_at=NOW + 50, expires_at=LATER + 50)
    touched = session(1, seen_at=NOW + 50, expires_at=LATER + 50)
    assert [touched, session(3), session(2)] == await stores.sessions.list(1, NOW)
    await stores.sessions.end(session(3).digest)
    await stores.sessions.touch(session(3).digest, seen_at=NOW, expires_at=LATER)
    assert [touched, session(2)] == await stores.sessions.list(1, NOW)
    await stores.sessions.end_others(1, keep=touched.digest)
    assert [touched] == await stores.sessions.list(1, NOW)
    await stores.sessions.end_others(1)
    assert [] == await stores.sessions.list(1, NOW)


async def test_signing_in_removes_what_is_over(engine: Engine, stores: Stores) -> None:
    await stores.sessions.add(session(1, expires_at=NOW + 1), "a hash")
    await stores.sessions.add(session(2, expires_at=NOW + 2), "a hash")
    await stores.sessions.add(session(3, created_at=NOW + 1), "a hash")
    assert [(2,)] == [tuple(row) for row in await engine.execute("SELECT count(*) FROM session")]


@pytest.mark.parametrize("password_hash", ["another hash", "", None])
async def test_a_session_begins_with_the_password_that_holds_alone(stores: Stores, password_hash: str | None) -> None:
    with pytest.raises(NotFound):
        await stores.sessions.add(session(1), password_hash)
    assert [] == await stores.sessions.list(1, NOW)
    assert (await login_of(stores)).signed_in_at is None


async def test_no_session_begins_for_who_is_closed(stores: Stores) -> None:
    await stores.logins.set_disabled(1, NOW)
    with pytest.raises(NotFound):
        await stores.sessions.add(session(1), "a hash")


async def test_a_session_that_begins_while_the_password_is_changed_ends_with_the_old_one(rivals: list[Stores]) -> None:
    """In either order, a session that was checked against the old password opens nothing after it has changed."""
    for turn in range(10):
        old, new = ("a hash" if not turn else f"hash {turn}"), f"hash {turn + 1}"
        signs_in = [rivals[it].sessions.add(session(100 * turn + it), old) for it in (0, 1)]
        await outcomes(signs_in[0], rivals[2].logins.change_password(1, new, before=old, at=NOW), signs_in[1])
        assert [] == await rivals[3].sessions.list(1, NOW)


# One-time codes


async def test_a_seed_is_kept_with_the_step_that_is_used_up(stores: Stores) -> None:
    await stores.logins.set_totp_seed(1, b"\1" * 32, used_step=7)
    assert (b"\1" * 32, 7) == ((await login_of(stores)).totp_seed, (await login_of(stores)).totp_step)
    assert [False, False, True, False] == [await stores.logins.use_totp_step(1, step) for step in (6, 7, 8, 8)]
    await stores.logins.remove_totp_seed(1, audit_entry(2))
    assert ((await login_of(stores)).totp_seed, (await login_of(stores)).totp_step) == (None, 0)
    with pytest.raises(AlreadySo):
        await stores.logins.remove_totp_seed(1, audit_entry(3))
    with pytest.raises(NotFound):
        await stores.logins.set_totp_seed(7, b"\1" * 32)
    with pytest.raises(NotFound, match="no such login"):
        await stores.logins.remove_totp_seed(7)
    assert [audit_entry(2)] == await audit_entries(stores)


async def test_of_many_uses_of_one_code_one_wins(rivals: list[Stores]) -> None:
    found = await outcomes(*[stores.logins.use_totp_step(1, 5) for stores in rivals for _ in range(3)])
    assert Counter({False: 11, True: 1}) == found


# Links and account mails


async def test_account_mails_are_read_back_and_listed_newest_first(stores: Stores) -> None:
    most = account_mail(
        2,
        purpose=Purpose.TEST,
        merchant_id=ANN,
        used_at=NOW,
        state=DeliveryState.SENT,
        attempts=3,
        sent_at=NOW,
        last_error="Ünable",
    )
    await stores.account_mails.add(account_mail(1))
    await stores.account_mails.add(most)
    assert [account_mail(1), most, None] == [await stores.account_mails.find(number) for number in (1, 2, 3)]
    assert [most, account_mail(1)] == await stores.account_mails.list(9)
    assert [most] == await stores.account_mails.list(1)


async def test_an_account_mail_comes_with_its_login_or_not_at_all(stores: Stores) -> None:
    await stores.account_mails.add(account_mail(1, login_id=2), OTHER, audit_entry(1))
    assert OTHER == await stores.logins.get(2)
    with pytest.raises(AlreadyExists):
        await stores.account_mails.add(account_mail(2, login_id=3), replace(OTHER, login_id=3))
    with pytest.raises(NotFound):
        await stores.account_mails.add(account_mail(3, login_id=99))
    assert [account_mail(1, login_id=2)] == await stores.account_mails.list(9)


async def test_account_mails_are_counted_from_a_time_on(stores: Stores) -> None:
    await stores.logins.add(OTHER)
    for number in (1, 2, 3):
        await stores.account_mails.add(account_mail(number))
    await stores.account_mails.add(account_mail(4, login_id=2))
    assert [3, 2, 0] == [await stores.account_mails.count_since(1, NOW + since) for since in (0, 1, 3)]


async def test_a_link_sets_a_password_once_and_ends_all_else(stores: Stores) -> None:
    await stores.logins.add(OTHER)
    for number in (1, 2):
        await stores.account_mails.add(account_mail(number))
    await stores.account_mails.add(account_mail(3, login_id=2))
    await stores.sessions.add(session(1), "a hash")
    assert 1 == await stores.logins.use_link(1, "new hash", LATER - 1)
    assert "new hash" == (await login_of(stores)).password_hash
    assert [] == await stores.sessions.list(1, NOW)
    assert [LATER - 1, LATER - 1, None] == [(await account_mail_of(stores, number)).used_at for number in (1, 2, 3)]
    for number in (1, 2, 9):
        with pytest.raises(LinkGone):
            await stores.logins.use_link(number, "newer hash", NOW)
    assert "new hash" == (await login_of(stores)).password_hash


async def test_a_link_is_good_until_its_time_and_not_then(stores: Stores) -> None:
    await stores.account_mails.add(account_mail(1))
    with pytest.raises(LinkGone):
        await stores.logins.use_link(1, "new hash", LATER)
    assert LOGIN == await stores.logins.get(1)


async def test_a_link_of_who_is_closed_is_not_used_up(stores: Stores) -> None:
    await stores.logins.add(OTHER)
    await stores.account_mails.add(account_mail(1, login_id=2))
    with pytest.raises(NotFound) as raised:
        await stores.logins.use_link(1, "new hash", NOW)
    assert not isinstance(raised.value, LinkGone)
    assert (await account_mail_of(stores, 1)).used_at is None


async def test_of_many_uses_of_one_link_one_wins(rivals: list[Stores]) -> None:
    await rivals[0].account_mails.add(account_mail(1))
    found = await outcomes(
        *[stores.logins.use_link(1, f"hash {number}", NOW) for number, stores in enumerate(rivals * 3)]
    )
    assert Counter({LinkGone: 11, 1: 1}) == found


async def test_of_two_links_of_one_person_that_are_used_at_once_one_wins(rivals: list[Stores]) -> None:
    for turn in range(5):
        first, second = account_mail(2 * turn + 1), account_mail(2 * turn + 2)
        await rivals[0].account_mails.add(first)
        await rivals[0].account_mails.add(second)
        uses = [
            stores.logins.use_link(it.account_mail_id, "hash", NOW)
            for stores, it in zip(rivals, (first, second), strict=False)
        ]
        assert Counter({LinkGone: 1, 1: 1}) == await outcomes(*uses)


async def test_what_is_due_is_claimed_and_leased_the_longest_due_first(stores: Stores) -> None:
    for number in (1, 2, 3):
        await stores.account_mails.add(account_mail(number, next_attempt_at=NOW - number))
    await stores.account_mails.add(account_mail(4, next_attempt_at=NOW + 1))
    await stores.account_mails.add(account_mail(5, state=DeliveryState.SENT, sent_at=NOW))
    await stores.account_mails.add(account_mail(6, state=DeliveryState.GIVEN_UP))
    assert NOW - 3 == await stores.account_mails.next_due_at()
    claimed = await stores.account_mails.claim(NOW, lease_until=NOW + 60, limit=2)
    expected = [account_mail(number, next_attempt_at=NOW + 60, attempts=1) for number in (2, 3)]
    assert expected == sorted(claimed, key=lambda it: it.account_mail_id)
    assert [1] == [it.account_mail_id for it in await stores.account_mails.claim(NOW, lease_until=NOW + 60, limit=9)]
    assert [] == await stores.account_mails.claim(NOW, lease_until=NOW + 60, limit=9)
    assert NOW + 1 == await stores.account_mails.next_due_at()
    again = await stores.account_mails.claim(NOW + 60, lease_until=NOW + 120, limit=9)
    assert {1: 2, 2: 2, 3: 2, 4: 1} == {it.account_mail_id: it.attempts for it in again}


async def test_merchants_take_turns_in_claiming_account_mails(stores: Stores) -> None:
    """Mails of no merchant, such as links to new passwords, have a turn of their own."""
    for number in range(1, 21):
        await stores.account_mails.add(account_mail(number, merchant_id=7, next_attempt_at=NOW - 9))
    for number, merchant_id in ((30, None), (31, None), (32, 8)):
        await stores.account_mails.add(account_mail(number, merchant_id=merchant_id))

    async def claimed(after: int, limit: int = 1) -> list[int]:
        found = await stores.account_mails.claim(NOW, lease_until=NOW + 60, limit=limit, after=after)
        return sorted(it.account_mail_id for it in found)

    assert [1] == await claimed(0)
    assert [32] == await claimed(7)
    assert [30] == await claimed(8)
    assert [2, 3, 31] == await claimed(0, limit=3)
    assert 17 == len(await claimed(7, limit=99))


async def test_claimers_at_once_get_each_mail_once(rivals: list[Stores]) -> None:
    for number in range(60):
        await rivals[0].account_mails.add(account_mail(number))

    async def claim(stores: Stores) -> list[int]:
        mine: list[int] = []
        while found := await stores.account_mails.claim(NOW, lease_until=NOW + 60, limit=7):
            mine += [it.account_mail_id for it in found]
        return mine

    claimed = [number for mine in await asyncio.gather(*map(claim, rivals)) for number in mine]
    assert list(range(60)) == sorted(claimed)


async def test_what_became_of_a_mail_is_written_down(stores: Stores) -> None:
    await stores.account_mails.add(account_mail(1, attempts=1))
    failed = account_mail(1, attempts=1, next_attempt_at=NOW + 60, last_error="no")
    await stores.account_mails.settle(failed)
    assert failed == await stores.account_mails.find(1)
    sent = account_mail(1, attempts=1, state=DeliveryState.SENT, sent_at=NOW + 61)
    await stores.account_mails.settle(sent)
    assert sent == await stores.account_mails.find(1)
    assert await stores.account_mails.next_due_at() is None
    with pytest.raises(NotFound):
        await stores.account_mails.settle(account_mail(2))


async def test_what_is_not_sent_and_not_too_old_is_made_due_again(stores: Stores) -> None:
    await stores.account_mails.add(account_mail(1, state=DeliveryState.GIVEN_UP))
    await stores.account_mails.add(account_mail(2, next_attempt_at=LATER))
    await stores.account_mails.add(account_mail(3, state=DeliveryState.SENT, sent_at=NOW))
    await stores.account_mails.add(account_mail(4, state=DeliveryState.GIVEN_UP, expires_at=NOW + 5))
    assert 2 == await stores.account_mails.retry(NOW + 5)
    assert [account_mail(2, next_attempt_at=NOW + 5), account_mail(1, next_attempt_at=NOW + 5)] == [
        it for it in await stores.account_mails.list(9) if it.state == DeliveryState.WAITING
    ]


# Merchants' people


async def test_memberships_are_listed_by_name_and_looked_up_one_by_one(stores: Stores) -> None:
    for number in (ANN, BEN):
        await add_merchant(stores, number)
    await stores.merchants.rename(ANN, "Zebra")
    await stores.users.invite(User(ANN, 1, ADDRESS, NOW, Role.OWNER), account_mail=None, login=None)
    await stores.users.invite(User(BEN, 2, ADDRESS, NOW, Role.VIEWER), account_mail=None, login=None)
    await stores.users.invite(User(BEN, 3, "ben@northwind.example", NOW), account_mail=None, login=None)
    expected = [Membership(BEN, "Acme", Role.VIEWER), Membership(ANN, "Zebra", Role.OWNER)]
    assert expected == await stores.users.memberships(ADDRESS)
    assert await stores.users.memberships(ADDRESS) == await stores.users.memberships(ADDRESS.upper())
    found = [
        await stores.users.role(ANN, ADDRESS),
        await stores.users.role(BEN, ADDRESS),
        await stores.users.role(NOBODY, ADDRESS),
    ]
    assert [Role.OWNER, Role.VIEWER, None] == found
    assert Role.MEMBER == await stores.users.role(BEN, "ben@northwind.example")


async def test_users_are_read_with_what_they_sign_in_by_oldest_first(stores: Stores) -> None:
    await add_merchant(stores)
    users = [User(ANN, 2, "ben@northwind.example", NOW), User(ANN, 1, ADDRESS, NOW, Role.OWNER)]
    for user in users:
        await stores.users.add(user)
    await stores.logins.add(OTHER)
    # The operator's own Ann has the same address.
    assert [(users[1], LOGIN), (users[0], None)] == await stores.users.with_logins(ANN)
    assert [] == await stores.users.with_logins(BEN)


async def test_who_is_invited_is_registered_with_login_and_mail_or_not_at_all(stores: Stores) -> None:
    await add_merchant(stores)
    user = User(ANN, 1, ADDRESS, NOW)
    await stores.users.invite(user, account_mail=account_mail(1), login=None, audit_entry=audit_entry(1))
    new = replace(LOGIN, login_id=5, email="ben@northwind.example")
    await stores.users.invite(
        replace(user, user_id=2, email=new.email), account_mail=account_mail(2, login_id=5), login=new
    )
    assert new == await stores.logins.get(5)
    failing = [
        stores.users.invite(
            replace(user, user_id=3), account_mail=account_mail(3), login=None, audit_entry=audit_entry(3)
        ),
        stores.users.invite(
            replace(user, user_id=4, email="x"), account_mail=account_mail(4), login=replace(new, login_id=6)
        ),
        stores.users.invite(replace(user, user_id=6, email="y"), account_mail=account_mail(2), login=None),
    ]
    for action in failing:
        with pytest.raises(AlreadyExists):
            await action
    with pytest.raises(NotFound):
        await stores.users.invite(User(NOBODY, 5, ADDRESS, NOW), account_mail=account_mail(5), login=None)
    assert [1, 2] == [it.user_id for it in await stores.users.list(ANN)]
    assert [2, 1] == [it.account_mail_id for it in await stores.account_mails.list(9)]
    assert [audit_entry(1)] == await audit_entries(stores)


async def test_roles_are_changed_and_people_removed(stores: Stores) -> None:
    await with_people(stores, {"one": Role.OWNER, "two": Role.OWNER, "three": Role.VIEWER})
    await stores.users.set_role(ANN, "two", Role.MEMBER, is_owner_needed=True, audit_entry=audit_entry(1))
    await stores.users.set_role(ANN, "three", Role.OWNER, is_owner_needed=True)
    assert {"one": 1, "two": 2, "three": 1} == await roles(stores)
    await stores.users.remove(ANN, "one", is_owner_needed=True, audit_entry=audit_entry(2))
    await stores.users.remove(ANN, "two", is_owner_needed=True)
    assert {"three": 1} == await roles(stores)
    for is_owner_needed in (True, False):
        with pytest.raises(NotFound):
            await stores.users.remove(ANN, "one", is_owner_needed=is_owner_needed, audit_entry=audit_entry(3))
        with pytest.raises(NotFound):
            await stores.users.set_role(
                ANN, "one", Role.VIEWER, is_owner_needed=is_owner_needed, audit_entry=audit_entry(4)
            )
    await stores.users.add(User(ANN, 9, "one", NOW))
    assert [audit_entry(1), audit_entry(2)] == sorted(await audit_entries(stores), key=lambda it: it.entry_id)


async def test_the_last_owner_stays_one_unless_none_is_needed(stores: Stores) -> None:
    await with_people(stores, {"one": Role.OWNER, "two": Role.MEMBER})
    await with_people(stores, {"three": Role.OWNER}, BEN)
    with pytest.raises(LastOwner):
        await stores.users.remove(ANN, "one", is_owner_needed=True)
    with pytest.raises(LastOwner):
        await stores.users.set_role(ANN, "one", Role.MEMBER, is_owner_needed=True)
    await stores.users.set_role(ANN, "one", Role.OWNER, is_owner_needed=True)
    assert {"one": 1, "two": 2} == await roles(stores)
    await stores.users.set_role(ANN, "one", Role.VIEWER, is_owner_needed=False)
    # Where there is no owner, nobody is the last one.
    await stores.users.remove(ANN, "one", is_owner_needed=True)
    await stores.users.remove(ANN, "two", is_owner_needed=False)
    assert {} == await roles(stores)


@pytest.mark.parametrize("turn", range(3))
async def test_two_owners_who_go_at_once_leave_one(stores: Stores, rivals: list[Stores], turn: int) -> None:
    await with_people(stores, {"one": Role.OWNER, "two": Role.OWNER, "three": Role.MEMBER})
    found = await outcomes(
        rivals[0].users.remove(ANN, "one", is_owner_needed=True),
        rivals[1].users.set_role(ANN, "two", Role.VIEWER, is_owner_needed=True),
    )
    assert Counter({None: 1, LastOwner: 1}) == found
    assert 1 == Counter((await roles(stores)).values())[Role.OWNER]


async def _with_staff(stores: Stores, *staff: Login) -> None:
    for login in staff:
        await stores.logins.add(login)


def _staff(number: int, roles: StaffRole, **fields: Any) -> Login:
    known = {"password_hash": "a hash", **fields}
    return Login(number, Realm.SUPPORT, f"{number}@farebox.example", "Sam", NOW, roles=roles, **known)


async def test_the_last_administrator_who_can_sign_in_stays_one(stores: Stores) -> None:
    await _with_staff(
        stores,
        _staff(11, EVERY_ROLE),
        _staff(12, StaffRole.ADMINISTRATOR, password_hash=None),
        _staff(13, StaffRole.ADMINISTRATOR, disabled_at=NOW),
        _staff(14, StaffRole.SUPPORT),
    )
    with pytest.raises(LastAdministrator):
        await stores.logins.set_roles(11, StaffRole.SUPPORT, audit_entry(1))
    with pytest.raises(LastAdministrator):
        await stores.logins.set_disabled(11, NOW, audit_entry(2))
    assert [] == await audit_entries(stores)
    await stores.logins.set_roles(11, StaffRole.ADMINISTRATOR)
    # Those who can't sign in, or administer nothing, may go.
    for number in (12, 14):
        await stores.logins.set_disabled(number, NOW)
    await stores.logins.set_roles(13, StaffRole.VIEWER)
    await stores.logins.set_disabled(14, None)
    await stores.logins.set_roles(14, EVERY_ROLE)
    await stores.logins.set_roles(11, StaffRole.VIEWER)
    staff = {login.login_id: login.roles for login in await stores.logins.list(Realm.SUPPORT)}
    assert {11: 1, 12: 4, 13: 1, 14: 6} == staff
    with pytest.raises(NotFound):
        await stores.logins.set_roles(99, StaffRole.VIEWER)


@pytest.mark.parametrize("turn", range(3))
async def test_two_administrators_who_go_at_once_leave_one(stores: Stores, rivals: list[Stores], turn: int) -> None:
    await _with_staff(stores, _staff(11, EVERY_ROLE), _staff(12, StaffRole.ADMINISTRATOR))
    found = await outcomes(
        rivals[0].logins.set_disabled(11, NOW),
        rivals[1].logins.set_roles(12, StaffRole.SUPPORT),
    )
    assert Counter({None: 1, LastAdministrator: 1}) == found


AT_ONCE: Final[dict[str, Callable[[Stores, AuditEntry], Awaitable[None]]]] = {
    "close": lambda stores, item: stores.logins.set_disabled(11, NOW, item),
    "reopen": lambda stores, item: stores.logins.set_disabled(12, None, item),
    "confirm": lambda stores, item: stores.logins.confirm(11, maker=Maker(), audit_entry=item),
    "change roles": lambda stores, item: stores.logins.set_roles(11, StaffRole.VIEWER, item, before=StaffRole.SUPPORT),
    "remove codes": lambda stores, item: stores.logins.remove_totp_seed(11, item),
}


@pytest.mark.parametrize("action", AT_ONCE)
async def test_of_several_who_do_the_same_at_once_one_does_it(
    stores: Stores, rivals: list[Stores], action: str
) -> None:
    await _with_staff(
        stores,
        _staff(11, StaffRole.SUPPORT, totp_seed=b"\1" * 32, counts_as="13"),
        _staff(12, StaffRole.SUPPORT, disabled_at=NOW),
    )
    do = AT_ONCE[action]
    found = await outcomes(*[do(rival, audit_entry(number)) for number, rival in enumerate(rivals)])
    assert Counter({None: 1, AlreadySo: len(rivals) - 1}) == found
    assert 1 == len(await audit_entries(stores))


async def test_roles_are_changed_from_those_that_were_seen(stores: Stores, rivals: list[Stores]) -> None:
    await _with_staff(stores, _staff(11, StaffRole.SUPPORT), _staff(12, EVERY_ROLE))
    targets = (StaffRole.VIEWER, EVERY_ROLE)
    found = await outcomes(
        *[
            rival.logins.set_roles(11, roles, before=StaffRole.SUPPORT)
            for rival, roles in zip(rivals, targets, strict=False)
        ]
    )
    assert Counter({None: 1, ChangedMeanwhile: 1}) == found


async def test_a_closed_account_is_not_confirmed(stores: Stores) -> None:
    await _with_staff(stores, _staff(11, StaffRole.SUPPORT, counts_as="13", disabled_at=NOW))
    with pytest.raises(LoginClosed):
        await stores.logins.confirm(11, maker=Maker(), audit_entry=audit_entry(1))
    assert [] == await audit_entries(stores)


async def test_who_is_removed_gets_no_more_alerts(stores: Stores) -> None:
    await add_merchant(stores, funds=50)
    one, two = User(ANN, 1, "one@example.com", NOW), User(ANN, 2, "two@example.com", NOW)
    _, mails = await fire(stores, one, two)
    assert [one.email, two.email] == [mail.email for mail in mails]
    await stores.users.remove(ANN, one.email, is_owner_needed=False)
    _, mails = await fire(stores)
    assert [two.email] == [mail.email for mail in mails]
    assert 3 == len(await stores.deliveries.mails(merchant_id=ANN, limit=9))


# The audit log, and what the database itself refuses

ACTIONS: Final[dict[str, Callable[[Stores, AuditEntry], Awaitable[object]]]] = {
    "logins.add": lambda stores, item: stores.logins.add(OTHER, item),
    "logins.remove_totp_seed": lambda stores, item: stores.logins.remove_totp_seed(3, item),
    "logins.set_disabled": lambda stores, item: stores.logins.set_disabled(1, NOW, item),
    "logins.set_roles": lambda stores, item: stores.logins.set_roles(1, StaffRole.VIEWER, item),
    "logins.invite": lambda stores, item: stores.logins.invite(
        OTHER, account_mail(1, login_id=2), maker=Maker(1), is_staff_told=False, audit_entry=item
    ),
    "logins.confirm": lambda stores, item: stores.logins.confirm(3, maker=Maker(), audit_entry=item),
    "logins.set_mail_kinds": lambda stores, item: stores.logins.set_mail_kinds(3, 0, item),
    "logins.stop_mails": lambda stores, item: stores.logins.stop_mails(3, 1 << AlertKind.UNUSUAL_SPENDING, item),
    "account_mails.add": lambda stores, item: stores.account_mails.add(account_mail(1), None, item),
    "users.invite": lambda stores, item: stores.users.invite(
        User(ANN, 2, "two", NOW), account_mail=None, login=None, audit_entry=item
    ),
    "users.set_role": lambda stores, item: stores.users.set_role(
        ANN, "one", Role.VIEWER, is_owner_needed=False, audit_entry=item
    ),
    "users.set_mail_kinds": lambda stores, item: stores.users.set_mail_kinds(ANN, "one", 1 << AlertKind.USED_UP, item),
    "users.stop_mails": lambda stores, item: stores.users.stop_mails(ANN, 1, 1 << AlertKind.LOW_BALANCE, item),
    "users.remove": lambda stores, item: stores.users.remove(ANN, "one", is_owner_needed=False, audit_entry=item),
}


def test_every_action_that_takes_an_entry_is_in_the_list() -> None:
    others = {"users.add"}
    assert takes_an_entry("users", "logins", "sessions", "account_mails") - others == set(ACTIONS)


@pytest.mark.parametrize("name", ACTIONS)
async def test_what_is_done_is_logged_with_it_or_neither(stores: Stores, name: str) -> None:
    await with_people(stores, {"one": Role.OWNER})
    await stores.logins.add(
        Login(3, Realm.SUPPORT, "cai@farebox.example", "Cai", NOW, totp_seed=b"\1" * 32, counts_as="7")
    )

    async def everything() -> list[Any]:
        return [
            *[await stores.logins.get(number) for number in (1, 2, 3)],
            await stores.account_mails.list(9),
            await stores.users.list(ANN),
        ]

    before = await everything()
    with pytest.raises(StorageError):
        await ACTIONS[name](stores, audit_entry(1, actor=None))
    assert (before, []) == (await everything(), await audit_entries(stores))
    await ACTIONS[name](stores, audit_entry(1))
    assert before != await everything()
    assert [audit_entry(1)] == await audit_entries(stores)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO login (login_id, realm, email, name, created_at) VALUES (9, 3, 'x', 'x', 0)",
        "UPDATE login SET totp_seed = {short} WHERE login_id = 1",
        "UPDATE login SET roles = 8",
        "UPDATE login SET roles = NULL",
        "INSERT INTO session VALUES ({short}, 1, 0, 0, 0, NULL, '')",
        "INSERT INTO session VALUES ({long}, 99, 0, 0, 0, NULL, '')",
        "UPDATE letter SET purpose = 0",
        "UPDATE letter SET seed = {short}",
        "UPDATE letter SET state = 5",
        "UPDATE letter SET state = 2",
        "UPDATE letter SET sent_at = 1",
        "UPDATE letter SET attempts = -1",
        "UPDATE letter SET login_id = 99",
        "UPDATE merchant_user SET role = 4",
        "UPDATE merchant_user SET role = 0",
    ],
)
async def test_the_database_repeats_the_rules(engine: Engine, stores: Stores, statement: str) -> None:
    await stores.account_mails.add(account_mail(1))
    await with_people(stores, {"one": Role.OWNER})
    with pytest.raises(Refused):
        await engine.execute(statement.format(short=engine.blob(b"x"), long=engine.blob(b"x" * 32)))


async def login_of(stores: Stores) -> Login:
    found = await stores.logins.get(1)
    assert found is not None
    return found


async def account_mail_of(stores: Stores, number: int) -> AccountMail:
    found = await stores.account_mails.find(number)
    assert found is not None
    return found


async def with_people(stores: Stores, wanted: dict[str, Role], merchant_id: int = ANN) -> None:
    await add_merchant(stores, merchant_id)
    for number, (email, role) in enumerate(wanted.items(), 1):
        await stores.users.add(User(merchant_id, number, email, NOW, role))


async def roles(stores: Stores) -> dict[str, int]:
    return {user.email: user.role for user in await stores.users.list(ANN)}


async def audit_entries(stores: Stores) -> list[AuditEntry]:
    return list(await stores.audit_log.list(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=9))
