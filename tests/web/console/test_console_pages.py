"""Keys, prices, mails, the audit log, staff and the system in the console."""

import asyncio
import re

import msgspec
import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.id_generator import IdGenerator
from farebox.service.operator.health import Health, HealthCheck, NotReady, Readiness
from farebox.service.people.api_keys import Principal
from farebox.service.people.sign_in import SignInRefused
from farebox.service.people.users import Role
from farebox.storage.records import DeliveryState, MailServerPause, Realm, Verification
from farebox.web.examples import CHARGE
from farebox.web.pages.console import audit
from tests.support.app_client import AppClient
from tests.support.server import seed
from tests.web.console.visitor import Visitor, kept, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = "/support/keys"
STAFF = "/support/staff"
SYSTEM = "/support/system"
PASSWORD = "correct horse battery"
ZOE = Principal("zoe", address="10.1.2.3", roles=EVERY_ROLE)


async def test_a_merchants_keys_are_made_rotated_ended_and_revoked(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"/support/merchants/{seeds.merchant}/keys"
    (first,) = await farebox.services.merchants.keys(seeds.merchant_id)
    assert f"{first.hint} " in await sam.page(url)
    made = await sam.post(url, expires="2100-01-31T12:00")
    text = re.search(r"fbm_[0-9A-Z]{39}", words(made))
    assert text is not None
    key = (await farebox.services.merchants.keys(seeds.merchant_id))[-1]
    assert 4_105_080_000_000_000 == key.expires_at
    page = await sam.page(url)
    assert text[0] not in page
    assert "valid until 31 Jan 2100, 12:00:00" in page
    one = f"{url}/{ids.public_id(ids.KEY, first.key_id)}"
    assert "Last used not yet" in await sam.page(one)
    rotated = await sam.post(f"{one}/rotate", overlap="3600")
    assert re.search(r"fbm_[0-9A-Z]{39}", words(rotated))
    assert "The key's end is saved." in await sam.done(f"{one}/end", expires="2100-01-31T12:00")
    # It was to end within the hour, and goes on for longer now.
    assert (await farebox.services.merchants.key(first.key_id)).expires_at == key.expires_at
    assert "it opens nothing any more" in await sam.done(f"{one}/revoke")
    assert "had been revoked before; nothing is changed" in await sam.done(f"{one}/revoke")
    revoked = await sam.page(one)
    assert "State revoked" in revoked
    assert "Make its successor" not in revoked
    assert 404 == (await sam.get(one.replace(seeds.merchant, (await seed(farebox)).merchant))).status


async def test_keys_that_make_no_sense_are_asked_for_again(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"/support/merchants/{seeds.merchant}/keys"
    (first,) = await farebox.services.merchants.keys(seeds.merchant_id)
    one = f"{url}/{ids.public_id(ids.KEY, first.key_id)}"
    for text, message in (("tomorrow", "This is not a time"), ("2001-01-01T00:00", "time to come")):
        reply = await sam.wrong(url, expires=text)
        assert message in words(reply)
        assert text == kept(reply, "expires")
        assert message in words(await sam.wrong(f"{one}/end", expires=text))
    assert "Say when" in words(await sam.wrong(f"{one}/end", expires=""))
    assert "Choose how long" in words(await sam.wrong(f"{one}/rotate", overlap="-1"))
    await sam.done(f"{one}/revoke")
    assert "create a new one instead" in words(await sam.wrong(f"{one}/rotate", overlap="0"))
    assert "create a new one instead" in words(await sam.wrong(f"{one}/end", expires="2100-01-31T12:00"))


async def test_keys_of_services_and_support_are_made_and_named(farebox: Farebox, sam: Visitor) -> None:
    made = await sam.post(KEYS, kind="service", name="recognition-7", expires="")
    assert re.search(r"fbs_[0-9A-Z]{26}", words(made))
    made = await sam.post(KEYS, kind="support", name="tool-7", expires="")
    assert re.search(r"fbu_[0-9A-Z]{26}", words(made))
    page = await sam.page(KEYS)
    assert "recognition-7 service" in page
    assert "tool-7 support" in page
    reply = await sam.wrong(KEYS, kind="service", name="", expires="")
    assert 'id="name-note">' in reply.body.decode()
    assert "Choose whose key it is" in words(await sam.wrong(KEYS, kind="merchant", name="x", expires=""))
    key = (await farebox.services.merchants.keys(None))[-1]
    one = f"{KEYS}/{ids.public_id(ids.KEY, key.key_id)}"
    assert "tool-7, support" in await sam.page(one)
    assert "it opens nothing any more" in await sam.done(f"{one}/revoke")
    # A merchant's key is not found among them.
    seeds = await seed(farebox)
    (own,) = await farebox.services.merchants.keys(seeds.merchant_id)
    for path in ("", "/rotate", "/revoke", "/end"):
        url = f"{KEYS}/{ids.public_id(ids.KEY, own.key_id)}{path}"
        reply = await (sam.post(url, overlap="0", expires="2100-01-01T00:00") if path else sam.get(url))
        assert 404 == reply.status
    assert (await farebox.services.merchants.key(own.key_id)).revoked_at is None


async def test_prices_have_versions_which_are_added(farebox: Farebox, sam: Visitor) -> None:
    form = {"type": "sketch", "unit_price": "0.25", "starts": "", "is_new": "yes"}
    assert "The price is saved." in await sam.done("/support/prices", **form)
    await sam.done("/support/prices", **{**form, "unit_price": "0.5"})
    await sam.done("/support/prices", **{**form, "unit_price": "1", "starts": "2100-01-31T12:00"})
    page = await sam.page("/support/prices")
    assert re.search(
        r"sketch 1.00 a request to come from 31 Jan 2100, 12:00 "
        r"Withdraw the price to come of sketch, 31 Jan 2100, 12:00 "
        r"sketch 0.50 a request now since .* Retire sketch sketch 0.25 a request earlier, from ",
        page,
    )
    await sam.done("/support/prices", type="expertise", unit_price="", starts="", is_variable="on", is_new="yes")
    assert "expertise variable now" in await sam.page("/support/prices")
    seeds = await seed(farebox)
    url = f"/support/merchants/{seeds.merchant}/prices"
    assert "A price of its own goes before the default one." in await sam.page(url)
    page = await sam.done(url, **{**form, "unit_price": "0.125"})
    assert "sketch 0.125 a request its own price" in page
    assert "expertise variable the default" in page


async def test_a_request_type_that_was_not_used_so_far_is_asked_about(sam: Visitor, farebox: Farebox) -> None:
    seeds = await seed(farebox)
    for url in ("/support/prices", f"/support/merchants/{seeds.merchant}/prices"):
        form = {"type": "imgae", "unit_price": "1,000.5", "starts": ""}
        asked = await sam.post(url, **form)
        assert 200 == asked.status
        assert "“imgae” was not used so far: really? Request type imgae Price 1,000.50 a request Used so far" in words(
            asked
        )
        assert "image" in words(asked)
        assert "imgae " not in await sam.page(url)
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.body.decode()))
        tokens = {"csrf_token", "once"}
        assert {**form, "is_new": "yes"} == {name: text for name, text in hidden.items() if name not in tokens}
        await sam.done(url, **{**form, "type": "image", "unit_price": "0.01"})
        taken = await sam.done(url, **{**form, "is_new": "yes", "type": f"imgae-{len(url)}"})
        assert "The price is saved." in taken
        assert f"imgae-{len(url)} 1,000.50 a request now" in taken
    variable = await sam.post("/support/prices", type="imgae", is_variable="on", starts="", unit_price="")
    assert "Price variable" in words(variable)
    assert 'name="is_variable" value="on"' in variable.body.decode()


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("type", "Two Words", "A request type is"),
        ("unit_price", "", "amount"),
        ("starts", "2001-01-01T00:00", "can't start in the past"),
        ("starts", "soon", "This is not a time"),
    ],
)
async def test_prices_that_make_no_sense_are_asked_for_again(
    sam: Visitor, farebox: Farebox, field: str, text: str, message: str
) -> None:
    seeds = await seed(farebox)
    form = {"type": "scan", "unit_price": "1", "starts": "", "is_new": "yes", field: text}
    for url in ("/support/prices", f"/support/merchants/{seeds.merchant}/prices"):
        reply = await sam.wrong(url, **form)
        assert message in words(reply)
        assert f'id="{field}-note">' in reply.body.decode()
        assert form["type"] == kept(reply, "type")


async def test_what_was_mailed_and_what_fails_is_shown(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    await farebox.services.users.invite(seeds.merchant_id, "fail@mail.example", Role.OWNER, principal=None)
    await farebox.services.operations.set_thresholds(seeds.merchant_id, ["1000"], principal=None)
    calm = await sam.page("/support/outbox")
    assert "What fails" not in calm
    assert "fail@mail.example Northwind Imaging below 1,000.00" in calm
    assert "fail@mail.example invitation" in calm
    assert "mails are written into the folder mail" in calm
    now = farebox.clock.now()
    later = now + 3_600_000_000
    for mail in await farebox.stores.deliveries.claim_mails(now, lease_until=later, limit=9):
        await farebox.stores.deliveries.settle(
            msgspec.structs.replace(mail, state=DeliveryState.GIVEN_UP, last_error="550 no such mailbox")
        )
    for account_mail in await farebox.stores.account_mails.claim(now, lease_until=later, limit=9):
        await farebox.stores.account_mails.settle(msgspec.structs.replace(account_mail, last_error="421 try later"))
    assert "It is given up" not in calm
    pause = MailServerPause("the mail folder", now, now + 60_000_000, 1, "it takes no files")
    await farebox.stores.mail_servers.pause(pause)
    page = await sam.page("/support/outbox")
    assert "No mail is taken by the mail folder since" in page
    assert "it takes no files. It is given up until" in page
    assert "given up 550 no such mailbox (1 try)" in page
    assert "invitation waits 421 try later (1 try, the next at" in page
    assert "Every mail that was not sent is due now." in await sam.done("/support/outbox/retry")
    assert await farebox.stores.mail_servers.find("the mail folder") is None
    assert ((await farebox.stores.deliveries.next_mail_at()) or later) < later
    assert ((await farebox.stores.account_mails.next_due_at()) or later) < later


async def test_the_audit_log_has_pages_and_a_filter(farebox: Farebox, sam: Visitor) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    for name in ("First", *(f"Name {number}" for number in range(audit.ROWS - 1)), "Third"):
        await farebox.services.merchants.rename(seeds.merchant_id, name, principal=ZOE)
    await farebox.services.merchants.rename(other.merchant_id, "Elsewhere", principal=ZOE)
    everything = await sam.page("/support/audit")
    assert "renamed the merchant to Elsewhere" in everything
    url = f"/support/audit?merchant={seeds.merchant}"
    first = await sam.get(url)
    assert "zoe 10.1.2.3 renamed the merchant to Third" in words(first)
    assert "renamed the merchant to First" not in words(first)
    assert "Elsewhere" not in words(first)
    older = re.search(r'href="(/support/audit\?merchant=mer_[0-9A-Z]+&amp;cursor=[^"]+)"', first.body.decode())
    assert older is not None
    assert "renamed the merchant to First" in await sam.page(older[1].replace("&amp;", "&"))
    wrong = await sam.get("/support/audit?merchant=Northwind")
    assert 422 == wrong.status
    assert "is not a merchant id" in words(wrong)
    assert 'value="Northwind"' in wrong.body.decode()
    assert 422 == (await sam.get("/support/audit?cursor=nonsense")).status


async def test_staff_are_added_closed_and_opened_again(farebox: Farebox, sam: Visitor) -> None:
    page = await sam.done(STAFF, email="una@farebox.example", name="Una", role="support")
    assert "The invitation is on its way." in page
    # The role stands below the address on a phone, and in a column of its own elsewhere.
    assert "Una una@farebox.example support support never invited" in page
    mails = await farebox.stores.account_mails.list(100)
    (account_mail,) = [mail for mail in mails if mail.email == "una@farebox.example"]
    signed_in = await farebox.services.sign_in.use_link(
        farebox.services.sign_in.link_text(account_mail), PASSWORD, address=None, agent=""
    )
    assert await farebox.services.sign_in.authenticate(signed_in.token, Realm.SUPPORT) is not None
    await sam.done(f"{STAFF}/again", staff="una@farebox.example")
    assert "They can't sign in any more." in await sam.done(f"{STAFF}/close", staff="una@farebox.example")
    assert await farebox.services.sign_in.authenticate(signed_in.token, Realm.SUPPORT) is None
    assert "closed" in words(await sam.wrong(f"{STAFF}/again", staff="una@farebox.example"))
    assert "They can sign in again." in await sam.done(f"{STAFF}/reopen", staff="una@farebox.example")
    assert "open already" in words(await sam.wrong(f"{STAFF}/reopen", staff="una@farebox.example"))
    again = await sam.wrong(STAFF, email="una@farebox.example", name="Una", role="support")
    assert "support staff already" in words(again)
    reply = await sam.wrong(STAFF, email="una", name="Una Two", role="support")
    assert 'id="email-note">' in reply.body.decode()
    assert "Una Two" == kept(reply, "name")
    assert "is not support staff" in words(await sam.wrong(f"{STAFF}/close", staff="nobody@farebox.example"))


async def test_lost_codes_are_removed_by_somebody_else(farebox: Farebox, sam: Visitor, tess: Visitor) -> None:
    await farebox.stores.logins.set_totp_seed(tess.signed_in.login.login_id, b"\1" * 32)
    assert "one-time codes" in await sam.page(STAFF)
    page = await sam.done(f"{STAFF}/codes", staff="tess@farebox.example")
    assert "They are not asked for one-time codes any more." in page
    login = await farebox.stores.logins.get(tess.signed_in.login.login_id)
    assert login is not None
    assert login.totp_seed is None
    entries, _ = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1)
    assert ("sam@farebox.example", "disable_two_factor", "tess@farebox.example") == (
        entries[0].actor,
        entries[0].action,
        entries[0].subject,
    )


@pytest.mark.parametrize("staff", ["sam@farebox.example", "sam@FAREBOX.example"])
async def test_nobody_closes_themselves(farebox: Farebox, sam: Visitor, staff: str) -> None:
    assert "ask another administrator" in words(await sam.wrong(f"{STAFF}/close", staff=staff))
    assert "with your password" in words(await sam.wrong(f"{STAFF}/codes", staff=staff))
    login = await farebox.stores.logins.get(sam.signed_in.login.login_id)
    assert login is not None
    assert login.disabled_at is None
    page = await sam.get(STAFF)
    assert "Your profile" in words(page)
    assert 'name="staff" value="sam@farebox.example"' not in page.body.decode()


async def test_a_closed_person_is_out_at_once(farebox: Farebox, client: AppClient, sam: Visitor) -> None:
    vic = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "vic@farebox.example")
    assert 200 == (await vic.get("/support")).status
    await sam.done(f"{STAFF}/close", staff="vic@farebox.example")
    assert 303 == (await vic.get("/support")).status
    with pytest.raises(SignInRefused):
        await farebox.services.sign_in.sign_in(
            Realm.SUPPORT, email="vic@farebox.example", password=PASSWORD, code="", address=None, agent=""
        )


async def test_the_system_tells_its_figures(farebox: Farebox, sam: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    await seed(farebox)
    page = await sam.page(SYSTEM)
    health: Health = await farebox.services.health.check()
    assert f"{health.committed_commands:,} commands in {health.committed_batches:,} commits" in page
    assert health.version in page
    assert health.engine in page
    assert "Takes charges yes" in page
    counts = await farebox.services.console.counts()
    assert f"Merchants {counts.merchants:,} Transfers {counts.transfers:,}" in page
    monkeypatch.setattr(type(farebox.services.throughput), "commands_per_second", lambda _: 1234.56)
    assert "Commands a second 1,234.6 over the last minute" in await sam.page(SYSTEM)


async def test_the_system_tells_why_it_takes_no_charges(
    farebox: Farebox, sam: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_ready(_: HealthCheck) -> Readiness:
        return Readiness(False, NotReady.DISK_FULL)

    monkeypatch.setattr(HealthCheck, "readiness", not_ready)
    assert "Takes charges no: disk full" in await sam.page(SYSTEM)


async def test_a_verification_is_started_followed_and_told(farebox: Farebox, sam: Visitor) -> None:
    await seed(farebox)
    assert "The ledger has not been verified yet." in await sam.page(SYSTEM)
    begun = await sam.post(f"{SYSTEM}/verify")
    assert (303, f"{SYSTEM}?flash=verifying") == (begun.status, begun.header("location"))
    again = await sam.wrong(f"{SYSTEM}/verify")
    assert "A verification is under way already" in words(again)
    assert 'hx-get="/support/system/runs"' in again.body.decode()
    assert "Sam started a verification" in words(again)
    while "under way" in (part := words(await sam.get(f"{SYSTEM}/runs"))) or "at work" in part:
        await asyncio.sleep(0.1)
    assert " Sam " in part
    assert "clean" in part
    done = await sam.get(f"{SYSTEM}/runs")
    assert "hx-get" not in done.body.decode()


async def test_runs_that_found_something_or_died_are_told(farebox: Farebox, sam: Visitor) -> None:
    now = farebox.clock.now()
    older = now - 3_600_000_000
    bad = Verification(IdGenerator(farebox.clock).next(), "shell:root", older, older)
    await farebox.stores.verifications.begin(bad)
    assert "stopped at" in await sam.page(SYSTEM)
    ended = msgspec.structs.replace(
        bad, finished_at=now, merchants=2, merchants_done=2, problems=3, first_problem="mer_X: seq 4"
    )
    await farebox.stores.verifications.update(ended)
    assert "3 problems the first: mer_X: seq 4" in await sam.page(SYSTEM)
    running = msgspec.structs.replace(
        bad, verification_id=bad.verification_id + 1, seen_at=now, merchants=40, merchants_done=10, transfers_done=1234
    )
    await farebox.stores.verifications.begin(running)
    page = await sam.get(SYSTEM)
    assert "10 of 40 merchants, 1,234 transfers" in words(page)
    assert '<progress aria-label="How far the verification is" max="40" value="10">' in page.body.decode()


# Developers.


@pytest.mark.parametrize("name", [*(name for _, name in CHARGE), "nothing"])
async def test_programs_that_charge_are_shown_with_this_servers_address(
    farebox: Farebox, sam: Visitor, name: str
) -> None:
    page = await sam.page(f"/support/developers?example={name}")
    assert f"{farebox.services.operator.public_url}/api/charges" in page
    assert f"Copy {'charge.sh' if name == 'nothing' else name}" in page
    assert all(language in page for language, _ in CHARGE)


async def test_who_makes_a_services_key_is_led_to_the_programs(sam: Visitor) -> None:
    for kind, is_led in (("service", True), ("support", False)):
        made = await sam.post(KEYS, kind=kind, name="recognition")
        assert is_led is ("Charge with it from your programs" in words(made))
