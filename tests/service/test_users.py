"""Merchants' people and the operator's staff: roles, invitations, and what of it the audit log tells."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.core.ids import NUMBER_MAX
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.service.errors import Conflict, InvalidInput, Missing, UnknownMerchant
from farebox.service.people.api_keys import Principal
from farebox.service.people.sign_in import ACCOUNT_MAILS_PER_HOUR_MAX, SignInRefused
from farebox.service.people.users import Member, Membership, Users
from farebox.storage.records import Login, Purpose, Realm, Role
from tests.service.people import ANN, PASSWORD, PeopleParts, open_people_parts
from tests.support.ledger import ANN as MERCHANT
from tests.support.ledger import BEN as OTHER
from tests.support.ledger import NOBODY, add_merchant

BOB: Final = "bob@northwind.example"
SAM: Final = "sam@farebox.example"
ACTOR: Final = Principal("ada@farebox.example", address="203.0.113.7", roles=EVERY_ROLE)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[PeopleParts]:
    async with open_people_parts(tmp_path) as parts:
        for number in (MERCHANT, OTHER):
            await add_merchant(parts.stores, number)
        yield parts


async def log(parts: PeopleParts) -> list[tuple[Any, ...]]:
    """Read the audit log, sorted: all of it is of one moment."""
    found = await parts.stores.audit_log.list(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=99)
    assert {ACTOR.address} >= {audit_entry.address for audit_entry in found}
    return sorted(
        (audit_entry.merchant_id, audit_entry.action, audit_entry.subject, audit_entry.detail) for audit_entry in found
    )


async def test_who_is_invited_is_registered_and_mailed_a_link_to_sign_in_by(parts: PeopleParts) -> None:
    user = await parts.users.invite(MERCHANT, "Ann@NORTHWIND.example", Role.OWNER, principal=ACTOR)
    assert ("Ann@northwind.example", Role.OWNER) == (user.email, user.role)
    (account_mail,) = await parts.stores.account_mails.list(9)
    assert (Purpose.INVITATION, MERCHANT, user.email) == (
        account_mail.purpose,
        account_mail.merchant_id,
        account_mail.email,
    )
    signed_in = await parts.sign_in.use_link(parts.sign_in.link_text(account_mail), PASSWORD, address=None, agent="")
    assert [Member(user, signed_in.login)] == [
        Member(it.user, it.login and signed_in.login) for it in await parts.users.members(MERCHANT)
    ]
    assert [(MERCHANT, "add_user", user.email, "owner")] == await log(parts)


async def test_one_login_serves_for_all_accounts_of_an_address(parts: PeopleParts) -> None:
    await parts.users.invite(MERCHANT, ANN, Role.OWNER, principal=None)
    await parts.users.invite(OTHER, ANN, Role.VIEWER, principal=None)
    assert 1 == len(await parts.stores.logins.list(Realm.MERCHANT))
    expected = [Membership(MERCHANT, "Acme", Role.OWNER), Membership(OTHER, "Acme", Role.VIEWER)]
    assert expected == list(await parts.users.memberships(ANN))
    assert [Role.OWNER, Role.VIEWER, None] == [await parts.users.role(it, ANN) for it in (MERCHANT, OTHER, NOBODY)]


async def test_who_is_invited_to_two_accounts_at_once_gets_one_login(parts: PeopleParts) -> None:
    await asyncio.gather(*[parts.users.invite(it, ANN, Role.OWNER, principal=None) for it in (MERCHANT, OTHER)])
    assert 1 == len(await parts.stores.logins.list(Realm.MERCHANT))
    assert 2 == len(await parts.users.memberships(ANN))


@pytest.mark.parametrize(
    ("merchant_id", "email", "error"),
    [(MERCHANT, ANN, Conflict), (MERCHANT, "no address", InvalidInput), (NOBODY, BOB, UnknownMerchant)],
)
async def test_who_can_not_be_invited_is_not(
    parts: PeopleParts, merchant_id: int, email: str, error: type[Exception]
) -> None:
    await parts.users.invite(MERCHANT, ANN, Role.OWNER, principal=ACTOR)
    with pytest.raises(error):
        await parts.users.invite(merchant_id, email, Role.MEMBER, principal=ACTOR)
    assert 1 == len(await parts.stores.account_mails.list(9))
    assert 1 == len(await log(parts))


async def test_a_registered_person_is_invited_once_more(parts: PeopleParts) -> None:
    await parts.users.invite(MERCHANT, ANN, Role.OWNER, principal=None)
    account_mail = await parts.users.invite_again(MERCHANT, "ann@NORTHWIND.example", principal=ACTOR)
    assert account_mail == (await parts.stores.account_mails.list(1))[0]
    for merchant_id, email in ((OTHER, ANN), (MERCHANT, BOB), (MERCHANT, "nobody\0"), (MERCHANT, "")):
        with pytest.raises(InvalidInput):
            await parts.users.invite_again(merchant_id, email, principal=ACTOR)
    assert [(MERCHANT, "invite_user", ANN, "")] == await log(parts)


async def test_a_mailbox_is_flooded_by_nobody(parts: PeopleParts) -> None:
    """Neither by inviting again and again, nor by removing and inviting."""
    await parts.users.invite(MERCHANT, ANN, Role.OWNER, principal=None)
    for _ in range(ACCOUNT_MAILS_PER_HOUR_MAX - 1):
        await parts.users.invite_again(MERCHANT, ANN, principal=ACTOR)
    await parts.staff.add(SAM, "Sam", principal=None)
    for _ in range(ACCOUNT_MAILS_PER_HOUR_MAX - 1):
        await parts.staff.invite_again(SAM, principal=None)
    before = await log(parts)
    actions: list[Callable[[], Awaitable[object]]] = [
        lambda: parts.users.invite_again(MERCHANT, ANN, principal=ACTOR),
        lambda: parts.users.invite(OTHER, ANN, Role.OWNER, principal=ACTOR),
        lambda: parts.staff.invite_again(SAM, principal=ACTOR),
    ]
    for action in actions:
        with pytest.raises(InvalidInput, match="was sent 5 mails within an hour; try again later"):
            await action()
    assert 2 * ACCOUNT_MAILS_PER_HOUR_MAX == len(await parts.stores.account_mails.list(99))
    assert before == await log(parts)
    parts.clock.move(3601)
    for action in actions:
        await action()


async def test_an_account_keeps_an_owner_where_one_is_needed(parts: PeopleParts) -> None:
    await parts.users.invite(MERCHANT, ANN, Role.OWNER, principal=None)
    await parts.users.invite(MERCHANT, BOB, Role.MEMBER, principal=None)
    users = parts.users
    with pytest.raises(InvalidInput) as raised:
        await users.set_role(MERCHANT, ANN, Role.VIEWER, is_owner_needed=True, principal=ACTOR)
    assert "role" == raised.value.field
    with pytest.raises(InvalidInput) as raised:
        await users.remove(MERCHANT, ANN, is_owner_needed=True, principal=ACTOR)
    assert "email" == raised.value.field
    assert [] == await log(parts)
    await users.set_role(MERCHANT, BOB, Role.OWNER, is_owner_needed=True, principal=ACTOR)
    await users.remove(MERCHANT, "ann@NORTHWIND.example", is_owner_needed=True, principal=ACTOR)
    await users.remove(MERCHANT, BOB, is_owner_needed=False, principal=ACTOR)
    assert [] == await users.members(MERCHANT)
    expected = [("set_role", BOB, "owner"), ("remove_user", ANN, ""), ("remove_user", BOB, "")]
    assert sorted((MERCHANT, *it) for it in expected) == await log(parts)


@pytest.mark.parametrize("email", [BOB, "", "no address", "nobody\0"])
async def test_who_is_not_registered_is_missing(parts: PeopleParts, email: str) -> None:
    users: Users = parts.users
    with pytest.raises(Missing, match="not registered there"):
        await users.set_role(MERCHANT, email, Role.VIEWER, is_owner_needed=False, principal=ACTOR)
    with pytest.raises(Missing, match="not registered there"):
        await users.remove(MERCHANT, email, is_owner_needed=True, principal=ACTOR)
    assert [] == await log(parts)


async def test_who_was_removed_sees_the_account_no_more_though_signed_in(parts: PeopleParts) -> None:
    await parts.add()
    await parts.users.invite(MERCHANT, ANN, Role.OWNER, principal=None)
    await parts.enter()
    await parts.users.remove(MERCHANT, ANN, is_owner_needed=False, principal=None)
    assert await parts.users.role(MERCHANT, ANN) is None


async def test_staff_come_by_a_mail_go_and_come_back(parts: PeopleParts) -> None:
    ada = await parts.add("ada@farebox.example", realm=Realm.SUPPORT)
    login, account_mail = await parts.staff.add("sam@FAREBOX.example", "Sam", principal=ACTOR)
    assert [ada, login] == list(await parts.staff.list())
    assert (SAM, "Sam", None) == (login.email, login.name, account_mail.merchant_id)
    await parts.sign_in.use_link(parts.sign_in.link_text(account_mail), PASSWORD, address=None, agent="")
    signed_in = await parts.enter(SAM, realm=Realm.SUPPORT)
    with pytest.raises(Conflict):
        await parts.staff.add(SAM, "Sam", principal=ACTOR)
    await parts.staff.close(SAM, principal=ACTOR)
    assert await parts.sign_in.authenticate(signed_in.token, Realm.SUPPORT) is None
    with pytest.raises(SignInRefused):
        await parts.enter(SAM, realm=Realm.SUPPORT)
    with pytest.raises(Conflict, match="closed already"):
        await parts.staff.close(SAM, principal=ACTOR)
    with pytest.raises(InvalidInput, match="open it first"):
        await parts.staff.invite_again(SAM, principal=ACTOR)
    await parts.staff.reopen(SAM, principal=ACTOR)
    with pytest.raises(Conflict, match="open already"):
        await parts.staff.reopen(SAM, principal=ACTOR)
    await parts.enter(SAM, realm=Realm.SUPPORT)
    await parts.staff.invite_again(SAM, principal=ACTOR)
    await parts.stores.logins.set_totp_seed(login.login_id, b"\1" * 32)
    await parts.staff.disable_two_factor(SAM, principal=ACTOR)
    with pytest.raises(Conflict, match="nothing to remove"):
        await parts.staff.disable_two_factor(SAM, principal=ACTOR)
    with pytest.raises(Conflict, match="is support already"):
        await parts.staff.set_roles(SAM, [StaffRole.SUPPORT], principal=ACTOR)
    await parts.enter(SAM, realm=Realm.SUPPORT)
    actions = ["close_staff", "reopen_staff", "invite_staff", "disable_two_factor"]
    added = (None, "add_staff", SAM, "Sam as support")
    assert sorted([added, *((None, action, SAM, "") for action in actions)]) == await log(parts)


async def test_of_two_who_change_an_account_at_once_one_is_told_that_the_other_did(parts: PeopleParts) -> None:
    await parts.add("ada@farebox.example", realm=Realm.SUPPORT)
    await parts.add(SAM, realm=Realm.SUPPORT, totp_seed=b"\1" * 32, counts_as="7")
    staff = parts.staff
    actions: list[Callable[..., Awaitable[object]]] = [
        *(staff.disable_two_factor, staff.confirm, staff.close, staff.reopen)
    ]
    for action in actions:
        found = await asyncio.gather(*[action(SAM, principal=ACTOR) for _ in range(2)], return_exceptions=True)
        assert 1 == len([error for error in found if isinstance(error, Conflict)])


async def test_roles_that_somebody_else_changed_meanwhile_are_looked_at_again(
    parts: PeopleParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = await parts.add(SAM, realm=Realm.SUPPORT, password_hash=None)
    await parts.staff.set_roles(SAM, [StaffRole.VIEWER], principal=ACTOR)

    async def find(realm: Realm, email: str) -> Login:
        return seen

    monkeypatch.setattr(parts.stores.logins, "find", find)
    with pytest.raises(Conflict, match="Somebody else has just changed"):
        await parts.staff.set_roles(SAM, [StaffRole.SUPPORT], principal=ACTOR)


@pytest.mark.parametrize("email", [ANN, "no address", ""])
async def test_who_is_no_staff_is_not_taken_for_one(parts: PeopleParts, email: str) -> None:
    await parts.add()
    staff = parts.staff
    for action in (staff.close, staff.reopen, staff.invite_again, staff.disable_two_factor):
        with pytest.raises(InvalidInput):
            await action(email, principal=ACTOR)
    for name in ("", " Sam", "Sam\n"):
        with pytest.raises(InvalidInput):
            await staff.add(SAM, name, principal=ACTOR)
    assert [] == await log(parts)


WAYS: Final = (ANN.upper(), ANN.title(), ANN.replace("northwind", "NorthWind"))


@pytest.mark.parametrize("way", WAYS)
async def test_a_person_is_one_however_the_address_is_typed(parts: PeopleParts, way: str) -> None:
    """It is shown as it was typed where it was registered."""
    await parts.users.invite(MERCHANT, ANN, Role.OWNER, principal=None)
    elsewhere = await parts.users.invite(OTHER, way, Role.VIEWER, principal=None)
    assert elsewhere.email.partition("@")[0] == way.partition("@")[0]
    assert 1 == len(await parts.stores.logins.list(Realm.MERCHANT))
    assert [Role.OWNER, Role.VIEWER] == [it.role for it in await parts.users.memberships(way)]
    with pytest.raises(Conflict):
        await parts.users.invite(MERCHANT, way, Role.MEMBER, principal=None)
    account_mail = await parts.users.invite_again(MERCHANT, way, principal=None)
    assert ANN == account_mail.email
    await parts.sign_in.use_link(parts.sign_in.link_text(account_mail), PASSWORD, address=None, agent="")
    signed_in = await parts.sign_in.sign_in(
        Realm.MERCHANT, email=way, password=PASSWORD, code="", address=None, agent=""
    )
    assert ANN == signed_in.login.email
    await parts.sign_in.request_reset(Realm.MERCHANT, way)
    assert [ANN] * 4 == [it.email for it in await parts.stores.account_mails.list(9)]
    with pytest.raises(InvalidInput, match="needs an owner"):
        await parts.users.remove(MERCHANT, way, is_owner_needed=True, principal=None)
    await parts.users.set_role(MERCHANT, way, Role.VIEWER, is_owner_needed=False, principal=None)
    assert Role.VIEWER == await parts.users.role(MERCHANT, ANN)
    await parts.users.remove(MERCHANT, way, is_owner_needed=False, principal=None)
    assert await parts.users.role(MERCHANT, ANN) is None


@pytest.mark.parametrize("way", [SAM.upper(), SAM.title()])
async def test_one_of_the_staff_is_one_however_the_address_is_typed(parts: PeopleParts, way: str) -> None:
    login, account_mail = await parts.staff.add(SAM, "Sam", roles=EVERY_ROLE, principal=None)
    with pytest.raises(Conflict):
        await parts.staff.add(way, "Sam", roles=EVERY_ROLE, principal=None)
    await parts.sign_in.use_link(parts.sign_in.link_text(account_mail), PASSWORD, address=None, agent="")
    again = await parts.sign_in.sign_in(Realm.SUPPORT, email=way, password=PASSWORD, code="", address=None, agent="")
    assert login.login_id == again.login.login_id
    assert SAM == (await parts.staff.invite_again(way, principal=None)).email
