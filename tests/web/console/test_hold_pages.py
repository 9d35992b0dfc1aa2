"""Open holds in the console and on the merchant's own pages, and releasing one by hand."""

import re

import pytest

from farebox.bootstrap import Farebox
from farebox.core.staff_roles import StaffRole
from farebox.service.people.users import Role
from farebox.storage.records import Realm
from farebox.web.pages.console.holds import ROWS
from farebox.web.schemas.spending import HoldRequest
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _hold(farebox: Farebox, seeds: Seeds, key: str, *, quantity: int = 500, reference: str | None = None) -> str:
    fields = HoldRequest(seeds.merchant, "image", key, quantity=quantity, reference=reference)
    outcome = await farebox.services.operations.hold(fields, caller=None)
    assert outcome.hold is not None
    return outcome.hold.id


async def test_holds_are_listed_and_released_with_a_reason(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"/support/merchants/{seeds.merchant}"
    assert "Nothing is set aside." in await sam.page(f"{url}/holds")
    hold_id = await _hold(farebox, seeds, "hold", reference="job 7")
    glance = await sam.get(url)
    assert f'<a href="{url}/holds">Set aside</a> <b>5.00</b>' in glance.body.decode()
    for page in (await sam.page(f"{url}/holds"), await sam.page("/support/holds")):
        assert "image x 500 job 7 0 seconds" in page or "image x 500 job 7 1 second" in page
        assert "5.00" in page
    release = f"{url}/holds/{hold_id}/release"
    asked = await sam.page(release)
    assert "Release this hold? 5.00 USD back to" in asked
    assert "For image x 500 Reference job 7" in asked
    refused = await sam.wrong(release, reason="")
    assert "says why" in words(refused)
    done = await sam.done(release, reason="Its service is gone")
    assert "The hold is released: its money is available again." in done
    assert "Nothing is set aside." in done
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    assert (100_000_000, 0) == (account.available, account.held)
    assert "released a hold of 5.00 USD, Its service is gone" in await sam.page(url)
    assert 404 == (await sam.get(release)).status


async def test_a_hold_is_released_on_its_own_merchants_page_alone(farebox: Farebox, sam: Visitor) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    hold_id = await _hold(farebox, seeds, "hold")
    wrong = f"/support/merchants/{other.merchant}/holds/{hold_id}/release"
    assert 404 == (await sam.get(wrong)).status
    assert 404 == (await sam.post(wrong, reason="gone")).status
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    assert 5_000_000 == account.held


async def test_a_viewer_sees_holds_and_releases_none(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold_id = await _hold(farebox, seeds, "hold")
    eve = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "eve@farebox.example", "Eve", roles=StaffRole.VIEWER)
    url = f"/support/merchants/{seeds.merchant}/holds"
    page = await eve.page(url)
    assert "image x 500" in page
    assert "Release" not in page
    assert 403 == (await eve.get(f"{url}/{hold_id}/release")).status


async def test_long_lists_of_holds_are_read_in_pages(farebox: Farebox, client: AppClient, sam: Visitor) -> None:
    seeds = await seed(farebox)
    await farebox.services.merchants.add_user(seeds.merchant_id, "zoe@shop.example", role=Role.VIEWER)
    zoe = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "zoe@shop.example")
    made = [await _hold(farebox, seeds, f"hold-{number}", quantity=number + 1) for number in range(ROWS + 5)]
    roots = ((sam, f"/support/merchants/{seeds.merchant}"), (sam, "/support"), (zoe, f"/accounts/{seeds.merchant}"))
    for visitor, root in roots:
        path, seen, pages = f"{root}/holds", 0, 0
        while path:
            body = (await visitor.get(path)).body.decode()
            seen += len(re.findall(r">image x [0-9]+</a>", body))
            following = re.search(r'href="([^"]+cursor=[^"]+)">Next', body)
            path = following[1] if following else ""
            pages += 1
        assert seen >= len(made) if root == "/support" else seen == len(made)
        assert pages >= 2


async def test_set_aside_on_the_overview_opens_the_list(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.merchants.add_user(seeds.merchant_id, "ann@holds.example", role=Role.VIEWER)
    ann = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "ann@holds.example")
    root = f"/accounts/{seeds.merchant}"
    assert "Nothing is set aside. A request whose cost" in await ann.page(f"{root}/holds")
    await _hold(farebox, seeds, "hold", reference="job 7")
    overview = (await ann.get(root)).body.decode()
    assert f'<a href="{root}/holds">Set aside</a> <b>5.00</b>' in overview
    page = await ann.page(f"{root}/holds")
    assert "Open holds 5.00 USD in all" in page
    assert "image x 500 job 7" in page
    assert "Release" not in page
