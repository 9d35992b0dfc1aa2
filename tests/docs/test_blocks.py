"""Every block of code in the documentation is run, read, or says why it is not."""

import re
import secrets
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.cli.shell import Shell
from tests.docs import readers, shell
from tests.docs.pages import Block, blocks, indented_code, pages
from tests.support.server import Server
from tests.tidy.files import ROOT

RUN: Final = {"sh", "http", "python", "sql"}
READ: Final = {"json", "toml"}
PRINTED: Final = "text"
SECRET: Final = secrets.token_hex(32)
REASON_LENGTH_MIN: Final = 12
_CHANGING: Final = re.compile(
    r"\b(?:mer|xfer|hold|grant|key|price|dest|user|alert|evt|req|login)_\w*(?:\.\.\.)?|\bfb[msg]_\w*(?:\.\.\.)?|whsec_\S+"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?: UTC|Z)?|https?://[\w.:]+"
)

ALL: Final = [block for page in pages() for block in blocks(page)]


def _is_run(block: Block) -> bool:
    return block.language in RUN and not block.marks.keys() & {"not run", "run by"}


def _is_read(block: Block) -> bool:
    """Tell whether a part of Farebox reads a block; files of JSON are read by the page's own commands."""
    is_others = block.marks.get("file", "").endswith(".json")
    return block.language in READ and not is_others and not block.marks.keys() & {"not run", "run by"}


TRIED: Final = sorted({block.page for block in ALL if _is_run(block)})


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_block_says_its_language() -> None:
    nameless = [block.place for block in ALL if not block.language]
    nameless += [f"{_id(page)}:{line}" for page in pages() for line in indented_code(page)]
    assert [] == nameless


def test_every_block_is_tried_or_says_why_not() -> None:
    """Text is what the block before it prints."""
    untold = []
    before: Block | None = None
    for block in ALL:
        follows = before is not None and before.page == block.page
        is_printed = (block.language == PRINTED and follows) or "file" in block.marks
        if not block.marks.keys() & {"not run", "run by"} and block.language not in RUN | READ and not is_printed:
            untold.append(f"{block.place}: {block.language}")
        if block.language != PRINTED:
            before = block
    assert [] == untold


def test_reasons_are_reasons() -> None:
    short = [block.place for block in ALL if len(block.marks.get("not run", "x" * 99)) < REASON_LENGTH_MIN]
    assert [] == short


def test_a_test_that_is_named_reads_the_page() -> None:
    wrong = []
    for block in ALL:
        if name := block.marks.get("run by"):
            path = ROOT / name
            if not path.is_file() or block.page.name not in path.read_text(encoding="utf-8"):
                wrong.append(f"{block.place}: {name}")
    assert [] == wrong


@pytest.mark.parametrize(
    "block",
    [block for block in ALL if _is_read(block)],
    ids=lambda block: block.place,
)
def test_what_a_page_writes_is_read_by_what_it_is_for(block: Block) -> None:
    readers.read(block.language, block.text)


@dataclass(frozen=True)
class Beginning:
    """A ledger as most pages find it, and what they name in capitals."""

    database: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Beginning:
    """A merchant with money, prices, a user, and keys of all kinds: made once, copied for each page."""
    database = tmp_path_factory.mktemp("beginning") / "farebox.db"
    farebox = Shell(f"sqlite:///{database}")
    farebox.ok("init")
    made = farebox.json("merchant", "create", "Northwind Imaging", "--currency", "USD", "--threshold", "100")
    merchant = made["merchantId"]
    farebox.ok("user", "add", merchant, "ann@northwind.example")
    farebox.ok("price", "set", "image", "0.85")
    farebox.ok("topup", merchant, "150", "--reference", "INV-2026-001")
    (key,) = farebox.json("key", "list", "--merchant", merchant)
    service = farebox.json("key", "create", "--service", "recognizer")
    support = farebox.json("key", "create", "--support", "ann")
    environment = {
        "MERCHANT": merchant,
        "KEY": made["apiKey"],
        "KEY_ID": key["keyId"],
        "SERVICE_KEY": service["apiKey"],
        "SERVICE_ID": service["keyId"],
        "SUPPORT_KEY": support["apiKey"],
        "FAREBOX_SECRET_KEY": SECRET,
        "REPOSITORY": str(ROOT),
    }
    return Beginning(database, environment)


@pytest.mark.timeout(shell.TIMEOUT_S + 60)
@pytest.mark.parametrize("page", TRIED, ids=_id)
def test_what_a_page_tells_to_do_works(page: Path, beginning: Beginning, tmp_path: Path) -> None:
    run = [block for block in blocks(page) if _is_run(block)]
    database = tmp_path / "farebox.db"
    shutil.copy(beginning.database, database)
    for block in blocks(page):
        if name := block.marks.get("file"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(block.text + "\n", encoding="utf-8")
    environment = beginning.environment | {"FAREBOX_DATABASE_URL": f"sqlite:///{database}"}
    with ExitStack() as stack:
        url = "http://127.0.0.1:9"
        if any(shell.needs_server(block) for block in run):
            settings = {"FAREBOX_SECRET_KEY": SECRET}
            url = stack.enter_context(Server(environment["FAREBOX_DATABASE_URL"], environment=settings)).url
        try:
            outputs = shell.run(run, folder=tmp_path, url=url, environment=environment)
        except shell.PageError as error:
            pytest.fail(str(error), pytrace=False)
    assert [] == _missing(page, outputs)


def _missing(page: Path, outputs: dict[int, shell.Printed]) -> list[str]:
    """Return the lines that a page shows as printed and that the block before did not print."""
    missing = []
    printed = ""
    for block in blocks(page):
        if block.language in RUN:
            printed = _steady(outputs[block.line].text) if block.line in outputs else ""
        elif block.language == PRINTED and printed and not block.marks.keys() & {"not run", "run by"}:
            for line in block.text.splitlines():
                pattern = r".*".join(re.escape(part.strip('"')) for part in re.split(r"\.\.\.|…", _steady(line)))
                if line.strip() and not re.search(pattern, printed):
                    missing.append(f"{block.place}: {line.strip()}\n--- printed ---\n{printed}")
    return missing


def _steady(text: str) -> str:
    """Take out what is another at each run: ids, keys, times; and how wide columns are."""
    return re.sub(r"[ \t]+", " ", _CHANGING.sub("~", text)).strip()
