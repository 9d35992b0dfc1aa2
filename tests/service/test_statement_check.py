"""Verifying an export offline: a good one is clean, and every way to forge one is found and named where it stands."""

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core import chain, ids
from farebox.core.accounts import Kind
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.service.inputs import format_time
from farebox.service.statements.check import FAULTS_MAX, LINE_BYTES_MAX, Ending, Report, check_statement
from farebox.service.statements.lines import TransferData, transfer_data
from farebox.service.statements.reader import Selection, Statements
from farebox_client import statement as offline
from tests.service.books import TRANSFERS, keep_book, memory_stores
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOW, SECOND, UNIT, add_merchant, book

SCRIPT: Final = Path(offline.__file__)
GUIDE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "verify-a-statement.md"
LATER_FIELDS: Final = ("pricing", "given", "uncollected", "keyId")
"""Fields that a line leaves out if it has no such thing."""

Forge = Callable[[list[str]], object]


async def _exported(start: str | None = None, end: str | None = None, merchant_id: int = ANN) -> list[str]:
    store = memory_stores()
    await keep_book(store)
    await add_merchant(store, BEN)
    pieces = await Statements(store).export_lines(merchant_id, start=start, end=end)
    return b"".join([piece async for piece in pieces]).decode().splitlines()


LINES: Final = tuple(asyncio.run(_exported()))
"""A whole book: line 1 is the header, line seq + 1 the transfer with that seq, and the last one the trailer."""

MIDDLE: Final = tuple(asyncio.run(_exported(format_time(NOW + 6 * SECOND), format_time(NOW + 20 * SECOND))))
"""Transfers 10 to 13, which come after others and before others."""


def _check(lines: Sequence[str], after: Ending | None = None) -> Report:
    return check_statement(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), after=after)


def _told(report: Report) -> list[str]:
    return [f"{fault.line}/{fault.seq}: {fault.text}" for fault in report.faults]


def _change(number: int, **fields: Any) -> Forge:
    """Change fields of a line, by its number."""

    def forge(lines: list[str]) -> None:
        data = json.loads(lines[number - 1])
        assert data.keys() >= fields.keys()
        assert all(data[name] != value for name, value in fields.items())
        lines[number - 1] = _written({**data, **fields})

    return forge


def _written(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _swap(lines: list[str]) -> None:
    lines[5], lines[6] = lines[6], lines[5]


def _rename(lines: list[str]) -> None:
    lines[4] = lines[4].replace('"note":', '"remark":')


def _replace(number: int, old: str, new: str) -> Forge:
    def forge(lines: list[str]) -> None:
        assert old in lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new, 1)

    return forge


HASH: Final = "0f" * 32
NOT_FOLLOWING: Final = (
    "the hash does not follow from what this line says and the hash before it; one of them was changed"
)
OTHERWISE: Final = "this is not written as Farebox writes it: spaces, the order of fields or line ends were changed"

FORGERIES: Final[list[tuple[str, Forge, str]]] = [
    ("an amount", _change(3, amount="11.00"), f"3/2: {NOT_FOLLOWING}"),
    ("a smaller amount", _change(3, amount="9.00"), "3/2: available after it is given as 90.00, but comes to 91.00"),
    ("a negative amount", _change(3, amount="-10.00"), "3/2: the amount is not more than zero"),
    ("the cost of a request", _change(3, unitPrice="2.00"), "3/2: the amount is not unit price x quantity"),
    ("a balance", _change(3, availableAfter="91.00"), "3/2: available after it is given as 91.00, but comes to 90.00"),
    ("a balance before", _change(3, availableBefore="99.00"), "3/2: availableBefore is given as '99.00', but follows"),
    ("a held balance", _change(4, heldAfter="8.00"), "4/3: held after it is given as 8.00, but comes to 9.00"),
    ("a held balance before", _change(4, heldBefore="1.00"), "4/3: heldBefore is given as '1.00', but follows"),
    ("a text", _change(2, note="Gruße"), f"2/1: {NOT_FOLLOWING}"),
    ("a reference", _change(3, reference="R-9"), f"3/2: {NOT_FOLLOWING}"),
    ("a text taken away", _change(2, note=None), f"2/1: {NOT_FOLLOWING}"),
    ("a text that is empty, not absent", _change(3, note=""), "3/2: a field is empty that should be absent"),
    ("a time", _change(11, committedAt="2027-01-15T08:00:06.000001Z"), f"11/10: {NOT_FOLLOWING}"),
    ("a time before", _change(11, committedAt="2026-01-15T08:00:06.000000Z"), "11/10: this is earlier than"),
    (
        "a time in another zone",
        _change(11, committedAt="2027-01-15T09:00:06.000000+01:00"),
        "11/10: committedAt is given",
    ),
    ("no time", _change(11, committedAt="yesterday"), "11/10: this is neither a transfer nor the trailer: committedAt"),
    ("a kind", _change(3, kind="refund", debit="revenue", credit="wallet"), f"3/2: {NOT_FOLLOWING}"),
    (
        "a kind alone",
        _change(3, kind="refund"),
        "3/2: this is neither a transfer nor the trailer: there is no 'refund'",
    ),
    (
        "an account",
        _change(3, credit="funding"),
        "3/2: this is neither a transfer nor the trailer: there is no 'charge'",
    ),
    ("a request type", _change(3, type="scan"), f"3/2: {NOT_FOLLOWING}"),
    ("a quantity", _change(3, quantity=11), f"3/2: {NOT_FOLLOWING}"),
    ("a price", _change(3, priceId="price_0000000000002"), f"3/2: {NOT_FOLLOWING}"),
    ("an idempotency key", _change(3, idempotencyKey="other"), f"3/2: {NOT_FOLLOWING}"),
    ("a fingerprint", _change(3, fingerprint="00" * 8), f"3/2: {NOT_FOLLOWING}"),
    (
        "a fingerprint's characters",
        _change(3, fingerprint="xy" * 8),
        "3/2: this is neither a transfer nor the trailer: finger",
    ),
    (
        "what it refers to",
        _change(11, refersTo=ids.book_id("xfer_", merchant_id=ANN, seq=4)),
        f"11/10: {NOT_FOLLOWING}",
    ),
    (
        "a later transfer",
        _change(11, refersTo=ids.book_id("xfer_", merchant_id=ANN, seq=14)),
        "11/10: this refers to no",
    ),
    (
        "another's transfer",
        _change(11, refersTo=ids.book_id("xfer_", merchant_id=BEN, seq=2)),
        "11/10: refersTo is given",
    ),
    ("an id", _change(3, transferId=ids.book_id("xfer_", merchant_id=ANN, seq=3)), "3/2: transferId is given as"),
    ("a seq", _change(3, seq=7), "3/7: seq 2 was to come here; transfers are missing, repeated or swapped"),
    ("a seq beyond all", _change(3, seq=10**30), "3/2: this is neither a transfer nor the trailer: "),
    ("a hash", _change(3, hash=HASH), f"3/2: {NOT_FOLLOWING}"),
    ("a short hash", _change(3, hash="0f"), f"3/2: {NOT_FOLLOWING}"),
    ("a field with another name", _rename, "5/4: this is neither a transfer nor the trailer: Object "),
    (
        "a value of another type",
        _change(3, amount=10),
        "3/2: this is neither a transfer nor the trailer: Expected `str`",
    ),
    ("an amount in another form", _change(3, amount="10.000"), "3/2: amount is given as '10.000', but follows to be"),
    ("a text's control character", _replace(3, "R-1", "R\u0001"), "3/2: this is neither a transfer nor the trailer: "),
    ("half a character", _replace(3, "R-1", "\\ud800"), "3/2: this is neither a transfer nor the trailer: "),
    ("a field twice", _replace(3, '"seq":2', '"seq":9,"seq":2'), f"3/2: {OTHERWISE}"),
    ("spaces", _replace(3, '"seq":2', '"seq": 2'), f"3/2: {OTHERWISE}"),
    ("line ends", lambda lines: lines.__setitem__(slice(None), [f"{line}\r" for line in lines]), f"1/1: {OTHERWISE}"),
    ("garbage", lambda lines: lines.__setitem__(4, "garbage"), "5/4: this is neither a transfer nor the trailer: JSON"),
    ("a blank line", lambda lines: lines.insert(4, ""), "5/4: this is neither a transfer nor the trailer: "),
    ("a list", lambda lines: lines.__setitem__(4, "[]"), "5/4: this is neither a transfer nor the trailer: Expected"),
    ("depth", lambda lines: lines.__setitem__(4, '{"x":' + "[" * 20_000), "5/4: this is neither a transfer nor the"),
    ("a line without end", lambda lines: lines.__setitem__(4, " " * LINE_BYTES_MAX + lines[4]), "5/4: this is neither"),
    (
        "a dropped line",
        lambda lines: lines.pop(4),
        "5/5: seq 4 was to come here; transfers are missing, repeated or swapp",
    ),
    (
        "the first dropped",
        lambda lines: lines.pop(1),
        "2/2: seq 1 was to come here; transfers are missing, repeated or",
    ),
    ("the last dropped", lambda lines: lines.pop(-2), "16/14: the trailer claims count 15, but the statement has 14"),
    ("a repeated line", lambda lines: lines.insert(4, lines[4]), "6/4: seq 5 was to come here; transfers are missing,"),
    ("swapped lines", _swap, "6/6: seq 5 was to come here; transfers are missing, repeated or swapped"),
    (
        "the header dropped",
        lambda lines: lines.pop(0),
        "1/None: this is not the first line of a statement in JSON lines",
    ),
    (
        "another format",
        _change(1, format="other"),
        "1/None: this is not the first line of a statement in JSON lines: its",
    ),
    (
        "a version to come",
        _change(1, version=2),
        "1/None: this is not the first line of a statement in JSON lines: its",
    ),
    ("another merchant", _change(1, merchantId=ids.public_id("mer_", BEN)), f"2/1: {NOT_FOLLOWING}"),
    (
        "no merchant",
        _change(1, merchantId="mer_"),
        "1/None: this is not the first line of a statement in JSON lines: mer",
    ),
    (
        "another currency",
        _change(1, currency="EUR"),
        "17/15: the trailer claims currency 'USD', but the statement has EUR",
    ),
    ("no currency", _change(1, currency="usd"), "1/1: currency: 'usd' is no currency's code"),
    (
        "another start",
        _change(1, firstSeq=2),
        "2/1: seq 2 was to come here; transfers are missing, repeated or swapped",
    ),
    ("no start", _change(1, firstSeq=0), "1/None: this is not the first line of a statement in JSON lines: Expected"),
    (
        "another hash before",
        _change(1, previousHash=HASH),
        "1/1: a book starts with nothing available or held, after a",
    ),
    ("a short hash before", _change(1, previousHash="00"), "1/1: previousHash must have 32 bytes"),
    (
        "a balance at the start",
        _change(1, available="1.00"),
        "1/1: a book starts with nothing available or held, after",
    ),
    ("a header's spaces", _replace(1, '"version":1', '"version": 1'), f"1/1: {OTHERWISE}"),
    ("a header's amount", _change(1, available="0.000"), f"1/1: {OTHERWISE}"),
    ("the trailer's count", _change(17, count=14), "17/15: the trailer claims count 14, but the statement has 15"),
    ("the trailer's seq", _change(17, lastSeq=14), "17/15: the trailer claims lastSeq 14, but the statement has 15"),
    (
        "the trailer's hash",
        _change(17, lastHash=HASH),
        f"17/15: the trailer claims lastHash '{HASH}', but the statement",
    ),
    (
        "the trailer's balance",
        _change(17, available="1.00"),
        "17/15: the trailer claims available '1.00', but the state",
    ),
    (
        "the trailer's holds",
        _change(17, held="0.00"),
        "17/15: the trailer claims held '0.00', but the statement has 7.00",
    ),
    (
        "the trailer's merchant",
        _change(17, merchantId="mer_X"),
        "17/15: the trailer claims merchantId 'mer_X', but the",
    ),
    (
        "the trailer's currency",
        _change(17, currency="EUR"),
        "17/15: the trailer claims currency 'EUR', but the statement",
    ),
    ("the trailer's type", _change(17, count="15"), "17/15: this can't be read as the trailer: Expected `int`"),
    ("the trailer's spaces", _replace(17, '"lastSeq":', '"lastSeq" :'), f"17/15: {OTHERWISE}"),
    (
        "the trailer dropped",
        lambda lines: lines.pop(),
        "16/15: the trailer is missing: the statement was cut off after th",
    ),
    (
        "a transfer appended",
        lambda lines: lines.append(lines[3]),
        "18/15: something stands after the trailer, which must",
    ),
    (
        "a trailer appended",
        lambda lines: lines.append(lines[-1]),
        "18/15: something stands after the trailer, which must",
    ),
    (
        "a trailer put in",
        lambda lines: lines.insert(3, lines[-1]),
        "4/2: the trailer claims count 15, but the statement h",
    ),
]


@pytest.mark.parametrize(
    ("forge", "expected"), [pytest.param(forge, expected, id=name) for name, forge, expected in FORGERIES]
)
def test_each_forgery_is_found_and_named_where_it_stands(forge: Forge, expected: str) -> None:
    lines = list(LINES)
    forge(lines)
    told = _told(_check(lines))
    assert any(fault.startswith(expected) for fault in told), told


def test_what_was_not_forged_is_clean() -> None:
    report = _check(LINES)
    assert ([], 0, TRANSFERS, 1) == (report.faults, report.faults_count, report.transfers_count, report.first_seq)
    last = json.loads(LINES[-2])
    assert Ending(ANN, "USD", TRANSFERS, bytes.fromhex(last["hash"]), -36_999_999, 7 * UNIT) == report.ending


def test_one_changed_line_is_not_told_again_for_those_after_it() -> None:
    lines = list(LINES)
    _change(4, reference="forged")(lines)
    assert [f"4/3: {NOT_FOLLOWING}"] == _told(_check(lines))
    _change(9, hash=HASH)(lines)
    # Its own hash is wrong, and the next one's follows from the right one.
    assert [f"{place}: {NOT_FOLLOWING}" for place in ("4/3", "9/8", "10/9")] == _told(_check(lines))


def test_a_line_that_cant_be_read_is_one_fault() -> None:
    for number in range(2, TRANSFERS + 2):
        lines = [*LINES[: number - 1], "garbage", *LINES[number:]]
        report = _check(lines)
        assert [number] == [fault.line for fault in report.faults], _told(report)
        assert TRANSFERS == report.transfers_count


def test_a_forger_who_computes_the_hashes_anew_is_found_by_the_sums() -> None:
    lines = [json.loads(line) for line in LINES]
    lines[2] |= {"amount": "9.00", "unitPrice": "0.90", "availableBefore": "99.00"}
    assert ["3/2: available after it is given as 90.00, but comes to 91.00"] == _told(_check(_rechained(lines)))


def test_a_forger_who_computes_everything_anew_is_found_by_an_earlier_statement() -> None:
    lines = [json.loads(line) for line in LINES]
    lines[2] |= {"amount": "9.00", "unitPrice": "0.90"}
    for line in lines[2:]:
        for name in {"availableBefore", "availableAfter", "available"} & line.keys():
            line[name] = format_amount(_micros(line[name]) + UNIT)
    lines[2]["availableBefore"] = "100.00"
    forged = _rechained(lines)
    # Alone, it can't be told from a ledger in which that is what happened.
    assert [] == _told(_check(forged))
    before = _check(_part(LINES, 1, 5))
    assert [] == before.faults
    assert [] == _check(_part(LINES, 6, TRANSFERS), before.ending).faults
    (told,) = _told(_check(_part(forged, 6, TRANSFERS), before.ending))
    assert "1/6: this starts from another hash or balance than the statement before ended with" == told


def _transfers() -> list[Transfer]:
    async def read() -> list[Transfer]:
        store = memory_stores()
        await keep_book(store)
        return list(await book(store))

    return asyncio.run(read())


def _rechained(lines: list[dict[str, Any]]) -> list[str]:
    """Write lines with all hashes computed anew, as whoever holds the database could."""
    last = bytes(32)
    for line in lines[1:-1]:
        known = _transfers()[line["seq"] - 1]
        transfer = replace(
            known,
            amount=_micros(line["amount"]),
            wallet_after=_micros(line["availableAfter"]),
            unit_price=None if line["unitPrice"] is None else _micros(line["unitPrice"]),
        )
        last = chain.link(last, chain.canonical_bytes(lines[0]["merchantId"], transfer))
        line["hash"] = last.hex()
    lines[-1]["lastHash"] = last.hex()
    return [_written(line) for line in lines]


def _part(lines: Sequence[str], first: int, last: int) -> list[str]:
    """Cut the export of a whole book down to the transfers from `first` to `last`."""
    data = [json.loads(line) for line in lines]
    ends = []
    for seq in (first - 1, last):
        known = data[seq]
        ends.append(
            {"hash": known["hash"], "available": known["availableAfter"], "held": known["heldAfter"]}
            if seq
            else {"hash": known["previousHash"], "available": known["available"], "held": known["held"]}
        )
    header = {**data[0], "firstSeq": first, **ends[0], "previousHash": ends[0]["hash"]}
    trailer = {**data[-1], "count": last - first + 1, "lastSeq": last, **ends[1], "lastHash": ends[1]["hash"]}
    for end in (header, trailer):
        end.pop("hash")
    return [_written(header), *lines[first : last + 1], _written(trailer)]


@given(st.data())
@examples(400)
def test_any_single_changed_character_of_a_transfers_line_is_found(data: st.DataObject) -> None:
    lines = list(data.draw(st.sampled_from([LINES, MIDDLE])))
    number = data.draw(st.integers(1, len(lines) - 2))
    place = data.draw(st.integers(0, len(lines[number]) - 1))
    other = data.draw(st.characters(codec="utf-8") | st.sampled_from('0123456789abc "\\,:{}[]-.\n\r\t'))
    if other != lines[number][place]:
        lines[number] = lines[number][:place] + other + lines[number][place + 1 :]
        report = _check(lines)
        assert report.faults
        assert number + 1 in {fault.line for fault in report.faults}, _told(report)


@given(st.data())
@examples(100)
def test_any_lost_or_added_byte_of_an_export_is_found(data: st.DataObject) -> None:
    whole = "".join(f"{line}\n" for line in LINES[1:]).encode()
    header = f"{LINES[0]}\n".encode()
    place = data.draw(st.integers(0, len(whole) - 2))
    length = data.draw(st.integers(0, 3))
    added = data.draw(st.binary(min_size=length == 0, max_size=3))
    if whole[place : place + length] != added:
        forged = whole[:place] + added + whole[place + length :]
        assert forged == whole[:-1] or check_statement(io.BytesIO(header + forged)).faults_count


@pytest.mark.parametrize("name", sorted(set(json.loads(LINES[0])) - {"name"}))
def test_the_header_is_covered_but_for_the_name(name: str) -> None:
    for lines in (LINES, MIDDLE):
        data = json.loads(lines[0])
        value = data[name]
        data[name] = value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1] != "0" else "1")
        assert _check([_written(data), *lines[1:]]).faults_count


def test_a_cut_off_export_is_found_wherever_it_was_cut() -> None:
    whole = "".join(f"{line}\n" for line in LINES).encode()
    for length in range(len(whole) - 1):
        assert check_statement(io.BytesIO(whole[:length])).faults_count, length
    # The last byte is a line break, which says nothing.
    assert [] == check_statement(io.BytesIO(whole[:-1])).faults


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "1/None: this is empty; a statement has at least a header and a trailer"),
        (b"\n", "1/None: this is not the first line of a statement in JSON lines: "),
        (b"\x00\xff\x89PNG\n" * 50, "1/None: this is not the first line of a statement in JSON lines: "),
        (b"x" * 1_000_000, "1/None: this is not the first line of a statement in JSON lines: it is longer than any"),
        (b"transferId,seq\nxfer_1,1\n", "1/None: this is not the first line of a statement in JSON lines: "),
    ],
    ids=["empty", "blank", "binary", "endless", "CSV"],
)
def test_what_is_no_statement_is_one_fault(content: bytes, expected: str) -> None:
    report = check_statement(io.BytesIO(content))
    (fault,) = _told(report)
    assert fault.startswith(expected)
    assert (1, None, None) == (report.faults_count, report.first_seq, report.ending)


def test_faults_are_counted_but_only_the_first_are_told() -> None:
    lines = [LINES[0], *["garbage"] * (FAULTS_MAX + 50)]
    report = _check(lines)
    assert (FAULTS_MAX, FAULTS_MAX + 51) == (len(report.faults), report.faults_count)


def test_statements_continue_one_another() -> None:
    cuts = [None, *(format_time(NOW + seconds * SECOND) for seconds in (0, 2, 3, 14, 60)), None]
    after: Ending | None = None
    count = 0
    for start, end in pairwise(cuts):
        report = _check(asyncio.run(_exported(start, end)), after)
        assert [] == report.faults
        assert after is None or report.first_seq == after.seq + 1
        after = report.ending
        count += report.transfers_count
    assert (TRANSFERS, _check(LINES).ending) == (count, after)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"merchant_id": BEN}, "this is of another merchant than the statement before: "),
        ({"currency": "EUR"}, "this is in USD, the statement before in EUR"),
        ({"seq": 8}, "this starts with seq 10, but the statement before ended with seq 8"),
        ({"seq": 10}, "this starts with seq 10, but the statement before ended with seq 10"),
        ({"hash": bytes(32)}, "this starts from another hash or balance than the statement before ended with"),
        ({"available": 0}, "this starts from another hash or balance than the statement before ended with"),
        ({"held": 1}, "this starts from another hash or balance than the statement before ended with"),
    ],
)
def test_a_statement_that_does_not_continue_is_named(change: dict[str, Any], expected: str) -> None:
    header = json.loads(MIDDLE[0])
    before = _transfers()[8]
    assert (10, before.hash.hex()) == (header["firstSeq"], header["previousHash"])
    ending: dict[str, Any] = {
        "merchant_id": ANN,
        "currency": "USD",
        "seq": 9,
        "hash": before.hash,
        "available": before.wallet_after,
        "held": before.held_after,
    }
    assert [] == _check(MIDDLE, Ending(**ending)).faults
    (fault,) = _check(MIDDLE, Ending(**{**ending, **change})).faults
    assert (1, 10) == (fault.line, fault.seq)
    assert fault.text.startswith(expected)


class _Endless(io.RawIOBase):
    """A statement of any length, which is nowhere as a whole."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._lines, b"")


def test_a_statement_is_read_line_by_line() -> None:
    seen = 0

    def lines() -> Iterator[bytes]:
        nonlocal seen
        for line in LINES:
            seen += 1
            yield f"{line}\n".encode()

    assert [] == check_statement(_Endless(lines())).faults  # type: ignore[arg-type]  # It has all that is asked of it.
    assert len(LINES) == seen


def test_every_line_is_what_its_transfer_is_written_as() -> None:
    for line, transfer in zip(LINES[1:-1], _transfers(), strict=True):
        data = json.loads(line)
        written = {name: getattr(transfer_data(transfer), field) for name, field in _fields().items()}
        assert transfer.pricing == written["pricing"]
        for name in LATER_FIELDS:
            if written[name] is None:
                # Exports of before know no such field.
                del written[name]
        assert written == data
        sign = {"wallet": 1}.get(data["credit"], 0) - {"wallet": 1}.get(data["debit"], 0)
        assert _micros(data["availableAfter"]) - _micros(data["availableBefore"]) == sign * transfer.amount
        assert (transfer.kind == Kind.ADJUSTMENT_DEBIT) is (data["credit"] == "adjustments")


def _fields() -> dict[str, str]:
    return dict(
        zip(
            TransferData.__struct_encode_fields__,
            TransferData.__struct_fields__,
            strict=True,
        )
    )


def _micros(text: str) -> int:
    units, _, fraction = text.removeprefix("-").partition(".")
    return int(units + fraction.ljust(6, "0")) * (-1 if text.startswith("-") else 1)


def test_the_guide_documents_every_field_and_the_bytes() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for line in (LINES[0], LINES[1], LINES[-1]):
        assert [] == [name for name in json.loads(line) if f"`{name}`" not in guide]
    steps = re.findall(r"^\d+\. `(\w[\w-]*)`", guide, re.MULTILINE)
    assert (19, chain.ENCODING, "note") == (len(steps), steps[0], steps[-1])
    assert len(LINES) == 1 + TRANSFERS + 1


def _run_script(folder: Path, lines: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    path = folder / "statement.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    # The script stands alone: it has no need of Farebox, nor of anything else that is installed.
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), str(path)], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_example_finds_good_statements_clean(tmp_path: Path) -> None:
    for lines, words in (
        (LINES, "Clean: 15 transfers, ends at -36.999999 USD available\n"),
        (MIDDLE, "Clean: 4 transfers, ends at "),
        (asyncio.run(_exported(merchant_id=BEN)), "Clean: 0 transfers, ends at 0.00 USD available\n"),
    ):
        done = _run_script(tmp_path, lines)
        assert (0, "") == (done.returncode, done.stderr)
        assert done.stdout.startswith(words), done.stdout


MEANS_THE_SAME: Final = {
    *("spaces", "line ends", "a field twice", "a line without end", "a header's spaces", "the trailer's spaces"),
    *("an amount in another form", "a value of another type", "a header's amount", "a time in another zone"),
    *("a text that is empty, not absent", "the trailer's type"),
}
NOT_READ: Final = {"an id", "no currency"}
"""What the example takes: it reads what a line means, not how it is written, and no `transferId`."""


@pytest.mark.parametrize("currency", ["BGN", "HRK", "ANG", "SLL", "ZWL", "XAU", "X" * 3])
def test_a_statement_verifies_for_ever_whatever_became_of_its_currency(tmp_path: Path, currency: str) -> None:
    """Codes are withdrawn, and some that new merchants are refused were taken once."""
    lines = list(LINES)
    _change(1, currency=currency)(lines)
    _change(len(lines), currency=currency)(lines)
    report = _check(lines)
    assert ([], currency) == (_told(report), report.ending and report.ending.currency)
    done = _run_script(tmp_path, lines)
    assert (0, "") == (done.returncode, done.stderr)
    assert f" {currency} available" in done.stdout


def test_the_example_finds_every_forgery_that_changes_a_meaning(tmp_path: Path) -> None:
    path = tmp_path / "statement.jsonl"
    missed = set()
    for name, forge, _ in FORGERIES:
        lines = list(LINES)
        forge(lines)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
        try:
            offline.verify(str(path))
        except offline.NotClean:
            continue
        missed.add(name)
    assert MEANS_THE_SAME | NOT_READ >= missed, missed - MEANS_THE_SAME - NOT_READ


@pytest.mark.parametrize("name", ["a smaller amount", "swapped lines", "the trailer dropped", "the header dropped"])
def test_the_example_tells_a_forgery_in_one_line(tmp_path: Path, name: str) -> None:
    lines = list(LINES)
    next(forge for known, forge, _ in FORGERIES if known == name)(lines)
    done = _run_script(tmp_path, lines)
    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n")), done.stderr


def test_a_csv_has_the_same_columns() -> None:
    async def export() -> str:
        store = memory_stores()
        await keep_book(store)
        pieces = await Statements(store).export_csv(ANN, Selection())
        return b"".join([piece async for piece in pieces]).decode()

    rows = list(csv.reader(io.StringIO(asyncio.run(export()))))
    assert [*json.loads(LINES[1]), *LATER_FIELDS, "givenAmount"] == rows[0]
    assert len(rows) == TRANSFERS + 1
