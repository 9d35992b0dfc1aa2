"""`farebox import`: what another system had is there once, whatever happens in between; its keys open what they did."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.cli.shell import Shell
from tests.support.server import Server

KEY: Final = "sk-Zm9vYmFyYmF6cXV4MTIzNA"
"""As LiteLLM makes them: 16 random bytes in base64, behind sk-."""

BOM: Final = b"\xef\xbb\xbf"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def files(folder: Path, **contents: str) -> str:
    """Write an import's files, by their names without `.csv`, and return their folder."""
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / f"{name}.csv").write_text(text)
    return str(folder)


@pytest.fixture
def export(tmp_path: Path) -> str:
    return files(
        tmp_path / "export",
        merchants='reference,name,currency,thresholds,email\na,Acme,USD,100 20,ann@acme.example\nb,"Bee, Ltd",JPY,,\n',
        balances="reference,balance\na,250.75\nb,5000\n",
        prices="type,unit_price\nimage,0.008\n",
        keys=f"reference,sha256,name,hint\na,{sha256(KEY)},production,sk-…IzNA\n",
    )


def merchants(shell: Shell) -> dict[str, tuple[str, str]]:
    listed = shell.json("merchant", "list")
    return {merchant["name"]: (merchant["available"], merchant["currency"]) for merchant in listed}


def test_what_a_dry_run_shows_is_what_is_imported_and_the_same_again_changes_nothing(shell: Shell, export: str) -> None:
    dry = shell.json("import", export, "--dry-run")
    assert not dry["isMade"]
    assert [] == shell.json("merchant", "list") == shell.json("price", "list") == shell.json("audit")
    made = shell.json("import", export)
    assert dry | {"isMade": True} == made
    assert {"USD": "250.75", "JPY": "5000.00"} == made["balances"]
    assert {"Acme": ("250.75", "USD"), "Bee, Ltd": ("5000.00", "JPY")} == merchants(shell)
    entries = shell.json("audit")
    again = shell.json("import", export)
    assert {"merchants.csv": 2, "balances.csv": 2, "prices.csv": 1, "keys.csv": 1} == {
        name: counts["there"] for name, counts in again["files"].items()
    }
    assert not any(counts["new"] or counts["waiting"] for counts in again["files"].values())
    assert entries == shell.json("audit")
    assert {"Acme": ("250.75", "USD"), "Bee, Ltd": ("5000.00", "JPY")} == merchants(shell)
    assert "Clean: 2 merchants, 2 transfers" in shell.ok("verify").out


def test_the_audit_log_has_one_entry_which_leads_to_the_merchants(shell: Shell, export: str) -> None:
    tag = shell.json("import", export)["tag"]
    entries = {entry["action"]: entry for entry in shell.json("audit")}
    assert {"import", "import_prices"} == set(entries)
    assert tag == entries["import"]["subject"]
    words = "began an import from another system: 2 merchants, 2 balances (5,000 JPY, 250.75 USD), 1 price, 1 key"
    assert entries["import"]["sentence"].endswith(words)
    assert {"Acme", "Bee, Ltd"} == {merchant["name"] for merchant in shell.json("merchant", "list", "--tag", tag)}


def test_a_balance_is_an_adjustment_that_says_where_it_comes_from(shell: Shell, export: str) -> None:
    shell.ok("import", export)
    acme = next(item["merchantId"] for item in shell.json("merchant", "list") if item["name"] == "Acme")
    statement = shell.ok("statement", acme, "--csv").out
    (transfer,) = csv.DictReader(statement.splitlines())
    assert ("250.75", "balance before the import") == (transfer["amount"], transfer["reference"])
    assert "brought over from another system, where this is a" == transfer["note"]
    assert ["ann@acme.example"] == [user["email"] for user in shell.json("user", "list", acme)]


def test_what_was_changed_since_is_left_as_it_is(shell: Shell, export: str) -> None:
    shell.ok("import", export)
    acme = next(item["merchantId"] for item in shell.json("merchant", "list") if item["name"] == "Acme")
    shell.ok("merchant", "set", acme, "--name", "Acme Corporation")
    shell.ok("adjust", acme, "-50", "--reference", "R", "--reason", "spent elsewhere")
    key = next(key for key in shell.json("key", "list", "--merchant", acme))
    shell.ok("key", "revoke", key["keyId"])
    shell.ok("import", export)
    assert ("200.75", "USD") == merchants(shell)["Acme Corporation"]
    (key,) = shell.json("key", "list", "--merchant", acme)
    assert key["revokedAt"] is not None


def test_prices_that_were_changed_or_retired_since_are_left_as_they_are(shell: Shell, export: str) -> None:
    files(
        Path(export), prices="type,unit_price,starts_at\nimage,0.008,\nscan,1,\ncall,2,\ncall,3,2990-01-01T00:00:00Z\n"
    )
    assert 4 == shell.json("import", export)["files"]["prices.csv"]["new"]
    shell.ok("price", "set", "image", "0.02")
    shell.ok("price", "retire", "scan")
    before = shell.json("price", "list")
    again = shell.json("import", export)
    assert {"new": 0, "waiting": 0, "there": 4} == again["files"]["prices.csv"]
    assert before == shell.json("price", "list")
    # A type that nobody has priced comes all the same.
    files(Path(export), prices="type,unit_price\nimage,0.008\nscan,1\nmerge,5\n")
    assert {"new": 1, "waiting": 0, "there": 2} == shell.json("import", export)["files"]["prices.csv"]
    assert "5.00" in {price["unitPrice"] for price in shell.json("price", "list") if price["type"] == "merge"}
    assert len(before) + 1 == len(shell.json("price", "list"))


def test_a_byte_order_mark_and_crlf_are_read(shell: Shell, tmp_path: Path) -> None:
    folder = Path(files(tmp_path / "x", balances=""))
    (folder / "merchants.csv").write_bytes(BOM + b'reference,name,currency\r\na,"A\r\n",USD\r\n')
    done = shell.run("import", str(folder / "merchants.csv"))
    assert (2, True) == (
        done.status,
        done.err.startswith("farebox: merchants.csv, line 3, name: this has a line break"),
    )
    (folder / "merchants.csv").write_bytes(BOM + b"reference,name,currency\r\na,\xc3\x84,USD\r\n\r\n")
    shell.ok("import", str(folder / "merchants.csv"))
    assert {"Ä": ("0.00", "USD")} == merchants(shell)


GOOD: Final = "reference,name,currency\na,Acme,USD\n"


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"merchants": ""}, "merchants.csv: this is empty; its first line names the columns reference, name"),
        ({"merchants": "reference,name\n"}, "merchants.csv, line 1: the column currency is missing"),
        ({"merchants": "reference,name,currency,colour\n"}, "merchants.csv, line 1: no column 'colour' is known"),
        ({"merchants": "reference,name,name,currency\n"}, "merchants.csv, line 1: the column name stands there twice"),
        ({"merchants": GOOD + "b,Bee\n"}, "merchants.csv, line 3: this has 2 cells; the first line names 3"),
        ({"merchants": GOOD + 'b,"B"ee,USD\n'}, "merchants.csv, line 3: this is no CSV"),
        ({"merchants": GOOD + "b,Bee,usd\n"}, "merchants.csv, line 3, currency: 'usd' is not a currency in use"),
        ({"merchants": GOOD + "b,,USD\n"}, "merchants.csv, line 3, name: this is empty"),
        ({"merchants": GOOD + ",Bee,USD\n"}, "merchants.csv, line 3, reference: this is empty"),
        ({"merchants": GOOD + "a,Bee,USD\n"}, "merchants.csv, line 3, reference: this stands twice"),
        (
            {"merchants": "reference,name,currency,email\na,Acme,USD,ann\n"},
            "merchants.csv, line 2, email: 'ann' is not an e-mail address",
        ),
        (
            {"merchants": "reference,name,currency,thresholds\na,Acme,USD,10;20\n"},
            "merchants.csv, line 2, thresholds: '10;20' is not an amount",
        ),
        (
            {"merchants": GOOD, "balances": "reference,balance\na,-0.01\n"},
            "balances.csv, line 2, balance: '-0.01' is below zero; a prepaid balance begins at zero or above",
        ),
        (
            {"merchants": GOOD, "balances": "reference,balance\na,1,50\n"},
            "balances.csv, line 2: this has 3 cells; the first line names 2",
        ),
        (
            {"merchants": GOOD, "balances": "reference,balance\na,1e3\n"},
            "balances.csv, line 2, balance: '1e3' is not an amount; write a plain decimal such as 12.50",
        ),
        (
            {"merchants": GOOD, "balances": "reference,balance\na,1.005\n"},
            "balances.csv, line 2, balance: 1.005 USD is too fine: amounts in USD have at most 2 decimals",
        ),
        (
            {"merchants": GOOD, "balances": "reference,balance\na,1\na,1\n"},
            "balances.csv, line 3, reference: this stands twice in the file",
        ),
        (
            {"merchants": GOOD, "balances": "reference,balance\nz,1\n"},
            "balances.csv, line 2, reference: no merchant of this reference is in merchants.csv, and none was imported",
        ),
        (
            {"merchants": GOOD, "keys": f"reference,sha256\na,{KEY}\n"},
            "keys.csv, line 2, sha256: 'sk-Zm9vYmFyY' is no SHA-256 digest; write 64 hexadecimal digits, and never",
        ),
        (
            {"merchants": GOOD, "keys": f"reference,sha256\na,{sha256(KEY)}\na,{sha256(KEY).upper()}\n"},
            "keys.csv, line 3, sha256: this stands twice in the file",
        ),
        (
            {"merchants": GOOD, "keys": f"reference,sha256\nz,{sha256(KEY)}\n"},
            "keys.csv, line 2, reference: no merchant of this reference",
        ),
        (
            {"merchants": GOOD, "keys": f"reference,sha256,expires_at\na,{sha256(KEY)},soon\n"},
            "keys.csv, line 2, expires_at: 'soon' is not a time",
        ),
        (
            {"merchants": GOOD, "keys": f"reference,sha256,hint\na,{sha256(KEY)},{KEY}\n"},
            "keys.csv, line 2, hint: this has 25 characters; a hint has 12 at most",
        ),
        (
            {"prices": "type,unit_price\nim age,1\n"},
            "prices.csv, line 2, type: a request type is 1 to 200 of A-Z",
        ),
        ({"prices": "type,unit_price\nimage,free\n"}, "prices.csv, line 2, unit_price: 'free' is not an amount"),
        (
            {"prices": "type,unit_price\nimage,1\nimage,2\n"},
            "prices.csv, line 3, type: this stands twice in the file",
        ),
        (
            {"prices": "type,unit_price,starts_at\nimage,1,\nscan,1,2020-01-01T00:00:00Z\n"},
            "prices.csv, line 3, starts_at: a start in the past",
        ),
        ({"people": "email\n"}, "people.csv: this is no file of an import; its name is one of merchants.csv"),
        ({}, "FILE: there is no file of an import here"),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_column_and_nothing_is_written(
    shell: Shell, tmp_path: Path, contents: dict[str, str], message: str
) -> None:
    folder = files(tmp_path / "bad", **contents)
    done = shell.run("import", folder)
    message_line = done.err.removeprefix("farebox: ").replace(f"{folder}/", "")
    assert (2, True) == (done.status, message_line.startswith(message)), done.err
    assert [] == shell.json("merchant", "list") == shell.json("audit")


def test_all_that_is_wrong_is_told_at_once_up_to_a_number(shell: Shell, tmp_path: Path) -> None:
    lines = "".join(f"m{number},M,EURO\n" for number in range(30))
    done = shell.run("import", files(tmp_path / "bad", merchants=f"reference,name,currency\n{lines}"))
    told = done.err.splitlines()
    assert (2, 21, "and 10 more") == (done.status, len(told), told[-1])
    assert told[19].startswith("merchants.csv, line 21, currency: 'EURO' is not a currency in use")


def test_bytes_that_are_no_utf_8_are_named_by_their_line(shell: Shell, tmp_path: Path) -> None:
    folder = Path(files(tmp_path / "bad", merchants=GOOD))
    (folder / "merchants.csv").write_bytes(GOOD.encode() + b"b,B\xfcro,USD\n")
    done = shell.run("import", str(folder))
    assert (2, "farebox: merchants.csv, line 3: this is not UTF-8; save the file as CSV in UTF-8\n") == (
        done.status,
        done.err,
    )


def test_another_balance_for_a_merchant_that_has_one_is_refused(shell: Shell, export: str) -> None:
    shell.ok("import", export)
    files(Path(export), balances="reference,balance\na,250.76\n")
    done = shell.run("import", export)
    assert 2 == done.status
    assert "balances.csv, line 2, balance: this merchant's balance was brought over before, with another" in done.err
    assert ("250.75", "USD") == merchants(shell)["Acme"]


def test_the_currency_of_a_merchant_that_is_there_is_fixed_and_its_key_is_its_own(shell: Shell, export: str) -> None:
    shell.ok("import", export)
    files(Path(export), merchants="reference,name,currency\na,Acme,EUR\n", keys=f"reference,sha256\nb,{sha256(KEY)}\n")
    done = shell.run("import", export)
    assert "merchants.csv, line 2, currency: the merchant is there, in USD, and a merchant's currency is f" in done.err
    assert "keys.csv, line 2, sha256: another merchant has this key already" in done.err


def test_balances_above_the_operators_limit_wait_for_a_second_person(shell: Shell, export: str) -> None:
    limited = Shell(shell.database_url, settings={"FAREBOX_APPROVAL_ABOVE": "100"})
    made = limited.json("import", export)
    assert {"new": 0, "waiting": 2, "there": 0} == made["files"]["balances.csv"]
    assert {"Acme": ("0.00", "USD"), "Bee, Ltd": ("0.00", "JPY")} == merchants(shell)
    assert {"new": 0, "waiting": 0, "there": 2} == limited.json("import", export)["files"]["balances.csv"]


def test_an_imported_key_opens_what_it_did_until_it_is_revoked(shell: Shell, export: str) -> None:
    shell.ok("import", export)
    service = shell.json("key", "create", "--service", "vision")["apiKey"]
    with Server(shell.database_url) as server, httpx.Client(base_url=server.url, trust_env=False) as client:

        def balance(key: str) -> tuple[int, str | None]:
            reply = client.get("/api/balance", headers={"x-api-key": key})
            return reply.status_code, reply.json()["data"]

        def charge(key: str, number: int) -> tuple[int, str | None]:
            body = {"merchant": key, "type": "image", "quantity": 1, "idempotencyKey": f"r-{number}"}
            reply = client.post("/api/charges", headers={"x-api-key": service}, json=body)
            return reply.status_code, reply.headers.get("x-error-code")

        assert (200, "250.75") == balance(KEY)
        assert (200, None) == charge(KEY, 1)
        assert (200, "250.742") == balance(KEY)
        assert (404, "merchant_not_found") == charge(KEY[:-1] + "B", 2)
        assert (401, None) == balance(KEY[:-1] + "B")
        assert (401, None) == balance(sha256(KEY))
        batch = {
            "charges": [
                {"merchant": key, "type": "image", "idempotencyKey": f"b-{number}"}
                for number, key in enumerate((KEY, "sk-nobody-has-this-key-at-all", KEY))
            ]
        }
        reply = client.post("/api/charges/batch", headers={"x-api-key": service}, json=batch)
        assert [True, False, True] == [item["errorCode"] is None for item in reply.json()["data"]["outcomes"]]
        hold = {"merchant": KEY, "type": "image", "idempotencyKey": "h-1"}
        assert 200 == client.post("/api/holds", headers={"x-api-key": service}, json=hold).status_code
        quote = {"merchant": KEY, "type": "image"}
        assert 200 == client.post("/api/quotes", headers={"x-api-key": service}, json=quote).status_code
        checked = client.post("/api/keys/check", headers={"x-api-key": service}, json={"apiKey": KEY})
        assert (200, "production") == (checked.status_code, checked.json()["data"]["name"])
        forbidden = client.post("/api/charges", headers={"x-api-key": KEY}, json=quote | {"idempotencyKey": "r-3"})
        assert (403, "forbidden") == (forbidden.status_code, forbidden.headers["x-error-code"])
        key_id = checked.json()["data"]["keyId"]
        shell.ok("key", "revoke", key_id)
        assert (401, None) == balance(KEY)
        assert (404, "merchant_not_found") == charge(KEY, 4)


KILLED: Final = """
import os, signal, sys, threading
from farebox.cli.main import main
from farebox.service.importing.batches import Batches

last, delay = int(sys.argv.pop(1)), float(sys.argv.pop(1))
writes = 0

def killed(method):
    async def write(*arguments):
        global writes
        writes += 1
        if writes == last:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return await method(*arguments)
    return write

for name in ("add_merchants", "add_balances", "add_keys"):
    setattr(Batches, name, killed(getattr(Batches, name)))
main()
"""
"""Runs a command, and kills its own process so many seconds after the write of that number began."""


def test_an_import_that_was_killed_goes_on_when_it_is_run_again(shell: Shell, tmp_path: Path) -> None:
    count = 1_200
    numbers = range(count)
    folder = files(
        tmp_path / "many",
        merchants="reference,name,currency\n" + "".join(f"m{number},M {number},USD\n" for number in numbers),
        balances="reference,balance\n" + "".join(f"m{number},{number + 1}.25\n" for number in numbers),
        keys="reference,sha256\n" + "".join(f"m{number},{sha256(str(number))}\n" for number in numbers),
    )
    kills = 0
    for write, delay in ((1, 0.02), (1, 0), (2, 0.01), (3, 0), (2, 0.005), (3, 0.002), (1, 0.001)):
        process = subprocess.run(
            [sys.executable, "-c", KILLED, str(write), str(delay), "import", folder],
            env={**os.environ, "FAREBOX_DATABASE_URL": shell.database_url},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        kills += process.returncode == -signal.SIGKILL
    assert kills > 2
    shell.ok("import", folder)
    again = shell.json("import", folder)["files"]
    assert {(0, count)} == {(counts["new"], counts["there"]) for counts in again.values()}
    assert f"Clean: {count:,} merchants, {count:,} transfers" in shell.ok("verify").out
    assert {f"M {number}": (f"{number + 1}.25", "USD") for number in numbers} == merchants(shell)
