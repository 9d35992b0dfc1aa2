"""What chats are told: of every kind a title, a short text and a link."""

import pytest

from farebox.chat.messages import message_of, message_of_test
from farebox.core import ids
from farebox.core.alerts import AlertKind
from tests.chat.alerts import MERCHANT, alert_of

PUBLIC_URL = "https://pay.example.com"


@pytest.mark.parametrize("kind", AlertKind)
def test_each_kind_has_a_title_a_short_text_and_a_link(kind: AlertKind) -> None:
    message = message_of(alert_of(kind), "Acme", PUBLIC_URL)
    assert message.title.startswith("Acme: ")
    assert 10 < len(message.title) < 100
    assert 10 < len(message.text) < 250
    assert "None" not in message.title + message.text
    account = f"{PUBLIC_URL}/accounts/{ids.public_id(ids.MERCHANT, MERCHANT)}"
    assert (f"{PUBLIC_URL}/support/approvals" if kind == AlertKind.APPROVAL_WAITING else account) == message.url
    assert message.body.endswith(f"\n{message.url}")


def test_amounts_have_their_currency() -> None:
    message = message_of(alert_of(AlertKind.LOW_BALANCE), "Acme", PUBLIC_URL)
    assert ("Acme: the balance fell below 10.00 USD", "7.00 USD are available.") == (message.title, message.text)


def test_without_a_public_url_there_is_no_link() -> None:
    message = message_of(alert_of(AlertKind.USED_UP), "Acme", "")
    assert message.text == message.body
    assert "http" not in message_of_test("").body
