"""Given credit in exports: each transfer names what the order of spending comes to, and what does not is found."""

import asyncio
import csv
import io
import json
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.core import chain, ids
from farebox.core.money import format_amount
from farebox.service.inputs import format_time
from farebox.service.statements.check import Report, check_statement
from farebox.service.statements.grant_check import GrantCheck
from farebox.service.statements.price_check import PriceCheck
from farebox.service.statements.reader import Selection, Statements
from farebox.storage.stores import Stores
from farebox_client import statement as offline
from tests.service.books import GRANT_END, keep_given_book, keep_spent_grants, memory_stores
from tests.support.ledger import ANN, NOW, SECOND

GUIDE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "verify-a-statement.md"
Forge = Callable[[list[dict[str, Any]]], object]


async def _exported(stores: Stores, start: int | None = None, end: int | None = None) -> list[str]:
    times = [None if time is None else format_time(time) for time in (start, end)]
    pieces = await Statements(stores).export_lines(ANN, start=times[0], end=times[1])
    return b"".join([piece async for piece in pieces]).decode().splitlines()


STORES: Final = memory_stores()
asyncio.run(keep_spent_grants(STORES))
LINES: Final = tuple(asyncio.run(_exported(STORES)))


def _check(lines: Sequence[str], grants: GrantCheck | None = None, **more: Any) -> Report:
    return check_statement(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), grants=grants, **more)


def _told(report: Report) -> list[str]:
    return [f"{fault.seq}: {fault.text}" for fault in report.faults]


def _run_script(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    try:
        result: str = offline.verify(str(path))
    except offline.NotClean as error:
        return f"{type(error).__name__}: {error}"
    return result


def _rechained(data: list[dict[str, Any]]) -> list[str]:
    """Compute every hash, seq and balance anew, as one who holds the database could."""
    last, balances = data[0]["previousHash"], {"wallet": 0, "held": 0}
    for seq, item in enumerate(data[1:-1], 1):
        item["seq"], item["transferId"] = seq, ids.book_id(ids.TRANSFER, merchant_id=ANN, seq=seq)
        for account, name in (("wallet", "available"), ("held", "held")):
            item[f"{name}Before"] = format_amount(balances[account])
            sign = (item["credit"] == account) - (item["debit"] == account)
            balances[account] += sign * offline.micros(item["amount"])
            item[f"{name}After"] = format_amount(balances[account])
        canonical = offline.canonical_bytes(data[0]["merchantId"], item)
        last = item["hash"] = blake2b(bytes.fromhex(last) + canonical, digest_size=32).hexdigest()
    ends = {"lastHash": last, "lastSeq": len(data) - 2, "count": len(data) - 2}
    data[-1] |= ends | {"available": format_amount(balances["wallet"]), "held": format_amount(balances["held"])}
    return [json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in data]


def _data(lines: Sequence[str] = LINES) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_a_statement_says_what_of_each_transfer_was_given(tmp_path: Path) -> None:
    assert [
        *(None, f"1:5000000;expires={GRANT_END}", "2:5000000", "3:5000000;types=scan", "4:5000000;priority=2"),
        *("1:5000000,2:2000000", "2:3000000,4:2000000", "1:1000000,2:2000000", "2:3000000", "4:2000000", None),
        *("1:1000000", "2:2000000,3:2000000", "1:4000000", "1:4000000", "3:3000000"),
    ] == [data.get("given") for data in _data()[1:-1]]
    assert [] == _told(_check(LINES))
    assert _run_script(tmp_path / "all.jsonl", LINES).startswith("Clean: 16 transfers")


def test_a_book_of_every_kind_is_clean(tmp_path: Path) -> None:
    async def export() -> list[str]:
        stores = memory_stores()
        await keep_given_book(stores)
        return await _exported(stores)

    lines = asyncio.run(export())
    assert [] == _told(_check(lines))
    assert _run_script(tmp_path / "all.jsonl", lines).startswith("Clean: ")


def test_what_was_only_rechained_is_the_same() -> None:
    assert list(LINES) == _rechained(_data())


def _change(seq: int, **fields: Any) -> Forge:
    def forge(data: list[dict[str, Any]]) -> None:
        data[seq] |= fields
        for name in [name for name, value in fields.items() if value is None and name == "given"]:
            del data[seq][name]

    return forge


FORGERIES: Final[list[tuple[str, Forge, str]]] = [
    ("of a later grant first", _change(6, given="2:5000000,1:2000000"), "6: it names 2:5000000,1:2000000 of grants"),
    (
        "of paid money",
        _change(6, given=None),
        "6: it names nothing of grants, the order of spending comes to 1:5000000",
    ),
    (
        "less",
        _change(6, given="1:5000000"),
        "6: it names 1:5000000 of grants, the order of spending comes to 1:5000000,2",
    ),
    ("more than it comes to", _change(6, given="1:5000000,2:3000000"), "6: it names 1:5000000,2:3000000 of grants"),
    ("another priority", _change(3, given="2:5000000;priority=3"), "6: it names 1:5000000,2:2000000 of grants"),
    ("a grant for all", _change(4, given="3:5000000"), "7: it names 2:3000000,4:2000000 of grants"),
    ("a refund of paid money", _change(8, given=None), "8: it names nothing of grants, the order of spending comes to"),
    (
        "a refund of another part",
        _change(8, given="1:3000000"),
        "8: it names 1:3000000 of grants, the order of spending",
    ),
    (
        "a capture of paid money",
        _change(9, given=None),
        "9: it names nothing of grants, the order of spending comes to",
    ),
    ("a release to another", _change(10, given="2:2000000"), "10: it names 2:2000000 of grants, the order of spending"),
    ("a top-up that was given", _change(11, given="2:1000000"), "11: it names 2:1000000 of grants, the order of spend"),
    ("no end", lambda data: data.pop(12), "12: grant 1 was over before it, and 1.00 of it was not ended"),
    (
        "an end at once that is missing",
        lambda data: data.pop(15),
        "15: what the transfer of seq 14 gave back to grant 1",
    ),
    (
        "a later end",
        _change(2, given=f"1:5000000;expires={GRANT_END + 1}"),
        "12: ends grant 1 before its time was over",
    ),
    ("an end without a reason", _change(16, note=None), "16: ends grant 3 before its time was over"),
    (
        "an end of less",
        _change(16, given="3:1000000", amount="1.00"),
        "16: ends 1.00 of grant 3, of which 3.00 was left",
    ),
    (
        "an end of another",
        _change(16, given="2:3000000"),
        "16: its idempotency key is not that of the end of its grant",
    ),
    ("a grant of more", _change(3, given="2:9000000"), "3: the terms of its grant name another amount"),
    ("what can't be read", _change(6, given="all"), "6: what it says of grants can't be read"),
]


@pytest.mark.parametrize(("what", "forge", "fault"), FORGERIES, ids=[row[0] for row in FORGERIES])
def test_what_is_changed_is_found_even_if_all_hashes_are_made_anew(
    what: str, forge: Forge, fault: str, tmp_path: Path
) -> None:
    data = _data()
    forge(data)
    lines = _rechained(data)
    told = _told(_check(lines))
    assert any(one.startswith(fault) for one in told), (what, told)
    assert "NotClean" in _run_script(tmp_path / "forged.jsonl", lines), what


async def _part(start: int, end: int | None = None) -> list[str]:
    return await _exported(STORES, NOW + start * SECOND, None if end is None else NOW + end * SECOND)


async def test_a_statement_from_the_middle_believes_what_it_says_of_grants_from_before(tmp_path: Path) -> None:
    for start in range(0, 130, 10):
        part = await _part(start)
        assert [] == _told(_check(part)), start
        assert _run_script(tmp_path / "part.jsonl", part).startswith("Clean: "), start


@pytest.mark.parametrize(
    ("seq", "given", "fault"),
    [
        (6, "1:1000000,2:6000000", "6: takes 6.00 of grant 2, of which less is left"),
        (6, "1:5000000,3:2000000", "6: takes of grant 3, which does not pay for its type"),
        (6, "1:5000000,2:3000000", "6: more of it is given than it comes to"),
        (6, "1:5000000,1:2000000", "6: what it says of grants is not written as Farebox writes it"),
        (11, "2:1000000", "11: it names 2:1000000 of grants, the order of spending comes to nothing"),
        (16, "3:2000000", "16: what it says of grants is not written as Farebox writes it"),
    ],
)
def test_a_statement_from_the_middle_is_held_to_what_it_knows(seq: int, given: str, fault: str) -> None:
    data = _data()
    data[seq]["given"] = given
    # The first grant was made before the first line, the others after.
    assert fault in _told(_check(_cut(_rechained(data), 3, 16)))


def _lines(data: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in data]


async def test_statements_that_continue_each_other_are_checked_as_one() -> None:
    forged = _data()
    _change(9, given=None)(forged)
    whole = _rechained(forged)
    for lines, is_clean in ((LINES, True), (whole, False)):
        grants, prices = GrantCheck(), PriceCheck()
        first = _check(_cut(lines, 1, 7), grants, prices=prices)
        second = _check(_cut(lines, 8, 16), grants, prices=prices, after=first.ending)
        assert (0, is_clean) == (first.faults_count, second.faults_count == 0)
        # Alone, the second does not know what the hold took.
        assert 0 == _check(_cut(lines, 8, 16)).faults_count


def _cut(lines: Sequence[str], first: int, last: int) -> list[str]:
    """Cut a stretch out of a whole statement, as an export of it alone would be."""
    header, trailer, before, after = json.loads(lines[0]), json.loads(lines[-1]), {}, json.loads(lines[last])
    if first > 1:
        before = json.loads(lines[first - 1])
        header |= {"firstSeq": first, "previousHash": before["hash"]}
        header |= {"available": before["availableAfter"], "held": before["heldAfter"]}
    trailer |= {"count": last - first + 1, "lastSeq": last, "lastHash": after["hash"]}
    trailer |= {"available": after["availableAfter"], "held": after["heldAfter"]}
    return [*_lines([header]), *lines[first : last + 1], *_lines([trailer])]


def test_only_so_many_charges_are_kept_for_refunds_to_be_held_against() -> None:
    data = _data()
    _change(8, given="1:3000000")(data)
    lines = _rechained(data)
    assert any(one.startswith("8: it names 1:3000000") for one in _told(_check(lines, GrantCheck(kept_max=1))))
    assert not any(one.startswith("8: it names 1:3000000") for one in _told(_check(lines, GrantCheck(kept_max=0))))


async def test_a_csv_tells_what_was_given_in_all() -> None:
    pieces = await Statements(STORES).export_csv(ANN, Selection())
    rows = list(csv.DictReader(io.StringIO(b"".join([piece async for piece in pieces]).decode(), newline="")))
    assert ["", *["5.00"] * 4, "7.00", "5.00", "3.00"] == [row["givenAmount"] for row in rows[:8]]


def test_the_guide_names_what_stands_in_lines_with_grants() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for line in LINES:
        assert [] == [name for name in json.loads(line) if f"`{name}`" not in guide]
    for name in ("uncollected", "keyId", "givenAmount", chain.FULL_ENCODING):
        assert f"`{name}`" in guide
