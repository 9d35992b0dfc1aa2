"""Moves of money from the console: shown before they are made, made once, and seen by a second person if large."""

import re

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.people.api_keys import Principal
from farebox.web.pages.console import approvals, transfers
from farebox.web.schemas.spending import ChargeRequest
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, kept, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

APPROVALS = "/support/approvals"


def _url(seeds: Seeds) -> str:
    return f"/support/merchants/{seeds.merchant}"


def _transfer(seeds: Seeds, seq: int) -> str:
    return ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=seq)


def _once(digit: str) -> str:
    """Write a form's token."""
    return f"1-{digit * 32}"


async def _available(farebox: Farebox, seeds: Seeds) -> int:
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    return account.available


async def _charge(farebox: Farebox, seeds: Seeds, quantity: int) -> str:
    outcome = await farebox.services.operations.charge(
        ChargeRequest(seeds.merchant, "image", f"charge-{quantity}", quantity=quantity), caller=None
    )
    assert outcome.transfer is not None
    return outcome.transfer.id


async def test_a_top_up_is_shown_first_and_then_made_once(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox, balance="312.42")
    form = {"amount": "500", "reference": "INV-2", "note": "wire"}
    preview = await sam.post(f"{_url(seeds)}/top-up", **form)
    assert 200 == preview.status
    assert "500.00 USD to Northwind Imaging Balance 312.42 → 812.42 USD" in words(preview)
    assert "Top up 500.00 USD" in words(preview)
    assert 312_420_000 == await _available(farebox, seeds)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', preview.body.decode()))
    assert form == {name: value for name, value in hidden.items() if name != "csrf_token"}
    page = await sam.done(f"{_url(seeds)}/top-up/confirm", **form)
    assert "The top-up is in the ledger." in page
    assert "Top-up INV-2" in page
    assert "Sam sam@farebox.example topped up 500.00 USD, INV-2, wire" in page
    assert 812_420_000 == await _available(farebox, seeds)
    again = await sam.done(f"{_url(seeds)}/top-up/confirm", **form)
    assert "nothing was moved again" in again
    assert 812_420_000 == await _available(farebox, seeds)
    entries, _ = await farebox.services.audit_log.page(merchant_id=seeds.merchant_id, cursor=None, limit=9)
    assert [("sam@farebox.example", "top_up", "top_up of 500.00 USD, INV-2, wire")] == [
        (entry.actor, entry.action, entry.detail) for entry in entries
    ]
    other = await sam.wrong(f"{_url(seeds)}/top-up/confirm", **{**form, "amount": "501"})
    assert "was used for another top-up" in words(other)
    assert "501" == kept(other, "amount")


@pytest.mark.parametrize(
    ("field", "text"), [("amount", "-5"), ("amount", "1.0000001"), ("reference", ""), ("note", "a\tb")]
)
async def test_a_top_up_that_makes_no_sense_is_asked_for_again(
    farebox: Farebox, sam: Visitor, field: str, text: str
) -> None:
    seeds = await seed(farebox)
    form = {"amount": "5", "reference": "R", "note": "n", field: text}
    for path in ("top-up", "top-up/confirm"):
        reply = await sam.wrong(f"{_url(seeds)}/{path}", **form)
        assert f'id="{field}-note">' in reply.body.decode()
        assert text.strip() == kept(reply, field).strip()
        assert form["reference"] == kept(reply, "reference")
    assert 100_000_000 == await _available(farebox, seeds)


async def test_an_adjustment_adds_or_takes_away(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"{_url(seeds)}/adjust"
    assert "Adjust the balance" in await sam.page(url)
    form = {"sign": "take", "amount": "30", "reference": "ADJ-1", "reason": "counted twice"}
    preview = await sam.post(url, **form)
    assert "\N{MINUS SIGN}30.00 USD from Northwind Imaging Balance 100.00 → 70.00 USD" in words(preview)
    assert "Take away 30.00 USD" in words(preview)
    assert "The adjustment is in the ledger." in await sam.done(f"{url}/confirm", **form)
    assert 70_000_000 == await _available(farebox, seeds)
    added = {**form, "sign": "add", "reference": "ADJ-2"}
    assert "+30.00 USD to Northwind Imaging Balance 70.00 → 100.00 USD" in words(await sam.post(url, **added))
    await sam.done(f"{url}/confirm", **added)
    assert 100_000_000 == await _available(farebox, seeds)
    for path in (url, f"{url}/confirm"):
        reply = await sam.wrong(path, **{**form, "sign": "both", "reference": "ADJ-3"})
        assert "Choose whether to add or to take away" in words(reply)
        reply = await sam.wrong(path, **{**form, "reason": "", "reference": "ADJ-3"})
        assert 'id="reason-note">' in reply.body.decode()
        assert '<option value="take" selected>' in reply.body.decode()
    refused = await sam.wrong(f"{url}/confirm", **{**form, "amount": "101", "reference": "ADJ-4"})
    assert "Insufficient balance" in words(refused)
    assert 100_000_000 == await _available(farebox, seeds)


async def test_much_money_waits_for_a_second_person(farebox: Farebox, sam: Visitor, tess: Visitor) -> None:
    seeds = await seed(farebox)
    form = {"amount": "1000.01", "reference": "BIG", "note": ""}
    assert "needs a second person" in words(await sam.post(f"{_url(seeds)}/top-up", **form))
    page = await sam.done(f"{_url(seeds)}/top-up/confirm", **form)
    assert "It waits for a second person's approval." in page
    assert 100_000_000 == await _available(farebox, seeds)
    (approval,) = await farebox.services.approvals.page(merchant_id=seeds.merchant_id, before=None, limit=5)
    one = f"{APPROVALS}/{seeds.merchant}/{approval.id}"
    own = await sam.page(APPROVALS)
    assert "Top-up of 1,000.01 USD for Northwind Imaging BIG. Sam asked for it" in own
    assert "Somebody else has to approve it." in own
    assert "Approve 1,000.01 USD" not in own
    refused = await sam.wrong(f"{one}/approve")
    assert "sam@farebox.example requested this; another person approves it" in words(refused)
    assert "Approve 1,000.01 USD" not in await sam.page(one)
    assert "Decide top-up of 1,000.01 USD" in await tess.page(APPROVALS)
    shown = await tess.page(one)
    assert "Balance 100.00 → 1,100.01 USD" in shown
    assert "Approve 1,000.01 USD" in shown
    done = await tess.done(f"{one}/approve")
    assert "It is approved and in the ledger." in done
    assert re.search(r"Top-up of 1,000.01 USD BIG .* Sam Tess .* approved", done)
    assert 1_100_010_000 == await _available(farebox, seeds)
    late = await sam.wrong(f"{one}/reject")
    assert 'role="alert"' in late.body.decode()
    assert "Asked for by Sam," in words(late)


async def test_a_request_is_rejected_or_taken_back(farebox: Farebox, sam: Visitor, tess: Visitor) -> None:
    seeds = await seed(farebox)
    for reference, who in (("BIG-1", tess), ("BIG-2", sam)):
        form = {"sign": "take", "amount": "2000", "reference": reference, "reason": "goodwill"}
        await sam.done(f"{_url(seeds)}/adjust/confirm", **form)
        (approval, *_) = await farebox.services.approvals.page(merchant_id=seeds.merchant_id, before=None, limit=5)
        assert "Adjustment of \N{MINUS SIGN}2,000.00 USD" in await who.page(APPROVALS)
        page = await who.done(f"{APPROVALS}/{seeds.merchant}/{approval.id}/reject")
        assert "It is rejected; nothing was moved." in page
    assert 100_000_000 == await _available(farebox, seeds)
    absent = ids.public_id(ids.APPROVAL, 7)
    assert 404 == (await sam.get(f"{APPROVALS}/{seeds.merchant}/{absent}")).status
    assert 404 == (await sam.post(f"{APPROVALS}/{seeds.merchant}/{absent}/approve")).status


async def test_decided_requests_have_pages(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    for reference in ("OLD", *(f"R{number}" for number in range(approvals.ROWS - 1)), "NEW"):
        await farebox.services.operations.top_up(
            seeds.merchant_id, amount="3000", reference=reference, note=None, principal=None
        )
        (approval, *_) = await farebox.services.approvals.page(merchant_id=seeds.merchant_id, before=None, limit=1)
        await farebox.services.approvals.reject(
            seeds.merchant_id, approval.approval_id, principal=Principal("sam@farebox.example", roles=EVERY_ROLE)
        )
    first = await sam.get(APPROVALS)
    assert "NEW" in words(first)
    assert "OLD" not in words(first)
    older = re.search(r'href="(/support/approvals\?before=appr_[0-9A-Z]{13})"', first.body.decode())
    assert older is not None
    assert "OLD" in await sam.page(older[1])
    assert "NEW" in await sam.page(f"{APPROVALS}?before=nonsense")


async def test_a_charge_is_refunded_in_part_and_once(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    transfer = await _charge(farebox, seeds, 1000)
    url = f"{_url(seeds)}/transfers/{transfer}"
    shown = await sam.get(url)
    assert "image x 1,000 -10.00 USD" in words(shown)
    once = re.search(r'name="once" value="([0-9a-f]+-[0-9a-f]{32})"', shown.body.decode())
    assert once is not None
    form = {"once": once[1], "amount": "4", "reference": "", "note": "blurred"}
    for _ in range(2):
        assert "The refund is in the ledger." in await sam.done(f"{url}/refund/confirm", **form)
    assert 94_000_000 == await _available(farebox, seeds)
    reply = await sam.wrong(f"{url}/refund", **{**form, "once": _once("b"), "amount": "7"})
    assert "7" == kept(reply, "amount")
    assert re.search(r'name="once" value="[0-9a-f]+-[0-9a-f]{32}"', reply.body.decode())
    reply = await sam.wrong(f"{url}/refund", **{**form, "once": _once("b"), "amount": "much"})
    assert 'id="amount-note">' in reply.body.decode()
    await sam.done(f"{url}/refund/confirm", **{**form, "once": _once("b"), "amount": ""})
    assert 100_000_000 == await _available(farebox, seeds)
    refund = await sam.page(f"{_url(seeds)}/transfers/{_transfer(seeds, 3)}")
    assert "Refers to image x 1,000 , 10.00 USD" in refund
    assert "Note blurred" in refund


async def test_a_top_up_is_taken_back(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"{_url(seeds)}/transfers/{_transfer(seeds, 1)}"
    form = {"amount": "40", "reference": "BACK-1", "reason": "paid twice"}
    assert "The top-up is taken back." in await sam.done(f"{url}/take-back/confirm", **form)
    assert 60_000_000 == await _available(farebox, seeds)
    reply = await sam.wrong(f"{url}/take-back", **{**form, "reason": ""})
    assert 'id="reason-note">' in reply.body.decode()
    assert "BACK-1" == kept(reply, "reference")
    reply = await sam.wrong(f"{url}/take-back", **{**form, "reference": "BACK-2", "amount": "61"})
    assert 'id="amount-note">Only 60.00' in reply.body.decode()
    await sam.done(f"{url}/take-back/confirm", **{**form, "reference": "BACK-2", "amount": ""})
    assert 0 == await _available(farebox, seeds)
    # A transfer that can't be given back or taken back offers neither.
    reversal = await sam.get(f"{_url(seeds)}/transfers/{_transfer(seeds, 2)}")
    assert "<form class" not in reversal.body.decode()


async def test_a_transfer_is_found_under_its_own_merchant_alone(farebox: Farebox, sam: Visitor) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    transfer = await _charge(farebox, other, 1)
    for text in (transfer, "nonsense", _transfer(seeds, 2)):
        url = f"{_url(seeds)}/transfers/{text}"
        assert 404 == (await sam.get(url)).status
        form = {"amount": "", "reference": "R", "note": "", "reason": "r"}
        assert 404 == (await sam.post(f"{url}/refund", **form)).status
        assert 404 == (await sam.post(f"{url}/take-back", **form)).status
    assert 99_990_000 == await _available(farebox, other)


async def test_the_book_has_pages_and_a_filter(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    for quantity in range(1, transfers.ROWS + 1):
        await _charge(farebox, seeds, quantity)
    url = f"{_url(seeds)}/transfers"
    first = await sam.get(url)
    assert "Top-up INV-1" not in words(first)
    older = re.search(r'href="([^"]+cursor=xfer_[0-9A-Z]{21})"', first.body.decode())
    assert older is not None
    assert "Top-up INV-1" in await sam.page(older[1].replace("&amp;", "&"))
    filtered = await sam.page(f"{url}?kind=top_up")
    assert "Top-up INV-1" in filtered
    assert "image x 1" not in filtered
    assert "There are none of this kind." in await sam.page(f"{url}?kind=refund")
    assert 422 == (await sam.get(f"{url}?cursor=nonsense")).status


async def test_what_is_finer_than_the_currency_is_told_beside_its_field(farebox: Farebox, sam: Visitor) -> None:
    merchant, _, _ = await farebox.services.merchants.create(
        name="Shop in yen", currency="JPY", thresholds=[], credit_limit="0"
    )
    url = f"/support/merchants/{merchant.id}"
    wrong = await sam.wrong(f"{url}/top-up", amount="12.5", reference="INV-1", note="")
    assert "12.5 JPY is too fine: amounts in JPY are whole numbers" in words(wrong)
    assert 'id="amount-note"' in wrong.body.decode()
    wrong = await sam.wrong(f"{url}/credit-limit", credit_limit="0.5")
    assert "0.5 JPY is too fine" in words(wrong)
    assert 'id="credit_limit-note"' in wrong.body.decode()
    preview = await sam.post(f"{url}/top-up", amount="1,250", reference="INV-1", note="")
    assert "Balance 0 → 1,250 JPY" in words(preview)


async def test_a_refund_is_shown_first_and_offers_no_more_than_is_left(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    transfer = await _charge(farebox, seeds, 1000)
    url = f"{_url(seeds)}/transfers/{transfer}"
    assert "Refunds" not in await sam.page(url)
    form = {"once": _once("c"), "amount": "4", "reference": "CASE-1", "note": "blurred"}
    shown = words(await sam.post(f"{url}/refund", **form))
    assert (
        "Is this the refund? +4.00 USD to Northwind Imaging Balance 90.00 → 94.00 USD Of image x 1,000, 10.00" in shown
    )
    assert "Given back so far 0.00 USD Left after this 6.00 USD Reference CASE-1 Note blurred" in shown
    assert "Refund 4.00 USD" in shown
    assert 90_000_000 == await _available(farebox, seeds)
    await sam.done(f"{url}/refund/confirm", **form)
    again = words(await sam.post(f"{url}/refund", **form))
    assert "This is made already" in again
    page = await sam.page(url)
    assert re.search(r"Refunds What When Amount, USD Refund CASE-1 blurred .* 4.00 6.00 of 10.00 USD is left.", page)
    assert "Empty: all that is left, 6.00 USD." in page
    assert "What went back to you" in await sam.page(f"/accounts/{seeds.merchant}/statement/{transfer}")
    rest = await sam.post(f"{url}/refund", once=_once("d"), amount="", reference="", note="")
    assert "Refund 6.00 USD" in words(rest)
    # The button names the amount: it gives back no other one, whatever happened meanwhile.
    assert '<input type="hidden" name="amount" value="6.00">' in rest.body.decode()
    await sam.done(f"{url}/refund/confirm", once=_once("d"), amount="6.00", reference="", note="")
    page = await sam.page(url)
    assert "All 10.00 USD of it went back." in page
    assert "all that is left" not in page
    late = await sam.wrong(f"{url}/refund", once=_once("e"), amount="1", reference="", note="")
    assert "Only 0.00 USD of" in words(late)


async def test_a_preview_tells_what_would_be_refused_and_what_was_made(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    top_up = {"amount": "100", "reference": "INV-1", "note": ""}
    made = words(await sam.post(f"{_url(seeds)}/top-up", **top_up))
    assert "This is made already" in made
    assert "Top up 100.00 USD" not in made
    other = await sam.wrong(f"{_url(seeds)}/top-up", **{**top_up, "amount": "101"})
    assert 'id="reference-note">This idempotency key or reference was used for another top-up' in other.body.decode()
    take = {"sign": "take", "amount": "100.01", "reference": "A", "reason": "r"}
    refused = await sam.wrong(f"{_url(seeds)}/adjust", **take)
    assert 'id="amount-note">Insufficient balance: 100.01 USD needed, 100.00 can be spent' in refused.body.decode()
    waits = words(await sam.post(f"{_url(seeds)}/adjust", **{**take, "amount": "1,000.01"}))
    assert "As things stand there is too little on the account" in waits
    assert "Ask for taking away 1,000.01 USD" in waits
    assert 100_000_000 == await _available(farebox, seeds)


async def test_a_refund_of_much_is_said_to_wait(farebox: Farebox, sam: Visitor, tess: Visitor) -> None:
    seeds = await seed(farebox)
    await sam.done(f"{_url(seeds)}/top-up/confirm", amount="1,900", reference="BIG", note="")
    (approval,) = await farebox.services.approvals.page(merchant_id=seeds.merchant_id, before=None, limit=5)
    await tess.done(f"{APPROVALS}/{seeds.merchant}/{approval.id}/approve")
    transfer = await _charge(farebox, seeds, 110_000)
    url = f"{_url(seeds)}/transfers/{transfer}"
    form = {"once": _once("f"), "amount": "1,000.01", "reference": "", "note": ""}
    shown = words(await sam.post(f"{url}/refund", **form))
    assert "needs a second person" in shown
    assert "Ask for a refund of 1,000.01 USD" in shown
    assert "It waits for a second person's approval." in await sam.done(f"{url}/refund/confirm", **form)
    assert 900_000_000 == await _available(farebox, seeds)
