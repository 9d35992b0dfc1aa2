"""Merchants in the console: the list, adding one, one at a glance, settings, people."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.people.api_keys import Principal
from farebox.service.people.users import Role
from farebox.storage.records import DeliveryState, Realm, RunwaySnapshot
from farebox.web.pages.console import merchants
from tests.support.server import seed, staff_member
from tests.web.console.visitor import Visitor, kept, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Shop:
    """A merchant, and where its page is."""

    id: str
    number: int
    url: str


async def _shop(farebox: Farebox, name: str, *, balance: str | None = "100") -> Shop:
    seeds = await seed(farebox, balance=balance)
    await farebox.services.merchants.rename(seeds.merchant_id, name)
    return Shop(seeds.merchant, seeds.merchant_id, f"/support/merchants/{seeds.merchant}")


async def _outlook(farebox: Farebox, shop: Shop, days: int | None) -> None:
    account = await farebox.stores.accounts.find(shop.number)
    assert account is not None
    now = farebox.clock.now()
    until, burn = None, None
    if days is not None:
        # So many times 24 hours, which are as many days on a calendar of UTC at any time of day; or half a day.
        until, burn = now + days * DAY, account.available // days if days else account.available * 2
    values = (account.seq, account.available, account.last_at, until, burn, now)
    await farebox.stores.runway_snapshots.put([RunwaySnapshot(shop.number, *values)])


async def test_who_runs_out_within_a_week_comes_first(farebox: Farebox, sam: Visitor) -> None:
    soon = await _shop(farebox, "Soon over")
    late = await _shop(farebox, "Lasts longer", balance="99")
    await _outlook(farebox, soon, 3)
    await _outlook(farebox, late, 1)
    await _outlook(farebox, late, 20)
    page = await sam.page("/support")
    first, _, others = page.partition("All merchants, newest first")
    assert "Run out within 7 days" in first
    assert "Soon over 100.00 USD 3 days" in first
    assert "Lasts longer" not in first
    assert others.index("Lasts longer 99.00 USD 20 days") < others.index("Soon over")
    by_runway = await sam.page("/support?sort=runway")
    assert by_runway.index("Soon over") < by_runway.index("Lasts longer")
    by_balance = await sam.page("/support?sort=balance")
    assert by_balance.index("Lasts longer") < by_balance.index("Soon over")
    by_last = await sam.page("/support?sort=last")
    assert by_last.index("Lasts longer") < by_last.index("Soon over")
    assert "Run out within" not in by_last


async def test_the_list_of_those_who_run_out_holds_each_whose_row_says_so(farebox: Farebox, sam: Visitor) -> None:
    """What a snapshot tells may be old: a row goes by the balance of now, and so does the list."""
    spent = await _shop(farebox, "Spent since", balance="1000")
    await _outlook(farebox, spent, 100)
    week = await _shop(farebox, "A week", balance="70")
    await _outlook(farebox, week, 7)
    limit = await _shop(farebox, "With a limit", balance="70")
    await _outlook(farebox, limit, 7)
    await farebox.services.operations.set_credit_limit(limit.number, "70", principal=None)
    una = await staff_member(farebox, "una")
    await farebox.services.operations.adjust(
        spent.number, amount="-980", reference="A", reason="used up", principal=una
    )
    over = await _shop(farebox, "For ever", balance="730")
    await _outlook(farebox, over, 366)
    page = await sam.page("/support")
    first, _, others = page.partition("All merchants, newest first")
    assert "Spent since 20.00 USD 2 days" in first
    assert "Spent since 20.00 USD 2 days" in others
    assert "A week 70.00 USD 7 days" in first
    assert "With a limit 70.00 USD 14 days" in others
    assert "For ever 730.00 USD over a year" in others
    assert "With a limit" not in first
    assert "For ever" not in first
    by_runway = await sam.page("/support?sort=runway")
    assert by_runway.index("Spent since") < by_runway.index("A week") < by_runway.index("With a limit")


async def test_states_are_said_in_words(farebox: Farebox, sam: Visitor) -> None:
    await _shop(farebox, "Nothing left", balance=None)
    frozen = await _shop(farebox, "Cold shop")
    await farebox.services.operations.set_frozen(frozen.number, is_frozen=True, principal=None)
    low = await _shop(farebox, "Low shop")
    await farebox.services.operations.set_thresholds(low.number, ["200"], principal=None)
    await _outlook(farebox, low, 0)
    page = await sam.page("/support?q=shop")
    assert re.search(r"Low shop below threshold 100.00 USD less than a day", page)
    assert "Cold shop frozen" in page
    assert re.search(r"Nothing left never topped up 0.00 USD . none yet", await sam.page("/support?q=nothing"))


async def test_a_search_finds_names_addresses_and_ids(farebox: Farebox, sam: Visitor) -> None:
    shop = await _shop(farebox, "Fabrikam & Sons")
    await farebox.services.merchants.add_user(shop.number, "ulla@fabrikam.example")
    assert "Fabrikam & Sons" in await sam.page("/support?q=fabrikam+%26")
    assert "Fabrikam & Sons" in await sam.page("/support?q=ulla%40fabrikam")
    exact = await sam.get(f"/support?q={shop.id}")
    assert (303, shop.url) == (exact.status, exact.header("location"))
    for text in ("no such shop", "mer_0000000000000"):
        assert "No merchant is called that" in await sam.page(f"/support?q={text.replace(' ', '+')}")


async def test_long_lists_have_pages(farebox: Farebox, sam: Visitor) -> None:
    for number in range(merchants.ROWS + 1):
        await _shop(farebox, f"Page shop {number}")
    first = await sam.get("/support?q=page+shop")
    assert f"Page shop {merchants.ROWS}" in words(first)
    assert "Page shop 1" in words(first)
    assert "Page shop 0" not in words(first)
    more = re.search(r'href="(/support\?q=[^"]+page=1)"', first.body.decode())
    assert more is not None
    second = await sam.page(more[1].replace("&amp;", "&"))
    assert "Page shop 0" in second
    assert "Page shop 1" not in second
    assert "More" not in second
    assert "Back" in second
    assert "There are no more merchants" in await sam.page("/support?sort=age&page=9999999")


async def test_a_merchant_is_added_and_its_key_shown_once(farebox: Farebox, sam: Visitor) -> None:
    form: dict[str, str | list[str]] = {
        "name": "Adatum",
        "currency": "eur",
        "thresholds": ["100", "20.5"],
        "credit_limit": "5",
    }
    reply = await sam.post("/support/merchants/new", **form)
    assert 200 == reply.status
    key = re.search(r"fbm_[0-9A-Z]{39}", words(reply))
    assert key is not None
    found = re.search(r'href="(/support/merchants/mer_[0-9A-Z]{13})"', reply.body.decode())
    assert found is not None
    page = await sam.page(found[1])
    assert "Adatum" in page
    assert "Warned below 20.50 (waits for the first money), 100.00" in page
    assert "Credit limit 5.00" in page
    assert "added the merchant Adatum" in page
    assert key[0] not in page


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("name", "", "This is empty; write one line"),
        ("currency", "xxl", "'xxl' is not a currency"),
        ("thresholds", "10 lots", "lots"),
        ("credit_limit", "-1", "without a minus"),
    ],
)
async def test_a_merchant_that_makes_no_sense_is_asked_for_again(
    sam: Visitor, field: str, text: str, message: str
) -> None:
    form = {"name": "Wrong shop", "currency": "USD", "thresholds": "", "credit_limit": "", field: text}
    reply = await sam.wrong("/support/merchants/new", **form)
    assert message in words(reply)
    assert re.search(rf'class="wrong" id="{field}(-1)?-note">', reply.body.decode())
    assert form["name"] == kept(reply, "name")
    assert text == kept(reply, field)


async def test_a_merchant_at_a_glance(farebox: Farebox, sam: Visitor) -> None:
    shop = await _shop(farebox, "Glance", balance="312.42")
    await farebox.services.merchants.add_user(shop.number, "greta@glance.example")
    await farebox.services.prices.set("image", "0.5", merchant_id=shop.number)
    await farebox.services.operations.top_up(
        shop.number, amount="2000", reference="BIG-1", note=None, principal=Principal("sam", roles=EVERY_ROLE)
    )
    page = await sam.page(shop.url)
    for text in ("312.42 USD", "greta@glance.example owner", "image 0.50", "Top-up INV-1", "+312.42", "fbm_…"):
        assert text in page
    assert "sam asked for a top-up BIG-1 of 2,000.00 USD" in page
    assert "waits for a second person" in page
    assert "See it as the merchant does" in page
    empty = await sam.page((await _shop(farebox, "Empty", balance=None)).url)
    for text in ("Nothing has happened yet", "Nobody is registered, so nobody is warned", "It pays the default prices"):
        assert text in empty


async def test_looking_as_the_merchant_is_told_in_the_audit_log_once_however_one_came_there(
    farebox: Farebox, sam: Visitor
) -> None:
    shop, other = await _shop(farebox, "Looked at"), await _shop(farebox, "Not looked at")
    assert f'href="/accounts/{shop.id}"' in (await sam.get(shop.url)).body.decode()
    for path in ("", "/now", "/statement", ""):
        await sam.get(f"/accounts/{shop.id}{path}")
    assert "You look at this account as its people see it" in await sam.page(f"/accounts/{shop.id}")
    assert [("sam@farebox.example", "look_as_merchant")] == await _audit_entries(farebox, shop)
    assert [] == await _audit_entries(farebox, other)
    assert 404 == (await sam.get(f"/accounts/{ids.public_id(ids.MERCHANT, 5)}")).status
    again = await Visitor.sign_in(farebox, sam.client, Realm.SUPPORT, "sue@farebox.example")
    await again.page(f"/accounts/{shop.id}/statement")
    assert ["sue@farebox.example", "sam@farebox.example"] == [
        person for person, _ in await _audit_entries(farebox, shop)
    ]


async def _audit_entries(farebox: Farebox, shop: Shop) -> list[tuple[str | None, str]]:
    audit_entries, _ = await farebox.services.audit_log.page(merchant_id=shop.number, cursor=None, limit=100)
    return [
        (audit_entry.actor, audit_entry.action)
        for audit_entry in audit_entries
        if audit_entry.action == "look_as_merchant"
    ]


async def test_settings_are_changed(farebox: Farebox, sam: Visitor) -> None:
    shop = await _shop(farebox, "Before")
    assert "The name is changed." in await sam.done(f"{shop.url}/name", name="After")
    assert "The thresholds are saved." in await sam.done(f"{shop.url}/thresholds", thresholds=[" 50 ", "", "10"])
    asked = words(await sam.post(f"{shop.url}/credit-limit", credit_limit="25"))
    assert "Credit limit 0.00 → 25.00 USD Balance 100.00 USD Can be spent 100.00 → 125.00 USD" in asked
    assert "Set the credit limit to 25.00 USD" in asked
    asked = words(await sam.post(f"{shop.url}/freeze"))
    assert "Freeze After? Balance 100.00 USD Credit limit 0.00 USD Held 0.00 USD" in asked
    _, account = await farebox.services.merchants.get(shop.number)
    assert (0, False) == (account.credit_limit, account.is_frozen)
    assert "The credit limit is saved." in await sam.done(f"{shop.url}/credit-limit/confirm", credit_limit="25")
    assert "every charge is refused" in await sam.done(f"{shop.url}/freeze/confirm")
    merchant, account = await farebox.services.merchants.get(shop.number)
    assert ("After", 25_000_000, True) == (merchant.name, account.credit_limit, account.is_frozen)
    assert [10_000_000, 50_000_000] == [it.amount for it in account.thresholds]
    shown = await sam.get(f"{shop.url}/settings")
    assert ("After", "25.00") == (kept(shown, "name"), kept(shown, "credit_limit"))
    assert ["10.00", "50.00", "", "", ""] == re.findall(
        r'name="thresholds" type="text" value="([^"]*)"', shown.body.decode()
    )
    page = await sam.page(shop.url)
    assert "Before frozen" not in page
    assert "After frozen" in page
    assert "froze the merchant" in page
    assert "Let After spend again? Balance 100.00 USD" in words(await sam.post(f"{shop.url}/unfreeze"))
    assert "can spend again" in await sam.done(f"{shop.url}/unfreeze/confirm")
    assert "The thresholds are saved." in await sam.done(f"{shop.url}/thresholds", thresholds="")
    _, account = await farebox.services.merchants.get(shop.number)
    assert ((), False) == (account.thresholds, account.is_frozen)
    entries, _ = await farebox.services.audit_log.page(merchant_id=shop.number, cursor=None, limit=9)
    assert 6 == sum(entry.actor == "sam@farebox.example" for entry in entries)


async def test_settings_that_make_no_sense_are_asked_for_again(farebox: Farebox, sam: Visitor) -> None:
    shop = await _shop(farebox, "Same")
    reply = await sam.wrong(f"{shop.url}/name", name="two\nlines")
    assert 'id="name-note">' in reply.body.decode()
    assert "six" == kept(await sam.wrong(f"{shop.url}/credit-limit", credit_limit="six"), "credit_limit")
    reply = await sam.wrong(f"{shop.url}/thresholds", thresholds=[*"123456"])
    assert "5 thresholds at most" in words(reply)
    assert [*"123456"] == re.findall(r'name="thresholds" type="text" value="([^"]*)"', reply.body.decode())
    # A refusal by the ledger is shown beside its field.
    await farebox.services.operations.set_credit_limit(shop.number, "50", principal=None)
    await farebox.services.operations.adjust(shop.number, amount="-120", reference="A", reason="used", principal=None)
    reply = await sam.wrong(f"{shop.url}/credit-limit", credit_limit="10")
    assert 'id="credit_limit-note">20.00 USD of the credit limit is in use' in reply.body.decode()
    assert "10" == kept(reply, "credit_limit")


async def test_people_are_invited_changed_and_removed(farebox: Farebox, sam: Visitor) -> None:
    shop = await _shop(farebox, "People")
    url = f"{shop.url}/people"
    assert "Nobody is registered" in await sam.page(url)
    page = await sam.done(url, email="ann@people.example", role="owner")
    assert "The invitation is on its way." in page
    assert "ann@people.example" in page
    (account_mail,) = [it for it in await farebox.stores.account_mails.list(50) if it.email == "ann@people.example"]
    assert shop.number == account_mail.merchant_id
    await sam.done(f"{url}/again", user="ann@people.example")
    assert 2 == sum(it.email == "ann@people.example" for it in await farebox.stores.account_mails.list(50))
    # Support may leave an account without an owner.
    assert "The role is saved." in await sam.done(f"{url}/role", user="ann@people.example", role="viewer")
    assert Role.VIEWER == await farebox.services.users.role(shop.number, "ann@people.example")
    assert "They are removed" in await sam.done(f"{url}/remove", user="ann@people.example")
    assert await farebox.services.users.role(shop.number, "ann@people.example") is None


async def test_people_who_make_no_sense_are_asked_for_again(farebox: Farebox, sam: Visitor) -> None:
    shop = await _shop(farebox, "Wrong people")
    url = f"{shop.url}/people"
    reply = await sam.wrong(url, email="nobody", role="viewer")
    assert "is not an e-mail address" in words(reply)
    assert "nobody" == kept(reply, "email")
    assert '<option value="viewer" selected>' in reply.body.decode()
    assert "a role is one of" in words(await sam.wrong(url, email="a@b.example", role="king")).lower()
    await sam.done(url, email="ann@people.example", role="owner")
    assert "registered there already" in words(await sam.wrong(url, email="ann@people.example", role="owner"))
    for path in ("again", "remove"):
        assert "not registered there" in words(await sam.wrong(f"{url}/{path}", user="eve@people.example"))
    reply = await sam.wrong(f"{url}/role", user="ann@people.example", role="")
    assert "A role is one of" in words(reply)
    assert 'role="alert"' in reply.body.decode()
    assert "not registered" in words(await sam.wrong(f"{url}/role", user="eve@people.example", role="owner"))


async def test_a_merchant_nobody_of_whom_can_be_mailed_is_said_to_both(farebox: Farebox, sam: Visitor) -> None:
    """The merchant is not told of the operator's mail server, but of an address that is refused."""
    seeds = await seed(farebox)
    users, stores = farebox.services.users, farebox.stores
    console, dashboard = f"/support/merchants/{seeds.merchant}", f"/accounts/{seeds.merchant}"
    await users.invite(seeds.merchant_id, "ann@mail.example", Role.OWNER, principal=None)
    await farebox.services.operations.set_thresholds(seeds.merchant_id, ["1000"], principal=None)

    async def settle(email: str, **fields: Any) -> None:
        mails = await stores.deliveries.mails(merchant_id=seeds.merchant_id, limit=9)
        (mail,) = [mail for mail in mails if mail.email == email]
        await stores.deliveries.settle(msgspec.structs.replace(mail, **fields))

    for url in (console, dashboard):
        assert "The mail to" not in await sam.page(url)
    await settle("ann@mail.example", last_error="the mail server mail.internal:25 failed")
    page = await sam.page(console)
    assert "Nobody there could be told of the last alert. The mail to ann@mail.example, owed since" in page
    assert "mail.internal:25" in page
    page = await sam.page(dashboard)
    assert "Nobody could be told of the last alert. The mail to ann@mail.example, owed since" in page
    assert "has not gone out yet and is tried again." in page
    assert "mail.internal" not in page
    await settle("ann@mail.example", state=DeliveryState.GIVEN_UP, last_error="550 no such mailbox")
    for url in (console, dashboard):
        assert "was given up: 550 no such mailbox." in await sam.page(url)
    await users.invite(seeds.merchant_id, "bob@mail.example", Role.OWNER, principal=None)
    await settle("bob@mail.example", state=DeliveryState.SENT, sent_at=farebox.clock.now())
    for url in (console, dashboard):
        page = await sam.page(url)
        assert "The mail to ann@mail.example" in page
        assert "could be told of the last alert" not in page
    await users.remove(seeds.merchant_id, "ann@mail.example", is_owner_needed=False, principal=None)
    for url in (console, dashboard):
        assert "The mail to" not in await sam.page(url)
