"""Webhooks and chats on the dashboard: whose each is, who changes it, and that no secret is shown again."""

import re
from typing import Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.service.people.users import Role
from farebox.storage.records import Realm
from farebox.web.pages.account.destinations import AccountDestinationPages
from farebox.web.pages.destinations import DESTINATION, EVENT
from tests.support.app_client import AppClient
from tests.support.destinations import NOWHERE, add_destinations
from tests.support.server import seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN: Final = "TIiajkdnlazkcOXrIdevi7FQ"
SLACK: Final = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#general"


class Scene:
    """A merchant's pages, and its people."""

    def __init__(self, root: str, destination: str, people: dict[str, Visitor]) -> None:
        self.root = f"/accounts/{root}/webhooks"
        self.one = f"{self.root}/{destination}"
        self.ann, self.vera = people["ann"], people["vera"]


@pytest_asyncio.fixture(loop_scope="module")
async def scene(farebox: Farebox, client: AppClient) -> Scene:
    seeds = await seed(farebox)
    people = {}
    for name, role in (("ann", Role.OWNER), ("vera", Role.VIEWER)):
        email = f"{name}-{seeds.merchant_id}@shop.example"
        await farebox.services.merchants.add_user(seeds.merchant_id, email, role=role)
        people[name] = await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)
    there = await add_destinations(farebox, seeds.merchant_id)
    return Scene(seeds.merchant, there["destination"], people)


async def test_a_viewer_sees_the_accounts_and_changes_none(scene: Scene) -> None:
    assert "orders" in words(await scene.vera.get(scene.root))
    assert "Turn it off" not in words(await scene.vera.get(scene.one))
    for path, fields in (("/change", {"name": "x"}), ("/on", {"is_on": "no"}), ("/test", {}), ("/delete", {})):
        assert 403 == (await scene.vera.post(scene.one + path, **fields)).status, path


async def test_a_users_own_is_theirs_alone(scene: Scene) -> None:
    made = await scene.vera.post(scene.root, channel="chat", secret_url=SLACK, types="balance.low", whose="account")
    assert 303 == made.status
    own = (made.header("location") or "").partition("?")[0]
    assert "your own" in words(await scene.vera.get(own))
    assert 404 == (await scene.ann.get(own)).status
    assert own not in (await scene.ann.get(scene.root)).body.decode()
    assert 303 == (await scene.vera.post(f"{own}/delete")).status


async def test_anothers_is_not_reached_by_ones_own_path(farebox: Farebox, scene: Scene) -> None:
    """By no page of the table: another merchant's, nor the operator's, and an event of another's neither."""
    other = await seed(farebox)
    there = await add_destinations(farebox, other.merchant_id)
    before = await farebox.services.destinations.list(other.merchant_id), await farebox.services.destinations.list(None)
    count = 0
    for route in AccountDestinationPages().routes():
        _, is_of_one, path = route.path.partition(DESTINATION)
        for destination in (there["destination"], there["operators"]) if is_of_one else ():
            target = f"{scene.root}/{destination}{path.replace(EVENT, there['event'])}"
            if route.get is not None:
                assert 404 == (await scene.ann.get(target)).status, target
            if route.post is not None:
                assert 404 == (await scene.ann.post(target, name="x", is_on="no")).status, target
            count += 1
    assert count >= 18
    assert 404 == (await scene.ann.get(f"{scene.one}/events/{there['event']}")).status
    assert 404 == (await scene.ann.post(f"{scene.one}/events/{there['event']}/replay")).status
    assert before == (
        await farebox.services.destinations.list(other.merchant_id),
        await farebox.services.destinations.list(None),
    )


async def test_a_chats_url_is_never_shown_again(scene: Scene) -> None:
    wrong = await scene.ann.post(scene.root, channel="chat", secret_url=SLACK, types="no.such", name="billing")
    assert 422 == wrong.status
    made = await scene.ann.post(scene.root, channel="chat", secret_url=SLACK, types="balance.low", name="billing")
    here = (made.header("location") or "").partition("?")[0]
    pages = [wrong, await scene.ann.get(here), await scene.ann.get(scene.root)]
    assert not any(TOKEN in page.body.decode() for page in pages)


async def test_a_secret_is_shown_once(scene: Scene) -> None:
    made = await scene.ann.post(scene.root, channel="webhook", url=NOWHERE, types="balance.low", name="accounting")
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", made.body.decode())
    assert 200 == made.status
    here = re.findall(rf'href="({scene.root}/dest_\w+)"', made.body.decode())[0]
    for page in (await scene.ann.get(here), await scene.ann.get(scene.root)):
        assert secret not in page.body.decode()


async def test_what_a_user_chose_is_kept_and_what_is_fixed_stays(farebox: Farebox, scene: Scene) -> None:
    alerts = scene.root.replace("/webhooks", "/alerts")
    assert 303 == (await scene.ann.post(f"{alerts}/choices", mail="topup.posted")).status
    page = (await scene.ann.get(alerts)).body.decode()
    ticked = re.findall(r'name="mail" value="([a-z._]+)"[^>]* checked', page)
    assert ["topup.posted"] == ticked
    assert 2 == page.count("always</span>")
