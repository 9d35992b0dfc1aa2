"""A form that is sent twice does one thing: every form of the console and the dashboard, on both engines.

The forms come from the table of pages, so that one which is added later has to be told of here; what they send comes
from the pages themselves.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import StaffRole
from farebox.service import inputs
from farebox.service.operator.verifier import Verifier
from farebox.service.people.users import Role
from farebox.service.repeats import KEPT_DAYS
from farebox.storage.records import Realm
from farebox.web.pages.live import Live
from farebox.web.pages.routes import PageRoute
from farebox.web.pages.table import page_routes
from farebox.web.pages.throttle import SignInThrottle
from tests.support.app_client import AppClient, Reply, open_client
from tests.support.clock import later
from tests.support.destinations import NOWHERE, add_destinations
from tests.support.postgres import Databases
from tests.support.server import Seeds, empty, give_credit, open_farebox, seed
from tests.web.console.visitor import FORM, Visitor, words
from tests.web.forms import filled_in, with_file

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE: Final = re.compile(
    r"(/support)?/(sign-in|sign-out|forgotten|profile/.*)|/link/.*|/unsubscribe/.*|.*/prices/(preview|import)"
)
"""Forms that sign somebody in or out, or need a password: each of those is asked for anew; two change nothing. Links
that end mails have no session; test_unsubscribe.py, test_warnings.py and test_reports.py click them twice."""

ACCOUNT: Final = "/accounts/{merchant}"
MERCHANT: Final = "/support/merchants/{merchant}"
STAFF: Final = "/support/staff"
KEYS: Final = "/support/keys"
WEBHOOKS: Final = "/support/webhooks"
CHARGE: Final = f"{MERCHANT}/transfers/{{charge}}"
TOP_UP: Final = f"{MERCHANT}/transfers/{{top_up}}"
HOLD: Final = f"{MERCHANT}/holds/{{hold}}/release"
GIVE: Final = f"{MERCHANT}/grants/give"
GRANT: Final = f"{MERCHANT}/grants/{{grant}}/end"
APPROVAL: Final = "/support/approvals/{merchant}/{approval}"
SETTINGS_PAGE: Final = f"{MERCHANT}/settings"
NOTES_PAGE: Final = f"{MERCHANT}/notes"
PRICES: Final = b'{"fax": {"unitPrice": "0.5"}, "image": {"unitPrice": "0.7"}}'
MOVE: Final = {"amount": "1", "reference": "R-1"}


@dataclass(frozen=True)
class Case:
    """A form: the page that has it, what is typed, and which of the page's it is.

    With a `preview` it is on the page that answers another form, which leads there and in which all is typed.
    """

    page: str
    typed: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)
    preview: str = ""
    who: str = "sam"


USER: Final = {"user": "vera@shop.example"}
CASES: Final[dict[str, Case]] = {
    "/support/merchants/new": Case("/support/merchants/new", {"name": "Contoso", "currency": "EUR"}),
    f"{MERCHANT}/name": Case(SETTINGS_PAGE, {"name": "Northwind"}),
    f"{MERCHANT}/credit-limit": Case(SETTINGS_PAGE, {"credit_limit": "10"}),
    f"{MERCHANT}/credit-limit/confirm": Case(SETTINGS_PAGE, {"credit_limit": "10"}, preview=f"{MERCHANT}/credit-limit"),
    f"{MERCHANT}/thresholds": Case(SETTINGS_PAGE, {"thresholds": "5", "runway_thresholds": "7"}),
    f"{MERCHANT}/tags": Case(NOTES_PAGE, {"tags": "vip"}),
    f"{MERCHANT}/notes": Case(NOTES_PAGE, {"text": "pays late"}),
    f"{MERCHANT}/close": Case(f"{MERCHANT}/close", {"reason": "gone"}),
    f"{MERCHANT}/reopen": Case(f"{MERCHANT}/close", {"reason": "back"}),
    f"{MERCHANT}/freeze": Case(SETTINGS_PAGE),
    f"{MERCHANT}/freeze/confirm": Case(SETTINGS_PAGE, preview=f"{MERCHANT}/freeze"),
    f"{MERCHANT}/unfreeze": Case(SETTINGS_PAGE),
    f"{MERCHANT}/unfreeze/confirm": Case(SETTINGS_PAGE, preview=f"{MERCHANT}/unfreeze"),
    f"{MERCHANT}/top-up": Case(f"{MERCHANT}/top-up", MOVE),
    f"{MERCHANT}/top-up/confirm": Case(f"{MERCHANT}/top-up", MOVE, preview=f"{MERCHANT}/top-up"),
    f"{MERCHANT}/adjust": Case(f"{MERCHANT}/adjust", {**MOVE, "sign": "add", "reason": "r"}),
    f"{MERCHANT}/adjust/confirm": Case(
        f"{MERCHANT}/adjust", {**MOVE, "sign": "add", "reason": "r"}, preview=f"{MERCHANT}/adjust"
    ),
    f"{CHARGE}/refund": Case(CHARGE, {"amount": "0.01"}),
    f"{CHARGE}/refund/confirm": Case(CHARGE, {"amount": "0.01"}, preview=f"{CHARGE}/refund"),
    f"{TOP_UP}/take-back": Case(TOP_UP, {**MOVE, "reason": "r"}),
    f"{TOP_UP}/take-back/confirm": Case(TOP_UP, {**MOVE, "reason": "r"}, preview=f"{TOP_UP}/take-back"),
    HOLD: Case(HOLD, {"reason": "gone"}),
    GIVE: Case(GIVE, {**MOVE, "reason": "r"}),
    f"{GIVE}/confirm": Case(GIVE, {**MOVE, "reason": "r"}, preview=GIVE),
    GRANT: Case(GRANT, {"reason": "by mistake"}),
    f"{MERCHANT}/prices": Case(f"{MERCHANT}/prices", {"type": "image", "unit_price": "1"}),
    "/support/prices": Case("/support/prices", {"type": "image", "unit_price": "0.02"}),
    "/support/prices/end": Case("/support/prices/end?type=ending"),
    f"{MERCHANT}/prices/end": Case(f"{MERCHANT}/prices/end?type=ending"),
    "/support/prices/import/make": Case("/support/prices/import", preview="/support/prices/import"),
    f"{MERCHANT}/prices/import/make": Case(f"{MERCHANT}/prices/import", preview=f"{MERCHANT}/prices/import"),
    "/support/prices/withdraw": Case("/support/prices/withdraw?price={coming}"),
    f"{MERCHANT}/prices/withdraw": Case(f"{MERCHANT}/prices/withdraw?price={{own_coming}}"),
    f"{APPROVAL}/approve": Case(APPROVAL),
    f"{APPROVAL}/reject": Case(APPROVAL),
    "/support/outbox/retry": Case("/support/outbox"),
    "/support/system/verify": Case("/support/system"),
    STAFF: Case(STAFF, {"email": "{other}", "name": "Carla", "role": "support"}),
    f"{STAFF}/again": Case(STAFF, hidden={"staff": "{open}"}),
    f"{STAFF}/confirm": Case(f"{STAFF}/confirm?staff={{new}}", who="tess"),
    f"{STAFF}/roles": Case(f"{STAFF}?change={{open}}", {"role": "viewer"}),
    f"{STAFF}/close": Case(f"{STAFF}/close?staff={{open}}"),
    f"{STAFF}/reopen": Case(STAFF, hidden={"staff": "{closed}"}),
    f"{STAFF}/codes": Case(f"{STAFF}/codes?staff={{codes}}"),
    KEYS: Case(KEYS, {"kind": "service", "name": "geo"}),
    f"{KEYS}/{{service_key}}/rotate": Case(f"{KEYS}/{{service_key}}"),
    f"{KEYS}/{{service_key}}/end": Case(f"{KEYS}/{{service_key}}", {"expires": "2100-01-01T00:00"}),
    f"{KEYS}/{{service_key}}/name": Case(f"{KEYS}/{{service_key}}", {"name": "geo once more"}),
    f"{KEYS}/{{service_key}}/revoke": Case(f"{KEYS}/{{service_key}}/revoke"),
    f"{ACCOUNT}/alerts": Case(f"{ACCOUNT}/alerts", {"amount": "5", "days": "7"}, who="ann"),
    f"{ACCOUNT}/alerts/reports": Case(f"{ACCOUNT}/alerts/reports", {"zone": "Europe/Berlin"}, who="ann"),
    f"{ACCOUNT}/alerts/choices": Case(f"{ACCOUNT}/alerts", who="ann"),
    f"{ACCOUNT}/alerts/test": Case(f"{ACCOUNT}/alerts", who="ann"),
}
for root, who in ((ACCOUNT, "ann"), (MERCHANT, "sam")):
    key = f"{root}/keys/{{key}}"
    CASES.update(
        {
            f"{root}/keys": Case(f"{root}/keys", who=who),
            f"{key}/rotate": Case(key, {"overlap": "3600"}, who=who),
            f"{key}/end": Case(key, {"expires": "2100-01-01T00:00"}, who=who),
            f"{key}/name": Case(key, {"name": "jobs"}, who=who),
            f"{key}/budget": Case(key, {"day": "5"}, who=who),
            f"{key}/suspend": Case(f"{key}/suspend", who=who),
            f"{key}/resume": Case(key, who=who),
            f"{key}/revoke": Case(f"{key}/revoke", who=who),
            f"{root}/people": Case(f"{root}/people", {"email": "new@shop.example", "role": "viewer"}, who=who),
            f"{root}/people/again": Case(f"{root}/people", hidden=USER, who=who),
            f"{root}/people/role": Case(f"{root}/people", {"role": "member"}, hidden=USER, who=who),
            f"{root}/people/remove": Case(f"{root}/people/remove?user={USER['user']}", who=who),
        }
    )
for root, one, who in (
    (f"{ACCOUNT}/webhooks", "{destination}", "ann"),
    (f"{MERCHANT}/webhooks", "{destination}", "sam"),
    (WEBHOOKS, "{operators}", "sam"),
):
    here = f"{root}/{one}"
    CASES.update(
        {
            root: Case(f"{root}/new", {"url": NOWHERE}, who=who),
            f"{here}/change": Case(here, {"name": "accounting"}, who=who),
            f"{here}/rotate": Case(here, {"overlap": "3600"}, who=who),
            f"{here}/on": Case(here, who=who),
            f"{here}/test": Case(here, who=who),
            f"{here}/replay": Case(here, {"since": "{yesterday}", "until": "{tomorrow}"}, who=who),
            f"{here}/delete": Case(f"{here}/delete", who=who),
            f"{here}/events/{{event}}/replay": Case(f"{here}/events/{{event}}", who=who),
        }
    )


def table() -> list[PageRoute]:
    return [
        route
        for route in page_routes(SignInThrottle(), Live())
        if route.post is not None and not ELSEWHERE.fullmatch(route.path)
    ]


def named(path: str) -> str:
    """Write a path of the table as the cases have it."""
    is_top_up = "/take-back" in path
    path = path.replace("{transfer:str}", "{top_up}" if is_top_up else "{charge}").replace(":str}", "}")
    path = path.replace("{destination}", "{operators}") if path.startswith(WEBHOOKS) else path
    return path.replace("{key}", "{service_key}") if path.startswith(KEYS) else path


MAKING: Final = [named(route.path) for route in table() if route.is_done_once]


@dataclass(frozen=True)
class Site:
    """Two of the staff, an owner, and a database whose rows can be counted."""

    farebox: Farebox
    client: AppClient
    visitors: Mapping[str, Visitor]

    async def counts(self) -> dict[str, int]:
        """Count the rows of every table."""
        fetch, is_sqlite = self.farebox.stores.connector.fetch, self.farebox.stores.connector.dialect == "sqlite"
        tables = await fetch(
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
            if is_sqlite
            else "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        return {name: (await fetch(f'SELECT count(*) FROM "{name}"'))[0][0] for (name,) in tables}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"
        else:
            databases: Databases = request.getfixturevalue("postgres_server")
            url = stack.enter_context(databases.database())
        async with open_farebox(url, approval_above="1000") as farebox:
            client = await open_client(farebox)
            staff = {
                name: await Visitor.sign_in(farebox, client, Realm.SUPPORT, f"{name}@farebox.example", name)
                for name in ("sam", "tess")
            }
            ann = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "ann@shop.example")
            yield Site(farebox, client, {**staff, "ann": ann})


async def prepare(site: Site, path: str) -> dict[str, str]:
    """Make what the forms are about, and return what paths may name."""
    farebox, seeds = site.farebox, await seed(site.farebox)
    services = farebox.services
    for email, role in (("ann@shop.example", Role.OWNER), (USER["user"], Role.VIEWER)):
        await services.merchants.add_user(seeds.merchant_id, email, role=role)
    (key,) = await services.merchants.keys(seeds.merchant_id)
    service = await services.merchants.create_key(KeyKind.SERVICE, name="recognition")
    asked = await services.operations.top_up(
        seeds.merchant_id,
        amount="5000",
        reference="BIG",
        note=None,
        principal=site.visitors["tess" if "/approve" in path else "sam"].principal,
    )
    assert asked.approval is not None
    grant = await give_credit(farebox, seeds.merchant_id)
    charge, hold = await _charge(site, seeds), await _hold(site, seeds)
    if "/resume" in path:
        await services.merchants.suspend_key(key.key_id)
    if "/unfreeze" in path:
        await services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)
    if path in (f"{MERCHANT}/close", f"{MERCHANT}/reopen"):
        await _empty(site, seeds, hold, is_closed="/reopen" in path)
    return {
        **(await _add_staff(site) if STAFF in path else {}),
        **(await _add_prices(site, seeds) if "/prices/" in path else {}),
        **(await _add_destinations(site, seeds) if "/webhooks" in path else {}),
        "merchant": seeds.merchant,
        "key": ids.public_id(ids.KEY, key.key_id),
        "service_key": ids.public_id(ids.KEY, service.key.key_id),
        "approval": asked.approval.id,
        "top_up": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1),
        "charge": charge,
        "hold": hold,
        "grant": grant.id,
    }


async def _add_prices(site: Site, seeds: Seeds) -> dict[str, str]:
    """Price a type that can end, and set prices that can be withdrawn."""
    in_an_hour = inputs.format_time(site.farebox.clock.now() + 3_600_000_000)
    made = {}
    for name, merchant_id in (("coming", None), ("own_coming", seeds.merchant_id)):
        await site.farebox.services.prices.set("ending", "1", merchant_id=merchant_id)
        price = await site.farebox.services.prices.set("ending", "1", merchant_id=merchant_id, starts=in_an_hour)
        made[name] = ids.public_id(ids.PRICE, price.price_id)
    return made


async def _add_destinations(site: Site, seeds: Seeds) -> dict[str, str]:
    """Set webhooks up, and name the days around now."""
    now = datetime.now(UTC)
    days = {"yesterday": now - timedelta(days=1), "tomorrow": now + timedelta(days=1)}
    there = await add_destinations(site.farebox, seeds.merchant_id)
    return {**there, **{name: f"{day:%Y-%m-%dT%H:%M}" for name, day in days.items()}}


async def _charge(site: Site, seeds: Seeds) -> str:
    body = {"merchant": seeds.merchant, "type": "image", "quantity": 5, "idempotencyKey": "charge"}
    reply = await site.client.post("/api/charges", seeds.service_key, body)
    transfer: str = reply.data["transferId"]
    return transfer


async def _hold(site: Site, seeds: Seeds) -> str:
    body = {"merchant": seeds.merchant, "type": "image", "quantity": 5, "idempotencyKey": "hold"}
    reply = await site.client.post("/api/holds", seeds.service_key, body)
    hold_id: str = reply.data["holdId"]
    return hold_id


async def _empty(site: Site, seeds: Seeds, hold: str, *, is_closed: bool) -> None:
    """Leave a merchant without money, and close it if asked."""
    operations = site.farebox.services.operations
    assert (await operations.release(hold, idempotency_key="release", reference=None, caller=None)).is_ok
    await empty(site.farebox, seeds.merchant_id, is_closed=is_closed)


async def _add_staff(site: Site) -> dict[str, str]:
    """Add the staff that buttons are about, and return their addresses, and one more."""
    staff, logins = site.farebox.services.staff, site.farebox.stores.logins
    number = len(await staff.list())
    emails = {name: f"{name}-{number}@farebox.example" for name in ("open", "new", "closed", "codes", "other")}
    for name in ("open", "new", "closed", "codes"):
        principal = site.visitors["sam"].principal if name == "new" else None
        login, _ = await staff.add(emails[name], name, roles=[StaffRole.SUPPORT], principal=principal)
        if name == "codes":
            await logins.set_totp_seed(login.login_id, bytes(32))
        if name == "closed":
            await staff.close(login.email, principal=None)
    return emails


async def read_form(site: Site, path: str, parts: Mapping[str, str]) -> bytes:
    """Find a form on its page, and write what it sends."""
    case = CASES[path]
    visitor = site.visitors[case.who]
    typed, hidden = (
        {name: text.format(**parts) for name, text in fields.items()} for fields in (case.typed, case.hidden)
    )
    page = await visitor.get(case.page.format(**parts))
    assert 200 == page.status, words(page)
    if not case.preview:
        return filled_in(page, path.format(**parts), typed, hidden)
    preview = case.preview.format(**parts)
    shown = await send(site, case.preview, parts, filled_in(page, preview, typed, hidden), who=case.who)
    assert 200 == shown.status, words(shown)
    return filled_in(shown, path.format(**parts), {}, {})


async def send(site: Site, path: str, parts: Mapping[str, str], body: bytes, who: str = "") -> Reply:
    """Send a form, which must be taken."""
    header = FORM
    if path.endswith("/prices/import"):
        header, body = with_file(body, PRICES)
    headers = [site.visitors[who or CASES[path].who].cookie, header]
    reply = await site.client.send("POST", path.format(**parts), headers=headers, body=body)
    assert reply.status in (200, 303), words(reply)
    return reply


def is_repeat(reply: Reply) -> bool:
    """Tell whether an answer says that this was done before."""
    if reply.status == 303:
        return "sent_twice" in (reply.header("location") or "")
    return "The form came more than once" in words(reply)


async def test_every_form_is_told_of_here() -> None:
    assert set(CASES) == {named(route.path) for route in table()}


@pytest.mark.parametrize("path", [path for path in CASES if path not in MAKING])
async def test_a_form_that_is_sent_again_makes_nothing_more(site: Site, path: str) -> None:
    """It is about something that has a name of its own, or about a state that is so already."""
    parts = await prepare(site, path)
    body = await read_form(site, path, parts)
    await send(site, path, parts, body)
    before = await site.counts()
    await site.client.send(
        "POST", path.format(**parts), headers=[site.visitors[CASES[path].who].cookie, FORM], body=body
    )
    after = await site.counts()
    assert {**before, "audit_log": 0} == {**after, "audit_log": 0}


@pytest.mark.parametrize("path", [path for path in MAKING if not path.endswith(("/refund", "/refund/confirm"))])
async def test_a_form_that_makes_something_makes_it_once(site: Site, path: str) -> None:
    """Sent three times at once and a fourth time later, one answer tells of what is new, and the others of the same."""
    parts = await prepare(site, path)
    body = await read_form(site, path, parts)
    replies = await asyncio.gather(*(send(site, path, parts, body) for _ in range(3)))
    assert [False, True, True] == sorted(is_repeat(reply) for reply in replies)
    before = await site.counts()
    again = await send(site, path, parts, body)
    assert is_repeat(again)
    assert before == await site.counts()
    if again.status == 303:
        (first,) = (reply for reply in replies if not is_repeat(reply))
        assert (again.header("location") or "").startswith(first.header("location") or "-")


async def test_a_refund_is_done_once(site: Site) -> None:
    """It has its token for ever, in the book."""
    path = f"{CHARGE}/refund/confirm"
    parts = await prepare(site, path)
    body = await read_form(site, path, parts)
    before = await site.counts()
    for _ in range(3):
        await asyncio.gather(*(send(site, path, parts, body) for _ in range(2)))
    after = await site.counts()
    assert before["transfer"] + 1 == after["transfer"]
    assert [] == [fault async for fault in Verifier(site.farebox.stores.connector).faults(None)]


@pytest.mark.parametrize("path", MAKING)
async def test_a_form_without_its_token_is_not_taken(site: Site, path: str) -> None:
    parts = await prepare(site, path)
    body = await read_form(site, path, parts)
    before = await site.counts()
    for wrong in (re.sub(rb"(^|&)once=[^&]*", b"", body), re.sub(rb"once=[^&]*", b"once=x", body)):
        headers = [site.visitors[CASES[path].who].cookie, FORM]
        reply = await site.client.send("POST", path.format(**parts), headers=headers, body=wrong)
        assert 400 == reply.status
        assert "Load the page again and repeat" in words(reply)
    assert before == await site.counts()


async def test_a_key_whose_form_came_twice_is_made_and_its_text_is_gone(site: Site) -> None:
    for path in (KEYS, f"{ACCOUNT}/keys", f"{MERCHANT}/keys/{{key}}/rotate", "/support/merchants/new"):
        parts = await prepare(site, path)
        body = await read_form(site, path, parts)
        first, again = [await send(site, path, parts, body) for _ in range(2)]
        text = re.search(r"fb[ms]_[0-9A-Z]{26,39}", words(first))
        assert text is not None
        shown = words(again)
        assert text[0] not in shown
        assert "one key was made" in shown
        assert "Its text was shown then and can't be shown again." in shown
        link = re.search(r'href="([^"]+/keys/key_[0-9A-Z]+)">To this key', again.body.decode())
        assert link is not None
        assert 200 == (await site.visitors[CASES[path].who].get(link[1])).status


async def test_a_form_that_was_sent_before_with_other_words_says_so_and_may_be_sent_again(site: Site) -> None:
    parts = await prepare(site, KEYS)
    body = await read_form(site, KEYS, parts)
    await send(site, KEYS, parts, body)
    other = body.replace(b"name=geo", b"name=ocr")
    headers = [site.visitors["sam"].cookie, FORM]
    refused = await site.client.send("POST", KEYS, headers=headers, body=other)
    assert 422 == refused.status
    assert "This form was sent before, with other words in it" in words(refused)
    assert not is_repeat(await send(site, KEYS, parts, filled_in(refused, KEYS, {}, {})))
    assert {"geo", "ocr"} <= {key.name for key in await site.farebox.services.merchants.keys(None)}


async def test_a_form_of_somebody_else_is_another(site: Site) -> None:
    """A token is of a form, not of a person; but nobody is told of what somebody else made."""
    parts = await prepare(site, KEYS)
    body = await read_form(site, KEYS, parts)
    await send(site, KEYS, parts, body)
    tess = site.visitors["tess"]
    own = re.sub(rb"csrf_token=[^&]*", b"csrf_token=" + tess.csrf_token.encode(), body)
    reply = await site.client.send("POST", KEYS, headers=[tess.cookie, FORM], body=own)
    assert 422 == reply.status


async def test_a_page_that_was_open_for_too_long_asks_to_be_sent_again(site: Site) -> None:
    """Nobody knows by then whether its form was sent before."""
    path = f"{ACCOUNT}/keys"
    parts = await prepare(site, path)
    body = await read_form(site, path, parts)
    with later(site.farebox, seconds=KEPT_DAYS * 86_400 + 2):
        headers = [site.visitors["ann"].cookie, FORM]
        refused = await site.client.send("POST", path.format(**parts), headers=headers, body=body)
        assert 422 == refused.status
        assert f"This page was open for more than {KEPT_DAYS} days" in words(refused)
        assert not is_repeat(await send(site, path, parts, filled_in(refused, path.format(**parts), {}, {})))
