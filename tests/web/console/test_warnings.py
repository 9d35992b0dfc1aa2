"""Staff choose what they are warned of by mail, on their profile and by the link in such a mail."""

import re
from typing import Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.alerts import AlertKind
from farebox.core.audit_log import Action
from farebox.core.staff_roles import StaffRole
from farebox.service.errors import Forbidden, InvalidInput
from farebox.service.people.users import Realm
from farebox.service.people.warnings import warned_types
from tests.support.app_client import AppClient
from tests.web.console.visitor import FORM, Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROFILE: Final = "/support/profile"
ONE_CLICK: Final = b"List-Unsubscribe=One-Click"
SPENDING: Final = "spending.unusual"
DESTINATIONS: Final = "destination.disabled"


async def staff(farebox: Farebox, client: AppClient, roles: StaffRole) -> Visitor:
    number = len(await farebox.stores.logins.list(Realm.SUPPORT))
    return await Visitor.sign_in(farebox, client, Realm.SUPPORT, f"warned-{number}@farebox.example", "Sam", roles)


async def warned(visitor: Visitor) -> list[str]:
    return warned_types(await visitor.farebox.services.warning_choices.find(visitor.signed_in.login.email))


async def boxes(visitor: Visitor) -> dict[str, bool]:
    """Read which warnings the profile offers, and which of them are ticked."""
    page = (await visitor.get(PROFILE)).body.decode()
    return {name: bool(tick) for name, tick in re.findall(r'name="warning" value="([a-z.]+)"( checked)?', page)}


async def test_staff_choose_on_their_profile(farebox: Farebox, client: AppClient) -> None:
    sam = await staff(farebox, client, StaffRole.ADMINISTRATOR | StaffRole.SUPPORT)
    assert {SPENDING: True, DESTINATIONS: True} == await boxes(sam)
    assert "It is saved what you are warned of." in await sam.done(f"{PROFILE}/warnings", warning=DESTINATIONS)
    assert {SPENDING: False, DESTINATIONS: True} == await boxes(sam)
    await sam.done(f"{PROFILE}/warnings")
    assert [] == await warned(sam)
    await sam.done(f"{PROFILE}/warnings", warning=[DESTINATIONS, SPENDING])
    assert [SPENDING, DESTINATIONS] == await warned(sam)
    entries, _ = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=3)
    login = sam.signed_in.login
    assert [f"{SPENDING}, {DESTINATIONS}", "none", DESTINATIONS] == [entry.detail for entry in entries]
    assert {(Action.SET_MAIL_KINDS, login.email, login.email)} == {
        (Action(entry.action), entry.actor, entry.subject) for entry in entries
    }


async def test_each_is_offered_what_their_roles_may_do_something_about(farebox: Farebox, client: AppClient) -> None:
    support = await staff(farebox, client, StaffRole.SUPPORT)
    assert {SPENDING: True} == await boxes(support)
    viewer = await staff(farebox, client, StaffRole.VIEWER)
    assert {} == await boxes(viewer)
    assert "Warnings" not in await viewer.page(PROFILE)
    for visitor, name in ((support, DESTINATIONS), (viewer, SPENDING), (support, "balance.low"), (support, "x" * 99)):
        reply = await visitor.wrong(f"{PROFILE}/warnings", warning=name)
        assert "is no warning to somebody of this role; there are" in words(reply)
    assert [SPENDING] == await warned(support)


async def test_what_a_role_is_not_offered_is_kept_for_another_role(farebox: Farebox, client: AppClient) -> None:
    sam = await staff(farebox, client, StaffRole.SUPPORT)
    await sam.done(f"{PROFILE}/warnings")
    login = sam.signed_in.login
    await farebox.stores.logins.set_roles(login.login_id, StaffRole.ADMINISTRATOR | StaffRole.SUPPORT)
    assert [DESTINATIONS] == await warned(sam)


async def test_the_profile_of_a_merchants_user_offers_none(farebox: Farebox, client: AppClient) -> None:
    ann = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "ann@warnings.example")
    assert "Warnings" not in await ann.page("/profile")
    assert 404 == (await ann.post("/profile/warnings", warning=SPENDING)).status


async def test_nobody_but_an_administrator_chooses_for_others(farebox: Farebox, client: AppClient) -> None:
    sam = await staff(farebox, client, StaffRole.SUPPORT)
    other = await staff(farebox, client, StaffRole.SUPPORT)
    boss = await staff(farebox, client, StaffRole.ADMINISTRATOR)
    choices, email = farebox.services.warning_choices, sam.signed_in.login.email
    with pytest.raises(Forbidden):
        await choices.set(email, [], principal=other.principal)
    assert [SPENDING] == await warned(sam)
    await choices.set(email, [], principal=boss.principal)
    assert [] == await warned(sam)
    with pytest.raises(InvalidInput, match="is not support staff"):
        await choices.set("nobody@farebox.example", [], principal=boss.principal)


async def test_a_link_ends_one_kind_by_one_click_and_is_good_for_no_other(farebox: Farebox, client: AppClient) -> None:
    sam = await staff(farebox, client, StaffRole.ADMINISTRATOR | StaffRole.SUPPORT)
    login, choices = sam.signed_in.login, farebox.services.warning_choices
    path = await choices.url(login.login_id, AlertKind.UNUSUAL_SPENDING, public_url="")
    other = await choices.url(login.login_id, AlertKind.DESTINATION_DISABLED, public_url="")
    reports = await farebox.services.report_links.url(login.login_id, 0, 1, public_url="")
    assert "No more mails of this kind" in words(await client.get(path))
    named, _, token = path.rpartition(".")
    for forged in (
        f"{named}.{token[:-1]}",
        f"{other.rpartition('.')[0]}.{token}",
        path.replace("/warnings/", "/reports/"),
        reports.replace("/reports/", "/warnings/"),
        "/unsubscribe/warnings/x",
    ):
        assert 404 == (await client.send("POST", forged, headers=[FORM], body=ONE_CLICK)).status, forged
        assert 404 == (await client.get(forged)).status
    assert [SPENDING, DESTINATIONS] == await warned(sam)
    for _ in range(2):
        done = await client.send("POST", path, headers=[FORM], body=ONE_CLICK)
        assert 200 == done.status
        assert f"{login.email} gets no more mails of this kind for All merchants: Spending is unusual." in words(done)
        assert PROFILE in done.body.decode()
    assert [DESTINATIONS] == await warned(sam)
    entries, _ = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=50)
    ended = [entry for entry in entries if entry.action == Action.STOP_MAILS and entry.subject == login.email]
    assert 1 == len(ended)
