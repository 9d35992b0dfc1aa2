"""An error on the command line is one line that names it, with an exit status, and never a traceback."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import pytest

from farebox.storage.sqlite import SqliteConnector
from farebox.storage.sqlite.connection import SqliteLimits
from tests.cli.shell import Shell

UNKNOWN = "mer_0000000000001"


@pytest.mark.parametrize(
    "amount", ["NaN", "1e5", "1.2345678", "1" + "0" * 30, "0", "", "1,000", "1.250,5", "5 EUR", "1 2", "٣"]
)
def test_what_is_no_amount_is_refused_and_nothing_moves(shell: Shell, amount: str) -> None:
    merchant = shell.merchant()
    done = shell.run("topup", merchant, "--reference", "R", "--", amount)
    assert (2, "") == (done.status, done.out)
    assert done.err.startswith("farebox: amount: ")
    assert "0.00" == shell.json("balance", merchant)["available"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("1,250", "1,250 can be read in two ways; write 1250 or 1.250."),
        ("-1,250 USD", "1,250 can be read in two ways; write 1250 or 1.250."),
        ("1.250,50", "Write the decimals of 1.250,50 after a point, as in 1,234.50."),
        ("12,5", "Write the decimals of 12,5 after a point, as in 1,234.50."),
        ("5 EUR", "This account is in USD, not in EUR."),
    ],
)
def test_an_amount_is_not_guessed_at(shell: Shell, typed: str, message: str) -> None:
    merchant = shell.merchant()
    done = shell.run("adjust", merchant, "--reference", "R", "--reason", "x", "--", typed)
    assert (2, f"farebox: amount: {message}\n") == (done.status, done.err)
    done = shell.run("merchant", "set", merchant, "--threshold", typed)
    assert (2, f"farebox: --threshold: {message}\n") == (done.status, done.err)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("balance", UNKNOWN), 1, f"no merchant has the id {UNKNOWN}"),
        (("balance", "acme"), 2, "MERCHANT: 'acme' is not a merchant id; one looks like mer_01K9ABCDEFGHJ"),
        (("topup", UNKNOWN, "5", "--reference", "R"), 1, "No merchant has this id or API key"),
        (("user", "add", UNKNOWN, "ann@acme.example"), 1, "no such merchant"),
        (("key", "revoke", "key_0000000000001"), 1, "no key has the id key_0000000000001"),
        (("key", "rotate", "key_0000000000001"), 1, "no key has the id key_0000000000001"),
        (("key", "create"), 2, "key: name one owner: --merchant ID, --service NAME or --support NAME"),
        (("key", "create", "--service", "a", "--support", "b"), 2, "key: name one owner"),
        (("key", "create", "--service", "a", "--expires", "tomorrow"), 2, "expires: 'tomorrow' is not a time"),
        (("key", "create", "--service", "a", "--expires", "2001-01-01T00:00:00Z"), 2, "expires: a key can't expire"),
        (("price", "set", "image", "-1"), 2, "UNIT_PRICE: Write the amount without a minus."),
        (("topup", UNKNOWN, "-5", "--reference", "R"), 2, "amount: Write the amount without a minus."),
        (
            ("merchant", "create", "A", "--currency", "USD", "--credit-limit", "-5"),
            2,
            "--credit-limit: Write the amount",
        ),
        (("usage", UNKNOWN, "--time-zone", "here"), 1, f"no merchant has the id {UNKNOWN}"),
        (("audit", "--merchant", UNKNOWN), 1, f"no merchant has the id {UNKNOWN}"),
        (("audit", "--merchant", "mer_0000000000000"), 1, "no merchant has the id mer_0000000000000"),
        (("approval", "list", "--merchant", UNKNOWN), 1, f"no merchant has the id {UNKNOWN}"),
        (("approval", "reject", UNKNOWN, "x"), 2, "REQUEST: 'x' is not an approval id"),
        (("key", "rotate", "key_0000000000001", "--overlap", "91d"), 2, "--overlap: a rotated key goes on for 90 days"),
        (("key", "create", "--service", ""), 2, "service: this is empty"),
        (("price", "set", "Image!", "1"), 2, "type: a request type is"),
        (("price", "set", "image", "1", "--from", "2001-01-01T00:00:00Z"), 2, "from: a price can't start in the past"),
        (("merchant", "create", "A", "--currency", "XYZ"), 2, "currency: 'XYZ' is not a currency in use"),
        (("merchant", "create", " ", "--currency", "USD"), 2, "name: this is empty; write one line"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    shell: Shell, words: tuple[str, ...], status: int, message: str
) -> None:
    done = shell.run(*words)
    assert (status, "") == (done.status, done.out)
    assert done.err.startswith(f"farebox: {message}")
    assert 1 == done.err.count("\n")


def test_an_option_that_is_not_known_is_none_of_the_values(shell: Shell) -> None:
    done = shell.run("topup", UNKNOWN, "5", "--referense", "R")
    assert (2, True) == (done.status, "No such option '--referense'" in done.err)


def test_nothing_of_a_merchant_is_changed_if_one_thing_is_wrong(shell: Shell) -> None:
    merchant = shell.merchant()
    before = shell.json("merchant", "show", merchant)
    for wrong in (("--name", ""), ("--threshold", "x"), ("--threshold", "10", "--name", "a\nb")):
        assert 2 == shell.run("merchant", "set", merchant, "--credit-limit", "5", *wrong).status
    assert before == shell.json("merchant", "show", merchant)


def test_with_json_an_error_is_json_on_stderr(shell: Shell) -> None:
    done = shell.run("balance", UNKNOWN, "--json")
    assert {"error": "merchant_not_found", "message": f"no merchant has the id {UNKNOWN}"} == json.loads(done.err)


def test_the_same_address_twice_is_refused(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("user", "add", merchant, "ann@acme.example")
    done = shell.run("user", "add", merchant, "ann@ACME.example")
    assert (1, "farebox: ann@acme.example is registered there already\n") == (done.status, done.err)


def test_an_empty_database_says_what_to_run(empty_database_url: str) -> None:
    done = Shell(empty_database_url).run("merchant", "list")
    assert (1, "farebox: the database has no Farebox schema yet; run: farebox init\n") == (done.status, done.err)


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    shell = Shell(f"sqlite:///{tmp_path / 'newer.db'}")
    shell.ok("init")
    connection = apsw.Connection(str(tmp_path / "newer.db"))
    connection.execute("INSERT INTO farebox_migration VALUES ('9999_later', 0)")
    connection.close()
    for words in (("init",), ("merchant", "list"), ("serve", "--port", "1")):
        done = shell.run(*words)
        assert 1 == done.status
        assert "the database is newer than this program" in done.err


@pytest.mark.parametrize(
    ("url", "status", "message"),
    [
        ("mysql://root@db/x", 2, "write sqlite:///farebox.db or postgresql://"),
        ("postgresql://me:secret@127.0.0.1:1/nowhere", 1, "can't be reached"),
        ("sqlite:////nowhere/at/all/farebox.db", 1, "SQLite: "),
    ],
)
def test_a_database_that_is_not_there_is_one_line(url: str, status: int, message: str) -> None:
    done = Shell(url).run("init")
    assert status == done.status
    assert message in done.err or "unavailable" in done.err or "PostgreSQL" in done.err
    assert "secret" not in done.err
    assert 1 == done.err.count("\n")


def test_a_locked_database_is_waited_for_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_short_limits = partial(SqliteConnector, limits=SqliteLimits(busy_timeout_ms=200))
    monkeypatch.setattr("farebox.storage.sqlite.SqliteConnector", with_short_limits)
    shell = Shell(f"sqlite:///{tmp_path / 'farebox.db'}")
    shell.ok("init")
    merchant = shell.merchant()
    other = apsw.Connection(str(tmp_path / "farebox.db"))
    other.execute("BEGIN IMMEDIATE")
    done = shell.run("topup", merchant, "5", "--reference", "R")
    assert 1 == done.status
    assert "another process has kept the database locked" in done.err
    other.execute("ROLLBACK")
    other.close()
    shell.ok("topup", merchant, "5", "--reference", "R")


def _run_limited(url: str, limit: Callable[[], None], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "farebox", *words],
        # A program whose files are cut off must not leave cut-off bytecode to the next one.
        env={"FAREBOX_DATABASE_URL": url, "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    shell = Shell(url)
    shell.ok("init")
    merchant = shell.merchant()
    shell.ok("topup", merchant, "5", "--reference", "R1")
    # No file may grow beyond what its database has now, as on a disk that is full.
    size = (tmp_path / "farebox.db").stat().st_size // 2
    done = _run_limited(
        url,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        *("topup", merchant, "5", "--reference", "R2", "--note", "x" * 400),
    )
    assert 0 != done.returncode or "10.00" == shell.json("balance", merchant)["available"]
    assert "Traceback" not in done.stderr
    shell.ok("topup", merchant, "5", "--reference", "R2")
    assert "10.00" == shell.json("balance", merchant)["available"]
    assert shell.json("verify")["isClean"]


def test_a_closed_pipe_ends_a_command_quietly(tmp_path: Path) -> None:
    shell = Shell(f"sqlite:///{tmp_path / 'farebox.db'}")
    shell.ok("init")
    merchant = shell.merchant()
    for number in range(50):
        shell.ok("topup", merchant, "5", "--reference", f"R{number}", "--note", "x" * 400)
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m farebox statement {merchant} --json | head -1 > {tmp_path / 'out'}"],
        env={"FAREBOX_DATABASE_URL": shell.database_url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == done.stderr


def test_a_broken_settings_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content, message in [
        ("database_url = ", "farebox.toml can't be read"),
        ('databse_url = "x"', "databse_url is no setting; did you mean database_url?"),
        ("smtp_url = 25", "smtp_url must be a string"),
    ]:
        (tmp_path / "farebox.toml").write_text(content)
        done = Shell(f"sqlite:///{tmp_path / 'farebox.db'}").run("init")
        assert 2 == done.status
        assert message in done.err


@pytest.mark.parametrize("url", ["smtp://u:hush@h:99999", "smtp://u:hush@h?startls=true"])
def test_a_mail_url_that_makes_no_sense_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "farebox.toml").write_text(f'smtp_url = "{url}"\n')
    done = Shell(f"sqlite:///{tmp_path / 'farebox.db'}").run("init")
    assert 2 == done.status
    assert done.err.startswith("farebox: FAREBOX_SMTP_URL")
    assert "hush" not in done.err
