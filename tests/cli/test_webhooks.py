"""Webhooks and chats from a shell: set up, tried on a real receiver, changed, sent there once more, deleted."""

import asyncio
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from standardwebhooks import Webhook

from farebox.core.alerts import EVENT_TYPES, AlertKind
from tests.cli.shell import Shell
from tests.webhooks.receiver import Receiver

TOP_UP: Final = EVENT_TYPES[AlertKind.TOP_UP]
TOKEN: Final = "TIiajkdnlazkcOXrIdevi7FQ"
SLACK: Final = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#general"
YESTERDAY: Final = datetime.now(UTC) - timedelta(days=1)
LATELY: Final = ("--since", f"{YESTERDAY:%Y-%m-%dT%H:%M:%SZ}", "--until", "2199-01-01T00:00:00Z")
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@contextmanager
def listening(receiver: Receiver) -> Iterator[None]:
    """Let a receiver run beside the commands, each of which has a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(receiver.start(), loop).result()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(receiver.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def shell(database_url: str) -> Shell:
    """A shell that may send to this machine."""
    made = Shell(database_url, secret_key=secrets.token_hex(32), settings={"FAREBOX_WEBHOOK_NETWORKS": "127.0.0.0/8"})
    made.ok("init")
    return made


def test_a_webhook_is_added_tried_changed_and_deleted(shell: Shell) -> None:
    receiver = Receiver()
    with listening(receiver):
        merchant = shell.merchant()
        added = shell.ok("webhook", "add", receiver.url, "--merchant", merchant, "--name", "orders", "--event", TOP_UP)
        (shown,) = shell.json("webhook", "list", "--merchant", merchant)
        number = shown["destinationId"]
        assert added.out.startswith(f"orders is {number}, and leads to {receiver.url}/\nsecret  whsec_")
        assert (merchant, "webhook", "on", [TOP_UP]) == tuple(
            shown[name] for name in ("merchantId", "channel", "state", "types")
        )
        assert "whsec_" not in shell.ok("webhook", "list", "--merchant", merchant).out
        assert [] == shell.json("webhook", "list")

        # Each test is signed with the secret that was shown last, and told as what the receiver said.
        secret = shell.json("webhook", "secret", number, "--secret", SECRET, "--overlap-hours", "0")["secret"]
        assert SECRET == secret
        assert shell.ok("webhook", "test", number).out.startswith("It was taken, in ")
        (request,) = receiver.received
        assert json.loads(request.body) == Webhook(SECRET).verify(request.body, dict(request.headers))
        receiver.answers["/"].append("503")
        refused = shell.json("webhook", "test", number)
        assert (503, False) == (refused["status"], refused["isDelivered"])

        assert "orders is off.\n" == shell.ok("webhook", "set", number, "--off").out
        changed = shell.json("webhook", "set", number, "--name", "books", "--on", "--url", f"{receiver.url}/new")
        assert ("books", "on", f"{receiver.url}/new") == tuple(changed[name] for name in ("name", "state", "url"))
    assert "It was not taken" in shell.ok("webhook", "test", number).out
    assert "books is deleted.\n" == shell.ok("webhook", "delete", number).out
    assert [] == shell.json("webhook", "list", "--merchant", merchant)
    assert 1 == shell.run("webhook", "test", number).status


def test_what_was_sent_is_listed_and_sent_once_more(shell: Shell) -> None:
    merchant = shell.merchant()
    number = shell.json("webhook", "add", "https://hooks.invalid/farebox", "--merchant", merchant)["destinationId"]
    assert "Nothing was sent there yet.\n" == shell.ok("webhook", "sent", number).out
    shell.ok("topup", merchant, "20", "--reference", "R-1")
    (sent,) = shell.json("webhook", "sent", number)
    assert (TOP_UP, "waiting") == (sent["type"], sent["state"])
    event = sent["eventId"]
    assert event in shell.ok("webhook", "sent", number).out
    assert [] == shell.json("webhook", "attempts", number, event)
    assert "No attempt is remembered.\n" == shell.ok("webhook", "attempts", number, event).out
    assert "EVENT_ID" in shell.run("webhook", "replay", number).err
    assert "1 event is on the way once more.\n" == shell.ok("webhook", "replay", number, event).out
    assert {"events": 1} == shell.json("webhook", "replay", number, *LATELY, "--all")
    (again,) = shell.json("webhook", "sent", number)
    assert (event, "waiting") == (again["eventId"], again["state"])


def test_a_chat_is_the_operators_and_its_url_is_not_shown_again(shell: Shell) -> None:
    made = shell.json("webhook", "add", SLACK, "--chat", "--name", "on call", "--event", TOP_UP)
    assert (None, "chat") == (made["merchantId"], made["channel"])
    assert TOKEN not in json.dumps(shell.json("webhook", "list"))
    assert TOKEN not in shell.ok("webhook", "list").out


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://shop.example/hook", "https"),
        ("https://user:pw@shop.example/hook", "Leave user and password out"),
        ("ftp://shop.example", "https"),
        ("hook", "https"),
    ],
)
def test_what_is_no_webhooks_url_is_refused_by_name(shell: Shell, url: str, told: str) -> None:
    refused = replace(shell, settings={}).run("webhook", "add", url)
    assert 2 == refused.status
    assert refused.err.startswith("farebox: url: ")
    assert told in refused.err
    assert [] == shell.json("webhook", "list")
