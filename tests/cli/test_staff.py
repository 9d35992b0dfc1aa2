"""People are let in from the command line: the first of support, and a merchant's."""

import asyncio
from urllib.parse import urlsplit

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.storage.records import Realm
from tests.cli.shell import Shell
from tests.support.server import open_farebox

PASSWORD = "correct horse battery"


async def _sign_in_by(shell: Shell, link: str, realm: Realm, email: str) -> None:
    """Choose a password by a link, and sign in with it."""
    farebox = Farebox.build(Settings.of(database_url=shell.database_url))
    async with farebox.running():
        text = urlsplit(link).path.removeprefix("/link/")
        await farebox.services.sign_in.use_link(text, PASSWORD, address=None, agent="")
        await farebox.services.sign_in.sign_in(realm, email=email, password=PASSWORD, code="", address=None, agent="")


def test_the_first_of_support_is_let_in_by_a_link(shell: Shell) -> None:
    added = shell.json("staff", "add", "sam@farebox.example", "--name", "Sam")
    assert added["link"].startswith("http://127.0.0.1:8000/link/")
    assert ("sam@farebox.example", "Sam", "invited", False) == (
        added["email"],
        added["name"],
        added["state"],
        added["hasCodes"],
    )
    asyncio.run(_sign_in_by(shell, added["link"], Realm.SUPPORT, "sam@farebox.example"))
    (listed,) = shell.json("staff", "list")
    assert "open" == listed["state"]
    assert listed["signedInAt"] is not None
    assert "link" not in listed
    again = shell.run("staff", "add", "sam@farebox.example", "--name", "Sam")
    assert (1, "farebox: sam@farebox.example is support staff already\n") == (again.status, again.err)


def test_support_is_closed_opened_again_and_sent_another_link(shell: Shell) -> None:
    assert "Nobody may sign in at the console yet" in shell.ok("staff", "list").out
    first = shell.ok("staff", "add", "sam@farebox.example", "--name", "Sam").out.splitlines()[0]
    assert {"email": "sam@farebox.example", "isClosed": True} == shell.json("staff", "close", "sam@farebox.example")
    assert "closed" in shell.ok("staff", "list").out
    refused = shell.run("staff", "link", "sam@farebox.example")
    assert (2, "farebox: email: sam@farebox.example is closed; open it first\n") == (refused.status, refused.err)
    shell.ok("staff", "reopen", "sam@farebox.example")
    second = shell.json("staff", "link", "sam@farebox.example")["link"]
    assert first != second
    asyncio.run(_sign_in_by(shell, second, Realm.SUPPORT, "sam@farebox.example"))
    unknown = shell.run("staff", "close", "nobody@farebox.example")
    assert (2, "farebox: email: nobody@farebox.example is not support staff\n") == (unknown.status, unknown.err)
    # The audit log has the actions at the shell.
    actions = [entry["action"] for entry in shell.json("audit")]
    assert ["invite_staff", "reopen_staff", "close_staff", "add_staff"] == actions


def test_what_somebody_is_warned_of_is_shown_and_chosen(shell: Shell) -> None:
    shell.ok("staff", "add", "sam@farebox.example", "--name", "Sam")
    both = "sam@farebox.example is warned of spending.unusual, destination.disabled."
    assert both in shell.ok("staff", "warn", "sam@farebox.example").out
    assert ["spending.unusual"] == shell.json("staff", "warn", "sam@farebox.example", "spending.unusual")["warned"]
    assert "is warned of nothing." in shell.ok("staff", "warn", "sam@farebox.example", "none").out
    assert [[]] == [login["warned"] for login in shell.json("staff", "list")]
    assert ["set_mail_kinds", "set_mail_kinds", "add_staff"] == [entry["action"] for entry in shell.json("audit")]
    for words, told in (
        (["sam@farebox.example", "balance.low"], "'balance.low' is not one of 'spending.unusual'"),
        (["sam@farebox.example", "none", "spending.unusual"], "give events, or none alone"),
        (["nobody@farebox.example"], "nobody@farebox.example is not support staff"),
    ):
        refused = shell.run("staff", "warn", *words)
        assert 2 == refused.status
        assert told in refused.err


def test_codes_are_removed_from_those_who_are_asked_for_them(shell: Shell) -> None:
    shell.ok("staff", "add", "sam@farebox.example", "--name", "Sam")
    nothing = shell.run("staff", "remove-codes", "sam@farebox.example")
    words = "farebox: sam@farebox.example is asked for no one-time codes; there was nothing to remove\n"
    assert (1, words) == (nothing.status, nothing.err)
    asyncio.run(_ask_for_codes(shell, "sam@farebox.example"))
    assert {"email": "sam@farebox.example", "hasCodes": False} == shell.json(
        "staff", "remove-codes", "sam@farebox.example"
    )
    assert words == shell.run("staff", "remove-codes", "sam@farebox.example").err
    assert ["disable_two_factor", "add_staff"] == [entry["action"] for entry in shell.json("audit")]


def test_what_is_so_already_is_not_done_again(shell: Shell) -> None:
    shell.ok("staff", "add", "sam@farebox.example", "--name", "Sam")
    for command, words in (
        (("reopen", "sam@farebox.example"), "sam@farebox.example is open already"),
        (
            ("role", "sam@farebox.example", "support", "administrator"),
            "sam@farebox.example is support and administrator already",
        ),
        (("confirm", "sam@farebox.example"), "sam@farebox.example is a person of its own already"),
    ):
        refused = shell.run("staff", *command)
        assert (1, f"farebox: {words}\n") == (refused.status, refused.err)
    shell.ok("staff", "close", "sam@farebox.example")
    assert "farebox: sam@farebox.example is closed already\n" == shell.run("staff", "close", "sam@farebox.example").err
    assert ["close_staff", "add_staff"] == [entry["action"] for entry in shell.json("audit")]


async def _ask_for_codes(shell: Shell, email: str) -> None:
    async with open_farebox(shell.database_url) as farebox:
        login = await farebox.stores.logins.find(Realm.SUPPORT, email)
        assert login is not None
        await farebox.stores.logins.set_totp_seed(login.login_id, b"\1" * 32)


def test_a_merchants_person_is_let_in_by_a_link(shell: Shell) -> None:
    merchant = shell.merchant()
    assert "owner" == shell.json("user", "add", merchant, "ann@acme.example")["role"]
    assert "viewer" == shell.json("user", "add", merchant, "bob@acme.example", "--role", "viewer")["role"]
    assert ["owner", "viewer"] == [user["role"] for user in shell.json("user", "list", merchant)]
    link = shell.ok("user", "link", merchant, "ann@ACME.example").out.splitlines()[0]
    asyncio.run(_sign_in_by(shell, link, Realm.MERCHANT, "ann@acme.example"))
    stranger = shell.run("user", "link", merchant, "eve@acme.example")
    assert (2, "farebox: email: eve@acme.example is not registered there\n") == (stranger.status, stranger.err)


def test_roles_are_given_changed_and_listed(shell: Shell) -> None:
    ada = shell.json("staff", "add", "ada@farebox.example", "--name", "Ada")
    assert ["support", "administrator"] == ada["roles"]
    assert ["support"] == shell.json("staff", "add", "sam@farebox.example", "--name", "Sam")["roles"]
    vic = shell.json("staff", "add", "vic@farebox.example", "--name", "Vic", "--role", "viewer")
    assert ["viewer"] == vic["roles"]
    changed = shell.json("staff", "role", "vic@farebox.example", "support", "administrator")
    assert ["support", "administrator"] == changed["roles"]
    assert "vic@farebox.example is support now." in shell.ok("staff", "role", "vic@farebox.example", "support").out
    assert ["role", "support and administrator", "support", "support"] == _roles_column(shell, "staff")
    misused = shell.run("staff", "role", "vic@farebox.example")
    assert 2 == misused.status
    (newest, *_) = shell.json("audit")
    assert ("set_staff_roles", "vic@farebox.example", "from support and administrator to support") == (
        newest["action"],
        newest["subject"],
        newest["detail"],
    )


def test_the_last_administrator_is_neither_closed_nor_given_another_role(shell: Shell) -> None:
    link = shell.json("staff", "add", "ada@farebox.example", "--name", "Ada")["link"]
    asyncio.run(_sign_in_by(shell, link, Realm.SUPPORT, "ada@farebox.example"))
    for command in (("close", "ada@farebox.example"), ("role", "ada@farebox.example", "support")):
        refused = shell.run("staff", *command)
        assert 1 == refused.status
        assert refused.err.startswith("farebox: They are the last administrator who can sign in: make somebody else")
    link = shell.json("staff", "add", "ben@farebox.example", "--name", "Ben", "--role", "administrator")["link"]
    assert 1 == shell.run("staff", "close", "ada@farebox.example").status
    asyncio.run(_sign_in_by(shell, link, Realm.SUPPORT, "ben@farebox.example"))
    shell.ok("staff", "role", "ada@farebox.example", "support")
    shell.ok("staff", "close", "ada@farebox.example")


def test_a_support_key_has_the_roles_that_are_named(shell: Shell) -> None:
    assert ["support", "administrator"] == shell.json("key", "create", "--support", "all")["roles"]
    assert ["viewer"] == shell.json("key", "create", "--support", "reports", "--role", "viewer")["roles"]
    assert [] == shell.json("key", "create", "--service", "geo")["roles"]
    assert ["role", "support and administrator", "viewer", ""] == _roles_column(shell, "key")
    refused = shell.run("key", "create", "--service", "geo", "--role", "viewer")
    assert (2, "farebox: role: only support's keys have roles\n") == (refused.status, refused.err)


def _roles_column(shell: Shell, group: str) -> list[str]:
    lines = shell.ok(group, "list").out.splitlines()
    start = lines[0].index("role")
    return [line[start:][:25].strip() for line in lines]
