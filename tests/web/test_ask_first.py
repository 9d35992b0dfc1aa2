"""A page tells what an action that can't be taken back comes to; nothing is done until its button is pressed."""

import re
from collections.abc import AsyncIterator
from importlib.resources import files

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.service.people.api_keys import digest
from farebox.service.people.users import Role
from farebox.storage.records import Realm
from tests.support.app_client import AppClient, Reply
from tests.support.clock import later
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, words
from tests.web.forms import Forms

pytestmark = pytest.mark.asyncio(loop_scope="module")

STAFF = "/support/staff"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sam(farebox: Farebox, client: AppClient) -> Visitor:
    return await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam@farebox.example", "Sam")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(farebox: Farebox, client: AppClient) -> AsyncIterator[Visitor]:
    yield await Visitor.sign_in(farebox, client, Realm.MERCHANT, "ann@shop.example")


async def register(farebox: Farebox, seeds: Seeds, *emails: str) -> None:
    """Register these, the first as the owner."""
    for email in emails:
        role = Role.OWNER if email == emails[0] else Role.VIEWER
        await farebox.services.merchants.add_user(seeds.merchant_id, email, role=role)


def buttons(reply: Reply, action: str) -> list[str]:
    """List where the forms of a page lead that begin so."""
    return [leads_to for leads_to, _ in Forms(reply).forms if leads_to.startswith(action)]


async def test_no_page_asks_by_a_box_of_the_browser() -> None:
    root = files("farebox.web")
    scripts = (root / "static" / "farebox.js").read_text(encoding="utf-8")
    assert not re.search(r"\b(confirm|alert|prompt)\(", scripts)
    templates = list((root / "pages" / "templates").iterdir())
    pages = [page for entry in templates for page in ([entry] if entry.is_file() else entry.iterdir())]
    assert 50 < len(pages)
    assert [] == [page.name for page in pages if "data-ask" in page.read_text(encoding="utf-8")]


async def test_revoking_a_key_tells_what_stops(farebox: Farebox, ann: Visitor, sam: Visitor) -> None:
    seeds = await seed(farebox)
    await register(farebox, seeds, "ann@shop.example")
    (key,) = await farebox.services.merchants.keys(seeds.merchant_id)
    for visitor, root in ((ann, "/accounts"), (sam, "/support/merchants")):
        here = f"{root}/{seeds.merchant}/keys/{ids.public_id(ids.KEY, key.key_id)}"
        assert f'href="{here}/revoke">Revoke the key</a>' in (await visitor.get(here)).body.decode()
        shown = await visitor.page(f"{here}/revoke")
        assert f"Revoke the key {key.hint}?" in shown
        assert "Last used not yet Other keys that work none From then on every request with it is refused" in shown
        assert "No other key works: until one is made, no program can read the balance." in shown
        assert "Not now" in shown
    other = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    await farebox.stores.api_keys.note_use([(seeds.merchant_id, digest(other.text))], farebox.clock.now())
    here = f"/accounts/{seeds.merchant}/keys/{ids.public_id(ids.KEY, other.key.key_id)}"
    shown = await ann.page(f"{here}/revoke")
    assert "Other keys that work 1" in shown
    assert "It is in use." in shown
    with later(farebox, seconds=25 * 3600):
        assert "It is in use." not in await ann.page(f"{here}/revoke")
    await ann.done(f"{here}/revoke")
    # There is nothing to ask any more: the key's own page says that it is revoked.
    gone = await ann.get(f"{here}/revoke")
    assert (303, here) == (gone.status, gone.header("location"))


async def test_a_service_key_is_named_before_it_is_revoked(farebox: Farebox, sam: Visitor) -> None:
    key = (await farebox.services.merchants.create_key(KeyKind.SERVICE, name="recognition")).key
    shown = await sam.page(f"/support/keys/{ids.public_id(ids.KEY, key.key_id)}/revoke")
    assert f"Revoke the key {key.hint}? Whose recognition, service Made" in shown


async def test_a_successor_that_takes_the_place_at_once_is_asked_about(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    (key,) = await farebox.services.merchants.keys(seeds.merchant_id)
    url = f"/support/merchants/{seeds.merchant}/keys/{ids.public_id(ids.KEY, key.key_id)}/rotate"
    asked = await sam.post(url, overlap="0")
    assert f"End the key {key.hint} now?" in words(asked)
    assert [key] == list(await farebox.services.merchants.keys(seeds.merchant_id))
    assert [url] == buttons(asked, url)
    made = await sam.post(url, overlap="0", is_sure="yes")
    assert re.search(r"fbm_[0-9A-Z]{39}", words(made))


async def test_removing_a_user_tells_what_they_lose(farebox: Farebox, ann: Visitor, sam: Visitor) -> None:
    seeds = await seed(farebox)
    await register(farebox, seeds, "ann@shop.example", "vera@shop.example")
    for visitor, root in ((ann, "/accounts"), (sam, "/support/merchants")):
        url = f"{root}/{seeds.merchant}/people"
        listed = await visitor.get(url)
        assert f'href="{url}/remove?user=vera%40shop.example">Remove' in listed.body.decode()
        shown = await visitor.get(f"{url}/remove?user=VERA%40shop.example")
        assert "Remove vera@shop.example? Role viewer Registered" in words(shown)
        assert "From then on they get no mails about this account, and see nothing of it" in words(shown)
        assert [f"{url}/remove"] == buttons(shown, url)
        nobody = await visitor.get(f"{url}/remove?user=eve%40shop.example")
        assert (303, url) == (nobody.status, nobody.header("location"))
    own = f"/accounts/{seeds.merchant}/people/remove?user=ann%40shop.example"
    shown = await ann.get(own)
    assert "They are the only owner, and an account keeps one" in words(shown)
    assert [] == buttons(shown, "/accounts")
    supports = await sam.get(f"/support/merchants/{seeds.merchant}/people/remove?user=ann%40shop.example")
    assert "from then on nobody there can invite people or make keys" in words(supports)
    await farebox.services.merchants.add_user(seeds.merchant_id, "otto@shop.example", role=Role.OWNER)
    assert "This is you" in await ann.page(own)
    for email in ("otto@shop.example", "vera@shop.example"):
        await sam.done(f"/support/merchants/{seeds.merchant}/people/remove", user=email)
    alone = await sam.page(f"/support/merchants/{seeds.merchant}/people/remove?user=ann%40shop.example")
    assert "Nobody else is registered: from then on nobody is warned" in alone


async def test_changes_of_staff_are_asked_about(farebox: Farebox, client: AppClient, sam: Visitor) -> None:
    tess = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "tess@farebox.example", "Tess")
    for name in ("one", "two"):
        await farebox.services.merchants.create_key(KeyKind.SERVICE, name=name, principal=tess.principal)
    shown = await sam.get(f"{STAFF}/close?staff=tess%40farebox.example")
    assert "Close the account of Tess? Address tess@farebox.example Role" in words(shown)
    assert "Keys that they made 2 go on working, until somebody revokes them" in words(shown)
    assert [f"{STAFF}/close"] == buttons(shown, f"{STAFF}/close")
    own = await sam.get(f"{STAFF}/close?staff=sam%40farebox.example")
    assert "This is you" in words(own)
    assert [] == buttons(own, f"{STAFF}/close")
    # Nothing is asked about codes that are not there, or about an account that is a person of its own.
    for path in ("codes", "confirm", "close"):
        email = "nobody" if path == "close" else "tess"
        assert 303 == (await sam.get(f"{STAFF}/{path}?staff={email}%40farebox.example")).status
    await farebox.stores.logins.set_totp_seed(tess.signed_in.login.login_id, b"\1" * 32)
    codes = await sam.page(f"{STAFF}/codes?staff=tess%40farebox.example")
    assert "Ask Tess for no one-time codes any more?" in codes
    assert "their password alone lets them in" in codes
    await farebox.services.staff.add("una@farebox.example", "Una", roles=[StaffRole.SUPPORT], principal=tess.principal)
    una = await sam.page(f"{STAFF}/confirm?staff=una%40farebox.example")
    assert "Is Una a person of their own?" in una
    assert "Confirm only somebody whom you know" in una
    await sam.done(f"{STAFF}/close", staff="tess@farebox.example")
    assert 303 == (await sam.get(f"{STAFF}/close?staff=tess%40farebox.example")).status


async def test_who_may_not_do_it_is_not_asked(farebox: Farebox, client: AppClient, sam: Visitor) -> None:
    seeds = await seed(farebox)
    (key,) = await farebox.services.merchants.keys(seeds.merchant_id)
    await register(farebox, seeds, "vic@shop.example")
    roles = EVERY_ROLE & ~StaffRole.ADMINISTRATOR & ~StaffRole.SUPPORT
    vic = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "vic@farebox.example", "Vic", roles)
    root = f"/support/merchants/{seeds.merchant}"
    for path in (
        f"{root}/keys/{ids.public_id(ids.KEY, key.key_id)}/revoke",
        f"{root}/people/remove?user=vic%40shop.example",
        f"{STAFF}/close?staff=sam%40farebox.example",
    ):
        assert 200 == (await sam.get(path)).status
        assert 403 == (await vic.get(path)).status
