"""Every page of a merchant's user, with a catalogue that puts each message between brackets.

What stands outside of them is data: names, ids, amounts, times; any other word is one that nobody translates. The pages
come from the table of
pages, so one that is added later is read by itself.
"""

import gettext
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from html.parser import HTMLParser
from typing import Final

import pytest
import pytest_asyncio
from babel.dates import get_day_names, get_month_names

from farebox.bootstrap import Farebox
from farebox.cli import demo
from farebox.config import Settings
from farebox.core import ids
from farebox.service.languages import LANGUAGE_NAMES, language
from farebox.service.statements.lines import KINDS
from farebox.service.statements.reader import Selection
from farebox.storage.records import Realm
from farebox.storage.report_records import ReportKind
from farebox.web.pages.account.table import account_routes
from farebox.web.pages.dashboard import OverviewPages
from farebox.web.pages.live import Live
from farebox.web.schemas.spending import ChargeRequest, HoldRequest
from tests.support.app_client import open_client
from tests.support.destinations import add_destinations
from tests.support.server import open_farebox
from tests.web.console.visitor import Visitor, kept, words
from tools.messages import messages, read_catalogue

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER: Final = "ann@northwind.example"
OPEN: Final = "⟦"
CLOSE: Final = "⟧"
NO_PAGES: Final = re.compile(r".*(/live|\.csv|\.jsonl|/reports/\{kind:str\})")
DATA_ELEMENTS: Final = frozenset({"bdi", "code", "pre", "script", "style", "time", "wbr"})
DATA_CLASSES: Final = frozenset({"mono", "secret", "brand"})
SPOKEN_ATTRIBUTES: Final = frozenset({"alt", "aria-label", "data-copied", "data-label", "title"})
VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})
QUERIES: Final = ("?by=hour", "/webhooks/new?channel=chat", "/statement?from=x", "/webhooks/dest_01K9ABCDEFGHJ")
FORMS: Final[Sequence[tuple[str, dict[str, str]]]] = (
    ("alerts", {"amount": "1.250"}),
    ("alerts", {"amount": "-500"}),
    ("alerts", {"days": "x"}),
    ("people", {"email": "nobody", "role": "viewer"}),
    ("people/role", {"user": OWNER, "role": "viewer"}),
    ("keys", {"name": "batch"}),
    ("keys", {"name": "batch", "expires": "2020-01-31T12:00"}),
    ("webhooks", {"channel": "webhook", "url": "http://shop.example/", "types": "balance.low"}),
    ("webhooks", {"channel": "webhook", "url": "https://shop.example/", "types": "balance.low", "name": "batch"}),
    ("alerts/reports", {"report": "weekly", "zone": "Nowhere", "week_start": "1"}),
)
"""Forms that show a secret, or what was wrong."""
OWN_FORMS: Final[Sequence[tuple[str, dict[str, str]]]] = (
    ("/profile/password", {"password_old": "x", "password_new": "y"}),
    ("/profile/codes", {"seed": "x", "code": "1", "password": "x"}),
    ("/profile/codes/remove", {"password": "x"}),
)
LANGUAGE_WORDS: Final = set(LANGUAGE_NAMES.values())
"""Each language calls itself by its own name."""

DATA: Final = (
    "Northwind Imaging ann bob northwind example nobody batch nightly jobs orders no-such-type WELCOME-1 INV-1 "
    "R-1 sorry for trying documents out https hooks.invalid farebox shop input output cached requests USD UTC "
    "Europe/Berlin Nowhere Farebox curl Python JavaScript PHP Go owner member viewer"
)
WORD: Final = re.compile(r"[^\W\d_]{2,}")


class Bracketed(gettext.NullTranslations):
    """A catalogue that puts each message that others translate between brackets."""

    def __init__(self) -> None:
        super().__init__()
        ids = [message.id for message in messages(read_catalogue("de"))]
        self._known = {text for item in ids for text in ([item] if isinstance(item, str) else item)}

    def gettext(self, message: str) -> str:
        return f"{OPEN}{message}{CLOSE}" if message in self._known else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)


class Texts(HTMLParser):
    """What a page shows and says, but for elements that hold data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[bool] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = set((dict(attrs).get("class") or "").split())
        is_data = tag in DATA_ELEMENTS or bool(classes & DATA_CLASSES)
        if tag not in VOID:
            self._open.append(is_data or (bool(self._open) and self._open[-1]))
        if not is_data:
            self.texts += [value for name, value in attrs if name in SPOKEN_ATTRIBUTES and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        # An opening bracket may stand before data, and the closing one behind it.
        is_data = self._open and self._open[-1]
        self.texts.append("".join(char for char in data if char in OPEN + CLOSE) if is_data else data)


def unmarked(page: str, data: set[str]) -> list[str]:
    """List the words of a page that are neither between brackets nor among the data."""
    depth, outside = 0, []
    for char in "\n".join(Texts(page).texts):
        depth += (char == OPEN) - (char == CLOSE)
        outside.append(char if depth == 0 else " ")
    assert depth == 0
    return [word for word in WORD.findall("".join(outside)) if word not in data]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Visitor]:
    """The owner of the demo's first merchant, who chose German."""
    url = f"sqlite:///{tmp_path_factory.mktemp('pages') / 'farebox.db'}"
    await demo.seed(Settings.of(database_url=url))
    async with open_farebox(url) as farebox:
        login = await farebox.stores.logins.find(Realm.MERCHANT, OWNER)
        assert login is not None
        await farebox.stores.logins.set_language(login.login_id, "de")
        login = await farebox.stores.logins.get(login.login_id)
        assert login is not None
        signed_in = await farebox.services.sign_in.begin(login, farebox.clock.now(), address=None, agent="a test")
        yield Visitor(farebox, await open_client(farebox), signed_in)


async def test_every_word_of_a_page_is_a_message_or_data(ann: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language("de"), "translations", Bracketed())
    merchant_id, data = await _merchant(ann.farebox)
    paths = await _paths(ann.farebox, merchant_id)
    pages = [(path, await ann.get(path)) for path in paths]
    root = paths[0]
    pages += [(path, await ann.post(f"{root}/{path}", **fields)) for path, fields in FORMS]
    (key,) = [path for path in paths if re.fullmatch(r".*/keys/key_\w+", path)]
    pages.append((f"{key}/budget", await ann.post(f"{key}/budget", day="12,50", zone="UTC")))
    pages.append((f"{key}/rotate", await ann.post(f"{key}/rotate", overlap="0")))
    faults: list[str] = []
    for path, reply in pages:
        page = reply.body.decode()
        assert '<html lang="de"' in page or path.endswith(("/now", "/charts")), (path, reply)
        if outside := unmarked(page, data):
            faults.append(f"{path}: {outside}")
    assert not faults, "\n".join(faults)


async def test_every_word_of_the_pages_about_oneself_is_a_message_or_data(
    ann: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language("de"), "translations", Bracketed())
    merchant_id, data = await _merchant(ann.farebox)
    login_id = ann.signed_in.login.login_id
    link = await ann.farebox.services.report_links.url(login_id, merchant_id, ReportKind.WEEKLY, public_url="")
    pages = [(path, await ann.get(path)) for path in ("/profile", "/profile/codes", "/accounts/mer_38FQ69WFQKSZV")]
    pages += [(path, await ann.post(path, **fields)) for path, fields in OWN_FORMS]
    for path in ("/sign-in", "/forgotten", "/link/x", "/unsubscribe/x", link):
        pages.append((path, await ann.client.get(path, headers=[("accept-language", "de")])))
    for path, reply in pages:
        page = reply.body.decode()
        assert '<html lang="de"' in page, (path, reply)
        assert [] == unmarked(page, data | LANGUAGE_WORDS), path


@pytest.mark.parametrize("code", sorted(LANGUAGE_NAMES))
async def test_a_field_is_read_as_it_was_filled(ann: Visitor, code: str) -> None:
    """A threshold that is saved unseen stays what it is; what has two meanings is never guessed at."""
    login_id, merchant_id = ann.signed_in.login.login_id, await _merchant_id(ann.farebox)
    await ann.farebox.stores.logins.set_language(login_id, code)
    root = f"/accounts/{ids.public_id(ids.MERCHANT, merchant_id)}/alerts"
    for amount in ("1250.75", "1250", "1.125", "0.125", "1250.125", "1000000"):
        await ann.farebox.services.operations.set_thresholds(merchant_id, [amount], principal=None)
        shown = kept(await ann.get(root), "amount")
        await ann.done(root, amount=[shown])
        assert [Decimal(amount) * 1_000_000] == await _thresholds(ann.farebox, merchant_id), (code, amount, shown)
    if code == "en":
        return
    for text, micros in (("1.250,75", 1_250_750_000), ("1,250.75", 1_250_750_000), ("12,5 USD", 12_500_000)):
        await ann.done(root, amount=[text])
        assert [micros] == await _thresholds(ann.farebox, merchant_id), (code, text)
    for text in ("1.250", "1,250", "999.999", "1.250,75,5", "12,50 EUR"):
        page = words(await ann.wrong(root, amount=[text]))
        assert "12,50" in page or "USD" in page
        assert [12_500_000] == await _thresholds(ann.farebox, merchant_id), (code, text)


async def _thresholds(farebox: Farebox, merchant_id: int) -> list[int]:
    _, account = await farebox.services.merchants.get(merchant_id)
    return [threshold.amount for threshold in account.thresholds]


async def _merchant_id(farebox: Farebox) -> int:
    there = await farebox.services.merchants.list()
    return next(merchant.merchant_id for merchant, _ in there if merchant.name.startswith("Northwind"))


async def _merchant(farebox: Farebox) -> tuple[int, set[str]]:
    """Return the demo's first merchant, with some of all that pages show, and the words that are its data."""
    merchant_id = await _merchant_id(farebox)
    public_id, operations = ids.public_id(ids.MERCHANT, merchant_id), farebox.services.operations
    await operations.hold(HoldRequest(public_id, "image", "open", quantity=5), caller=None)
    held = await operations.hold(HoldRequest(public_id, "image", "captured", quantity=5), caller=None)
    assert held.hold is not None
    await operations.capture(
        held.hold.id, idempotency_key="capture", quantity=3, amount=None, reference=None, caller=None
    )
    await operations.charge(ChargeRequest(public_id, "no-such-type", "refused"), caller=None)
    page = await farebox.services.statements.page(merchant_id, Selection(kind="charge"), limit=1)
    await operations.refund(
        page.transfers[0].id, idempotency_key="refund", amount=None, reference="R-1", note="sorry", caller=None
    )
    await operations.set_credit_limit(merchant_id, "5", principal=None)
    await add_destinations(farebox, merchant_id)
    names = [get(kind, locale="de") for get in (get_day_names, get_month_names) for kind in ("abbreviated", "wide")]
    named = " ".join(str(name) for each in names for name in each.values())
    return merchant_id, set(
        WORD.findall(f"{named} {' '.join(await farebox.services.prices.request_types(None))} {DATA}")
    )


async def _paths(farebox: Farebox, merchant_id: int) -> list[str]:
    """Fill in the paths of all pages, the overview first; of transfers, one of each kind."""
    keys = await farebox.services.merchants.keys(merchant_id)
    there = await farebox.services.destinations.list(merchant_id)
    (sent, *_) = await farebox.services.destinations.sent(there[0], before=None, limit=1)
    transfers = [
        page.transfers[0].id
        for kind in KINDS
        if (page := await farebox.services.statements.page(merchant_id, Selection(kind=kind), limit=1)).transfers
    ]
    values = {
        "merchant": ids.public_id(ids.MERCHANT, merchant_id),
        "key": ids.public_id(ids.KEY, keys[-1].key_id),
        "destination": there[0].id,
        "event": sent.delivery.alert.id,
    }
    root = f"/accounts/{values['merchant']}"
    paths = [root]
    for route in [*OverviewPages(Live()).routes(), *account_routes()]:
        if route.get is None or NO_PAGES.fullmatch(route.path):
            continue
        query = "?user=bob%40northwind.example" if route.path.endswith("/people/remove") else ""
        for transfer in transfers if "{transfer" in route.path else ("",):
            paths.append(_filled(route.path, {**values, "transfer": transfer}) + query)
    return [*paths, *(f"{root}{query}" for query in QUERIES)]


def _filled(path: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+):str\}", lambda match: values[match[1]], path)
