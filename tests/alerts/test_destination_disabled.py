"""The mail that tells owners of a destination that was disabled."""

from typing import Final

from farebox.storage.records import Role, User
from tests.alerts.mailserver import MailServer
from tests.alerts.test_delivery import dispatcher_of
from tests.alerts.test_messages import text_of
from tests.support.ledger import NORTHWIND, NOW, Ledger
from tests.webhooks.outgoing import GONE, HOOKS, Script, add, destination, dispatcher, tell

ANN: Final = "ann@example.com"


async def test_owners_are_mailed_once_that_a_destination_was_disabled(ledger: Ledger, server: MailServer) -> None:
    await ledger.stores.users.add(User(NORTHWIND, 1, ANN, NOW, Role.OWNER, mail_kinds=0))
    await ledger.stores.users.add(User(NORTHWIND, 2, "ben@example.com", NOW, mail_kinds=0))
    await add(ledger.stores, destination(HOOKS, NORTHWIND, name="accounting"))
    await tell(ledger.stores, NORTHWIND)
    script = Script()
    script.always[HOOKS] = GONE
    await dispatcher(ledger.stores, script, ledger.clock).run_once()
    mails = dispatcher_of(ledger, server.url)
    while await mails.run_once():
        pass
    assert [ANN] == server.recipients
    (message,) = server.messages
    assert str(message["Subject"]).endswith("messages to accounting were given up")
    assert "Last answer" in text_of(message)
    assert "410 gone" in text_of(message)
