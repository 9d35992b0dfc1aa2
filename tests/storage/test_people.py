"""People who sign in, their sessions, links and account mails, and what they may do: on both engines."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core import audit_log
from farebox.core.audit_log import AuditEntry
from farebox.core.commands import Actor
from farebox.core.ids import NUMBER_MAX
from farebox.storage.interface import AlreadyExists, Database, NotFound, StorageError
from farebox.storage.people import LastOwner, LinkGone, People
from farebox.storage.rows import AccountMail, Login, MailState, Membership, Purpose, Realm, Role, Session, User
from tests.storage.engines import Engine, Refused
from tests.support.ledger import ANN, BEN, NOBODY, NOW, SECOND, add_merchant, fire

ADDRESS: Final = "ann@northwind.example"
LOGIN: Final = Login(1, Realm.MERCHANT, ADDRESS, "Ann", NOW, "a hash")
OTHER: Final = Login(2, Realm.SUPPORT, ADDRESS, "Ann", NOW + 1, None, b"\7" * 32, 41, NOW + 2, NOW + 3)
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
        state=MailState.WAITING,
        attempts=0,
        next_attempt_at=NOW,
    )
    return replace(made, **fields)


def audit_entry(number: int, **fields: Any) -> AuditEntry:
    """Make up an audit_entry of the audit log."""
    made = audit_log.audit_entry(Actor(number, "sam"), merchant_id=ANN, at=NOW, action="add_user", subject=ADDRESS)
    return replace(made, **fields)


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Database]:
    """An open store, with somebody who can sign in."""
    store: Any = engine.store()
    await store.migrate(NOW)
    await engine.clear()
    await store.open()
    await People(store).add_login(LOGIN)
    yield store
    await store.close()


@pytest.fixture
def people(store: Database) -> People:
    """The people of the store."""
    return People(store)


@pytest.fixture
async def rivals(engine: Engine, people: People) -> AsyncIterator[list[People]]:
    """The people as several processes see them."""
    async with AsyncExitStack() as stack:
        stores: list[Any] = [engine.store() for _ in range(4)]
        for store in stores:
            await store.open()
            stack.push_async_callback(store.close)
        yield [People(store) for store in stores]


async def outcomes(*actions: Awaitable[object]) -> Counter[object]:
    """Do all at once, and count what comes of it: results, and errors by their type."""
    found = await asyncio.gather(*actions, return_exceptions=True)
    return Counter(type(it) if isinstance(it, Exception) else it for it in found)


# Logins


async def test_logins_are_read_back_as_they_were_written(people: People) -> None:
    await people.add_login(OTHER)
    assert [LOGIN, OTHER, None] == [await people.login(number) for number in (1, 2, 3)]
    assert LOGIN == await people.find_login(Realm.MERCHANT, ADDRESS)
    assert OTHER == await people.find_login(Realm.SUPPORT, ADDRESS)
    assert await people.find_login(Realm.SUPPORT, ADDRESS.upper()) is None
    first = replace(OTHER, login_id=3, email="Zoe@northwind.example")
    await people.add_login(first)
    assert [first, OTHER] == await people.logins(Realm.SUPPORT)


async def test_an_address_signs_in_once_in_each_realm(people: People) -> None:
    for number in (1, 9):
        with pytest.raises(AlreadyExists):
            await people.add_login(replace(LOGIN, login_id=number))
    await people.add_login(replace(LOGIN, login_id=9, realm=Realm.SUPPORT))


async def test_a_password_that_is_changed_ends_sessions_and_links_but_the_session_that_changed_it(
    people: People,
) -> None:
    await people.add_login(OTHER)
    for number in (1, 2, 3):
        await people.add_session(session(number), "a hash")
    await people.add_account_mail(account_mail(1))
    await people.add_account_mail(account_mail(2, used_at=NOW))
    await people.set_password(1, "another hash", at=NOW + 9, keep=session(2).digest)
    assert "another hash" == (await login_of(people)).password_hash
    assert [session(2)] == await people.sessions(1, NOW)
    assert [NOW + 9, NOW] == [(await account_mail_of(people, number)).used_at for number in (1, 2)]
    await people.set_password(1, "a third", at=NOW)
    assert [] == await people.sessions(1, NOW)


@pytest.mark.parametrize("login_id", [2, 7])
async def test_who_is_closed_or_not_there_gets_no_password(people: People, login_id: int) -> None:
    await people.add_login(OTHER)
    with pytest.raises(NotFound):
        await people.set_password(login_id, "a hash", at=NOW)
    assert OTHER == await people.login(2)


async def test_who_is_closed_has_no_sessions_and_links_then_and_none_of_them_when_opened_again(
    people: People,
) -> None:
    await people.add_session(session(1), "a hash")
    await people.add_account_mail(account_mail(1))
    await people.set_disabled(1, NOW + 5, audit_entry(1))
    assert [] == await people.sessions(1, NOW)
    assert NOW + 5 == (await login_of(people)).disabled_at
    await people.set_disabled(1, None, audit_entry(2))
    assert (await login_of(people)).disabled_at is None
    assert await people.session(session(1).digest, NOW) is None
    with pytest.raises(LinkGone):
        await people.use_link(1, "a hash", NOW + 6)
    with pytest.raises(NotFound):
        await people.set_disabled(7, NOW)


# Sessions


async def test_a_session_is_read_with_its_login_until_it_ends(people: People) -> None:
    made = session(1, address=None)
    await people.add_session(made, "a hash")
    login = replace(LOGIN, signed_in_at=NOW)
    assert (made, login) == await people.session(made.digest, LATER - 1)
    assert await people.session(made.digest, LATER) is None
    assert await people.session(session(2).digest, NOW) is None
    assert [made] == await people.sessions(1, LATER - 1)
    assert [] == await people.sessions(1, LATER)


async def test_a_session_of_a_closed_login_opens_nothing(engine: Engine, people: People) -> None:
    await people.add_session(session(1), "a hash")
    await engine.execute(f"UPDATE login SET disabled_at = {NOW} WHERE login_id = 1")
    assert await people.session(session(1).digest, NOW) is None


async def test_sessions_are_listed_by_when_they_were_last_seen(people: People) -> None:
    for number in (1, 2, 3):
        await people.add_session(session(number), "a hash")
    await people.touch_session(session(1).digest, seen_at=NOW + 50, expires_at=LATER + 50)
    touched = session(1, seen_at=NOW + 50, expires_at=LATER + 50)
    assert [touched, session(3), session(2)] == await people.sessions(1, NOW)
    await people.end_session(session(3).digest)
    await people.touch_session(session(3).digest, seen_at=NOW, expires_at=LATER)
    assert [touched, session(2)] == await people.sessions(1, NOW)
    await people.end_sessions(1, keep=touched.digest)
    assert [touched] == await people.sessions(1, NOW)
    await people.end_sessions(1)
    assert [] == await people.sessions(1, NOW)


async def test_signing_in_removes_what_is_over(engine: Engine, people: People) -> None:
    await people.add_session(session(1, expires_at=NOW + 1), "a hash")
    await people.add_session(session(2, expires_at=NOW + 2), "a hash")
    await people.add_session(session(3, created_at=NOW + 1), "a hash")
    assert [(2,)] == [tuple(row) for row in await engine.execute("SELECT count(*) FROM session")]


@pytest.mark.parametrize("password_hash", ["another hash", "", None])
async def test_a_session_begins_with_the_password_that_holds_alone(people: People, password_hash: str | None) -> None:
    with pytest.raises(NotFound):
        await people.add_session(session(1), password_hash)
    assert [] == await people.sessions(1, NOW)
    assert (await login_of(people)).signed_in_at is None


async def test_no_session_begins_for_who_is_closed(people: People) -> None:
    await people.set_disabled(1, NOW)
    with pytest.raises(NotFound):
        await people.add_session(session(1), "a hash")


async def test_a_session_that_begins_while_the_password_is_changed_ends_with_the_old_one(rivals: list[People]) -> None:
    """In either order, a session that was checked against the old password opens nothing after it has changed."""
    for turn in range(10):
        old, new = ("a hash" if not turn else f"hash {turn}"), f"hash {turn + 1}"
        signs_in = [rivals[it].add_session(session(100 * turn + it), old) for it in (0, 1)]
        await outcomes(signs_in[0], rivals[2].set_password(1, new, at=NOW), signs_in[1])
        assert [] == await rivals[3].sessions(1, NOW)


# One-time codes


async def test_a_seed_is_kept_with_the_step_that_is_used_up(people: People) -> None:
    await people.set_code_seed(1, b"\1" * 32, used_step=7, audit_entry=audit_entry(1))
    assert (b"\1" * 32, 7) == ((await login_of(people)).totp_seed, (await login_of(people)).totp_step)
    assert [False, False, True, False] == [await people.use_code_step(1, step) for step in (6, 7, 8, 8)]
    await people.set_code_seed(1, None)
    assert ((await login_of(people)).totp_seed, (await login_of(people)).totp_step) == (None, 0)
    with pytest.raises(NotFound):
        await people.set_code_seed(7, None)


async def test_of_many_uses_of_one_code_one_wins(rivals: list[People]) -> None:
    found = await outcomes(*[people.use_code_step(1, 5) for people in rivals for _ in range(3)])
    assert Counter({False: 11, True: 1}) == found


# Links and account mails


async def test_account_mails_are_read_back_and_listed_newest_first(people: People) -> None:
    most = account_mail(
        2,
        purpose=Purpose.TEST,
        merchant_id=ANN,
        used_at=NOW,
        state=MailState.SENT,
        attempts=3,
        sent_at=NOW,
        last_error="Ünable",
    )
    await people.add_account_mail(account_mail(1))
    await people.add_account_mail(most)
    assert [account_mail(1), most, None] == [await people.account_mail(number) for number in (1, 2, 3)]
    assert [most, account_mail(1)] == await people.account_mails(9)
    assert [most] == await people.account_mails(1)


async def test_an_account_mail_comes_with_its_login_or_not_at_all(people: People) -> None:
    await people.add_account_mail(account_mail(1, login_id=2), OTHER, audit_entry(1))
    assert OTHER == await people.login(2)
    with pytest.raises(AlreadyExists):
        await people.add_account_mail(account_mail(2, login_id=3), replace(OTHER, login_id=3))
    with pytest.raises(NotFound):
        await people.add_account_mail(account_mail(3, login_id=99))
    assert [account_mail(1, login_id=2)] == await people.account_mails(9)


async def test_account_mails_are_counted_from_a_time_on(people: People) -> None:
    await people.add_login(OTHER)
    for number in (1, 2, 3):
        await people.add_account_mail(account_mail(number))
    await people.add_account_mail(account_mail(4, login_id=2))
    assert [3, 2, 0] == [await people.account_mails_since(1, NOW + since) for since in (0, 1, 3)]


async def test_a_link_sets_a_password_once_and_ends_all_else(people: People) -> None:
    await people.add_login(OTHER)
    for number in (1, 2):
        await people.add_account_mail(account_mail(number))
    await people.add_account_mail(account_mail(3, login_id=2))
    await people.add_session(session(1), "a hash")
    assert 1 == await people.use_link(1, "new hash", LATER - 1)
    assert "new hash" == (await login_of(people)).password_hash
    assert [] == await people.sessions(1, NOW)
    assert [LATER - 1, LATER - 1, None] == [(await account_mail_of(people, number)).used_at for number in (1, 2, 3)]
    for number in (1, 2, 9):
        with pytest.raises(LinkGone):
            await people.use_link(number, "newer hash", NOW)
    assert "new hash" == (await login_of(people)).password_hash


async def test_a_link_is_good_until_its_time_and_not_then(people: People) -> None:
    await people.add_account_mail(account_mail(1))
    with pytest.raises(LinkGone):
        await people.use_link(1, "new hash", LATER)
    assert LOGIN == await people.login(1)


async def test_a_link_of_who_is_closed_is_not_used_up(people: People) -> None:
    await people.add_login(OTHER)
    await people.add_account_mail(account_mail(1, login_id=2))
    with pytest.raises(NotFound) as raised:
        await people.use_link(1, "new hash", NOW)
    assert not isinstance(raised.value, LinkGone)
    assert (await account_mail_of(people, 1)).used_at is None


async def test_of_many_uses_of_one_link_one_wins(rivals: list[People]) -> None:
    await rivals[0].add_account_mail(account_mail(1))
    found = await outcomes(*[people.use_link(1, f"hash {number}", NOW) for number, people in enumerate(rivals * 3)])
    assert Counter({LinkGone: 11, 1: 1}) == found


async def test_of_two_links_of_one_person_that_are_used_at_once_one_wins(rivals: list[People]) -> None:
    for turn in range(5):
        first, second = account_mail(2 * turn + 1), account_mail(2 * turn + 2)
        await rivals[0].add_account_mail(first)
        await rivals[0].add_account_mail(second)
        uses = [
            people.use_link(it.account_mail_id, "hash", NOW)
            for people, it in zip(rivals, (first, second), strict=False)
        ]
        assert Counter({LinkGone: 1, 1: 1}) == await outcomes(*uses)


async def test_what_is_due_is_claimed_and_leased_the_longest_due_first(people: People) -> None:
    for number in (1, 2, 3):
        await people.add_account_mail(account_mail(number, next_attempt_at=NOW - number))
    await people.add_account_mail(account_mail(4, next_attempt_at=NOW + 1))
    await people.add_account_mail(account_mail(5, state=MailState.SENT, sent_at=NOW))
    await people.add_account_mail(account_mail(6, state=MailState.GIVEN_UP))
    assert NOW - 3 == await people.next_account_mail_at()
    claimed = await people.claim_account_mails(NOW, lease_until=NOW + 60, limit=2)
    expected = [account_mail(number, next_attempt_at=NOW + 60, attempts=1) for number in (2, 3)]
    assert expected == sorted(claimed, key=lambda it: it.account_mail_id)
    assert [1] == [it.account_mail_id for it in await people.claim_account_mails(NOW, lease_until=NOW + 60, limit=9)]
    assert [] == await people.claim_account_mails(NOW, lease_until=NOW + 60, limit=9)
    assert NOW + 1 == await people.next_account_mail_at()
    again = await people.claim_account_mails(NOW + 60, lease_until=NOW + 120, limit=9)
    assert {1: 2, 2: 2, 3: 2, 4: 1} == {it.account_mail_id: it.attempts for it in again}


async def test_claimers_at_once_get_each_mail_once(rivals: list[People]) -> None:
    for number in range(60):
        await rivals[0].add_account_mail(account_mail(number))

    async def claim(people: People) -> list[int]:
        mine: list[int] = []
        while found := await people.claim_account_mails(NOW, lease_until=NOW + 60, limit=7):
            mine += [it.account_mail_id for it in found]
        return mine

    claimed = [number for mine in await asyncio.gather(*map(claim, rivals)) for number in mine]
    assert list(range(60)) == sorted(claimed)


async def test_what_became_of_a_mail_is_written_down(people: People) -> None:
    await people.add_account_mail(account_mail(1, attempts=1))
    failed = account_mail(1, attempts=1, next_attempt_at=NOW + 60, last_error="no")
    await people.settle_account_mail(failed)
    assert failed == await people.account_mail(1)
    sent = account_mail(1, attempts=1, state=MailState.SENT, sent_at=NOW + 61)
    await people.settle_account_mail(sent)
    assert sent == await people.account_mail(1)
    assert await people.next_account_mail_at() is None
    with pytest.raises(NotFound):
        await people.settle_account_mail(account_mail(2))


async def test_what_is_not_sent_and_not_too_old_is_made_due_again(people: People) -> None:
    await people.add_account_mail(account_mail(1, state=MailState.GIVEN_UP))
    await people.add_account_mail(account_mail(2, next_attempt_at=LATER))
    await people.add_account_mail(account_mail(3, state=MailState.SENT, sent_at=NOW))
    await people.add_account_mail(account_mail(4, state=MailState.GIVEN_UP, expires_at=NOW + 5))
    assert 2 == await people.retry_account_mails(NOW + 5)
    assert [account_mail(2, next_attempt_at=NOW + 5), account_mail(1, next_attempt_at=NOW + 5)] == [
        it for it in await people.account_mails(9) if it.state == MailState.WAITING
    ]


# Merchants' people


async def test_memberships_are_listed_by_name_and_looked_up_one_by_one(store: Database, people: People) -> None:
    for number in (ANN, BEN):
        await add_merchant(store, number)
    await store.rename_merchant(ANN, "Zebra")
    await people.invite(User(ANN, 1, ADDRESS, NOW, Role.OWNER), account_mail=None, login=None)
    await people.invite(User(BEN, 2, ADDRESS, NOW, Role.VIEWER), account_mail=None, login=None)
    await people.invite(User(BEN, 3, "ben@northwind.example", NOW), account_mail=None, login=None)
    expected = [Membership(BEN, "Acme", Role.VIEWER), Membership(ANN, "Zebra", Role.OWNER)]
    assert expected == await people.memberships(ADDRESS)
    assert [] == await people.memberships(ADDRESS.upper())
    found = [await people.role(ANN, ADDRESS), await people.role(BEN, ADDRESS), await people.role(NOBODY, ADDRESS)]
    assert [Role.OWNER, Role.VIEWER, None] == found
    assert Role.MEMBER == await people.role(BEN, "ben@northwind.example")


async def test_who_is_invited_is_registered_with_login_and_mail_or_not_at_all(store: Database, people: People) -> None:
    await add_merchant(store)
    user = User(ANN, 1, ADDRESS, NOW)
    await people.invite(user, account_mail=account_mail(1), login=None, audit_entry=audit_entry(1))
    new = replace(LOGIN, login_id=5, email="ben@northwind.example")
    await people.invite(replace(user, user_id=2, email=new.email), account_mail=account_mail(2, login_id=5), login=new)
    assert new == await people.login(5)
    failing = [
        people.invite(replace(user, user_id=3), account_mail=account_mail(3), login=None, audit_entry=audit_entry(3)),
        people.invite(
            replace(user, user_id=4, email="x"), account_mail=account_mail(4), login=replace(new, login_id=6)
        ),
        people.invite(replace(user, user_id=6, email="y"), account_mail=account_mail(2), login=None),
    ]
    for action in failing:
        with pytest.raises(AlreadyExists):
            await action
    with pytest.raises(NotFound):
        await people.invite(User(NOBODY, 5, ADDRESS, NOW), account_mail=account_mail(5), login=None)
    assert [1, 2] == [it.user_id for it in await store.users(ANN)]
    assert [2, 1] == [it.account_mail_id for it in await people.account_mails(9)]
    assert [audit_entry(1)] == await audit_entries(store)


async def test_roles_are_changed_and_people_removed(store: Database, people: People) -> None:
    await with_people(store, {"one": Role.OWNER, "two": Role.OWNER, "three": Role.VIEWER})
    await people.set_role(ANN, "two", Role.MEMBER, is_owner_needed=True, audit_entry=audit_entry(1))
    await people.set_role(ANN, "three", Role.OWNER, is_owner_needed=True)
    assert {"one": 1, "two": 2, "three": 1} == await roles(store)
    await people.remove(ANN, "one", is_owner_needed=True, audit_entry=audit_entry(2))
    await people.remove(ANN, "two", is_owner_needed=True)
    assert {"three": 1} == await roles(store)
    for is_owner_needed in (True, False):
        with pytest.raises(NotFound):
            await people.remove(ANN, "one", is_owner_needed=is_owner_needed, audit_entry=audit_entry(3))
        with pytest.raises(NotFound):
            await people.set_role(ANN, "one", Role.VIEWER, is_owner_needed=is_owner_needed, audit_entry=audit_entry(4))
    await store.add_user(User(ANN, 9, "one", NOW))
    assert [audit_entry(1), audit_entry(2)] == sorted(await audit_entries(store), key=lambda it: it.entry_id)


async def test_the_last_owner_stays_one_unless_none_is_needed(store: Database, people: People) -> None:
    await with_people(store, {"one": Role.OWNER, "two": Role.MEMBER})
    await with_people(store, {"three": Role.OWNER}, BEN)
    with pytest.raises(LastOwner):
        await people.remove(ANN, "one", is_owner_needed=True)
    with pytest.raises(LastOwner):
        await people.set_role(ANN, "one", Role.MEMBER, is_owner_needed=True)
    await people.set_role(ANN, "one", Role.OWNER, is_owner_needed=True)
    assert {"one": 1, "two": 2} == await roles(store)
    await people.set_role(ANN, "one", Role.VIEWER, is_owner_needed=False)
    # Where there is no owner, nobody is the last one.
    await people.remove(ANN, "one", is_owner_needed=True)
    await people.remove(ANN, "two", is_owner_needed=False)
    assert {} == await roles(store)


@pytest.mark.parametrize("turn", range(3))
async def test_two_owners_who_go_at_once_leave_one(store: Database, rivals: list[People], turn: int) -> None:
    await with_people(store, {"one": Role.OWNER, "two": Role.OWNER, "three": Role.MEMBER})
    found = await outcomes(
        rivals[0].remove(ANN, "one", is_owner_needed=True),
        rivals[1].set_role(ANN, "two", Role.VIEWER, is_owner_needed=True),
    )
    assert Counter({None: 1, LastOwner: 1}) == found
    assert 1 == Counter((await roles(store)).values())[Role.OWNER]


async def test_who_is_removed_gets_no_more_alerts(store: Database, people: People) -> None:
    await add_merchant(store, funds=50)
    one, two = User(ANN, 1, "one@example.com", NOW), User(ANN, 2, "two@example.com", NOW)
    _, mails = await fire(store, one, two)
    assert [one.email, two.email] == [mail.email for mail in mails]
    await people.remove(ANN, one.email, is_owner_needed=False)
    _, mails = await fire(store)
    assert [two.email] == [mail.email for mail in mails]
    assert 3 == len(await store.mails(merchant_id=ANN, limit=9))


# The audit log, and what the database itself refuses

ACTIONS: Final[dict[str, Callable[[People, AuditEntry], Awaitable[None]]]] = {
    "add_login": lambda people, item: people.add_login(OTHER, item),
    "set_code_seed": lambda people, item: people.set_code_seed(1, b"\1" * 32, audit_entry=item),
    "set_disabled": lambda people, item: people.set_disabled(1, NOW, item),
    "add_account_mail": lambda people, item: people.add_account_mail(account_mail(1), None, item),
    "invite": lambda people, item: people.invite(
        User(ANN, 2, "two", NOW), account_mail=None, login=None, audit_entry=item
    ),
    "set_role": lambda people, item: people.set_role(ANN, "one", Role.VIEWER, is_owner_needed=False, audit_entry=item),
    "remove": lambda people, item: people.remove(ANN, "one", is_owner_needed=False, audit_entry=item),
}


def test_every_action_that_takes_an_entry_is_in_the_list() -> None:
    takes_one = {
        name
        for name, method in vars(People).items()
        if not name.startswith("_") and "audit_entry" in getattr(method, "__annotations__", ())
    }
    assert takes_one == set(ACTIONS)


@pytest.mark.parametrize("name", ACTIONS)
async def test_what_is_done_is_logged_with_it_or_neither(store: Database, people: People, name: str) -> None:
    await with_people(store, {"one": Role.OWNER})

    async def everything() -> list[Any]:
        return [await people.login(1), await people.login(2), await people.account_mails(9), await store.users(ANN)]

    before = await everything()
    with pytest.raises(StorageError):
        await ACTIONS[name](people, audit_entry(1, actor=None))
    assert (before, []) == (await everything(), await audit_entries(store))
    await ACTIONS[name](people, audit_entry(1))
    assert before != await everything()
    assert [audit_entry(1)] == await audit_entries(store)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO login (login_id, realm, email, name, created_at) VALUES (9, 3, 'x', 'x', 0)",
        "UPDATE login SET totp_seed = {short} WHERE login_id = 1",
        "INSERT INTO session VALUES ({short}, 1, 0, 0, 0, NULL, '')",
        "INSERT INTO session VALUES ({long}, 99, 0, 0, 0, NULL, '')",
        "UPDATE letter SET purpose = 4",
        "UPDATE letter SET seed = {short}",
        "UPDATE letter SET state = 4",
        "UPDATE letter SET state = 2",
        "UPDATE letter SET sent_at = 1",
        "UPDATE letter SET attempts = -1",
        "UPDATE letter SET login_id = 99",
        "UPDATE merchant_user SET role = 4",
        "UPDATE merchant_user SET role = 0",
    ],
)
async def test_the_database_repeats_the_rules(engine: Engine, store: Database, people: People, statement: str) -> None:
    await people.add_account_mail(account_mail(1))
    await with_people(store, {"one": Role.OWNER})
    with pytest.raises(Refused):
        await engine.execute(statement.format(short=engine.blob(b"x"), long=engine.blob(b"x" * 32)))


async def login_of(people: People) -> Login:
    found = await people.login(1)
    assert found is not None
    return found


async def account_mail_of(people: People, number: int) -> AccountMail:
    found = await people.account_mail(number)
    assert found is not None
    return found


async def with_people(store: Database, wanted: dict[str, Role], merchant_id: int = ANN) -> None:
    await add_merchant(store, merchant_id)
    for number, (email, role) in enumerate(wanted.items(), 1):
        await store.add_user(User(merchant_id, number, email, NOW, role))


async def roles(store: Database) -> dict[str, int]:
    return {user.email: user.role for user in await store.users(ANN)}


async def audit_entries(store: Database) -> list[AuditEntry]:
    return list(await store.audit_entries(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=9))
