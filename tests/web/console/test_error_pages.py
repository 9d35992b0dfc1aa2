"""Error pages speak to a person: what happened and what to do, in sentences, with a way on."""

import re

import pytest

from farebox.bootstrap import Farebox
from farebox.core.outcomes import Code, refused
from farebox.service.errors import InvalidInput, Missing, Refused, Unavailable
from farebox.service.languages import ENGLISH
from farebox.web.envelope import ApiError, api_error
from farebox.web.pages.error_words import error_words
from tests.support.app_client import Reply
from tests.support.server import seed
from tests.web.console.visitor import FORM, Visitor, words

ACCEPT = ("accept", "text/html")


def _check(reply: Reply, status: int, heading: str, sentence: str) -> None:
    page = words(reply)
    assert status == reply.status, page
    assert f"{heading} - Farebox" in page
    assert sentence in page
    # The focus is on what is said, it is announced, and there is a way on.
    assert re.search(r'<section class="card stack" tabindex="-1" autofocus role="alert">', reply.body.decode())
    assert "To the start" in page
    for word in ("openapi", "JSON", "GET", "POST", "Not Found", "cursor:", "envelope"):
        assert word not in page


@pytest.mark.asyncio(loop_scope="module")
async def test_pages_that_are_not_there_or_go_wrong_say_so(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"/support/merchants/{seeds.merchant}"
    nothing = "There is nothing here"
    for path in ("/nowhere", "/support/nowhere", f"{url}/nowhere", "/support/merchants/mer_0"):
        reply = await sam.client.get(path, headers=[sam.cookie, ACCEPT])
        _check(reply, 404, nothing, "The address may be mistyped or old, or lead to something of another account.")
    reply = await sam.client.get(f"{url}/transfers/xfer_0", headers=[sam.cookie, ACCEPT])
    _check(reply, 404, nothing, "No transfer has this id. The address may be mistyped")
    reply = await sam.client.get(f"{url}/top-up/confirm", headers=[sam.cookie, ACCEPT])
    _check(reply, 405, "This page can't be opened like that", "Go back to the page, and press it again.")
    reply = await sam.client.get(f"{url}/transfers?cursor=old", headers=[sam.cookie, ACCEPT])
    _check(reply, 422, "This address can't be read", "Go back, or begin again at the start.")
    large = b"csrf_token=x&name=" + b"n" * 70_000
    reply = await sam.client.send("POST", f"{url}/name", headers=[sam.cookie, FORM, ACCEPT], body=large)
    _check(reply, 413, "That is too much at once", "A form has 65536 bytes at most.")
    reply = await sam.post(f"{url}/name", csrf_token="another session's", name="x")
    _check(reply, 403, "This is not for you", "This form is from another session. Load the page again and repeat.")


@pytest.mark.parametrize(
    ("error", "heading", "sentence"),
    [
        (ValueError("secret detail"), "Something went wrong", "The fault is ours, and it has been written down."),
        (Unavailable(), "Not available just now", "nothing was changed."),
        (Missing("no such request"), "There is nothing here", "No such request. The address may be mistyped"),
        (InvalidInput("q", "'Ann' is not a day"), "This address can't be read", "'Ann' is not a day. Go back"),
        (ApiError(429, "rate_limited", "Wait a minute"), "Too many tries", "Wait a minute."),
        (
            Refused(refused(Code.MERCHANT_FROZEN, "The merchant is frozen")),
            "This is not for you",
            "The merchant is frozen.",
        ),
    ],
)
def test_what_is_raised_becomes_words(error: Exception, heading: str, sentence: str) -> None:
    shown = error_words(api_error(error), error, ENGLISH)
    assert heading == shown.heading
    assert sentence in shown.words
    assert "secret detail" not in shown.words
