"""Given credit in the console and on the merchant's pages: given after a look, approved, listed, spent and ended."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from farebox.bootstrap import Farebox
from farebox.core.staff_roles import StaffRole
from farebox.service.people.users import Role
from farebox.storage.records import Realm
from farebox.web.pages.console.grants import ROWS
from farebox.web.schemas.spending import ChargeRequest
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, kept, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM = {
    "amount": "20",
    "reference": "WELCOME-1",
    "reason": "for trying it out",
    "starts": "",
    "expires": "",
    "types": "",
    "priority": "0",
}


def _url(seeds: Seeds) -> str:
    return f"/support/merchants/{seeds.merchant}"


def _in_days(days: int) -> str:
    """Write a time as the browser's field does, in the visitors' zone."""
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M}"


async def _available(farebox: Farebox, seeds: Seeds) -> tuple[int, int]:
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    return account.available, account.given


async def _charge(farebox: Farebox, seeds: Seeds, quantity: int, key: str = "charge") -> str:
    fields = ChargeRequest(seeds.merchant, "image", key, quantity=quantity)
    outcome = await farebox.services.operations.charge(fields, caller=None)
    assert outcome.transfer is not None
    return outcome.transfer.id


async def _end_of(visitor: Visitor, seeds: Seeds) -> str:
    """Find where the newest grant that has not ended is ended."""
    page = (await visitor.get(f"{_url(seeds)}/grants")).body.decode()
    found = re.search(r'href="([^"]+/grants/grant_[0-9A-Z]+/end)"', page)
    assert found is not None
    return found[1]


async def test_credit_is_shown_first_and_then_given_once(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"{_url(seeds)}/grants"
    assert "Nothing was given" in await sam.page(url)
    assert "Give credit" in await sam.page(f"{url}/give")
    form = {**FORM, "expires": _in_days(30), "types": "image, audio"}
    preview = await sam.post(f"{url}/give", **form)
    text = words(preview)
    assert "Is this the credit to give? 20.00 USD of credit to Northwind Imaging" in text
    assert "Balance 100.00 → 120.00 USD" in text
    assert "Starts at once" in text
    assert "Pays for audio and image alone" in text
    assert "Priority 0, spent before paid money" in text
    assert "Nothing has a price under the name audio; see that it is right." in text
    assert "Give 20.00 USD" in text
    assert (100_000_000, 0) == await _available(farebox, seeds)
    page = await sam.done(f"{url}/give/confirm", **form)
    assert "The credit is given." in page
    assert "WELCOME-1 for trying it out open" in page
    assert (120_000_000, 20_000_000) == await _available(farebox, seeds)
    again = await sam.done(f"{url}/give/confirm", **form)
    assert "nothing is given again" in again
    assert "This is given already" in words(await sam.post(f"{url}/give", **form))
    assert (120_000_000, 20_000_000) == await _available(farebox, seeds)
    other = await sam.wrong(f"{url}/give/confirm", **{**form, "amount": "21"})
    assert "WELCOME-1" == kept(other, "reference")
    assert 'id="reference-note">' in other.body.decode()
    glance = await sam.page(_url(seeds))
    assert "Paid 100.00 Given credit 20.00" in glance
    assert re.search(r"20\.00 for audio and image alone ends on \d+ \w+ \d{4}, \d\d:\d\d", glance)
    assert "Sam sam@farebox.example gave 20.00 USD of credit, until " in glance
    assert ", for audio and image alone, WELCOME-1, for trying it out" in glance


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("amount", "-5"),
        ("reference", ""),
        ("reason", ""),
        ("types", "no;type"),
        ("priority", "101"),
        ("priority", "first"),
        ("starts", "tomorrow"),
        ("expires", "never"),
    ],
)
async def test_credit_that_makes_no_sense_is_asked_for_again(
    farebox: Farebox, sam: Visitor, field: str, text: str
) -> None:
    seeds = await seed(farebox)
    form = {**FORM, field: text}
    for path in ("give", "give/confirm"):
        reply = await sam.wrong(f"{_url(seeds)}/grants/{path}", **form)
        assert f'id="{field}-note">' in reply.body.decode()
        assert form["reference"] == kept(reply, "reference")
    assert (100_000_000, 0) == await _available(farebox, seeds)


async def test_an_end_that_is_over_is_refused_in_words(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    for times in (
        {"expires": _in_days(-1)},
        {"starts": _in_days(3), "expires": _in_days(2)},
        {"starts": _in_days(800)},
    ):
        reply = await sam.wrong(f"{_url(seeds)}/grants/give", **{**FORM, **times})
        assert 'role="alert"' in reply.body.decode()
    assert (100_000_000, 0) == await _available(farebox, seeds)


async def test_much_credit_waits_for_a_second_person(farebox: Farebox, sam: Visitor, tess: Visitor) -> None:
    seeds = await seed(farebox)
    form = {**FORM, "amount": "1000.01", "reference": "BIG", "expires": _in_days(30), "priority": "5"}
    preview = await sam.post(f"{_url(seeds)}/grants/give", **form)
    assert "needs a second person" in words(preview)
    assert "Ask for 1,000.01 USD" in words(preview)
    page = await sam.done(f"{_url(seeds)}/grants/give/confirm", **form)
    assert "It waits for a second person's approval." in page
    assert "asked for a grant of credit BIG of 1,000.01 USD" in page
    assert (100_000_000, 0) == await _available(farebox, seeds)
    (approval,) = [item for item in await farebox.services.approvals.pending() if item.merchant_id == seeds.merchant_id]
    here = f"/support/approvals/{seeds.merchant}/{approval.id}"
    asked = await tess.page(here)
    assert "Grant of credit of 1,000.01 USD" in asked
    assert "Balance 100.00 → 1,100.01 USD" in asked
    assert "Pays for every request type" in asked
    assert "Priority 5, spent after paid money" in asked
    assert "It is approved and in the ledger." in await tess.done(f"{here}/approve")
    assert (1_100_010_000, 1_000_010_000) == await _available(farebox, seeds)
    assert "BIG for trying it out open" in await sam.page(f"{_url(seeds)}/grants")


async def test_credit_that_starts_later_waits_and_may_never_start(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"{_url(seeds)}/grants"
    form = {**FORM, "starts": _in_days(3)}
    preview = words(await sam.post(f"{url}/give", **form))
    assert "Balance" not in preview.partition("Is this the credit to give?")[2]
    page = await sam.done(f"{url}/give/confirm", **form)
    assert "WELCOME-1 for trying it out to come" in page
    assert (100_000_000, 0) == await _available(farebox, seeds)
    end = await _end_of(sam, seeds)
    asked = await sam.page(end)
    assert "Let this credit never start? 20.00 USD" in asked
    done = await sam.done(end, reason="changed our minds")
    assert "The credit has ended" in done
    assert "WELCOME-1 for trying it out ended" in done
    assert (100_000_000, 0) == await _available(farebox, seeds)


async def test_credit_is_ended_once_after_a_page_that_tells_what_happens(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    await sam.done(f"{_url(seeds)}/grants/give/confirm", **FORM)
    await _charge(farebox, seeds, 500)
    end = await _end_of(sam, seeds)
    asked = await sam.page(end)
    assert "End this credit? 15.00 USD of 20.00 left to Northwind Imaging" in asked
    assert "Balance 115.00 → 100.00 USD" in asked
    assert "Take 15.00 USD back" in asked
    refused = await sam.wrong(end, reason="")
    assert 'id="reason-note">' in refused.body.decode()
    done = await sam.done(end, reason="given by mistake")
    assert "The credit has ended: what was left of it can't be spent any more." in done
    assert (100_000_000, 0) == await _available(farebox, seeds)
    again = await sam.done(end, reason="given by mistake")
    assert "this was done once" in again
    assert (100_000_000, 0) == await _available(farebox, seeds)
    assert "This credit has ended" in await sam.page(end)
    glance = await sam.page(_url(seeds))
    assert "ended given credit, of which 15.00 USD was left, WELCOME-1, given by mistake" in glance


async def test_credit_is_ended_on_its_own_merchants_page_alone(farebox: Farebox, sam: Visitor) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    await sam.done(f"{_url(seeds)}/grants/give/confirm", **FORM)
    end = (await _end_of(sam, seeds)).replace(seeds.merchant, other.merchant, 1)
    assert 404 == (await sam.get(end)).status
    assert (await sam.post(end, reason="gone")).status in (404, 422)
    assert (120_000_000, 20_000_000) == await _available(farebox, seeds)


async def test_a_viewer_sees_given_credit_and_gives_none(farebox: Farebox, client: AppClient, sam: Visitor) -> None:
    seeds = await seed(farebox)
    await sam.done(f"{_url(seeds)}/grants/give/confirm", **FORM)
    eve = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "eva@farebox.example", "Eva", roles=StaffRole.VIEWER)
    page = (await eve.get(f"{_url(seeds)}/grants")).body.decode()
    assert "WELCOME-1" in page
    assert "/grants/give" not in page
    assert "/end" not in page
    for path in ("give", "give/confirm"):
        assert 403 == (await eve.post(f"{_url(seeds)}/grants/{path}", **FORM)).status


async def test_the_merchant_sees_what_was_given_what_ends_and_what_a_charge_took_of_it(
    farebox: Farebox, client: AppClient, sam: Visitor
) -> None:
    seeds = await seed(farebox)
    await farebox.services.merchants.add_user(seeds.merchant_id, "ann@credit.example", role=Role.VIEWER)
    ann = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "ann@credit.example")
    root = f"/accounts/{seeds.merchant}"
    assert "You were given no credit" in await ann.page(f"{root}/credit")
    assert "Given credit" not in await ann.page(root)
    await sam.done(f"{_url(seeds)}/grants/give/confirm", **{**FORM, "amount": "4", "expires": _in_days(30)})
    charge = await _charge(farebox, seeds, 500)
    overview = await ann.page(root)
    assert "Paid 99.00 Given credit 0.00" in overview
    assert "image x 500 4.00 of it given credit" in overview
    await sam.done(f"{_url(seeds)}/grants/give/confirm", **{**FORM, "reference": "W-2", "expires": _in_days(30)})
    overview = await ann.page(root)
    assert "Paid 99.00 Given credit 20.00" in overview
    assert re.search(r"20\.00 ends on \d+ \w+ \d{4}, \d\d:\d\d", overview)
    listed = await ann.page(f"{root}/credit")
    assert "20.00 USD left in all" in listed
    assert "WELCOME-1 for trying it out used up" in listed
    assert "4.00 of it given credit" in await ann.page(f"{root}/statement")
    for page in (await ann.page(f"{root}/statement/{charge}"), await sam.page(f"{_url(seeds)}/transfers/{charge}")):
        assert "Given credit 4.00 USD of WELCOME-1 , which ends" in page
        assert "Paid money 1.00 USD" in page


async def test_long_lists_of_credit_are_read_in_pages(farebox: Farebox, client: AppClient, sam: Visitor) -> None:
    seeds = await seed(farebox)
    for number in range(ROWS + 5):
        form = {**FORM, "amount": "1", "reference": f"W-{number}"}
        await sam.done(f"{_url(seeds)}/grants/give/confirm", **form)
    await farebox.services.merchants.add_user(seeds.merchant_id, "zed@credit.example", role=Role.VIEWER)
    zed = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "zed@credit.example")
    for visitor, first in ((sam, f"{_url(seeds)}/grants"), (zed, f"/accounts/{seeds.merchant}/credit")):
        path, pages = first, 0
        seen: list[str] = []
        while path:
            body = (await visitor.get(path)).body.decode()
            seen += re.findall(r">(W-[0-9]+)</a>", body)
            following = re.search(r'href="([^"]+cursor=[^"]+)">Next', body)
            path = following[1] if following else ""
            pages += 1
        assert [f"W-{number}" for number in reversed(range(ROWS + 5))] == seen
        assert 2 == pages
