"""Nobody but support gets into the console, and nothing is done there without a form of its own."""

import re
from typing import Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.storage.records import Realm, Role
from farebox.web.pages import render
from farebox.web.pages.console.table import console_routes
from farebox.web.pages.routes import Audience, PageRoute
from farebox.web.schemas.spending import HoldRequest
from tests.support.app_client import AppClient
from tests.support.destinations import add_destinations
from tests.support.server import Seeds, give_credit, seed
from tests.web.console.visitor import FORM, Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES: Final = console_routes()
TO_LISTS: Final = re.compile(
    r"/support/merchants(/mer_\w+/people/remove)?|/support/staff/(confirm|close|codes)"
    r"|/support(/merchants/mer_\w+)?/prices/(end|withdraw|imported)"
)
"""Pages that are elsewhere, or about somebody or something that their query names, and without it lead to the list."""

MAILS: Final = re.compile(r"/support(/profile|/merchants/mer_\w+)/reports/weekly")
"""What shows a mail as its reader would get it, with the styles that a mail carries itself."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(farebox: Farebox) -> dict[str, str]:
    """What a path names: a merchant, transfer, request, keys and webhooks that are there, and a kind of report."""
    seeds = await seed(farebox)
    there = await add_destinations(farebox, seeds.merchant_id)
    (own,) = await farebox.services.merchants.keys(seeds.merchant_id)
    service = (await farebox.services.merchants.create_key(KeyKind.SERVICE, name="recognition")).key
    await farebox.services.operations.top_up(seeds.merchant_id, amount="5000", reference="R", note=None, principal=None)
    (approval,) = await farebox.services.approvals.page(merchant_id=seeds.merchant_id, before=None, limit=1)
    return {
        "/support/keys/{key:str}": f"/support/keys/{ids.public_id(ids.KEY, service.key_id)}",
        "{merchant:str}": seeds.merchant,
        "{transfer:str}": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1),
        "{key:str}": ids.public_id(ids.KEY, own.key_id),
        "{approval:str}": approval.id,
        "{grant:str}": (await give_credit(farebox, seeds.merchant_id)).id,
        "{hold:str}": await _hold(farebox, seeds),
        "/support/webhooks/{destination:str}": f"/support/webhooks/{there['operators']}",
        "{destination:str}": there["destination"],
        "{event:str}": there["event"],
        "{kind:str}": "weekly",
    }


async def _hold(farebox: Farebox, seeds: Seeds) -> str:
    fields = HoldRequest(seeds.merchant, "image", "hold")
    outcome = await farebox.services.operations.hold(fields, caller=None)
    assert outcome.hold is not None
    return outcome.hold.id


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_a_page_is_for_support_alone(
    farebox: Farebox, client: AppClient, sam: Visitor, parts: dict[str, str], route: PageRoute
) -> None:
    path = route.path
    for part, there in parts.items():
        path = path.replace(part, there)
    assert Audience.SUPPORT == route.sees
    assert route.posts is None
    if route.get is not None:
        nobody = await client.get(path)
        assert 303 == nobody.status
        assert (nobody.header("location") or "").startswith("/support/sign-in?next=")
        shown = await sam.get(path)
        assert shown.status == (303 if TO_LISTS.fullmatch(path) else 200), words(shown)
        is_mail = MAILS.fullmatch(path) is not None
        assert (render.MAIL_POLICY if is_mail else render.POLICY) == shown.header("content-security-policy")
        assert is_mail == ("style=" in shown.body.decode())
    if route.post is not None:
        nobody = await client.send("POST", path, headers=[FORM], body=b"csrf_token=x")
        assert (303, "/support/sign-in") == (nobody.status, nobody.header("location"))
        before = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1)
        unmarked = await sam.post(path, csrf_token="")
        assert 403 == unmarked.status
        elsewhere = await client.send(
            "POST",
            path,
            headers=[sam.cookie, FORM, ("sec-fetch-site", "cross-site")],
            body=f"csrf_token={sam.csrf_token}".encode(),
        )
        assert 403 == elsewhere.status
        assert before == await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1)


async def test_a_merchants_owner_is_nobody_at_the_console(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    ann = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "ann@northwind.example")
    await farebox.services.merchants.add_user(seeds.merchant_id, "ann@northwind.example", role=Role.OWNER)
    assert 200 == (await ann.get(f"/accounts/{seeds.merchant}")).status
    for path in ("/support", f"/support/merchants/{seeds.merchant}"):
        reply = await ann.get(path)
        assert 303 == reply.status
        assert (reply.header("location") or "").startswith("/support/sign-in")
    # Their session is no support session either under the other cookie's name.
    reply = await client.get("/support", headers=[("cookie", f"farebox-support={ann.signed_in.token}")])
    assert 303 == reply.status


@pytest.mark.parametrize(
    "path",
    [
        "/support/merchants/nonsense",
        "/support/merchants/mer_0000000000000",
        "/support/merchants/mer_0000000000000/keys",
        "/support/merchants/mer_0000000000000/top-up",
        "/support/keys/nonsense",
        "/support/keys/key_0000000000000",
        "/support/nothing",
    ],
)
async def test_what_is_not_there_is_a_404(sam: Visitor, path: str) -> None:
    reply = await sam.client.get(path, headers=[sam.cookie, ("accept", "text/html")])
    assert 404 == reply.status
    assert "The address may be mistyped or old" in words(reply)
