"""Every command, as text and as JSON, on each engine."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Final
from unittest import mock

import click
import pytest

from farebox.bootstrap import make_connector
from farebox.cli.main import StandIn, cli
from farebox.config import Settings
from farebox.core.alerts import EVENT_TYPES
from farebox.storage import sql
from farebox.storage.interface import Fetch
from farebox.storage.records import MailServerPause
from farebox.storage.stores import Stores
from tests.cli.shell import Shell
from tests.support.server import Server, open_farebox

LONG_AGO: Final = 1_600_000_000_000_000
"""In September 2020."""

FAR_OFF: Final = 4_102_444_800_000_000
"""The year 2100."""

COMMANDS = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def test_init_is_safe_to_repeat(empty_database_url: str) -> None:
    shell = Shell(empty_database_url)
    names = [name for name, _ in sql.migrations("sqlite")]
    assert f"The database is ready: applied {', '.join(names)}.\n" == shell.ok("init").out
    assert {"applied": [], "notes": []} == shell.json("init")


def test_a_merchant_is_made_listed_and_shown(shell: Shell) -> None:
    made = shell.json("merchant", "create", "Acme", "--currency", "EUR", "--threshold", "100", "--credit-limit", "5")
    assert made["apiKey"].startswith("fbm_")
    shown = shell.json("merchant", "show", made["merchantId"])
    assert {
        "merchantId": made["merchantId"],
        "name": "Acme",
        "currency": "EUR",
        "posted": "0.00",
        "held": "0.00",
        "available": "0.00",
        "creditLimit": "5.00",
        "isFrozen": False,
        "owed": "0.00",
        "thresholds": [{"amount": "100.00", "isArmed": False}],
        "runwayThresholds": [],
        "closedAt": None,
        "tags": [],
    } == {name: value for name, value in shown.items() if name != "createdAt"}
    assert [shown] == shell.json("merchant", "list")
    assert "Acme" in shell.ok("merchant", "list").out
    assert "100.00 EUR (waits for the first money)" in shell.ok("merchant", "show", made["merchantId"]).out


@pytest.mark.parametrize(
    "typed", ["1250.5", "1,250.50", "1\u202f250.50", "1'250.5", "+1,250.50 USD", "usd 1250.50", "1250.50\n"]
)
def test_an_amount_may_be_typed_as_it_is_printed(shell: Shell, typed: str) -> None:
    merchant = shell.json("merchant", "create", "Acme", "--currency", "USD", "--credit-limit", typed)["merchantId"]
    top_up = shell.json("topup", merchant, typed, "--reference", "R-1")
    shell.ok("adjust", merchant, "-1,250.50 USD", "--reference", "R-2", "--reason", "typo")
    shell.ok("reverse", merchant, top_up["transferId"], "--amount", typed, "--reference", "R-3", "--reason", "bounced")
    shell.ok("merchant", "set", merchant, "--threshold", typed, "--credit-limit", typed)
    shown = shell.json("merchant", "show", merchant)
    assert ("-1250.50", "1250.50") == (shown["available"], shown["creditLimit"])
    assert ["1250.50"] == [threshold["amount"] for threshold in shown["thresholds"]]
    assert "1250.50" == shell.json("price", "set", "image", typed, "--merchant", merchant)["unitPrice"]


@pytest.mark.parametrize(
    ("currency", "fine", "paid", "shown"),
    [
        ("JPY", "0.5", "1250", "1,250 JPY"),
        ("KWD", "0.0001", "1250.125", "1,250.125 KWD"),
        ("CLF", "0.00001", "2.5", "2.5000 CLF"),
        ("USD", "0.005", "1250.75", "1,250.75 USD"),
    ],
)
def test_amounts_have_their_currencys_decimals(shell: Shell, currency: str, fine: str, paid: str, shown: str) -> None:
    merchant = shell.json("merchant", "create", "Acme", "--currency", currency)["merchantId"]
    for words in (
        ("topup", merchant, fine, "--reference", "R-1"),
        ("adjust", merchant, fine, "--reference", "R-1", "--reason", "gift"),
        ("merchant", "set", merchant, "--credit-limit", fine),
    ):
        refused = shell.run(*words)
        assert (1, "") == (refused.status, refused.out)
        assert f"is too fine: amounts in {currency}" in refused.err
    assert f"Topped up {shown}" in shell.ok("topup", merchant, paid, "--reference", "R-1").out
    assert f"{shown}\n" == shell.ok("balance", merchant).out
    assert Decimal(paid) == Decimal(shell.json("balance", merchant)["available"])
    refused = shell.run("merchant", "create", "Acme", "--currency", currency, "--credit-limit", fine)
    assert "is too fine" in refused.err


@pytest.mark.parametrize("currency", ["XTS", "XAU", "X" * 3, "BGN", "ZZZ", "usd"])
def test_no_merchant_gets_a_code_that_is_no_money_in_use(shell: Shell, currency: str) -> None:
    refused = shell.run("merchant", "create", "Acme", "--currency", currency)
    assert refused.status != 0
    assert "such as USD" in refused.err
    assert [] == shell.json("merchant", "list")


def test_the_first_key_is_printed_once_and_never_again(shell: Shell) -> None:
    key = shell.json("merchant", "create", "Acme", "--currency", "USD")["apiKey"]
    everything = "".join(shell.ok(*words).out for words in (("merchant", "list"), ("key", "list")))
    assert key not in everything


def test_a_merchant_is_changed_frozen_and_let_go_on(shell: Shell) -> None:
    merchant = shell.merchant()
    changed = shell.json(
        "merchant",
        "set",
        merchant,
        "--name",
        "Acme II",
        "--credit-limit",
        "7.5",
        "--threshold",
        "10",
        "--threshold",
        "5",
    )
    assert ("Acme II", "7.50") == (changed["name"], changed["creditLimit"])
    assert [("5.00", False), ("10.00", False)] == [(it["amount"], it["isArmed"]) for it in changed["thresholds"]]
    assert [] == shell.json("merchant", "set", merchant, "--threshold", "")["thresholds"]
    assert shell.json("merchant", "freeze", merchant)["isFrozen"]
    assert not shell.json("merchant", "unfreeze", merchant)["isFrozen"]


def test_people_are_registered_and_taken_off(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("user", "add", merchant, "ann@acme.example")
    shell.ok("user", "add", merchant, "bob@acme.example")
    assert "ann@acme.example\nbob@acme.example\n" == shell.ok("user", "list", merchant).out
    assert "registered there already" in shell.run("user", "add", merchant, "ANN@acme.example").err
    shell.ok("user", "remove", merchant, "Ann@Acme.example")
    assert ["bob@acme.example"] == [user["email"] for user in shell.json("user", "list", merchant)]


@pytest.mark.parametrize("owner", [("--service", "api"), ("--support", "ann"), ("--merchant", "")])
def test_a_key_is_made_rotated_and_revoked(shell: Shell, owner: tuple[str, str]) -> None:
    option, name = owner
    scope = () if name else ("--merchant", shell.merchant())
    key = shell.json("key", "create", *(scope or owner), "--expires", "2100-01-01T00:00:00Z")
    assert "2100-01-01T00:00:00.000000Z" == key["expiresAt"]
    successor = shell.json("key", "rotate", key["keyId"], "--overlap", "90m")
    assert key["apiKey"] != successor["apiKey"]
    ends = "2099-12-31T23:59:59Z"
    assert f"{key['keyId']} ends 2099-12-31 23:59:59 UTC." in shell.ok("key", "expire", key["keyId"], ends).out
    assert "before" not in shell.ok("key", "revoke", successor["keyId"]).out
    assert "revoked before; nothing is changed" in shell.ok("key", "revoke", successor["keyId"]).out
    refused = shell.run("key", "expire", successor["keyId"], ends)
    assert (1, True) == (refused.status, "is revoked or expired" in refused.err)
    keys = {item["keyId"]: item for item in shell.json("key", "list", *scope)}
    assert "2099-12-31T23:59:59.000000Z" == keys[key["keyId"]]["expiresAt"]
    assert keys[successor["keyId"]]["revokedAt"] is not None
    assert "revoked" in shell.ok("key", "list", *scope).out
    assert option.removeprefix("--") in shell.ok("key", "list", *scope).out


def test_what_is_done_a_second_time_is_said_to_be(shell: Shell) -> None:
    assert "image is variable: its callers name the amount, from " in shell.ok("price", "set", "image", "variable").out
    assert "No mail waits to be sent, and none was given up." in shell.ok("outbox", "retry").out
    shell.merchant()
    assert "Clean: 1 merchant, 0 transfers" in shell.ok("verify").out


def test_prices_have_versions_and_the_one_in_force_is_marked(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("price", "set", "image", "0.01")
    shell.ok("price", "set", "image", "0.02")
    shell.ok("price", "set", "image", "0.03", "--from", "2100-01-01T00:00:00Z")
    shell.ok("price", "set", "review", "variable")
    shell.ok("price", "set", "image", "0.005", "--merchant", merchant)
    defaults = [(it["type"], it["unitPrice"], it["isInForce"]) for it in shell.json("price", "list")]
    assert [
        ("image", "0.01", False),
        ("image", "0.02", True),
        ("image", "0.03", False),
        ("review", None, True),
    ] == defaults
    assert ["0.005"] == [it["unitPrice"] for it in shell.json("price", "list", "--merchant", merchant)]
    assert "variable" in shell.ok("price", "list").out


def test_a_price_by_a_rule_is_set_ended_and_withdrawn(shell: Shell, tmp_path: Path) -> None:
    merchant = shell.merchant()
    toml, wrong = tmp_path / "rule.toml", tmp_path / "wrong.json"
    toml.write_text('base = "0.005"\nlines = [{ name = "input", amount = "0.15", per = 1_000_000 }]\n')
    wrong.write_text('{"lines": [{"name": "input", "amount": 0.15}]}')
    output = shell.ok("price", "set", "azure/gpt-5.1", "--rule", str(toml)).out
    assert "azure/gpt-5.1 costs 0.15 per 1,000,000 input, plus 0.005 a request from " in output
    (price,) = shell.json("price", "list")
    assert {"lines": [{"name": "input", "amount": "0.15", "per": 1_000_000}], "base": "0.005"} == price["rule"]
    assert "0.15 per 1,000,000 input, plus 0.005 a request" in shell.ok("price", "list").out
    for words, message in (
        (["--rule", str(wrong)], "rule.lines[0].amount: this is a number with a point"),
        (["--rule", str(tmp_path / "none")], "none can't be read: [Errno 2] No such file or directory"),
        (["--rule", str(toml), "1"], "UNIT_PRICE: name what a request costs, or 'variable', or a --rule FILE"),
        ([], "UNIT_PRICE: name what a request costs"),
    ):
        refused = shell.run("price", "set", "azure/gpt-5.1", *words)
        assert (2, True) == (refused.status, message in refused.err), refused.err
    own = shell.json("price", "set", "azure/gpt-5.1", "0", "--merchant", merchant, "--from", "2100-01-01T00:00:00Z")
    assert "free" in shell.ok("price", "list", "--merchant", merchant).out
    withdrawn = shell.ok("price", "withdraw", own["priceId"], "--merchant", merchant).out
    assert f"{own['priceId']} of azure/gpt-5.1, from 2100-01-01 00:00:00 UTC on, is withdrawn.\n" == withdrawn
    assert "withdrawn" in shell.ok("price", "list", "--merchant", merchant).out
    assert [("withdrawn", None)] == [
        (item["state"], item["unitPrice"]) for item in shell.json("price", "list", "--merchant", merchant)
    ]
    assert "PRICE_ID: 'x' is not a price id" in shell.run("price", "withdraw", "x").err


def test_what_follows_a_withdrawn_price_and_a_retired_type_are_named(shell: Shell) -> None:
    merchant = shell.merchant()
    price = shell.json("price", "set", "scan", "1", "--from", "2100-01-01T00:00:00Z")
    shell.ok("price", "retire", "scan", "--from", "2100-02-01T00:00:00Z")
    withdrawn = shell.ok("price", "withdraw", price["priceId"]).out
    assert "The end of the price, from 2100-02-01 00:00:00 UTC on, stays set." in withdrawn
    shell.ok("price", "set", "scan", "2")
    own = ("price", "set", "scan", "0.5", "--merchant", merchant, "--from")
    assert "retired" not in shell.ok(*own, "2100-01-15T00:00:00Z").out
    late = shell.ok(*own, "2100-02-15T00:00:00Z").out
    assert "scan is retired then: its requests are refused until a new default price starts." in late


def test_an_own_price_ends_and_a_type_is_retired(shell: Shell) -> None:
    merchant = shell.merchant()
    for name in ("image", "scan"):
        shell.ok("price", "set", name, "0.01", "--merchant", merchant)
    shell.ok("price", "set", "image", "0.03")
    # Without a merchant, ending a price would be retiring a type for everybody: that has a command of its own.
    assert "Missing option '--merchant'" in shell.run("price", "end", "image").err
    at = ("--from", "2100-01-01T00:00:00Z")
    retired = shell.ok("price", "retire", "image", *at).out
    assert (
        "image is retired: its requests are refused from 2100-01-01 00:00:00 UTC on.\n"
        "So are those of 1 merchant with a price of their own.\n"
    ) == retired
    assert (
        "the price of 'image' ends at 2100-01-01T00:00:00.000000Z already"
        in shell.run("price", "retire", "image", *at).err
    )
    ended = shell.ok("price", "end", "image", "--merchant", merchant).out
    assert ended.startswith("image costs this merchant what it costs by default from ")
    assert ended.endswith(" UTC on: 0.03.\n")
    ended = shell.ok("price", "end", "scan", "--merchant", merchant).out
    assert "scan has no price for this merchant from " in ended
    assert "its requests are refused." in ended
    own = [(it["type"], it["state"], it["isEnd"]) for it in shell.json("price", "list", "--merchant", merchant)]
    assert [(name, *state) for name in ("image", "scan") for state in (("past", False), ("in_force", True))] == own
    assert [("in_force", False), ("to_come", True)] == [
        (it["state"], it["isEnd"]) for it in shell.json("price", "list")
    ]
    lines = [line.split() for line in shell.ok("price", "list").out.splitlines()]
    assert ["retired"] == [line[-1] for line in lines if line[:2] == ["image", "2100-01-01"]]
    assert "ended" in shell.ok("price", "list", "--merchant", merchant).out
    shell.ok("price", "retire", "image")
    assert "image  20" in shell.ok("price", "list").out
    assert ["past", "in_force", "to_come"] == [it["state"] for it in shell.json("price", "list")]
    wrong = shell.run("price", "withdraw", shell.json("price", "list")[-1]["priceId"], "--merchant", merchant)
    assert "the merchant has no price of its own that has this id" in wrong.err


def test_the_same_reference_is_the_same_top_up_once(shell: Shell) -> None:
    merchant = shell.merchant()
    first = shell.json("topup", merchant, "500", "--reference", "INV-1", "--note", "wire")
    again = shell.json("topup", merchant, "500", "--reference", "INV-1")
    assert (first["transferId"], False, True) == (again["transferId"], first["isReplay"], again["isReplay"])
    paid = {"available": "500.00", "posted": "500.00", "held": "0.00", "paid": "500.00", "currency": "USD"}
    assert {**paid, "given": "0.00", "ending": []} == shell.json("balance", merchant)
    assert "500.00 USD\n" == shell.ok("balance", merchant).out
    other = shell.run("topup", merchant, "501", "--reference", "INV-1")
    assert (1, "") == (other.status, other.out)
    assert other.err.startswith("farebox: This idempotency key or reference was used for another top-up")


def test_an_adjustment_adds_or_takes_away(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("adjust", merchant, "20", "--reference", "A1", "--reason", "goodwill")
    taken = shell.ok("adjust", merchant, "-5.25", "--reference", "A2", "--reason", "counted twice")
    assert "Available: 14.75 USD." in taken.out
    refused = shell.run("adjust", merchant, "-15", "--reference", "A3", "--reason", "too much")
    assert (1, "farebox: Insufficient balance: 15.00 USD needed, 14.75 can be spent\n") == (refused.status, refused.err)


def test_setting_a_threshold_above_the_balance_owes_a_mail(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("user", "add", merchant, "ann@acme.example")
    shell.ok("merchant", "set", merchant, "--threshold", "10")
    (mail,) = shell.json("outbox", "list")
    assert ("ann@acme.example", "waiting", "10.00", None) == (
        mail["email"],
        mail["state"],
        mail["threshold"],
        mail["transferId"],
    )
    assert "ann@acme.example" in shell.ok("outbox", "list").out
    assert {"retried": 1} == shell.json("outbox", "retry")


def test_thresholds_are_negative_down_to_the_credit_limit(shell: Shell) -> None:
    merchant = shell.merchant("--credit-limit", "50", "--threshold=-20")
    assert "-20.00 USD" in shell.ok("merchant", "show", merchant).out
    below = shell.run("merchant", "set", merchant, "--threshold=-50.01")
    limit = "a threshold is -50.00 or more"
    assert (2, True) == (below.status, limit in below.err), below.err
    # Both at once: nothing is changed if one is wrong.
    both = shell.run("merchant", "set", merchant, "--credit-limit", "10", "--threshold=-20")
    assert "-20.00 is below what the credit limit of 10.00 USD allows" in both.err
    assert "50.00" == shell.json("merchant", "show", merchant)["creditLimit"]
    changed = shell.json("merchant", "set", merchant, "--credit-limit", "100", "--threshold=-100")
    assert [{"amount": "-100.00", "isArmed": True}] == changed["thresholds"]
    shell.ok("merchant", "set", merchant, "--credit-limit", "100", "--threshold", "")
    never = shell.run("merchant", "create", "Contoso", "--currency", "USD", "--threshold", "0")
    assert "without a credit limit a threshold is more than 0" in never.err


def test_mails_that_are_withdrawn_say_why(shell: Shell) -> None:
    shell.ok("staff", "add", "sam@farebox.example", "--name", "Sam")
    shell.ok("staff", "close", "sam@farebox.example")
    merchant = shell.merchant("--threshold", "10")
    shell.ok("user", "add", merchant, "ann@acme.example")
    shell.ok("topup", merchant, "5", "--reference", "INV-1")
    shell.ok("user", "remove", merchant, "ann@acme.example")
    with Server(shell.database_url):
        deadline = time.monotonic() + 30
        while {"withdrawn"} != {mail["state"] for mail in shell.json("outbox", "list")}:
            assert time.monotonic() < deadline
    reasons = {mail["kind"]: mail["lastError"] for mail in shell.json("outbox", "list")}
    removed = "the user was removed from the account"
    assert {"low_balance": removed, "invitation": "the login was closed"} == reasons
    listed = shell.ok("outbox", "list").out
    assert removed in listed
    assert "withdrawn" in listed
    assert {"retried": 0} == shell.json("outbox", "retry")


def test_a_mail_server_that_is_given_up_is_said(shell: Shell) -> None:
    merchant = shell.merchant()
    assert "No mail has been owed yet." in shell.ok("outbox", "list").out
    shell.ok("user", "add", merchant, "ann@acme.example")
    shell.ok("merchant", "set", merchant, "--threshold", "10")
    assert shell.json("outbox", "list")[0]["mailServerPausedUntil"] is None

    async def give_up(until: int) -> None:
        async with open_farebox(shell.database_url) as farebox:
            pause = MailServerPause("the mail folder", LONG_AGO, until, 1, "it takes no files")
            await farebox.stores.mail_servers.pause(pause)

    asyncio.run(give_up(FAR_OFF))
    out = shell.ok("outbox", "list").out
    assert "No mail is taken by the mail folder since 2020-09-13 12:26:40 (UTC); it is given up until 2100-01-01" in out
    assert "  it takes no files\n" in out
    assert shell.json("outbox", "list")[0]["mailServerPausedUntil"].startswith("2100-01-01T")
    asyncio.run(give_up(LONG_AGO))
    assert "it is given up until the next mail is due" in shell.ok("outbox", "list").out
    shell.ok("outbox", "retry")
    assert "given up" not in shell.ok("outbox", "list").out


def test_verify_counts_what_it_saw(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("topup", merchant, "10", "--reference", "R")
    clean = {"isClean": True, "merchants": 1, "transfers": 1, "faults": []}
    assert clean == shell.json("verify")
    assert clean == shell.json("verify", "--merchant", merchant)


def test_a_backup_is_a_ledger_that_verifies(tmp_path: Path) -> None:
    shell = Shell(f"sqlite:///{tmp_path / 'a.db'}")
    shell.ok("init")
    merchant = shell.merchant()
    shell.ok("topup", merchant, "10", "--reference", "R")
    copy = tmp_path / "copy.db"
    shell.ok("backup", str(copy))
    assert 1 == Shell(f"sqlite:///{copy}").json("verify")["transfers"]
    again = shell.run("backup", str(copy))
    assert (1, f"farebox: {copy} exists already\n") == (again.status, again.err)


def test_a_backup_of_postgresql_says_how(postgres_url: str, tmp_path: Path) -> None:
    shell = Shell(postgres_url)
    shell.ok("init")
    done = shell.run("backup", str(tmp_path / "copy"))
    assert 1 == done.status
    assert "pg_dump" in done.err


def _loaded(stand_in: click.Command) -> click.Command:
    assert isinstance(stand_in, StandIn)
    return stand_in.load()


@pytest.mark.parametrize("name", cli.commands)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    stand_in = cli.commands[name]
    command = _loaded(stand_in)
    assert (name, command.get_short_help_str(1_000)) == (command.name, stand_in.help)


def test_the_reference_names_every_command() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    names = []
    for name, stand_in in cli.commands.items():
        names += [f"{name} {inner}" for inner in getattr(_loaded(stand_in), "commands", {})] or [name]
    assert [] == [name for name in names if f"farebox {name}" not in text]


def test_events_are_listed_without_a_database() -> None:
    nowhere = Shell("nonsense")
    assert nowhere.ok("webhook", "events").out.count("\n") == 1 + len(EVENT_TYPES)
    assert set(EVENT_TYPES.values()) == set(nowhere.json("webhook", "events"))


def test_init_says_whose_addresses_were_one_mailbox(empty_database_url: str) -> None:
    first = {dialect: sql.migrations(dialect)[:3] for dialect in ("sqlite", "postgres")}
    with mock.patch.object(sql, "migrations", first.__getitem__):
        assert 0 == Shell(empty_database_url).run("init").status

    async def as_they_were() -> None:
        stores = Stores.over(make_connector(Settings.of(database_url=empty_database_url)))
        with mock.patch.object(sql, "migrations", first.__getitem__):
            await stores.connector.open()

        async def write(fetch: Fetch) -> None:
            for number, email in enumerate(("ann@x.example", "Ann@x.example")):
                login = f"{number}, 2, '{email}', 'Ann', 1, 'hash'"
                await fetch(
                    f"INSERT INTO login (login_id, realm, email, name, created_at, password_hash) VALUES ({login})"
                )

        await stores.connector.run_in_transaction(write)
        await stores.connector.close()

    asyncio.run(as_they_were())
    shell = Shell(empty_database_url)
    assert "Ann@x.example has a password of its own and is closed at the console; a mailed link" in shell.ok("init").out
    assert {"applied": [], "notes": []} == shell.json("init")
    assert "left one login of several open, ann@x.example: Ann@x.example has" in shell.ok("audit").out
    assert ["ann@x.example"] == [login["email"] for login in shell.json("staff", "list")]
