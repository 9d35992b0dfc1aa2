"""Every form with every kind of mistake: it is said beside the field, in the reader's words, and nothing is lost."""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import REQUEST_TYPE_CHARS_MAX, Charge, CreateHold, Payer
from farebox.service.people.users import Realm, Role
from farebox.web.pages.live import Live
from farebox.web.pages.table import page_routes
from farebox.web.pages.throttle import SignInThrottle
from tests.support.app_client import AppClient, Reply
from tests.support.destinations import NOWHERE, add_destinations
from tests.support.server import give_credit, seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

Faults = Mapping[str, str]
"""Texts that may be typed, each with a part of the sentence about it."""

NO_AMOUNTS: Final[Faults] = {
    "-5": "Write the amount without a minus.",
    "\N{MINUS SIGN}5": "Write the amount without a minus.",
    "10, 20": "“10, 20” looks like several amounts; write one",
    "10 20": "“10 20” looks like several amounts; write one",
    "12,5": "Write the decimals of 12,5 after a point",
    "1.234,50": "Write the decimals of 1.234,50 after a point",
    "Five": "“Five” is not an amount; write one such as 12.50.",
    "1e3": "“1e3” is not an amount",
    "NaN": "“NaN” is not an amount",
    "<b>5</b>": "“<b>5</b>” is not an amount",
    "5 USDT": "“5 USDT” is not an amount",
    "1000000000000.01": "The largest amount is 1,000,000,000,000.00",
    "9" * 60: "The largest amount is 1,000,000,000,000.00",
    "0.0000001": "An amount has six decimals at most.",
}
NOTHING: Final[Faults] = {"": "Write an amount, such as 12.50."}
ZERO: Final[Faults] = {"0": "The amount must be more than 0.", "0.00": "The amount must be more than 0."}
OTHER_CURRENCY: Final[Faults] = {"5 EUR": "This account is in USD, not in EUR."}
EMPTY: Final[Faults] = {"": "This is empty; write one line of 1 to", "  ": "This is empty; write one line of 1 to"}
NO_TIMES: Final[Faults] = {
    "tomorrow": "This is not a time; write one such as",
    "2027-13-01T00:00": "This is not a time; write one such as",
}
NO_ADDRESSES: Final[Faults] = {
    "": "is not an e-mail address",
    "Ann": "'Ann' is not an e-mail address",
    "Ann@": "'Ann@' is not an e-mail address",
    "ann carla@shop.example": "'ann carla@shop.example' is not an e-mail address",
}
NO_TYPES: Final[Faults] = {
    "": "A request type is",
    "Two Words": "A request type is",
    "x" * (REQUEST_TYPE_CHARS_MAX + 1): "A request type is",
}

ACCEPTED: Final = (
    *(
        "1,234.50",
        "1234.5",
        " 1 234.50 ",
        "1\u00a0234.50",
        "1\u202f234.50",
        "1'234.50",
        "1\N{RIGHT SINGLE QUOTATION MARK}234.50",
    ),
    *("+1,234.50 USD", "USD 1,234.50", "01234.500000"),
)


def lines(chars_max: int) -> Faults:
    """Return what is no single line of so many characters; of one that may be left out, nothing is a fault."""
    return {
        "x" * (chars_max + 1): f"This has {chars_max + 1} characters; write one line of 1 to {chars_max}",
        "two\nlines": "This has a line break, a tab or another",
        "a\tb": "This has a line break, a tab or another",
    }


@dataclass(frozen=True)
class Case:
    """A form: the path that takes it, what would be right in its fields, and what is wrong in each."""

    path: str
    right: Mapping[str, str]
    wrong: Mapping[str, Faults]


REFERENCE: Final = lines(128)
REMARK: Final = lines(500)
NAME: Final = {**EMPTY, **lines(200)}
AMOUNT: Final = {**NO_AMOUNTS, **ZERO, **OTHER_CURRENCY}
THRESHOLD: Final = {
    **AMOUNT,
    **dict.fromkeys(
        ("-5", "\N{MINUS SIGN}5", "0", "0.00"), "is never reached: without a credit limit a threshold is more"
    ),
}
DAYS_LEFT: Final = {
    **dict.fromkeys(("x", "7.5", "-7", "a week"), "is no number of days; write whole days, such as 7"),
    **dict.fromkeys(("0", "91", "9999"), "is not between 1 and 90 days, such as 7"),
}
MERCHANT: Final = "/support/merchants/{merchant}"
TRANSFERS: Final = f"{MERCHANT}/transfers"
PRICE: Final = {"type": "priced", "unit_price": "1", "starts": "", "is_new": "yes"}
BY_RULE: Final = {"type": "priced", "rule": '{"lines": [{"name": "input", "amount": "0.15"}]}', "starts": ""}
RULE_FAULTS: Final[Mapping[str, Faults]] = {
    "rule": {
        "0.15": "This is no TOML, nor JSON, which begins with a brace",
        '{"lines": [}': "This is no JSON: Expecting value",
        '{"lines": []}': "rule.lines: this is empty; name at least one line",
        '{"lines": [{"name": "<b>", "amount": "1"}]}': "rule.lines[0].name: '<b>' is no name of a line",
        '{"lines": [{"name": "input", "amount": 0.15}]}': "rule.lines[0].amount: this is a number with a point; write",
    }
}
PRICE_FAULTS: Final[Mapping[str, Faults]] = {
    "type": NO_TYPES,
    "unit_price": NO_AMOUNTS,
    "starts": {**NO_TIMES, "2001-01-01T00:00": "A price can't start in the past"},
}
KEY_FAULTS: Final[Mapping[str, Faults]] = {"expires": {**NO_TIMES, "2001-01-01T00:00": "time to come"}}
USER: Final = {"email": "new@shop.example", "role": "viewer"}
USER_FAULTS: Final[Mapping[str, Faults]] = {"email": NO_ADDRESSES, "role": {"king": "A role is one of"}}
OVERLAP_FAULTS: Final[Mapping[str, Faults]] = {"overlap": {"-1": "Choose how long", "": "Choose how long"}}
END_FAULTS: Final[Mapping[str, Faults]] = {"expires": {**KEY_FAULTS["expires"], "": "Say when"}}
URLS: Final[Faults] = {
    "": "This is empty",
    "hooks": "Write a URL that begins with https",
    "http://example.com/": "Write a URL that begins with https",
    "https://user:password@example.com/": "Leave user and password out",
    "https://127.0.0.1/": "an address of this machine",
    "https://169.254.169.254/latest/meta-data": "the local link",
    "https://[::ffff:10.0.0.1]/": "a private address",
    "https://2130706433/": "The URL's host is a number",
    "https://localhost/": "a local network",
}
SHORT: Final[Faults] = {"x" * 81: "A name has 80 characters at most", "a\tb": "This has a line break, a tab or another"}
TODAY: Final = f"{datetime.now(UTC):%Y-%m-%dT00:00}"
SPAN_FAULTS: Final[Mapping[str, Faults]] = {
    "since": {**NO_TIMES, "2001-01-01T00:00": "What is longer ago than 90 days"},
    "until": {**NO_TIMES, "2001-01-01T00:00": "This is not after the time"},
}
BUDGET: Final = {"day": "5", "week": "", "month": "", "total": "", "zone": "UTC"}
BUDGET_FAULTS: Final[Mapping[str, Faults]] = {
    "day": {**NO_AMOUNTS, **OTHER_CURRENCY, "5.001": "amounts in USD have at most 2 decimals"},
    "total": NO_AMOUNTS,
    "zone": {"Nowhere": "'Nowhere' is not a time zone; write one such as"},
}


CREDIT: Final = {
    "amount": "5",
    "reference": "G",
    "reason": "r",
    "starts": "",
    "expires": "",
    "types": "",
    "priority": "",
}
CREDIT_FAULTS: Final[Mapping[str, Faults]] = {
    "amount": AMOUNT,
    "reference": {**EMPTY, **REFERENCE},
    "reason": {**EMPTY, **REMARK},
    "starts": NO_TIMES,
    "expires": NO_TIMES,
    "types": {"no;type": "A request type is", "image, <b>": "A request type is"},
    "priority": {"101": "A priority is a whole number", "-1": "A priority is a whole number", "one": "A priority is"},
}


def _moves(path: str, right: Mapping[str, str], wrong: Mapping[str, Faults]) -> list[Case]:
    """A move is asked for twice: for its preview and by its button."""
    return [Case(path, right, wrong), Case(f"{path}/confirm", right, wrong)]


NO_REASON: Final[Faults] = {"": "Support says why it releases a hold"}
CASES: Final = [
    Case(
        "/support/merchants/new",
        {"name": "Shop", "currency": "USD", "thresholds": "", "credit_limit": ""},
        {
            "name": NAME,
            "currency": {"": "is not a currency", "xxl": "'xxl' is not a currency", "Dollar": "'Dollar' is not a curr"},
            "thresholds": THRESHOLD,
            "credit_limit": {**NO_AMOUNTS, **OTHER_CURRENCY},
        },
    ),
    Case(f"{MERCHANT}/name", {"name": "Shop"}, {"name": NAME}),
    Case(f"{MERCHANT}/tags", {"tags": "vip"}, {"tags": lines(40)}),
    Case(f"{MERCHANT}/notes", {"text": "late"}, {"text": {**EMPTY, **REMARK}}),
    *_moves(
        f"{MERCHANT}/credit-limit",
        {"credit_limit": "5"},
        {"credit_limit": {**NO_AMOUNTS, **OTHER_CURRENCY, **NOTHING}},
    ),
    Case(
        f"{MERCHANT}/thresholds",
        {"thresholds": "5", "runway_thresholds": "7"},
        {"thresholds": THRESHOLD, "runway_thresholds": DAYS_LEFT},
    ),
    *_moves(
        f"{MERCHANT}/top-up",
        {"amount": "5", "reference": "R", "note": ""},
        {"amount": {**AMOUNT, **NOTHING}, "reference": {**EMPTY, **REFERENCE}, "note": REMARK},
    ),
    *_moves(
        f"{MERCHANT}/adjust",
        {"amount": "5", "reference": "R", "reason": "r", "sign": "add"},
        {
            "amount": {**AMOUNT, **NOTHING},
            "reference": {**EMPTY, **REFERENCE},
            "reason": {**EMPTY, **REMARK},
            "sign": {"both": "Choose whether to add or to take away"},
        },
    ),
    *_moves(
        f"{TRANSFERS}/{{charge}}/refund",
        {"amount": "", "reference": "", "note": ""},
        {"amount": {**AMOUNT, "10.01": "Only 10.00 USD of"}, "reference": REFERENCE, "note": REMARK},
    ),
    *_moves(f"{MERCHANT}/grants/give", CREDIT, CREDIT_FAULTS),
    Case(f"{MERCHANT}/grants/{{grant}}/end", {"reason": "r"}, {"reason": {**EMPTY, **REMARK}}),
    Case(f"{MERCHANT}/holds/{{hold}}/release", {"reason": "r"}, {"reason": {**NO_REASON, **REMARK}}),
    *_moves(
        f"{TRANSFERS}/{{top_up}}/take-back",
        {"amount": "", "reference": "R", "reason": "r"},
        {
            "amount": {**AMOUNT, "100.01": "Only 100.00 USD of", "95": "Insufficient balance"},
            "reference": {**EMPTY, **REFERENCE},
            "reason": {**EMPTY, **REMARK},
        },
    ),
    Case("/support/prices", PRICE, PRICE_FAULTS),
    Case("/support/prices", BY_RULE, RULE_FAULTS),
    Case(f"{MERCHANT}/prices", BY_RULE, RULE_FAULTS),
    Case(f"{MERCHANT}/prices", PRICE, {**PRICE_FAULTS, "unit_price": {**PRICE_FAULTS["unit_price"], **OTHER_CURRENCY}}),
    Case(f"{MERCHANT}/people", USER, USER_FAULTS),
    Case(f"{MERCHANT}/keys", {"expires": ""}, KEY_FAULTS),
    Case(f"{MERCHANT}/keys/{{key}}/rotate", {"overlap": "0"}, OVERLAP_FAULTS),
    Case(f"{MERCHANT}/keys/{{key}}/end", {"expires": "2100-01-01T00:00"}, END_FAULTS),
    Case(f"{MERCHANT}/keys/{{key}}/name", {"name": "n"}, {"name": lines(200)}),
    Case(f"{MERCHANT}/keys/{{key}}/budget", BUDGET, BUDGET_FAULTS),
    Case(
        "/support/staff",
        {"email": "new@farebox.example", "name": "New", "role": "support"},
        {"email": NO_ADDRESSES, "name": NAME, "role": {"king": "Choose at least one role"}},
    ),
    Case(
        "/support/keys",
        {"kind": "service", "name": "S", "expires": ""},
        {"kind": {"merchant": "Choose whose key"}, "name": NAME, **KEY_FAULTS},
    ),
    Case("/support/forgotten", {"email": "sam@farebox.example"}, {"email": NO_ADDRESSES}),
    Case(
        "/accounts/{merchant}/alerts/reports",
        {"report": "weekly", "week_start": "1", "zone": "UTC"},
        {"zone": {"Nowhere": "'Nowhere' is not a time zone; write one such as"}},
    ),
    Case("/accounts/{merchant}/alerts", {"amount": "5", "days": "7"}, {"amount": THRESHOLD, "days": DAYS_LEFT}),
    Case("/accounts/{merchant}/keys", {"expires": ""}, KEY_FAULTS),
    Case("/accounts/{merchant}/keys/{key}/rotate", {"overlap": "0"}, OVERLAP_FAULTS),
    Case("/accounts/{merchant}/keys/{key}/end", {"expires": "2100-01-01T00:00"}, END_FAULTS),
    Case("/accounts/{merchant}/keys/{key}/name", {"name": "n"}, {"name": lines(200)}),
    Case("/accounts/{merchant}/keys/{key}/budget", BUDGET, BUDGET_FAULTS),
    Case("/accounts/{merchant}/people", USER, USER_FAULTS),
    Case("/forgotten", {"email": "ann@shop.example"}, {"email": NO_ADDRESSES}),
    *(
        case
        for root in ("/accounts/{merchant}/webhooks", f"{MERCHANT}/webhooks")
        for case in (
            Case(root, {"channel": "webhook", "url": NOWHERE, "types": "balance.low"}, {"url": URLS, "name": SHORT}),
            Case(
                f"{root}/{{destination}}/change", {"url": NOWHERE, "types": "balance.low"}, {"url": URLS, "name": SHORT}
            ),
            Case(f"{root}/{{destination}}/rotate", {"overlap": "0"}, OVERLAP_FAULTS),
            Case(f"{root}/{{destination}}/replay", dict.fromkeys(("since", "until"), TODAY), SPAN_FAULTS),
        )
    ),
]

ELSEWHERE: Final = re.compile(
    # One key's page is the same for services' and support's.
    r"/support/keys/\{key\}/.*"
    # The operator's webhooks have the pages of a merchant's.
    r"|/support/webhooks(/.*)?"
    # These take passwords and codes, which have tests of their own and are never shown again.
    r"|/(link|unsubscribe|unsubscribe/reports|unsubscribe/warnings)/\{link\}|(/support)?/(sign-in|profile/.*)"
    # Buttons: nothing is typed.
    r"|.*/prices/(end|withdraw)"
    # These carry files, and have tests of their own.
    r"|.*/prices/import(/make)?"
    # It answers beside the form, also about what is wrong.
    r"|.*/prices/preview"
    r"|.*/webhooks/\{destination\}/(on|delete|events/\{event\}/replay)|.*/alerts/choices"
    r"|.*/(revoke|suspend|resume|again|remove|role|roles|test|close|confirm|reopen|codes|retry|verify|approve|reject|sign-out)"
    r"|.*/(un)?freeze(/confirm)?"
)


async def test_no_form_is_forgotten() -> None:
    paths = {
        re.sub(r"\{(\w+):str\}", r"{\1}", route.path)
        for route in page_routes(SignInThrottle(), Live())
        if route.post is not None
    }
    listed = {re.sub(r"\{(charge|top_up)\}", "{transfer}", case.path) for case in CASES}
    assert set() == listed - paths
    assert set() == {path for path in paths - listed if not ELSEWHERE.fullmatch(path)}


@dataclass(frozen=True)
class Site:
    """A merchant with a charge, and how its paths are filled in."""

    owner: Visitor
    number: int
    values: Mapping[str, str]

    def path(self, case: Case) -> str:
        return case.path.format_map(self.values)


@pytest_asyncio.fixture(loop_scope="module")
async def site(farebox: Farebox, client: AppClient) -> Site:
    """100.00 paid in, 10.00 of them spent."""
    seeds = await seed(farebox)
    outcome = await farebox.committer.submit(Charge(Payer(seeds.merchant_id), "image", 1000, "charge"))
    held = await farebox.committer.submit(CreateHold(Payer(seeds.merchant_id), "image", 1, "hold"))
    assert outcome.transfer is not None
    assert held.hold is not None
    email = f"owner-{seeds.merchant_id}@shop.example"
    await farebox.services.merchants.add_user(seeds.merchant_id, email, role=Role.OWNER)
    owner = await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)
    (key,) = await farebox.services.merchants.keys(seeds.merchant_id)
    values = {
        "merchant": seeds.merchant,
        "charge": outcome.transfer.id,
        "hold": held.hold.id,
        "grant": (await give_credit(farebox, seeds.merchant_id)).id,
        "top_up": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1),
        "key": ids.public_id(ids.KEY, key.key_id),
        **await add_destinations(farebox, seeds.merchant_id),
    }
    return Site(owner, seeds.merchant_id, values)


def _red(reply: Reply) -> set[str]:
    """The names of the fields that are marked as wrong."""
    tags = re.findall(r"<(?:input|select|textarea)[^>]*>", reply.body.decode())
    return {re.findall(r'name="([^"]*)"', tag)[0] for tag in tags if 'aria-invalid="true"' in tag}


def _notes(reply: Reply) -> list[str]:
    """The sentences beside fields that are wrong."""
    return [html.unescape(note) for note in re.findall(r'<span class="wrong"[^>]*>([^<]*)</span>', reply.body.decode())]


def _typed(reply: Reply, name: str) -> list[str]:
    """The texts that the fields of a name hold."""
    tags = re.findall(rf'<input[^>]* name="{name}"[^>]*>', reply.body.decode())
    return [html.unescape(re.findall(r'value="([^"]*)"', tag)[0]) for tag in tags if 'type="hidden"' not in tag]


FAULTS: Final = [pytest.param(case, field, id=f"{case.path} {field}") for case in CASES for field in case.wrong]


@pytest.mark.parametrize(("case", "field"), FAULTS)
async def test_a_mistake_is_said_beside_its_field_alone(sam: Visitor, site: Site, case: Case, field: str) -> None:
    visitor = sam if case.path.startswith("/support") else site.owner
    for text, message in case.wrong[field].items():
        reply = await visitor.post(site.path(case), **{**case.right, field: text})
        assert 422 == reply.status, (text, words(reply)[:300])
        assert {field} == _red(reply), text
        (note,) = _notes(reply)
        assert message in note, text
        assert note[:1].isupper() or note[:1] in "“'0123456789-" or note.startswith("rule"), note
        # The browser puts the focus there, and what was typed is there still.
        assert 1 == len(re.findall(r"<(?:input|select|textarea)[^>]* autofocus", reply.body.decode())), text
        if 'name="' + field + '" type="' in reply.body.decode():
            assert text in _typed(reply, field)
        for other, value in case.right.items():
            typed = _typed(reply, other)
            assert other == field or not typed or value in typed, (text, other)
        assert "<title>Not done: " in reply.body.decode()


AMOUNT_FIELDS: Final = [
    pytest.param(case, field, id=f"{case.path} {field}")
    for case in CASES
    for field in ("amount", "thresholds", "credit_limit", "unit_price")
    if field in case.wrong and not case.path.endswith("/confirm")
]


async def test_thresholds_go_down_to_the_credit_limit(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox, credit_limit="50")
    url = f"/support/merchants/{seeds.merchant}/thresholds"
    await sam.done(url, thresholds="\N{MINUS SIGN}49.50")
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    assert [-49_500_000] == [threshold.amount for threshold in account.thresholds]
    wrong = await sam.wrong(url, thresholds="-50.01")
    assert "a threshold is -50.00 or more" in words(wrong).replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize("text", ACCEPTED)
@pytest.mark.parametrize(("case", "field"), AMOUNT_FIELDS)
async def test_amounts_are_taken_as_pages_print_them(
    farebox: Farebox, sam: Visitor, site: Site, case: Case, field: str, text: str
) -> None:
    await farebox.services.operations.top_up(
        site.number,
        amount="999",
        reference="more",
        note=None,
        principal=None,
    )
    visitor = sam if case.path.startswith("/support") else site.owner
    reply = await visitor.post(site.path(case), **{**case.right, field: text})
    if "/transfers/" in case.path:
        # As much as this was not spent: the number was understood.
        assert 422 == reply.status
        assert "Only " in _notes(reply)[0]
    elif case.path.endswith("/new") and field == "credit_limit":
        # More than one person may give: the number was understood.
        assert 422 == reply.status
        assert "needs a second person" in _notes(reply)[0]
    else:
        assert reply.status in (200, 303), words(reply)[:400]


async def test_previews_show_amounts_as_they_were_meant(sam: Visitor, site: Site) -> None:
    url = f"/support/merchants/{site.values['merchant']}"
    shows: dict[str, Callable[[str], dict[str, str]]] = {
        "top-up": lambda text: {"amount": text, "reference": "R", "note": ""},
        "credit-limit": lambda text: {"credit_limit": text},
    }
    for path, fields in shows.items():
        for text in ACCEPTED:
            assert "1,234.50 USD" in words(await sam.post(f"{url}/{path}", **fields(text)))
