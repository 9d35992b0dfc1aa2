"""Messages to chats, as real servers get them by Apprise: pointed here where a service has one address of its own."""

import json
import re
import ssl
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram

from farebox.chat.transport import ChatTransport
from farebox.core.alerts import AlertKind
from farebox.service.address_guard import AddressGuard
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.messages.queue import OwedMessage
from farebox.storage.records import Delivery, DeliveryState
from farebox.webhooks.send_result import SendResult
from tests.chat.alerts import NOW, alert_of
from tests.webhooks.receiver import DIES, HANGS, Receiver, receiving

SECRETS: Final = DestinationSecrets("a key of the operator's own 8201")
LOOPBACK: Final = AddressGuard([ip_network("127.0.0.0/8")])
TOKENS: Final = ("T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ")
HOOK: Final = "3ccdd113474722377935511fc85d3dd4"
TITLE: Final = "Acme: the balance fell below 10.00 USD"
TEXT: Final = "7.00 USD are available."


async def name_of(_: int) -> str:
    return "Acme"


def transport(guard: AddressGuard = LOOPBACK, **more: Any) -> ChatTransport:
    return ChatTransport(guard, SECRETS, name_of=name_of, public_url="https://pay.example.com", **more)


def chat(url: str) -> Destination:
    return Destination(
        *(7, 1, None, Channel.CHAT, "billing", "a chat", 2, DestinationState.ON, SECRETS.encrypt(7, url), None, None, 0)
    )


def message(there: Destination) -> OwedMessage:
    alert = alert_of(AlertKind.LOW_BALANCE)
    return OwedMessage(Delivery(alert, Channel.CHAT, 7, "", DeliveryState.WAITING, 1, 0), there)


async def send(url: str, guard: AddressGuard = LOOPBACK, **more: Any) -> SendResult:
    there = chat(url)
    return await transport(guard, **more).send(message(there), there, NOW)


def words(value: Any) -> str:
    """List every text in a JSON value."""
    if isinstance(value, dict):
        return " ".join(words(part) for part in value.values())
    return " ".join(map(words, value)) if isinstance(value, list) else str(value)


def slack(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> str:
    monkeypatch.setattr(NotifySlack, "webhook_url", f"{receiver.url}/services")
    return f"slack://{'/'.join(TOKENS)}/#general"


def discord(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> str:
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"{receiver.url}/api/webhooks")
    return "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"


def telegram(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> str:
    monkeypatch.setattr(NotifyTelegram, "notify_url", f"{receiver.url}/bot")
    return "tgram://123456789:abcdefg_hijklmnop/12315544/"


def mattermost(_: pytest.MonkeyPatch, receiver: Receiver) -> str:
    return f"mmost://127.0.0.1:{receiver.port}/{HOOK}"


def ntfy(_: pytest.MonkeyPatch, receiver: Receiver) -> str:
    return f"ntfy://127.0.0.1:{receiver.port}/balances"


CHATS: Final[list[Callable[[pytest.MonkeyPatch, Receiver], str]]] = [slack, discord, telegram, mattermost, ntfy]
ANSWER: Final = '200 {"ok": true, "result": [], "id": "1"}'


@pytest.mark.parametrize("service", CHATS)
async def test_a_message_arrives_with_its_title_text_and_link(
    service: Callable[[pytest.MonkeyPatch, Receiver], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(answer=ANSWER if service is not slack else "200 ok") as receiver:
        answer = await send(service(monkeypatch, receiver))
        assert (200, "taken") == (answer.status, answer.text)
        assert answer.took > 0
        told = " ".join(words(json.loads(body)) for body in receiver.bodies)
    for text in (TITLE, TEXT, "https://pay.example.com/accounts/mer_"):
        assert text.replace(".", "") in told.replace("\\", "").replace(".", "")
    assert {"pay.example.com"} == set(re.findall(r"https?://([\w.-]+)", told))


async def test_a_workflow_of_power_automate_has_it_as_a_card_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reached by TLS alone, under its signature."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    async with receiving(tls=context, answer="202 {}") as receiver:
        answer = await send(f"workflows://127.0.0.1:{receiver.port}/{HOOK}/{TOKENS[2]}")
    assert answer.is_delivered, answer
    (request,) = receiver.received
    assert request.path.startswith(f"/workflows/{HOOK}/triggers/manual/paths/invoke")
    assert f"sig={TOKENS[2]}" in request.path
    card = json.loads(request.body)["attachments"][0]["content"]
    assert "AdaptiveCard" == card["type"]
    for text in (TITLE, TEXT, "https://pay.example.com/accounts/mer_"):
        assert text in words(card)


async def test_a_test_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(answer="200 ok") as receiver:
        assert (await transport().send_test(chat(slack(monkeypatch, receiver)))).is_delivered
        assert "This is a test" in receiver.bodies[0]


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
async def test_what_a_chat_refuses_is_told_without_its_tokens(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async with receiving(answer=f"{status} {'/'.join(TOKENS)}") as receiver:
        answer = await send(slack(monkeypatch, receiver))
    assert (status, False) == (answer.status, answer.is_delivered)
    heard = answer.text + caplog.text + "".join(capfd.readouterr())
    assert "Slack" in heard
    assert not any(token in heard for token in TOKENS)


@pytest.mark.parametrize("answer", [HANGS, DIES])
async def test_a_chat_that_hangs_or_dies_is_one_failure_within_the_time(answer: str) -> None:
    async with receiving(answer=answer) as receiver:
        url = f"mmost://127.0.0.1:{receiver.port}/{HOOK}"
        result = await send(url, send_seconds_max=0.5)
    assert result.status is None
    assert not result.is_delivered
    assert HOOK not in result.text


async def test_no_private_address_is_reached_even_where_a_name_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver:
        url = slack(monkeypatch, receiver)
        answer = await send(url, AddressGuard())
        assert "an address of this machine" in answer.text
        assert 0 == receiver.connections


async def test_no_redirect_is_followed_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as other, receiving(answer="302") as receiver:
        receiver.headers["location"] = f"{other.url}/elsewhere"
        answer = await send(slack(monkeypatch, receiver))
        assert not answer.is_delivered
        assert 0 == other.connections


async def test_with_another_key_of_the_operator_it_is_told_why() -> None:
    other = ChatTransport(LOOPBACK, DestinationSecrets("another"), name_of=name_of, public_url="")
    answer = await other.send_test(chat(f"slack://{'/'.join(TOKENS)}"))
    assert "FAREBOX_SECRET_KEY" in answer.text
