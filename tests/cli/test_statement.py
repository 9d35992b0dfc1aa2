"""`farebox statement` and `farebox verify-statement`, as a script and as a person use them."""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from farebox.cli.main import cli
from farebox.core import ids
from farebox.core.commands import TopUp
from farebox.service import parsing
from farebox.service.price_texts import read_rule
from farebox.service.statements.reader import PAGE_TRANSFERS_MAX
from farebox.web.schemas.spending import ChargeRequest
from tests.cli.shell import Shell
from tests.service.books import TRANSFERS, keep_book
from tests.support.ledger import ANN
from tests.support.server import open_farebox, seed

FAR = "2199-01-01T00:00:00Z"
LONG_AGO = "2001-01-01T00:00:00Z"


@pytest.fixture
def merchant(shell: Shell) -> str:
    """A merchant with three transfers."""
    made = shell.merchant()
    shell.ok("topup", made, "10", "--reference", "=SUM(A1)", "--note", "Grüße")
    shell.ok("adjust", made, "-4", "--reference", "A1", "--reason", "mistake")
    shell.ok("topup", made, "6.34", "--reference", "B1")
    return made


def test_every_kind_of_line_says_what_it_was(shell: Shell) -> None:
    async def keep() -> None:
        async with open_farebox(shell.database_url) as farebox:
            await keep_book(farebox.stores)

    asyncio.run(keep())
    lines = shell.ok("statement", ids.public_id(ids.MERCHANT, ANN)).out.splitlines()
    whats = {line[21:49].strip() for line in lines}
    assert {"charge image x 10", "hold image x 9", "capture image x 4", "release image", "expire image"} <= whats
    assert TRANSFERS == len(lines)
    assert not any("None" in line for line in lines)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """A merchant with three transfers, and the lines of its statement."""
    shell = Shell(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}")
    shell.ok("init")
    merchant = shell.merchant()
    for number, amount in enumerate(("4.11", "4.11", "4.12")):
        shell.ok("topup", merchant, amount, "--reference", f"R{number}")
    return merchant, shell.ok("statement", merchant, "--json").out.splitlines(keepends=True)


def _verify(*words: str, content: bytes | None = None) -> Result:
    """Run `farebox verify-statement` where no database and no settings are; it must end with one of its statuses."""
    environment = {name: None for name in os.environ if name.startswith("FAREBOX_")}
    nowhere = {**environment, "FAREBOX_DATABASE_URL": "nonsense"}
    result = CliRunner().invoke(cli, ["verify-statement", *words], env=nowhere, input=content)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# Printing and exporting.


def test_a_statement_is_printed_newest_first(shell: Shell, merchant: str) -> None:
    lines = shell.ok("statement", merchant).out.splitlines()
    assert [
        ["top", "up", "+6.34", "12.34", "B1"],
        ["adjustment", "-4.00", "6.00", "A1"],
        ["top", "up", "+10.00", "10.00", "=SUM(A1)"],
    ] == [line.split()[2:] for line in lines]


def test_a_statement_longer_than_a_page_is_printed_whole(shell: Shell) -> None:
    merchant, count = shell.merchant(), PAGE_TRANSFERS_MAX + 5

    async def top_up() -> None:
        async with open_farebox(shell.database_url) as farebox:
            number = parsing.parse_public_id(ids.MERCHANT, merchant)
            moves = [TopUp(number, 1_000_000, f"R{place}") for place in range(count)]
            await asyncio.gather(*map(farebox.committer.submit, moves))

    asyncio.run(top_up())
    assert [f"R{place}" for place in reversed(range(count))] == [
        line.split()[-1] for line in shell.ok("statement", merchant).out.splitlines()
    ]


def test_a_csv_defuses_formulas(shell: Shell, merchant: str) -> None:
    table = list(csv.DictReader(io.StringIO(shell.ok("statement", merchant, "--csv").out)))
    assert [("'=SUM(A1)", "Grüße"), ("A1", "mistake"), ("B1", "")] == [(row["reference"], row["note"]) for row in table]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--kind", "top_up"), [3, 1]),
        (("--kind", "adjustment"), [2]),
        (("--reference", "A1"), [2]),
        (("--type", "image"), []),
        (("--from", LONG_AGO, "--to", FAR), [3, 2, 1]),
        (("--from", FAR), []),
        (("--to", LONG_AGO), []),
        (("--kind", "top_up", "--reference", "B1", "--from", LONG_AGO), [3]),
    ],
)
def test_filters_leave_what_agrees(shell: Shell, merchant: str, options: tuple[str, ...], expected: list[int]) -> None:
    references = {1: "=SUM(A1)", 2: "A1", 3: "B1"}
    lines = shell.ok("statement", merchant, *options).out.splitlines()
    assert [references[seq] for seq in expected] == [line.split()[-1] for line in lines]
    table = csv.DictReader(io.StringIO(shell.ok("statement", merchant, "--csv", *options).out))
    assert expected[::-1] == [int(row["seq"]) for row in table]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kind", "topup"), "kind: a kind is one of top_up, "),
        (("--type", "Image!"), "type: a request type is "),
        (("--reference", ""), "reference: this is empty; write one line "),
        (("--from", "yesterday"), "from: 'yesterday' is not a time"),
        (("--to", "2026-01-31"), "to: '2026-01-31' is not a time"),
        (("--from", FAR, "--to", LONG_AGO), "to: the end is before the start"),
    ],
)
def test_what_makes_no_sense_is_named(shell: Shell, merchant: str, options: tuple[str, ...], message: str) -> None:
    for form in ((), ("--csv",)):
        done = shell.run("statement", merchant, *form, *options)
        assert (2, "", 1) == (done.status, done.out, done.err.count("\n"))
        assert done.err.startswith(f"farebox: {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kind", "charge"), "kind: --json is a whole stretch of the book"),
        (("--type", "image"), "type: --json is a whole stretch of the book"),
        (("--reference", "R"), "reference: --json is a whole stretch of the book"),
        (("--csv",), "csv: choose --csv or --json"),
    ],
)
def test_json_is_a_whole_stretch(shell: Shell, merchant: str, options: tuple[str, ...], message: str) -> None:
    done = shell.run("statement", merchant, "--json", *options)
    assert (2, "") == (done.status, done.out)
    assert json.loads(done.err)["message"].startswith(message)


def test_an_unknown_merchant_is_named(shell: Shell) -> None:
    for form in ((), ("--csv",), ("--json",)):
        done = shell.run("statement", "mer_0000000000001", *form)
        assert (1, "") == (done.status, done.out)
        assert 1 == done.err.count("\n")


# Verifying.


def test_what_was_exported_is_clean(shell: Shell, merchant: str, tmp_path: Path) -> None:
    path = tmp_path / "statement.jsonl"
    path.write_text(shell.ok("statement", merchant, "--json").out, encoding="utf-8")
    words = f"Clean: 3 transfers of {merchant}, seq 1 to 3, ends at 12.34 USD available.\n"
    assert (0, words) == ((done := _verify(str(path))).exit_code, done.output)
    assert (0, words) == ((done := _verify("-", content=path.read_bytes())).exit_code, done.output)


def test_files_continue_one_another(shell: Shell, merchant: str, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in shell.ok("statement", merchant, "--json").out.splitlines()]
    cuts = [None, lines[2]["committedAt"], lines[3]["committedAt"], FAR, None]
    paths = []
    for number, (start, end) in enumerate(pairwise(cuts)):
        options = (*(("--from", start) if start else ()), *(("--to", end) if end else ()))
        paths.append(str(tmp_path / f"{number}.jsonl"))
        Path(paths[-1]).write_text(shell.ok("statement", merchant, "--json", *options).out, encoding="utf-8")
    done = _verify(*paths)
    words = f"Clean: 3 transfers of {merchant}, seq 1 to 3, ends at 12.34 USD available.\n"
    assert (0, words) == (done.exit_code, done.output)
    done = _verify(paths[0], paths[2])
    assert (1, 2) == (done.exit_code, done.output.count("\n"))
    assert (
        f"{paths[2]}: line 1, seq 3: this starts with seq 3, but the statement before ended with seq 1" in done.output
    )
    done = _verify(paths[1], paths[0])
    assert 1 == done.exit_code
    assert 0 == _verify(paths[3]).exit_code


def test_each_fault_is_a_line_and_the_last_line_counts_them(exported: tuple[str, list[str]], tmp_path: Path) -> None:
    _, lines = exported
    path = tmp_path / "statement.jsonl"
    path.write_text("".join([*lines[:2], lines[2].replace('"R1"', '"R9"'), *lines[3:]]), encoding="utf-8")
    done = _verify(str(path))
    assert (1, "") == (done.exit_code, done.stderr)
    fault, summary = done.stdout.splitlines()
    assert fault.startswith(f"{path}: line 3, seq 2: the hash does not follow ")
    assert "1 fault: 3 transfers." == summary
    path.write_text("".join(lines[:2] + lines[3:]), encoding="utf-8")
    assert "2 faults: 2 transfers." == _verify(str(path)).stdout.splitlines()[-1]


def test_with_json_the_answer_is_one_document(exported: tuple[str, list[str]], tmp_path: Path) -> None:
    merchant, lines = exported
    path = tmp_path / "statement.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    last = json.loads(lines[-2])
    clean = {
        "isClean": True,
        "transfers": 3,
        "firstSeq": 1,
        "ending": {
            "merchantId": merchant,
            "currency": "USD",
            "seq": 3,
            "hash": last["hash"],
            "available": "12.34",
            "held": "0.00",
        },
        "faultsCount": 0,
        "faults": [],
    }
    assert clean == json.loads(_verify(str(path), "--json").stdout)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    done = _verify(str(path), "--json")
    answer = json.loads(done.stdout)
    assert (1, False, 1) == (done.exit_code, answer["isClean"], answer["faultsCount"])
    text = "the trailer is missing: the statement was cut off after this line"
    assert [{"file": str(path), "line": 4, "seq": 3, "fault": text}] == answer["faults"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: this is empty; a statement has at least a header and a trailer"),
        (b"\n\n", "line 1: this is not the first line of a statement in JSON lines: "),
        (b"\x00\x01\xff" * 100_000, "line 1: this is not the first line of a statement in JSON lines: "),
        (b"SQLite format 3\x00\n" * 10, "line 1: this is not the first line of a statement in JSON lines: "),
        (b"transferId,seq\r\n", "line 1: this is not the first line of a statement in JSON lines: "),
    ],
    ids=["empty", "blank", "binary", "database", "CSV"],
)
def test_what_is_no_statement_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    done = _verify(str(path))
    assert (1, 1) == (done.exit_code, done.output.count("\n"))
    assert done.output.startswith(f"{path}: {message}")
    answer = json.loads(_verify(str(path), "--json").stdout)
    assert (False, None, None) == (answer["isClean"], answer["firstSeq"], answer["ending"])


def test_a_file_that_cant_be_read_is_one_line(exported: tuple[str, list[str]], tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    good.write_text("".join(exported[1]), encoding="utf-8")
    for path, words in ((tmp_path / "missing", "No such file or directory"), (tmp_path, "Is a directory")):
        for words_before in ((), (str(good),)):
            done = _verify(*words_before, str(path))
            assert (2, "", f"farebox: {path}: {words}\n") == (done.exit_code, done.stdout, done.stderr)
        error = json.loads(_verify(str(path), "--json").stderr)
        assert {"error": "unreadable_file", "message": f"{path}: {words}"} == error


def test_no_file_is_misuse() -> None:
    assert 2 == _verify().exit_code


def test_export_and_check_fit_together_in_a_pipe(tmp_path: Path) -> None:
    shell = Shell(f"sqlite:///{tmp_path / 'farebox.db'}")
    shell.ok("init")
    merchant = shell.merchant()
    shell.ok("topup", merchant, "1", "--reference", "Grüße")
    farebox = f"{sys.executable} -m farebox"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {farebox} statement {merchant} --json | {farebox} verify-statement -"],
        env={"FAREBOX_DATABASE_URL": shell.database_url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert f"Clean: 1 transfer of {merchant}, seq 1 to 1, ends at 1.00 USD available.\n" == done.stdout


# Explaining one transfer.


@pytest.fixture
def charged(shell: Shell) -> str:
    """A charge by a rule, its refund, and a charge by a unit price: transfers 2, 3 and 4 of a merchant."""

    async def keep() -> str:
        async with open_farebox(shell.database_url) as farebox:
            seeds = await seed(farebox)
            lines = [
                {"name": "input", "amount": "0.15", "per": 1000000},
                {"name": "output", "amount": "0.60", "per": 1000000},
            ]
            await farebox.services.prices.set("chat", rule=read_rule("rule", {"lines": lines}))
            operations = farebox.services.operations
            named = {"input": 3, "output": 7}
            asked = ChargeRequest(seeds.merchant, "chat", "a", quantities=named)
            outcome = await operations.charge(asked, caller=None)
            assert outcome.transfer is not None
            await operations.refund(
                outcome.transfer.id, idempotency_key="back", amount=None, reference=None, note=None, caller=None
            )
            await operations.charge(ChargeRequest(seeds.merchant, "image", "b", quantity=3), caller=None)
            await operations.charge(ChargeRequest(seeds.merchant, "call", "c", amount="2"), caller=None)
            return seeds.merchant

    return asyncio.run(keep())


def _explain(shell: Shell, merchant: str, seq: int) -> list[str]:
    number = parsing.parse_public_id(ids.MERCHANT, merchant)
    return shell.ok("explain", ids.book_id(ids.TRANSFER, merchant_id=number, seq=seq)).out.splitlines()


def test_a_statement_names_what_was_requested(shell: Shell, charged: str) -> None:
    lines = shell.ok("statement", charged).out.splitlines()
    assert any("charge chat: 3 input, 7 output" in line for line in lines)


def test_a_transfer_is_explained_component_by_component(shell: Shell, charged: str) -> None:
    first, price, *rest = _explain(shell, charged, 2)
    assert "charge chat: 3 input, 7 output" in first
    assert price.startswith("By the default price for chat from ")
    assert [
        "in USD",
        "3 input at 0.15 per 1,000,000   0.00000045",
        "7 output at 0.60 per 1,000,000   0.0000042",
        "together, exactly               0.00000465",
        "rounded up once                   0.000005",
    ] == rest
    refund = _explain(shell, charged, 3)
    assert any(line.startswith("It refers to this one, which is explained here: xfer_") for line in refund)
    assert refund[-4:] == rest[-4:]
    assert "3 x 0.01 = 0.03" in _explain(shell, charged, 4)
    assert "The caller named the amount." in _explain(shell, charged, 5)


def test_an_explanation_as_json(shell: Shell, charged: str) -> None:
    number = parsing.parse_public_id(ids.MERCHANT, charged)
    data = shell.json("explain", ids.book_id(ids.TRANSFER, merchant_id=number, seq=2))
    assert "input=3,output=7" == data["transfer"]["pricing"]
    assert data["transfer"]["priceId"] == data["price"]["priceId"]
    assert ("0.00000465", "0.000005") == (data["explained"]["exact"], data["explained"]["amount"])
    assert 2 == len(data["explained"]["components"])
    other = shell.json("explain", ids.book_id(ids.TRANSFER, merchant_id=number, seq=4))
    assert (None, None) == (other["price"], other["explained"])


@pytest.mark.parametrize("text", ["nonsense", "mer_0000000000001", "xfer_1"])
def test_only_a_transfer_is_explained(shell: Shell, charged: str, text: str) -> None:
    done = shell.run("explain", text)
    assert done.status != 0
    assert "a transfer's id begins with xfer_" in done.err
