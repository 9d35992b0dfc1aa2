"""A person is deleted whole, and nothing but what is theirs: no book, and nobody else."""

import asyncio
import secrets
import sqlite3
from typing import Final

import asyncpg
import pytest
from msgspec.structs import replace

from farebox.storage.interface import NotFound
from farebox.storage.records import DeliveryState, Realm
from tests.cli.shell import Shell
from tests.support.ledger import SECOND
from tests.support.server import open_farebox

ANN: Final = "Ann@northwind.example"
BEN: Final = "ben@northwind.example"
PASSWORD: Final = "seven quiet lanterns"


@pytest.fixture
def shell(database_url: str) -> Shell:
    made = Shell(database_url, secret_key=secrets.token_hex(32))
    made.ok("init")
    return made


def _everything(shell: Shell) -> str:
    """Read every row of every table, as text in lower case."""
    url = shell.database_url
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            return "\n".join(connection.iterdump()).lower()
        finally:
            connection.close()

    async def read() -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval("SELECT schema_to_xml(current_schema(), true, false, '')"))
        finally:
            await connection.close()

    return asyncio.run(read()).lower()


def _live(shell: Shell, merchant: str, *emails: str) -> None:
    """Let people be mailed, sign in, want a report, and do something."""

    async def live() -> None:
        async with open_farebox(shell.database_url, secret_key=shell.secret_key) as farebox:
            sign_in = farebox.services.sign_in
            for account_mail in await farebox.stores.account_mails.list(9):
                if account_mail.email in emails and account_mail.used_at is None:
                    text = sign_in.link_text(account_mail)
                    await sign_in.use_link(text, PASSWORD, address="198.51.100.7", agent="A browser")

    for email in emails:
        shell.ok("user", "add", merchant, email, "--role", "owner")
        shell.ok("user", "link", merchant, email)
    asyncio.run(live())
    # A balance below a threshold is told to both.
    shell.ok("merchant", "set", merchant, "--threshold", "1000")


def test_nothing_of_a_person_is_left_and_everything_of_others_is(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("topup", merchant, "50", "--reference", "R-1")
    _live(shell, merchant, ANN, BEN)
    refused = shell.run("user", "delete", ANN)
    assert (1, f"user of {merchant}; take them off first" in refused.err) == (refused.status, True)
    shell.ok("user", "remove", merchant, ANN)
    before = _everything(shell)
    assert before.count(ANN.lower()) > 4

    foretold = shell.json("user", "delete", ANN, "--dry-run")
    assert before == _everything(shell)
    counts = {
        name: foretold[name] for name in ("logins", "sessions", "reports", "accountMails", "alertMails", "auditEntries")
    }
    assert {"logins": 1, "sessions": 1, "reports": 0, "accountMails": 1, "alertMails": 1, "auditEntries": 3} == counts
    assert "Nothing was changed: this was a dry run.\n" in shell.ok("user", "delete", ANN, "--dry-run").out

    # Any address that reaches the mailbox is the person's.
    printed = shell.ok("user", "delete", ANN.upper().replace("NORTHWIND.EXAMPLE", "Northwind.example")).out
    assert "1  login, with password and one-time codes" in printed
    after = _everything(shell)
    assert ANN.lower() not in after
    assert "198.51.100.7" in after
    assert before.count(BEN) == after.count(BEN)
    shell.ok("verify")

    first, *_ = shell.json("audit")
    assert ("delete_person", None) == (first["action"], first["subject"])
    told = [entry["subject"] for entry in shell.json("audit") if entry["action"] in ("add_user", "remove_user")]
    assert ["removed", BEN, "removed"] == told
    again = shell.run("user", "delete", ANN)
    assert (1, "nothing is kept of" in again.err) == (again.status, True)


def test_a_person_is_known_by_whatever_way_their_address_was_written(shell: Shell) -> None:
    """Signing in takes these for one mailbox; no engine's own comparison does."""
    merchant = shell.merchant()
    written = ["ÄRZTIN@Bücher.example", "ärztin@xn--bcher-kva.example", "A\N{COMBINING DIAERESIS}rztin@BÜCHER.example"]
    for threshold, email in enumerate(written, 100):
        # Each is mailed, and named in the audit log, as it was written that time; the login stays as it was at first.
        _live(shell, merchant, email, BEN)
        shell.ok("merchant", "set", merchant, "--threshold", str(threshold))
        shell.ok("user", "remove", merchant, email)
        shell.ok("user", "remove", merchant, BEN)
    before = _everything(shell)
    assert before.count("rztin@") > 9
    printed = shell.json("user", "delete", "ärztin@bücher.example")
    assert (1, 6, 9) == (printed["logins"], printed["alertMails"], printed["auditEntries"])
    after = _everything(shell)
    assert "rztin@" not in after
    assert before.count(BEN) == after.count(BEN)


def test_mails_that_wait_are_withdrawn_and_those_that_went_stay_sent(shell: Shell) -> None:
    merchant = shell.merchant()
    _live(shell, merchant, ANN, BEN)
    shell.ok("user", "remove", merchant, ANN)
    shell.ok("user", "delete", ANN)

    async def states() -> dict[str, DeliveryState]:
        async with open_farebox(shell.database_url) as farebox:
            return {
                mail.email: DeliveryState(mail.state)
                for mail in await farebox.stores.deliveries.mails(merchant_id=None, limit=9)
            }

    assert {"removed": DeliveryState.WITHDRAWN, BEN: DeliveryState.WAITING} == asyncio.run(states())


def test_a_mail_that_was_on_its_way_brings_nothing_back(shell: Shell) -> None:
    """A mail server's answer names the person; it may come after they were deleted."""
    merchant = shell.merchant()
    _live(shell, merchant, ANN)
    shell.ok("user", "remove", merchant, ANN)

    async def delete_while_it_is_sent() -> None:
        async with open_farebox(shell.database_url) as farebox:
            deliveries, now = farebox.stores.deliveries, farebox.clock.now()
            (mail,) = await deliveries.claim_mails(now, lease_until=now + 60 * SECOND, limit=9, after=0)
            assert ANN == mail.email
            await farebox.services.erasure.delete(ANN, principal=None)
            with pytest.raises(NotFound):
                await deliveries.settle(replace(mail, last_error=f"550 <{ANN}>: no such user"))

    asyncio.run(delete_while_it_is_sent())
    assert ANN.lower() not in _everything(shell)


def test_the_doings_of_staff_are_not_forgotten(shell: Shell) -> None:
    """Approvals go by who was behind a move: whoever is staff as well stays in the audit log, and can sign in there."""
    merchant = shell.merchant()
    shell.ok("staff", "add", ANN, "--name", "Ann")
    _live(shell, merchant, ANN, BEN)
    shell.ok("user", "remove", merchant, ANN)
    printed = shell.ok("user", "delete", ANN).out
    assert "They are support staff as well" in printed
    assert ANN in [entry["subject"] for entry in shell.json("audit")]

    async def realms() -> list[Realm]:
        async with open_farebox(shell.database_url) as farebox:
            return [realm for realm in Realm if await farebox.stores.logins.find(realm, ANN)]

    assert [Realm.SUPPORT] == asyncio.run(realms())
    assert 1 == shell.run("user", "delete", ANN).status


@pytest.mark.parametrize("email", ["no address", "@", ""])
def test_what_is_no_address_is_named(shell: Shell, email: str) -> None:
    refused = shell.run("user", "delete", email)
    assert 2 == refused.status
    assert "EMAIL" in refused.err
