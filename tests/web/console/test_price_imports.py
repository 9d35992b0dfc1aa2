"""Price lists in the console: what an import would change is shown, then made once, and the audit log leads to it."""

import json
import re
from typing import Any, Final
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.service import inputs
from tests.support.app_client import Reply
from tests.support.server import seed
from tests.web.console.visitor import Visitor, words
from tests.web.forms import with_file

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUNDARY: Final = "a-boundary-of-the-test"
A_FIELD: Final = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--{BOUNDARY}--\r\n'
PRICE: Final = "price_01K9ABCDEFGHJ"
LIST: Final = {
    "demo/one": {"input_cost_per_token": 2.5e-06, "input_cost_per_token_batches": 1e-06},
    "demo/rest": {"input_cost_per_second": 0.0005666666666666667},
    "demo/none": {"mode": "chat"},
}
_HIDDEN: Final = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def merchant(farebox: Farebox) -> str:
    return (await seed(farebox)).merchant


async def upload(sam: Visitor, path: str, data: bytes | None, **fields: str) -> Reply:
    """Send the form with a file, as browsers do; without one it is as if none had been picked."""
    header, body = with_file(urlencode({"csrf_token": sam.csrf_token, **fields}).encode(), data or b"")
    return await sam.client.send("POST", path, headers=[sam.cookie, header], body=body)


def carried(reply: Reply) -> dict[str, str]:
    """Take what the page carries to the form that makes the import."""
    form = reply.body.decode().partition("/import/make")[2].partition("</form>")[0]
    fields = dict(_HIDDEN.findall(form))
    return {name: value for name, value in fields.items() if name not in ("csrf_token", "once")}


@pytest.mark.parametrize("is_merchants", [False, True])
async def test_what_an_import_would_change_is_shown_and_then_made_once(
    farebox: Farebox, sam: Visitor, merchant: str, is_merchants: bool
) -> None:
    root = f"/support/merchants/{merchant}/prices" if is_merchants else "/support/prices"
    assert "Import a list" in await sam.page(root)
    assert "A price list" in await sam.page(f"{root}/import")
    shown = await upload(
        sam, f"{root}/import", json.dumps(LIST).encode(), kind="litellm", markup="+20 %", filter="demo/*", starts=""
    )
    text = words(shown)
    assert 200 == shown.status, text
    assert "2 new, 0 changed, 0 unchanged and 2 left out" in text
    assert "demo/one:batch new 1.20 per 1,000,000 input" in text
    assert "1 left out: no price" in text
    number = inputs.public_id("merchant", ids.MERCHANT, merchant) if is_merchants else None
    before = len(await farebox.services.prices.list(number))
    fields = carried(shown)
    once = f"{farebox.clock.now() // 1_000_000:x}-{'0' * 31}{int(is_merchants)}"
    for flash in ("prices_imported", "sent_twice"):
        made = await sam.post(f"{root}/import/make", **fields, once=once)
        assert (303, True) == (made.status, flash in (made.header("location") or "")), words(made)
    assert before + 2 == len(await farebox.services.prices.list(number))
    audit = (await sam.get("/support/audit")).body.decode()
    link = re.search(rf'href="({re.escape(root)}/imported\?price=price_\w+)"', audit)
    assert link is not None
    listed = await sam.page(link[1])
    assert "2 prices of one import" in listed
    assert "demo/one:batch 1.20 per 1,000,000 input" in listed
    again = await upload(sam, f"{root}/import", json.dumps(LIST).encode(), kind="litellm", markup="+20 %")
    assert "This changes nothing" in words(again)


async def test_an_import_that_would_change_something_else_by_now_is_shown_again(farebox: Farebox, sam: Visitor) -> None:
    data = b'{"fax": {"unitPrice": "0.5"}}'
    fields = carried(await upload(sam, "/support/prices/import", data, kind="own"))
    await farebox.services.prices.set("fax", "0.1")
    refused = await sam.post("/support/prices/import/make", **fields)
    assert 422 == refused.status
    assert "so that this import would change something else; look at it again" in words(refused)


@pytest.mark.parametrize(
    ("data", "fields", "message"),
    [
        (None, {}, "Choose the file of a price list"),
        (b"", {}, "Choose the file of a price list"),
        (b"{}", {"kind": "other"}, "Choose whose format the list is in"),
        (b"{", {}, "This is no JSON"),
        (b"{}", {"markup": "dear"}, "'dear' is no markup"),
        (b"{}", {"filter": "/a/"}, "Regular expressions are for the command line"),
        (b"{}", {"starts": "soon"}, "is not a time"),
        (b'{"fax": {"rule": {"lines": 5}}}', {}, "fax.rule.lines: this is a whole number"),
    ],
)
async def test_what_is_wrong_is_told_beside_its_field(
    sam: Visitor, data: bytes | None, fields: dict[str, Any], message: str
) -> None:
    reply = await upload(sam, "/support/prices/import", data, **{"kind": "own", "markup": "", "filter": "", **fields})
    assert 422 == reply.status
    assert message in words(reply)


@pytest.mark.parametrize("text", ["", "!", "AAAA"])
async def test_a_list_that_is_not_as_the_page_had_it_is_not_read(sam: Visitor, text: str) -> None:
    reply = await sam.post("/support/prices/import/make", kind="own", list=text, seen="")
    assert 422 == reply.status
    assert "Choose the file again" in words(reply)


@pytest.mark.parametrize(
    ("body", "boundary", "status"),
    [
        (b"nothing of the kind", BOUNDARY, 400),
        (b"--x--\r\n", "", 400),
        (A_FIELD.encode(), BOUNDARY, 403),
    ],
)
async def test_a_form_with_a_file_is_taken_only_with_the_sessions_token(
    sam: Visitor, body: bytes, boundary: str, status: int
) -> None:
    headers = [sam.cookie, ("content-type", f"multipart/form-data{f'; boundary={boundary}' if boundary else ''}")]
    assert status == (await sam.client.send("POST", "/support/prices/import", headers=headers, body=body)).status
    # Other pages take no files.
    assert 415 == (await sam.client.send("POST", "/support/prices", headers=headers, body=body)).status


async def test_a_file_that_is_too_large_is_refused(sam: Visitor) -> None:
    assert 413 == (await upload(sam, "/support/prices/import", bytes(16 * 1024 * 1024), kind="own")).status


@pytest.mark.parametrize("query", ["", "?price=x"])
async def test_no_import_is_named(sam: Visitor, query: str) -> None:
    reply = await sam.get(f"/support/prices/imported{query}")
    assert (303, "/support/prices") == (reply.status, reply.header("location"))


async def test_a_price_that_no_import_made(sam: Visitor) -> None:
    for page in ("", "&page=0", "&page=x", "&page=2"):
        assert "No import made this price" in await sam.page(f"/support/prices/imported?price={PRICE}{page}")
