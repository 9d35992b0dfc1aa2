"""The mail that tells of unusual spending: what it says, where its button leads, and whom it does not reach."""

from collections.abc import Mapping
from typing import Any, Final

from farebox.core.commands import SetClosed
from farebox.storage.records import DeliveryState
from tests.alerts.mailserver import MailServer
from tests.alerts.test_delivery import dispatcher_of
from tests.alerts.test_messages import flowing_text_of, html_of, text_of
from tests.support.ledger import NORTHWIND, NOW, UNIT, Ledger, merchant_key

ANN: Final = "ann@example.com"
KEY: Final = 7
FACTS: Final[Mapping[str, Any]] = {
    "spent": 90 * UNIT,
    "window_seconds": 300,
    "highest": 12 * UNIT,
    "key_id": KEY,
    "key_hint": "fbm_…1234",
    "key_name": "jobs",
    "key_spent": 81 * UNIT,
}
NO_KEY: Final = {**FACTS, "key_id": None, "key_hint": None, "key_name": None, "key_spent": 0}

TEXT: Final = """\
Northwind Imaging

Your account spent 90.00 USD in five minutes, far more than is usual.

  Balance now            400.00 USD
  Spent in five minutes  90.00 USD
                         until 15 January 2027, 08:00 UTC
  At most before         12.00 USD
                         in any five minutes of the weeks before
  API key                fbm_…1234 (jobs)
                         spent 81.00 USD of it

If it is not yours, suspend the key: it opens nothing, at once, until it is
resumed. An owner of the account can do that.

Suspend this key
https://pay.example/farebox/accounts/mer_38RRBH8000007/keys/key_0000000000007/suspend

Open your account
https://pay.example/farebox/accounts/mer_38RRBH8000007

--
You get this mail because you are registered on the account of Northwind
Imaging. It comes once. You are told again if it comes again after some
hours of quiet.

Questions? Contact support: billing@northwind.example
"""


async def _tell(ledger: Ledger, facts: Mapping[str, Any] = FACTS) -> None:
    await ledger.add_user(ANN, 1)
    await ledger.top_up(400)
    await ledger.stores.api_keys.create(merchant_key(KEY, NORTHWIND, name="jobs"))
    await ledger.stores.spending.tell(NORTHWIND, facts, key_id=facts["key_id"], now=NOW, quiet_since=NOW)


async def test_users_are_told_what_was_spent_by_which_key_and_how_to_suspend_it(
    ledger: Ledger, server: MailServer
) -> None:
    await _tell(ledger)
    for _ in range(2):
        await dispatcher_of(ledger, server.url).run_once()
    (message,) = server.messages
    assert "Northwind Imaging: the key fbm_…1234 spends far more than is usual" == message["Subject"]
    text, _, link = text_of(message).partition("No more mails of this kind\n")
    assert TEXT == text
    assert link.startswith("https://pay.example/farebox/unsubscribe/")
    assert '/keys/key_0000000000007/suspend"' in html_of(message)
    assert "Suspend this key" in html_of(message)
    assert "To top up" not in html_of(message)
    assert await ledger.is_all_sent()


async def test_a_key_that_is_suspended_already_is_told_as_such(ledger: Ledger, server: MailServer) -> None:
    await _tell(ledger)
    await ledger.stores.api_keys.suspend(KEY, NOW)
    await dispatcher_of(ledger, server.url).run_once()
    (message,) = server.messages
    assert "fbm_…1234 (jobs) is suspended now" in flowing_text_of(message)


async def test_spending_that_no_key_did_alone_has_no_button(ledger: Ledger, server: MailServer) -> None:
    await _tell(ledger, NO_KEY)
    await dispatcher_of(ledger, server.url).run_once()
    (message,) = server.messages
    assert "Northwind Imaging: far more is spent than is usual" == message["Subject"]
    assert "No single key spent most of it." in flowing_text_of(message)
    assert "contact support, who can freeze the account" in flowing_text_of(message)
    assert "/suspend" not in text_of(message) + html_of(message)


async def test_it_is_withdrawn_when_the_merchant_is_closed(ledger: Ledger, server: MailServer) -> None:
    await ledger.add_user(ANN, 1)
    await ledger.stores.spending.tell(NORTHWIND, NO_KEY, key_id=None, now=NOW, quiet_since=NOW)
    await ledger.run(SetClosed(NORTHWIND, True, "gone"))
    await dispatcher_of(ledger, server.url).run_once()
    assert [] == server.messages
    assert [DeliveryState.WITHDRAWN] == [mail.state for mail in (await ledger.mails()).values()]
