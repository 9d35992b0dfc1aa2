"""A merchant's own pages: what they show, what their forms do, and to whom."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import CaptureHold, Charge, CreateHold, KeyKind, Payer
from farebox.service.people.users import Realm, Role
from farebox.storage.records import Purpose
from farebox.web.examples import BALANCE
from farebox.web.schemas.spending import ChargeRequest
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import FORM, Visitor, kept, words

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Shop:
    """A merchant with people of each role."""

    seeds: Seeds
    url: str
    owner: Visitor
    member: Visitor
    viewer: Visitor


@pytest_asyncio.fixture(loop_scope="module")
async def shop(farebox: Farebox, client: AppClient) -> AsyncIterator[Shop]:
    """A merchant of its own for each test."""
    seeds = await seed(farebox)
    people = []
    for role in (Role.OWNER, Role.MEMBER, Role.VIEWER):
        email = f"{role.name.lower()}-{seeds.merchant_id}@shop.example"
        await farebox.services.merchants.add_user(seeds.merchant_id, email, role=role)
        people.append(await Visitor.sign_in(farebox, client, Realm.MERCHANT, email))
    yield Shop(seeds, f"/accounts/{seeds.merchant}", *people)


async def charge(farebox: Farebox, shop: Shop, key: str, quantity: int = 1) -> str:
    outcome = await farebox.committer.submit(Charge(Payer(shop.seeds.merchant_id), "image", quantity, key))
    assert outcome.transfer is not None
    return outcome.transfer.id


async def in_currency(farebox: Farebox, client: AppClient, currency: str, *, paid: str | None = None) -> Visitor:
    """A merchant with an account in a currency, and a person on it; a call there is variable."""
    merchant, _, _ = await farebox.services.merchants.create(
        name=f"Shop in {currency}", currency=currency, thresholds=["100"], credit_limit="0"
    )
    if paid is not None:
        done = await farebox.services.operations.top_up(
            merchant.merchant_id, amount=paid, reference="INV-1", note=None, principal=None
        )
        assert done.is_ok
    email = f"{currency.lower()}-{merchant.merchant_id}@shop.example"
    await farebox.services.merchants.add_user(merchant.merchant_id, email, role=Role.OWNER)
    return await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)


def overview_of(visitor: Visitor) -> str:
    """Where the overview of the only merchant of somebody made by `in_currency` is."""
    number = int(visitor.signed_in.login.email.partition("-")[2].partition("@")[0])
    return f"/accounts/{ids.public_id(ids.MERCHANT, number)}"


# The overview and the statement.


@pytest.mark.parametrize(
    ("currency", "paid", "cost", "left", "threshold"),
    [
        ("JPY", "1250", "1237.6544", "12.3456", "100"),
        ("JPY", "1250", "2", "1,248", "100"),
        ("KWD", "1250.5", "0.25", "1,250.250", "100.000"),
        ("CLF", "2", "0.5", "1.5000", "100.0000"),
        ("USD", "1250.75", "0.0004", "1,250.7496", "100.00"),
    ],
)
async def test_amounts_have_their_currencys_decimals_and_are_exact(
    farebox: Farebox, client: AppClient, currency: str, paid: str, cost: str, left: str, threshold: str
) -> None:
    await farebox.services.prices.set("call", None)
    visitor = await in_currency(farebox, client, currency, paid=paid)
    url = overview_of(visitor)
    outcome = await farebox.services.operations.charge(
        ChargeRequest(url.rpartition("/")[2], "call", "charge", amount=cost), caller=None
    )
    assert outcome.is_ok, outcome
    assert f"Available balance {left} {currency}" in await visitor.page(url)
    assert left in await visitor.page(f"{url}/statement")
    assert threshold == kept(await visitor.get(f"{url}/alerts"), "amount")


async def test_how_long_it_lasts_is_said_only_where_it_is_known(farebox: Farebox, client: AppClient) -> None:
    visitor = await in_currency(farebox, client, "USD")
    page = await visitor.page(overview_of(visitor))
    assert "How long it lasts never topped up Nothing can be spent yet." in page
    assert "Your account was never topped up: requests are refused until then." in page
    assert "used up" not in page
    visitor = await in_currency(farebox, client, "EUR", paid="10")
    page = await visitor.page(overview_of(visitor))
    assert "How long it lasts too early to tell" in page
    assert "Nothing was spent" not in page


async def test_the_overview_tells_how_much_and_where_it_goes(farebox: Farebox, shop: Shop) -> None:
    await charge(farebox, shop, "overview", 7)
    page = await shop.viewer.page(shop.url)
    assert "Available balance 99.93 USD" in page
    assert "image x 7" in page
    assert "Spend by type, USD a day" in page
    now = await shop.viewer.page(f"{shop.url}/now")
    assert "99.93" in now
    assert "image x 7" in now
    assert "Last 14 days" in await shop.viewer.page(f"{shop.url}/charts")
    for path in (f"{shop.url}?by=hour", f"{shop.url}/charts?by=hour"):
        page = await shop.viewer.page(path)
        assert "Spend by type, USD an hour" in page
        assert "Last 2 days" in page


async def test_the_statement_is_read_in_pages_and_each_line_once(farebox: Farebox, shop: Shop) -> None:
    for number in range(120):
        await charge(farebox, shop, f"page-{number}", number + 1)
    seen: list[str] = []
    path = f"{shop.url}/statement"
    while path:
        reply = await shop.viewer.get(path)
        body = reply.body.decode()
        seen += re.findall(r'class="row" href="[^"]+/statement/(xfer_[0-9A-Z]+)"', body)
        older = re.search(r'href="([^"]+cursor=[^"]+)">Older', body)
        path = older[1].replace("&amp;", "&") if older else ""
    assert [ids.book_id(ids.TRANSFER, merchant_id=shop.seeds.merchant_id, seq=seq) for seq in range(121, 0, -1)] == seen


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("kind=top_up", {"Top-up INV-1"}),
        ("type=image", {"image x 2"}),
        ("type=video", set()),
        ("reference=INV-1", {"Top-up INV-1"}),
        ("from=2100-01-01", set()),
        ("to=2000-01-01", set()),
        ("from=2020-01-01&to=2100-01-01", {"Top-up INV-1", "image x 2"}),
    ],
)
async def test_the_statement_is_filtered(farebox: Farebox, shop: Shop, query: str, shown: set[str]) -> None:
    await charge(farebox, shop, "filtered", 2)
    page = await shop.viewer.page(f"{shop.url}/statement?{query}")
    assert shown == {text for text in ("Top-up INV-1", "image x 2") if text in page}
    assert ("Nothing agrees with all of this" in page) is (not shown)


@pytest.mark.parametrize(("field", "text"), [("from", "yesterday"), ("to", "2027-02-30"), ("kind", "gift")])
async def test_a_filter_that_makes_no_sense_is_said_beside_its_field(shop: Shop, field: str, text: str) -> None:
    reply = await shop.viewer.get(f"{shop.url}/statement?{urlencode({field: text})}")
    assert 422 == reply.status
    assert f'id="{field}-note"' in reply.body.decode()
    assert field == "kind" or kept(reply, field) == text


async def test_days_are_the_readers_own(farebox: Farebox, shop: Shop) -> None:
    """A charge of now is on today's page in whatever zone, and on tomorrow's in none."""
    await charge(farebox, shop, "today", 3)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        headers = [("cookie", f"{shop.viewer.cookie[1]}; farebox-zone={quote(zone, safe='')}")]
        reply = await shop.viewer.client.get(f"{shop.url}/statement", headers=headers)
        assert "image x 3" in words(reply)


async def test_a_line_tells_why_it_was_charged(farebox: Farebox, shop: Shop) -> None:
    page = await shop.viewer.page(f"{shop.url}/statement/{await charge(farebox, shop, 'why-me', 12)}")
    for text in (
        "Why were you charged this?",
        "-0.12 USD",
        "0.01 USD, so 12 x 0.01 = 0.12",
        "the default for image, in force since",
        "Balance before 100.00 USD",
        "Balance after 99.88 USD",
        "why-me",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("part", "what", "price"),
    [
        ({"quantity": 3}, "image x 3: 0.03 captured", "0.01 USD, so 3 x 0.01 = 0.03"),
        ({"amount": 25_000}, "image x 3: 0.025 captured", "0.01 USD each when it was held; of that, 0.025 USD"),
        ({}, "image x 5: 0.05 captured", "0.01 USD, so 5 x 0.01 = 0.05"),
    ],
)
async def test_a_capture_tells_what_it_came_to(
    farebox: Farebox, shop: Shop, part: dict[str, int], what: str, price: str
) -> None:
    held = await farebox.committer.submit(CreateHold(Payer(shop.seeds.merchant_id), "image", 5, "hold"))
    assert held.hold is not None
    captured = await farebox.committer.submit(
        CaptureHold(shop.seeds.merchant_id, held.hold.seq, "capture", part.get("amount"), quantity=part.get("quantity"))
    )
    assert captured.transfer is not None
    assert what in await shop.viewer.page(f"{shop.url}/statement")
    page = await shop.viewer.page(f"{shop.url}/statement/{captured.transfer.id}")
    assert what in page
    assert price in page
    assert "variable" not in page
    assert f"of 0.05 USD held{'; the rest went back at once' if part else ''}" in page


async def test_a_line_of_another_book_is_nowhere(farebox: Farebox, shop: Shop) -> None:
    other = await seed(farebox)
    theirs = ids.book_id(ids.TRANSFER, merchant_id=other.merchant_id, seq=1)
    for text in (theirs, theirs[:-1] + "9", "xfer_1", "x"):
        assert 404 == (await shop.owner.get(f"{shop.url}/statement/{text}")).status
    assert 404 == (await shop.owner.get(f"/accounts/{other.merchant}/statement")).status


async def test_an_export_can_be_verified_and_a_table_opened(farebox: Farebox, shop: Shop) -> None:
    for number in range(3):
        await charge(farebox, shop, f"export-{number}")
    reply = await shop.viewer.get(f"{shop.url}/statement.jsonl")
    assert f'attachment; filename="{shop.seeds.merchant}.jsonl"' == reply.header("content-disposition")
    lines = reply.body.decode().splitlines()
    assert 4 == json.loads(lines[-1])["count"]
    reply = await shop.viewer.get(f"{shop.url}/statement.csv?kind=charge")
    assert "text/csv" in (reply.header("content-type") or "")
    assert 4 == len(reply.body.decode().splitlines())


async def test_prices_in_force_and_to_come_are_shown_with_ones_own(farebox: Farebox, shop: Shop) -> None:
    await farebox.services.prices.set("image", "0.005", merchant_id=shop.seeds.merchant_id)
    await farebox.services.prices.set(
        "image", "0.004", merchant_id=shop.seeds.merchant_id, starts="2099-01-01T00:00:00Z"
    )
    page = await shop.viewer.page(f"{shop.url}/prices")
    assert "image your own 0.005 a request" in page
    assert "To come Request type Price, USD From image your own 0.004 a request 1 Jan 2099" in page


# Warnings.


async def test_members_set_thresholds_and_what_was_typed_stays_when_it_is_wrong(farebox: Farebox, shop: Shop) -> None:
    url = f"{shop.url}/alerts"
    page = await shop.member.done(url, amount="250")
    assert "The thresholds are saved." in page
    account = await farebox.stores.accounts.find(shop.seeds.merchant_id)
    assert account is not None
    assert [250_000_000] == [threshold.amount for threshold in account.thresholds]
    # Set above the balance it fires at once, and everybody registered is owed a mail.
    assert "a threshold set above the balance" in page
    assert 3 == page.count("waiting")
    reply = await shop.member.wrong(url, amount="a lot")
    assert 'value="a lot"' in reply.body.decode()
    assert "wrong" in reply.body.decode()
    entries, _ = await farebox.services.audit_log.page(merchant_id=shop.seeds.merchant_id, cursor=None, limit=10)
    assert [(shop.member.signed_in.login.email, "set_thresholds")] == [(it.actor, it.action) for it in entries]


async def test_a_test_mail_goes_to_whoever_asks(farebox: Farebox, shop: Shop) -> None:
    assert "A test mail is on its way to you." in await shop.member.done(f"{shop.url}/alerts/test")
    (account_mail, *_) = await farebox.stores.account_mails.list(1)
    assert (Purpose.TEST, shop.member.signed_in.login.email) == (account_mail.purpose, account_mail.email)
    for _ in range(4):
        await shop.member.done(f"{shop.url}/alerts/test")
    assert "try again later" in words(await shop.member.wrong(f"{shop.url}/alerts/test"))


# Keys.


async def test_an_owner_makes_a_key_that_works_and_is_shown_once(
    farebox: Farebox, shop: Shop, client: AppClient
) -> None:
    url = f"{shop.url}/keys"
    reply = await shop.owner.post(url, expires="")
    (text,) = re.findall(r"fbm_[0-9A-Z]{39}", reply.body.decode())
    assert 200 == (await client.get("/api/balance", text)).status
    assert text not in (await shop.owner.get(url)).body.decode()
    key = (await farebox.services.merchants.keys(shop.seeds.merchant_id))[-1]
    one = f"{url}/{ids.public_id(ids.KEY, key.key_id)}"
    assert "valid" in await shop.owner.page(one)
    asked = await shop.owner.post(f"{one}/rotate", overlap="0")
    assert "End the key" in words(asked)
    assert 200 == (await client.get("/api/balance", text)).status
    reply = await shop.owner.post(f"{one}/rotate", overlap="0", is_sure="yes")
    (successor,) = re.findall(r"fbm_[0-9A-Z]{39}", reply.body.decode())
    assert [401, 200] == [(await client.get("/api/balance", it)).status for it in (text, successor)]
    newest = (await farebox.services.merchants.keys(shop.seeds.merchant_id))[-1]
    assert "The key is revoked" in await shop.owner.done(f"{url}/{ids.public_id(ids.KEY, newest.key_id)}/revoke")
    assert 401 == (await client.get("/api/balance", successor)).status


async def test_an_owner_suspends_a_key_and_resumes_it(farebox: Farebox, shop: Shop, client: AppClient) -> None:
    made = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=shop.seeds.merchant_id)
    one = f"{shop.url}/keys/{ids.public_id(ids.KEY, made.key.key_id)}"
    asked = await shop.owner.page(f"{one}/suspend")
    assert f"Suspend the key {made.key.hint}?" in asked
    assert "Taking it back is possible at any time" in asked
    assert 200 == (await client.get("/api/balance", made.text)).status
    assert "The key is suspended: it opens nothing" in await shop.owner.done(f"{one}/suspend")
    assert 401 == (await client.get("/api/balance", made.text)).status
    assert "State suspended" in await shop.owner.page(one)
    # What a mail's link leads to says that it is done.
    gone = await shop.owner.get(f"{one}/suspend")
    assert (303, one) == (gone.status, gone.header("location"))
    assert "The key is resumed" in await shop.owner.done(f"{one}/resume")
    assert 200 == (await client.get("/api/balance", made.text)).status
    await farebox.services.merchants.revoke_key(made.key.key_id)
    assert "is revoked or expired" in words(await shop.owner.wrong(f"{one}/suspend"))


async def test_an_end_of_a_key_has_to_be_a_time_to_come(farebox: Farebox, shop: Shop) -> None:
    key = (await farebox.services.merchants.keys(shop.seeds.merchant_id))[0]
    one = f"{shop.url}/keys/{ids.public_id(ids.KEY, key.key_id)}"
    for text in ("", "soon", "2001-01-01T00:00"):
        assert 'id="expires-note"' in (await shop.owner.wrong(f"{one}/end", expires=text)).body.decode()
    assert "The key's end is saved." in await shop.owner.done(f"{one}/end", expires="2099-12-31T12:00")
    assert 'id="overlap-note"' in (await shop.owner.wrong(f"{one}/rotate", overlap="12")).body.decode()
    assert 422 == (await shop.owner.post(f"{shop.url}/keys", expires="2001-01-01T00:00")).status


async def test_a_key_of_another_merchant_is_nowhere(farebox: Farebox, shop: Shop) -> None:
    other = await seed(farebox)
    key = (await farebox.services.merchants.keys(other.merchant_id))[0]
    one = f"{shop.url}/keys/{ids.public_id(ids.KEY, key.key_id)}"
    assert 404 == (await shop.owner.get(one)).status
    for action in ("rotate", "end", "revoke", "suspend", "resume"):
        assert 404 == (await shop.owner.post(f"{one}/{action}", overlap="0", expires="2099-12-31T12:00")).status
    assert (await farebox.services.merchants.key(key.key_id)).revoked_at is None


# People.


async def test_an_owner_invites_changes_and_removes(farebox: Farebox, shop: Shop) -> None:
    url = f"{shop.url}/people"
    email = f"new-{shop.seeds.merchant_id}@shop.example"
    assert "The invitation is on its way." in await shop.owner.done(url, email=email, role="viewer")
    (account_mail, *_) = await farebox.stores.account_mails.list(1)
    assert (Purpose.INVITATION, email) == (account_mail.purpose, account_mail.email)
    assert Role.VIEWER == await farebox.services.users.role(shop.seeds.merchant_id, email)
    assert "registered there already" in words(await shop.owner.wrong(url, email=email, role="viewer"))
    assert "nobody" == kept(await shop.owner.wrong(url, email="nobody", role="viewer"), "email")
    assert 422 == (await shop.owner.post(url, email="x@shop.example", role="king")).status
    await shop.owner.done(f"{url}/again", user=email)
    await shop.owner.done(f"{url}/role", user=email, role="member")
    assert Role.MEMBER == await farebox.services.users.role(shop.seeds.merchant_id, email)
    await shop.owner.done(f"{url}/remove", user=email)
    assert await farebox.services.users.role(shop.seeds.merchant_id, email) is None


async def test_the_last_owner_stays(farebox: Farebox, shop: Shop) -> None:
    url, email = f"{shop.url}/people", shop.owner.signed_in.login.email
    assert "needs an owner" in words(await shop.owner.wrong(f"{url}/role", user=email, role="viewer"))
    assert "needs an owner" in words(await shop.owner.wrong(f"{url}/remove", user=email))
    assert Role.OWNER == await farebox.services.users.role(shop.seeds.merchant_id, email)


# Rights by role.


@pytest.mark.parametrize("path", ["/keys", "/people", "/people/role", "/people/remove", "/people/again"])
async def test_only_owners_change_keys_and_people(shop: Shop, path: str) -> None:
    fields = {"email": "x@shop.example", "user": shop.owner.signed_in.login.email, "role": "viewer"}
    for visitor in (shop.member, shop.viewer):
        assert 403 == (await visitor.post(f"{shop.url}{path}", **fields)).status
    assert 422 >= (await shop.owner.post(f"{shop.url}{path}", **fields)).status


async def test_a_viewer_changes_nothing_and_is_offered_nothing(shop: Shop) -> None:
    """Nothing of the account, that is: what they are told themselves is theirs to choose."""
    own = {"/alerts": f"{shop.url}/alerts/choices", "/alerts/reports": f"{shop.url}/alerts/reports"}
    for path in ("/alerts", "/alerts/test"):
        assert 403 == (await shop.viewer.post(f"{shop.url}{path}", amount="1")).status
    for path in ("", "/statement", "/prices", "/alerts", "/alerts/reports", "/keys", "/people", "/developers"):
        body = (await shop.viewer.get(f"{shop.url}{path}")).body.decode()
        posts = re.findall(r'<form[^>]+method="post"[^>]+action="([^"]+)"', body)
        assert ["/sign-out", *([own[path]] if path in own else [])] == posts, path


async def test_a_form_without_its_mark_is_refused(shop: Shop) -> None:
    for csrf_token in ("", "0" * 36, shop.member.csrf_token):
        assert 403 == (await shop.owner.post(f"{shop.url}/keys", csrf_token=csrf_token)).status
    reply = await shop.owner.client.send(
        "POST", f"{shop.url}/keys", headers=[shop.owner.cookie, FORM], body=b"expires="
    )
    assert 403 == reply.status


# Developers.


@pytest.mark.parametrize("name", [*(name for _, name in BALANCE), "nothing"])
async def test_programs_are_shown_with_this_servers_address_and_without_a_key(shop: Shop, name: str) -> None:
    reply = await shop.viewer.get(f"{shop.url}/developers?example={name}")
    page = words(reply)
    assert "/api/balance" in page
    assert f"Copy {'balance.sh' if name == 'nothing' else name}" in page
    assert '"amountProbe":"1250.75"' in page
    assert not re.search(r"fb[msu]_[0-9A-Z]{26}", page)
