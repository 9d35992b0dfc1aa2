"""Charges in bulk: each is answered as its single twin would be, in order, and none can spoil the others.

Both forms, the JSON array and the lines, are held against charges sent one by one to another merchant's book.
"""

import asyncio
import json
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.http.limits import HttpLimits
from farebox.service import parsing
from farebox.service.ledger.committer import Committer, CommitterLimits
from farebox.service.ledger.operations import ROOM_PAUSES, Operations
from farebox.service.operator.verifier import Verifier
from farebox.service.people import api_keys
from farebox.storage.interface import StoreUnavailable
from tests.support.app_client import JSON, NDJSON, AppClient, Headers, Reply, open_client
from tests.support.effort import examples
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

BATCH: Final = "/api/charges/batch"
BODY_BYTES_MAX: Final = 64 * 1024
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
LINES: Final[Headers] = [("content-type", NDJSON)]
OUTCOME_NAMES: Final = ["isSuccess", "statusCode", "errorCode", "errorMessage", "isReplay", "data"]

_numbers = iter(range(10**9))


def _charge(seeds: Seeds, **fields: object) -> dict[str, object]:
    return {"merchant": seeds.merchant, "type": "image", "idempotencyKey": f"key-{next(_numbers)}", **fields}


def _bytes(item: object) -> bytes:
    return item if isinstance(item, bytes) else json.dumps(item).encode()


def _body(items: Iterable[object]) -> bytes:
    return b'{"charges":[%b]}' % b",".join(_bytes(item) for item in items)


async def _send(client: AppClient, seeds: Seeds, items: Iterable[object]) -> list[dict[str, Any]]:
    reply = await client.post(BATCH, seeds.service_key, _body(items))
    assert 200 == reply.status, reply
    assert ["outcomes"] == list(reply.data)
    return _checked(reply.data["outcomes"])


async def _send_lines(
    client: AppClient, seeds: Seeds, *chunks: bytes, is_cut_short: bool = False
) -> list[dict[str, Any]]:
    reply = await client.send(
        "POST", BATCH, key=seeds.service_key, headers=LINES, body=list(chunks), is_cut_short=is_cut_short
    )
    assert (200, NDJSON) == (reply.status, reply.header("content-type"))
    assert "no-store" == reply.header("cache-control")
    assert reply.body == b"" or reply.body.endswith(b"\n")
    return _checked([json.loads(line) for line in reply.body.splitlines()])


def _checked(outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for outcome in outcomes:
        assert OUTCOME_NAMES == list(outcome)
        is_success = outcome["statusCode"] == 200
        assert is_success is outcome["isSuccess"] is (outcome["data"] is not None)
        assert is_success is (outcome["errorCode"] is None) is (outcome["errorMessage"] is None)
    return outcomes


def _outcome(reply: Reply) -> dict[str, Any]:
    """Write a single charge's answer as a batch tells it."""
    envelope = reply.json()
    return {
        "isSuccess": envelope["isSuccess"],
        "statusCode": envelope["statusCode"],
        "errorCode": reply.code,
        "errorMessage": envelope["errorMessage"],
        "isReplay": reply.header("idempotent-replay") == "true",
        "data": envelope["data"],
    }


def _codes(outcomes: Sequence[dict[str, Any]]) -> list[tuple[int, str | None]]:
    return [(outcome["statusCode"], outcome["errorCode"]) for outcome in outcomes]


async def _balance(client: AppClient, seeds: Seeds) -> str:
    return str((await client.get("/api/balance", seeds.merchant_key)).data)


# As their single twins

_keys = st.sampled_from([f"k{number}" for number in range(6)])
_good = st.fixed_dictionaries(
    {"merchant": st.sampled_from(["@", "#"]), "type": st.just("image"), "idempotencyKey": _keys},
    optional={
        "quantity": st.sampled_from([1, 2, 300]),
        "reference": st.sampled_from(["R", None, "é"]),
        "amount": st.none(),
    },
)
_refused = st.sampled_from(
    [
        {"merchant": "nobody", "type": "image", "idempotencyKey": "r0"},
        {"merchant": "mer_0000000000000", "type": "image", "idempotencyKey": "r0"},
        {"merchant": "@", "type": "video", "idempotencyKey": "r1"},
        {"merchant": "@", "type": "call", "idempotencyKey": "k1"},
        {"merchant": "@", "type": "call", "amount": "2.5", "idempotencyKey": "k2"},
        {"merchant": "@", "type": "call", "amount": "0", "idempotencyKey": "k2"},
        {"merchant": "@", "type": "image", "amount": "1", "idempotencyKey": "r2"},
        {"merchant": "@", "type": "image", "quantity": 1_000_000, "idempotencyKey": "r3"},
        {"merchant": "@", "type": "image", "quantity": 0, "idempotencyKey": "r3"},
        {"merchant": "@", "type": "image", "idempotencyKey": "a b"},
    ]
)
_malformed = st.sampled_from(
    [
        *(b"5", b"null", b"true", b'"image"', b"[]", b"[{}]", b"{}", b"-1.5e3", b'{"colour":"red"}'),
        b'{"merchant":"@","type":"image","idempotencyKey":5}',
        b'{"merchant":"@","type":"image","idempotencyKey":"k0","quantity":"1"}',
        b'{"merchant":"@","type":"image","idempotencyKey":"k0","quantity":1.5}',
        b'{"merchant":"@","type":"image","idempotencyKey":"k0","type":"call"}',
        b'{"merchant":"@","type":"image","idempotencyKey":"k0","amount":"1","\\u0061mount":null}',
        b'{ "merchant" : "@" , "type" : "image" , "idempotencyKey" : "k3" }',
    ]
)
_no_json = st.sampled_from(
    [
        b'{"merchant":"\\ud800"}',
        b"{",
        b"image",
        b"{}}",
        b"'",
        b"[1,",
        b"\xff",
        b'{"merchant":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"NaN",
        b"{},{}",
    ]
)
_items = _good.map(_bytes) | _refused.map(_bytes) | _malformed


def _of(seeds: Seeds, items: Iterable[bytes]) -> list[bytes]:
    """Name the merchant in items that leave it open."""
    named = [item.replace(b'"@"', _bytes(seeds.merchant)) for item in items]
    return [item.replace(b'"#"', _bytes(seeds.merchant_key)) for item in named]


def _alike(seeds: Seeds, outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """Write outcomes so that they are the same for every merchant: ids then differ by their place in the book alone."""
    digits = seeds.merchant.removeprefix(ids.MERCHANT)
    return [json.dumps(outcome).replace(digits, "@") for outcome in outcomes]


async def _one_by_one(client: AppClient, seeds: Seeds, items: Iterable[bytes]) -> list[dict[str, Any]]:
    return [_outcome(await client.post("/api/charges", seeds.service_key, item)) for item in _of(seeds, items)]


@examples(40)
@given(items=st.lists(_items, min_size=1, max_size=16))
async def test_each_of_a_batch_is_answered_as_if_it_came_alone(
    farebox: Farebox, client: AppClient, items: list[bytes]
) -> None:
    one, other = await seed(farebox, balance="5"), await seed(farebox, balance="5")
    # Twice: the second time, what went through is told again.
    for _ in range(2):
        together = await _send(client, one, _of(one, items))
        alone = await _one_by_one(client, other, items)
        assert _alike(other, alone) == _alike(one, together)
    assert await _balance(client, other) == await _balance(client, one)


@st.composite
def _cut_lines(draw: st.DrawFn) -> tuple[list[bytes], list[int], list[bytes], bool]:
    items = draw(st.lists(_items | _no_json, min_size=1, max_size=16))
    ends = [draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \t\r\n"])) for _ in items]
    return items, draw(st.lists(st.integers(0, 3000), max_size=12)), ends, draw(st.booleans())


@examples(40)
@given(cut_lines=_cut_lines())
async def test_each_line_is_answered_as_if_it_came_alone_however_lines_are_cut_and_ended(
    farebox: Farebox, client: AppClient, cut_lines: tuple[list[bytes], list[int], list[bytes], bool]
) -> None:
    items, cuts, ends, is_last_ended = cut_lines
    one, other = await seed(farebox, balance="5"), await seed(farebox, balance="5")
    if not is_last_ended:
        ends = [*ends[:-1], b""]
    body = b"".join(item + end for item, end in zip(_of(one, items), ends, strict=True))
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(places)]
    together = await _send_lines(client, one, *chunks)
    assert _alike(other, await _one_by_one(client, other, items)) == _alike(one, together)
    assert await _balance(client, other) == await _balance(client, one)


async def test_outcomes_are_in_the_order_of_the_charges(farebox: Farebox, client: AppClient) -> None:
    one, other = await seed(farebox), await seed(farebox, balance=None)
    items = [_charge(one), _charge(other), b"5", _charge(one, quantity=2), _charge(one, type="video"), _charge(one)]
    outcomes = await _send(client, one, items)
    codes = [
        *((200, None), (402, "insufficient_balance"), (400, "malformed_request")),
        *((200, None), (422, "unknown_type"), (200, None)),
    ]
    assert codes == _codes(outcomes)
    assert ["0.01", "0.02", "0.01"] == [outcome["data"]["cost"] for outcome in outcomes if outcome["data"]]
    assert ["99.99", "99.97", "99.96"] == [outcome["data"]["available"] for outcome in outcomes if outcome["data"]]
    assert "99.96" == await _balance(client, one)


async def test_trouble_with_the_database_is_told_of_each_charge(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await seed(farebox)
    items = [_charge(seeds), b"5", _charge(seeds)]

    async def fail(*_: object) -> None:
        raise StoreUnavailable("could not connect to db.internal")

    with monkeypatch.context() as patch:
        patch.setattr(farebox.stores.connector, "transact", fail)
        outcomes = await _send(client, seeds, items)
        alone = [_outcome(await client.post("/api/charges", seeds.service_key, _bytes(item))) for item in items]
    assert alone == outcomes
    assert [(503, "unavailable"), (400, "malformed_request"), (503, "unavailable")] == _codes(outcomes)
    assert [200, 400, 200] == [outcome["statusCode"] for outcome in await _send(client, seeds, items)]


# How many


async def test_batch_takes_one_to_ten_thousand_charges_and_again_moves_nothing_more(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox, balance="1000")
    items = [_charge(seeds, merchant=seeds.merchant_key) for _ in range(10_000)]
    for wrong in ([], [*items, _charge(seeds)]):
        reply = await client.post(BATCH, seeds.service_key, _body(wrong))
        assert (422, "invalid_value") == (reply.status, reply.code)
        assert reply.message.startswith("charges: ")
    assert "1000.00" == await _balance(client, seeds)
    (only,) = await _send(client, seeds, items[:1])
    assert "999.99" == only["data"]["available"]
    first = await _send(client, seeds, items)
    again = await _send(client, seeds, items)
    assert [True] + [False] * 9_999 == [outcome["isReplay"] for outcome in first]
    assert [True] * 10_000 == [outcome["isReplay"] for outcome in again]
    assert [outcome["data"] for outcome in first] == [outcome["data"] for outcome in again]
    places = [parsing.parse_book_id(ids.TRANSFER, outcome["data"]["transferId"])[1] for outcome in first]
    assert list(range(2, 10_002)) == places
    assert "900.00" == await _balance(client, seeds)
    assert [] == [fault async for fault in Verifier(farebox.stores.connector).faults(seeds.merchant_id)]


async def test_same_charge_twice_in_a_batch_is_one_charge(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    item = _charge(seeds)
    first, second, other = await _send(client, seeds, [item, item, {**item, "quantity": 2}])
    assert ({**first, "isReplay": True}, "idempotency_conflict") == (second, other["errorCode"])
    assert "99.99" == await _balance(client, seeds)


# The whole


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "JSON"),
        (b"[]", 400, "object"),
        (b"[{}]", 400, "object"),
        (b"null", 400, "object"),
        (b"{}", 400, "`charges`"),
        (b'{"charges":', 400, "JSON"),
        (b'{"charges":[{}', 400, "JSON"),
        (b'{"charges":[{},]}', 400, "JSON"),
        (b'{"charges":[{}]}}', 400, "JSON"),
        (b'{"charges":[{}]}{"charges":[{}]}', 400, "JSON"),
        (b'{"charges":[@],"atomic":true}', 400, "`atomic`"),
        (b'{"atomic":true,"charges":[@]}', 400, "`atomic`"),
        (b'{"Charges":[@]}', 400, "`Charges`"),
        (b'{"charges":[@],"charges":[{}]}', 400, "'charges'"),
        (b'{"charges":[{}],"charges":[@]}', 400, "'charges'"),
        (b'{"charges":[{}] , "\\u0063harges" : [@] }', 400, "'charges'"),
        (b'{"charges":[@],"charges":[@]}', 400, "'charges'"),
        (b'{"charges":5,"charges":[@]}', 400, "'charges'"),
        (b'{"charges":' + b"[" * 60_000, 400, "JSON"),
        (b'{"charges":null}', 422, "charges: "),
        (b'{"charges":5}', 422, "charges: "),
        (b'{"charges":"[]"}', 422, "charges: "),
        (b'{"charges":{}}', 422, "charges: "),
        (b'{"charges":@}', 422, "charges: "),
        (b'{"charges":[ ]}', 422, "charges: "),
    ],
)
async def test_what_is_no_batch_is_refused_as_a_whole(
    farebox: Farebox, client: AppClient, body: bytes, status: int, word: str
) -> None:
    seeds = await seed(farebox)
    reply = await client.post(BATCH, seeds.service_key, body.replace(b"@", _bytes(_charge(seeds))))
    assert (status, "invalid_value" if status == 422 else "malformed_request") == (reply.status, reply.code)
    assert word in reply.message
    assert "100.00" == await _balance(client, seeds)


@pytest.mark.parametrize("body", [b' {\n"charges"\t:\r\n [ @ , @ ] } \n', b'{"\\u0063harges":[@,@]}'])
async def test_batch_may_be_written_as_json_may(farebox: Farebox, client: AppClient, body: bytes) -> None:
    seeds = await seed(farebox)
    reply = await client.post(BATCH, seeds.service_key, body.replace(b"@", _bytes(_charge(seeds, reference="a:]}"))))
    assert [(200, None)] * 2 == _codes(reply.data["outcomes"])
    assert "99.99" == await _balance(client, seeds)


async def test_batch_beyond_its_size_is_a_413(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    body = _body([_charge(seeds)])
    padded = body + b" " * (BATCH_BYTES_MAX + 1 - len(body))
    length = ("content-length", str(BATCH_BYTES_MAX + 1))
    for reply in (
        await client.post(BATCH, seeds.service_key, padded),
        await client.send("POST", BATCH, key=seeds.service_key, body=[padded[: 10**7], padded[10**7 :], b""]),
        await client.send("POST", BATCH, key=seeds.service_key, headers=[JSON, length]),
    ):
        assert (413, "payload_too_large") == (reply.status, reply.code)
    assert "100.00" == await _balance(client, seeds)
    assert 200 == (await client.post(BATCH, seeds.service_key, padded[:-1])).status


async def test_charge_too_long_to_come_alone_is_refused_alone(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    item = _bytes(_charge(seeds))
    longest = item[:-1] + b" " * (BODY_BYTES_MAX - len(item)) + b"}"
    too_long = b" ".join([item[:-1], b" " * (BODY_BYTES_MAX - len(item)) + b"}"])
    items = [_bytes(_charge(seeds)), too_long, longest]
    assert [len(item) for item in items[1:]] == [BODY_BYTES_MAX + 1, BODY_BYTES_MAX]
    codes = [(200, None), (413, "payload_too_large"), (200, None)]
    assert codes == _codes(await _send(client, seeds, items))
    assert codes == _codes([_outcome(await client.post("/api/charges", seeds.service_key, item)) for item in items])
    assert "99.98" == await _balance(client, seeds)


@pytest.mark.parametrize("content_type", ["application/json", NDJSON])
async def test_services_alone_charge_in_bulk(farebox: Farebox, client: AppClient, content_type: str) -> None:
    seeds = await seed(farebox)
    revoked = await farebox.services.merchants.create_key(KeyKind.SERVICE, name="recognition")
    await farebox.services.merchants.revoke_key(revoked.key.key_id)
    for key, status, code in (
        *[(key, 403, "forbidden") for key in (seeds.merchant_key, seeds.support_key)],
        *[(key, 401, "invalid_api_key") for key in (None, "x", revoked.text, api_keys.make_key(KeyKind.SERVICE))],
    ):
        for body in (_body([_charge(seeds)]), _bytes(_charge(seeds)), b"{"):
            reply = await client.post(BATCH, key, body, [("content-type", content_type)])
            assert (status, code) == (reply.status, reply.code)
    assert "100.00" == await _balance(client, seeds)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/ndjson", "application/jsonl", "application/x-json"]
)
async def test_other_content_type_is_a_415(farebox: Farebox, client: AppClient, content_type: str) -> None:
    seeds = await seed(farebox)
    reply = await client.post(BATCH, seeds.service_key, _body([_charge(seeds)]), [("content-type", content_type)])
    assert (415, "unsupported_media_type") == (reply.status, reply.code)


@pytest.mark.parametrize("content_type", ["Application/X-NDJSON", "application/x-ndjson; charset=utf-8"])
async def test_lines_go_by_their_content_type_however_it_is_written(
    farebox: Farebox, client: AppClient, content_type: str
) -> None:
    seeds = await seed(farebox)
    reply = await client.post(BATCH, seeds.service_key, _bytes(_charge(seeds)), [("content-type", content_type)])
    assert (200, NDJSON) == (reply.status, reply.header("content-type"))


# Lines


@pytest.mark.parametrize("body", [[], [b""], [b"\n"], [b"\r\n", b" \n\t\n"]])
async def test_no_lines_have_no_outcomes(farebox: Farebox, client: AppClient, body: list[bytes]) -> None:
    assert [] == await _send_lines(client, await seed(farebox), *(body or [b""]))


@pytest.mark.parametrize("chunk_bytes", [10_000, 65_536, 10**6])
async def test_line_too_long_is_refused_in_its_place(farebox: Farebox, client: AppClient, chunk_bytes: int) -> None:
    seeds = await seed(farebox)
    item = _bytes(_charge(seeds))
    padding = b" " * (BODY_BYTES_MAX - len(item))
    long_ = [item + padding + b" ", padding * 3 + item, b" " * 200_000, b"x" * 300_000]
    lines = [_bytes(_charge(seeds)), *long_, item + padding, _bytes(_charge(seeds))]
    body = b"\n".join(lines)
    chunks = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]
    codes = [(200, None), *[(413, "payload_too_large")] * 4, (200, None), (200, None)]
    assert codes == _codes(await _send_lines(client, seeds, *chunks))
    assert "99.97" == await _balance(client, seeds)


@pytest.mark.parametrize("count", [3, 1_000, 2_500])
async def test_lines_that_came_whole_before_the_caller_went_away_are_charged_once(
    farebox: Farebox, client: AppClient, count: int
) -> None:
    seeds = await seed(farebox)
    lines = [_bytes(_charge(seeds)) + b"\n" for _ in range(count + 100)]
    sent = b"".join(lines[:count]) + lines[count][:-10]
    chunks = [sent[start : start + 20_000] for start in range(0, len(sent), 20_000)]
    await _send_lines(client, seeds, *chunks, is_cut_short=True)
    assert Decimal(100) - count * Decimal("0.01") == Decimal(await _balance(client, seeds))
    # Back again, it sends everything anew.
    outcomes = await _send_lines(client, seeds, b"".join(lines))
    assert [True] * count + [False] * 100 == [outcome["isReplay"] for outcome in outcomes]
    assert Decimal(99) - count * Decimal("0.01") == Decimal(await _balance(client, seeds))


async def test_caller_of_a_batch_that_goes_away_within_its_body_moves_nothing(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox)
    body = _body([_charge(seeds)])
    for pieces in ([], [body[:50]], [body]):
        reply = await client.send("POST", BATCH, key=seeds.service_key, headers=[JSON], body=pieces, is_cut_short=True)
        assert (400, "malformed_request") == (reply.status, reply.code)
    assert "100.00" == await _balance(client, seeds)


async def test_lines_beyond_a_connections_number_are_not_read(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    client = await open_client(farebox, http_limits=HttpLimits(lines=2_000))
    body = b"".join(_bytes(_charge(seeds)) + b"\n" for _ in range(2_500))
    outcomes = await _send_lines(client, seeds, body)
    assert [(200, None)] * 2_000 + [(413, "payload_too_large")] == _codes(outcomes)
    assert "80.00" == await _balance(client, seeds)


async def test_crash_among_lines_leaves_no_file_open(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = await seed(farebox)
    files, make_file = [], tempfile.SpooledTemporaryFile

    def note_file(**options: Any) -> Any:
        files.append(make_file(**options))
        return files[-1]

    async def crash(*_: object) -> None:
        raise ZeroDivisionError("in line 42")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", note_file)
    lines = _bytes(_charge(seeds))
    assert [(200, None)] == _codes(await _send_lines(client, seeds, lines))
    monkeypatch.setattr(farebox.committer, "submit_all", crash)
    reply = await client.send("POST", BATCH, key=seeds.service_key, headers=LINES, body=lines)
    assert (500, "internal_error", "Internal server error") == (reply.status, reply.code, reply.message)
    assert "in line 42" in caplog.text
    assert [True, True] == [file.closed for file in files]


async def _stream(client: AppClient, seeds: Seeds, lines: Iterator[bytes]) -> int:
    """Send lines without end, take what comes back and keep neither; return how many outcomes were successes."""
    successes = 0

    async def receive() -> Any:
        piece = b"".join(islice(lines, 100))
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def send(message: Any) -> None:
        nonlocal successes
        successes += message.get("body", b"").count(b'"isSuccess":true')

    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": BATCH,
        "raw_path": BATCH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"x-api-key", seeds.service_key.encode()), (b"content-type", NDJSON.encode())],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
    }
    await client._app(scope, receive, send)
    return successes


async def test_memory_does_not_grow_with_the_number_of_lines(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="1000")
    peaks = []
    for count in (5_000, 20_000):
        lines = (_bytes(_charge(seeds)) + b"\n" for _ in range(count))
        tracemalloc.start()
        try:
            # A piece of the answer may be cut within the words that are counted.
            assert count - 100 < await _stream(client, seeds, lines) <= count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # The further lines have 2 megabytes, and their outcomes 3.
    assert peaks[1] - peaks[0] < 500_000, peaks
    assert "750.00" == await _balance(client, seeds)


# Overload


@asynccontextmanager
async def _narrow(
    farebox: Farebox, queue_commands_max: int, room_pauses: Sequence[float] = ROOM_PAUSES
) -> AsyncIterator[tuple[Committer, AppClient]]:
    """Make a client over the same ledger whose committer has a short queue, and has not begun to work."""
    limits = CommitterLimits(queue_commands_max=queue_commands_max)
    committer = Committer(farebox.stores.connector, farebox.clock, limits=limits)
    narrow = msgspec.structs.replace(
        farebox,
        committer=committer,
        services=msgspec.structs.replace(
            farebox.services,
            operations=Operations(committer, farebox.clock, farebox.stores.prices, room_pauses=room_pauses),
        ),
    )
    try:
        yield committer, await open_client(narrow)
    finally:
        await committer.close()


async def _waiting(committer: Committer, client: AppClient, seeds: Seeds, count: int) -> asyncio.Task[Reply]:
    """Send a batch that waits in the committer's queue."""
    tasks = [asyncio.create_task(client.post(BATCH, seeds.service_key, _body([_charge(seeds) for _ in range(count)])))]
    while committer.waiting_count < count:
        await asyncio.sleep(0.001)
    return tasks[0]


async def test_batch_without_room_is_a_503_as_a_whole_and_what_was_accepted_is_charged(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    async with _narrow(farebox, 1_000) as (committer, client):
        bodies = [_body([_charge(seeds) for _ in range(400)]) for _ in range(5)]
        tasks = [asyncio.create_task(client.post(BATCH, seeds.service_key, body)) for body in bodies]
        while sum(task.done() for task in tasks) < 3:
            await asyncio.sleep(0.001)
        assert 800 == committer.waiting_count
        await committer.start()
        replies = [await task for task in tasks]
        assert [200] * 2 + [503] * 3 == sorted(reply.status for reply in replies)
        assert {"overloaded"} == {reply.code for reply in replies if reply.status == 503}
        assert "92.00" == await _balance(client, seeds)
        for body, reply in zip(bodies, replies, strict=True):
            again = await client.post(BATCH, seeds.service_key, body)
            assert {reply.status == 200} == {outcome["isReplay"] for outcome in again.data["outcomes"]}
        assert "80.00" == await _balance(client, seeds)


async def test_lines_wait_until_there_is_room(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    async with _narrow(farebox, 1_000) as (committer, client):
        whole = await _waiting(committer, client, seeds, 800)
        body = b"\n".join(_bytes(_charge(seeds)) for _ in range(500))
        lines = asyncio.create_task(_send_lines(client, seeds, body))
        await asyncio.sleep(0.1)
        assert (800, False) == (committer.waiting_count, lines.done())
        await committer.start()
        assert [(200, None)] * 500 == _codes(await lines)
        assert 200 == (await whole).status
        assert "87.00" == await _balance(client, seeds)


async def test_lines_that_waited_in_vain_are_refused_each_and_charged_none(
    farebox: Farebox,
) -> None:
    seeds = await seed(farebox)
    async with _narrow(farebox, 1_000, room_pauses=(0.001, 0.001)) as (committer, client):
        whole = await _waiting(committer, client, seeds, 999)
        body = b"\n".join([_bytes(_charge(seeds)), b"5", _bytes(_charge(seeds))])
        refused = [(503, "overloaded"), (400, "malformed_request"), (503, "overloaded")]
        assert refused == _codes(await _send_lines(client, seeds, body))
        assert 999 == committer.waiting_count
        await committer.start()
        assert 200 == (await whole).status
        assert "90.01" == await _balance(client, seeds)
        assert [200, 400, 200] == [outcome["statusCode"] for outcome in await _send_lines(client, seeds, body)]
