"""The console for each role: its pages show all that the role can do, and the rest is neither shown nor done."""

import re
from typing import Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import CreateHold, Payer
from farebox.core.permissions import ALLOWED_ROLES, Operation
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.storage.records import Realm
from farebox.web.pages.console.table import console_routes
from farebox.web.pages.routes import PageRoute
from tests.support.app_client import AppClient, Reply
from tests.support.destinations import add_destinations
from tests.support.server import give_credit, seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHO: Final = {
    "viewer": StaffRole.VIEWER,
    "support": StaffRole.SUPPORT,
    "administrator": StaffRole.ADMINISTRATOR,
    "both": EVERY_ROLE,
}
ROUTES: Final = console_routes()
_ACTION: Final = re.compile(r'<form[^>]*method="post"[^>]*action="(/support[^"]*)"')
_LINK: Final = re.compile(r'<a[^>]*href="(/support[^"#?]*)')
_FREE: Final = {"/support/sign-out"}
"""The forms that everybody has who is signed in."""
_OWN: Final = {"/support/profile/reports"}
"""What staff choose for themselves, viewers too."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitors(farebox: Farebox, client: AppClient) -> dict[str, Visitor]:
    """One of the staff for each role."""
    return {
        name: await Visitor.sign_in(farebox, client, Realm.SUPPORT, f"{name}@farebox.example", name, roles)
        for name, roles in WHO.items()
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(farebox: Farebox) -> dict[str, str]:
    """What a path names: a merchant, a top-up, a request and keys that are there."""
    seeds = await seed(farebox)
    (own,) = await farebox.services.merchants.keys(seeds.merchant_id)
    there = await add_destinations(farebox, seeds.merchant_id)
    staff_key = (await farebox.services.merchants.keys(None))[0]
    await farebox.services.operations.top_up(seeds.merchant_id, amount="5000", reference="R", note=None, principal=None)
    held = await farebox.committer.submit(CreateHold(Payer(seeds.merchant_id), "image", 1, "hold"))
    assert held.hold is not None
    (approval,) = await farebox.services.approvals.page(merchant_id=seeds.merchant_id, before=None, limit=1)
    return {
        "/support/keys/{key:str}": f"/support/keys/{ids.public_id(ids.KEY, staff_key.key_id)}",
        "{merchant:str}": seeds.merchant,
        "{transfer:str}": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1),
        "{key:str}": ids.public_id(ids.KEY, own.key_id),
        "{approval:str}": approval.id,
        "{grant:str}": (await give_credit(farebox, seeds.merchant_id)).id,
        "{hold:str}": held.hold.id,
        "/support/webhooks/{destination:str}": f"/support/webhooks/{there['operators']}",
        "{destination:str}": there["destination"],
        "{event:str}": there["event"],
        "{kind:str}": "weekly",
    }


def _path(route: PageRoute, parts: dict[str, str]) -> str:
    path = route.path
    for part, there in parts.items():
        path = path.replace(part, there)
    return path


def _may(name: str, operation: Operation) -> bool:
    return bool(ALLOWED_ROLES[operation] & WHO[name])


async def test_each_form_of_the_console_says_what_it_does() -> None:
    assert _OWN == {route.path for route in ROUTES if route.post and route.operation == Operation.READ}
    assert {operation for operation in Operation if operation != Operation.READ} == {
        route.operation for route in ROUTES if route.post and route.path not in _OWN
    }


@pytest.mark.parametrize("name", WHO)
async def test_a_form_is_taken_from_who_has_the_role_alone(
    farebox: Farebox, visitors: dict[str, Visitor], parts: dict[str, str], name: str
) -> None:
    for route in ROUTES:
        if route.post is None or _may(name, route.operation):
            continue
        before = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1)
        reply = await visitors[name].post(_path(route, parts))
        assert 403 == reply.status, route.path
        assert re.search(rf"needs the role [a-z ]+; yours is {name}", words(reply)), route.path
        assert before == await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1)


@pytest.mark.parametrize("name", WHO)
async def test_pages_show_what_a_role_can_do_and_nothing_else(
    visitors: dict[str, Visitor], parts: dict[str, str], name: str
) -> None:
    offered: set[str] = set()
    for route in ROUTES:
        if route.get is None:
            continue
        path = _path(route, parts)
        reply = await visitors[name].get(path)
        if route.is_form and not _may(name, route.operation):
            assert (403, True) == (reply.status, "needs the role" in words(reply)), path
            continue
        assert reply.status in (200, 303), path
        offered |= _offered(reply)
        for link in sorted(set(_LINK.findall(reply.body.decode()))):
            assert (await visitors[name].get(link)).status in (200, 303), (path, link)
    posted = {_path(route, parts): route.operation for route in ROUTES if route.post}
    assert {True} == {_may(name, posted[action]) for action in offered if action in posted} or name == "viewer"
    # Each operation that the role may do has a way in somewhere.
    found = {posted[action] for action in offered if action in posted}
    assert found == {route.operation for route in ROUTES if route.post and _may(name, route.operation)} - _ELSEWHERE


_ELSEWHERE: Final = {Operation.REFUND, Operation.CONFIRM_STAFF}
"""What no page of this ledger offers: nothing was charged, and everybody is a person of their own."""


def _offered(reply: Reply) -> set[str]:
    return set(_ACTION.findall(reply.body.decode())) - _FREE


async def test_the_menu_names_who_is_signed_in_and_their_role(visitors: dict[str, Visitor]) -> None:
    assert "both, support and administrator" in await visitors["both"].page("/support")
    assert "viewer, viewer" in await visitors["viewer"].page("/support")


async def test_roles_are_given_and_changed_by_administrators(
    farebox: Farebox, client: AppClient, visitors: dict[str, Visitor]
) -> None:
    ada = visitors["both"]
    page = await ada.done("/support/staff", email="uma@farebox.example", name="Uma", role="viewer")
    assert "Uma uma@farebox.example viewer" in page
    chosen = await ada.get("/support/staff?change=uma%40farebox.example")
    assert "What Uma may do" in words(chosen)
    assert 'value="viewer" checked' in chosen.body.decode()
    page = await ada.done("/support/staff/roles", staff="uma@farebox.example", role="support")
    assert "The role is saved." in page
    assert "Uma uma@farebox.example support" in page
    assert "Choose at least one role" in words(await ada.wrong("/support/staff/roles", staff="uma@farebox.example"))
    assert "Choose at least one role" in words(
        await ada.wrong("/support/staff", email="x@y.example", name="X", role="")
    )
    assert "your own roles" in words(
        await ada.wrong("/support/staff/roles", staff="both@farebox.example", role="viewer")
    )


async def test_a_role_that_is_taken_away_is_gone_with_the_next_click(farebox: Farebox, client: AppClient) -> None:
    una = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "una@farebox.example", "Una")
    seeds = await seed(farebox)
    url = f"/support/merchants/{seeds.merchant}/top-up"
    assert 200 == (await una.get(url)).status
    await farebox.services.staff.set_roles("una@farebox.example", [StaffRole.VIEWER], principal=None)
    assert 403 == (await una.get(url)).status
    assert 403 == (await una.post(f"{url}/confirm", amount="5", reference="R")).status


async def test_keys_of_somebody_who_left_are_told_of(farebox: Farebox, client: AppClient) -> None:
    vera = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "vera@farebox.example", "Vera")
    ada = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "ada@farebox.example", "Ada")
    for name in ("till", "reports"):
        made = await vera.post("/support/keys", kind="support", name=name, role="support")
        assert 200 == made.status
    assert "till support, role support, made by Vera" in await ada.page("/support/keys")
    assert "still work" not in await ada.page("/support/staff")
    page = await ada.done("/support/staff/close", staff="vera@farebox.example")
    assert "closed 2 keys that they made still work" in page
    key = next(key for key in await farebox.services.merchants.keys(None) if key.name == "till")
    one = f"/support/keys/{ids.public_id(ids.KEY, key.key_id)}"
    assert "by Vera" in await ada.page(one)
    await ada.post(f"{one}/revoke")
    assert "closed 1 key that they made still works" in await ada.page("/support/staff")
