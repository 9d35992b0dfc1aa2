"""The statement over HTTP: pages, filters, downloads that verify, and refusals that come before the first byte."""

import csv
import io
import json
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.people.api_keys import Principal
from farebox.service.statements.check import check_statement
from farebox.service.statements.lines import KINDS
from farebox.service.statements.reader import PAGE_TRANSFERS_MAX
from farebox.web.schemas.spending import ChargeRequest
from tests.support import plain_http
from tests.support.app_client import CSV, NDJSON, AppClient, Reply
from tests.support.server import Seeds, Server, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE: Final = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://evil.example","x")']
PATHS: Final = ["merchant", "support"]
FAR: Final = "2199-01-01T00:00:00Z"
LONG_AGO: Final = "2001-01-01T00:00:00Z"


async def _keep_book(farebox: Farebox) -> Seeds:
    """Give a new merchant ten transfers: a top-up, three charges, the hostile top-ups, and an adjustment."""
    seeds = await seed(farebox, balance="100")
    operations = farebox.services.operations
    for number in range(3):
        outcome = await operations.charge(
            ChargeRequest(seeds.merchant, "image", f"k{number}", quantity=number + 1), caller=None
        )
        assert outcome.is_ok
    for text in HOSTILE:
        assert (await operations.top_up(seeds.merchant_id, amount="1", reference=text, note=text, principal=None)).is_ok
    principal = Principal("ann", roles=EVERY_ROLE)
    outcome = await operations.adjust(
        seeds.merchant_id, amount="-2", reference="A-1", reason="mistake", principal=principal
    )
    assert outcome.is_ok
    return seeds


async def _ask(client: AppClient, seeds: Seeds, who: str = "merchant", **query: str | int) -> Reply:
    """Ask for the statement with the merchant's key, or with support's."""
    words = f"?{urlencode(query)}" if query else ""
    if who == "merchant":
        return await client.get(f"/api/transfers{words}", seeds.merchant_key)
    return await client.get(f"/api/admin/merchants/{seeds.merchant}/transfers{words}", seeds.support_key)


def _seqs(reply: Reply) -> list[int]:
    assert 200 == reply.status, reply
    return [item["seq"] for item in reply.data["transfers"]]


@pytest.mark.parametrize("who", PATHS)
async def test_a_statement_is_the_newest_transfers_first(farebox: Farebox, client: AppClient, who: str) -> None:
    seeds = await _keep_book(farebox)
    reply = await _ask(client, seeds, who)
    assert [*range(10, 0, -1)] == _seqs(reply)
    assert reply.data["nextCursor"] is None
    charge = reply.data["transfers"][8]
    told = {name: charge[name] for name in charge if name not in ("committedAt", "priceId", "fingerprint", "hash")}
    assert {
        "transferId": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=2),
        "seq": 2,
        "kind": "charge",
        "debit": "wallet",
        "credit": "revenue",
        "amount": "0.01",
        "availableBefore": "100.00",
        "availableAfter": "99.99",
        "heldBefore": "0.00",
        "heldAfter": "0.00",
        "type": "image",
        "quantity": 1,
        "unitPrice": "0.01",
        "reference": None,
        "note": None,
        "refersTo": None,
        "idempotencyKey": "k0",
    } == told


@pytest.mark.parametrize("who", PATHS)
@pytest.mark.parametrize("limit", [1, 3, 10, 11])
async def test_pages_follow_one_another(farebox: Farebox, client: AppClient, who: str, limit: int) -> None:
    seeds = await _keep_book(farebox)
    found: list[int] = []
    query: dict[str, str | int] = {"limit": limit}
    while True:
        reply = await _ask(client, seeds, who, **query)
        found += _seqs(reply)
        if reply.data["nextCursor"] is None:
            break
        assert limit == len(_seqs(reply))
        query["cursor"] = reply.data["nextCursor"]
        # A transfer that comes between two pages is on no later one.
        await farebox.services.operations.top_up(
            seeds.merchant_id, amount="1", reference=f"{limit} {len(found)}", note=None, principal=None
        )
    assert [*range(10, 0, -1)] == found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"kind": "charge"}, [4, 3, 2]),
        ({"kind": "top_up"}, [9, 8, 7, 6, 5, 1]),
        ({"kind": "adjustment"}, [10]),
        ({"kind": "refund"}, []),
        ({"type": "image"}, [4, 3, 2]),
        ({"type": "scan"}, []),
        ({"reference": "INV-1"}, [1]),
        ({"reference": "=1+1"}, [5]),
        # Words that mean nothing elsewhere are texts here.
        ({"reference": "null"}, []),
        ({"type": "null"}, []),
        ({"kind": "top_up", "reference": "A-1"}, []),
        ({"kind": "charge", "type": "image", "from": LONG_AGO, "to": FAR}, [4, 3, 2]),
        ({"from": FAR}, []),
        ({"to": LONG_AGO}, []),
    ],
)
async def test_filters_leave_what_agrees_with_all_of_them(
    farebox: Farebox, client: AppClient, query: dict[str, str], expected: list[int]
) -> None:
    seeds = await _keep_book(farebox)
    for who in PATHS:
        assert expected == _seqs(await _ask(client, seeds, who, **query))
    sheet = _sheet(await _ask(client, seeds, format="csv", **query))
    assert expected[::-1] == [int(row["seq"]) for row in sheet]


async def test_times_are_from_inclusive_to_exclusive(farebox: Farebox, client: AppClient) -> None:
    seeds = await _keep_book(farebox)
    times = {item["seq"]: item["committedAt"] for item in (await _ask(client, seeds)).data["transfers"]}
    query = {"from": times[3], "to": times[6]}
    expected = [seq for seq, at in times.items() if times[3] <= at < times[6]]
    assert expected == _seqs(await _ask(client, seeds, **query))
    lines = await _ask(client, seeds, format="jsonl", **query)
    report = check_statement(io.BytesIO(lines.body))
    assert ([], expected[-1], expected[0]) == (report.faults, report.first_seq, report.ending and report.ending.seq)


def _sheet(reply: Reply) -> list[dict[str, str]]:
    assert (200, CSV) == (reply.status, reply.header("content-type"))
    return list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))


@pytest.mark.parametrize("who", PATHS)
async def test_a_csv_is_a_file_in_which_no_text_is_a_formula(farebox: Farebox, client: AppClient, who: str) -> None:
    seeds = await _keep_book(farebox)
    reply = await _ask(client, seeds, who, format="csv")
    assert f'attachment; filename="{seeds.merchant}.csv"' == reply.header("content-disposition")
    assert ("no-store", "nosniff") == (reply.header("cache-control"), reply.header("x-content-type-options"))
    sheet = _sheet(reply)
    assert [f"'{text}" for text in HOSTILE] == [row["reference"] for row in sheet[4:9]]
    assert [f"'{text}" for text in HOSTILE] == [row["note"] for row in sheet[4:9]]
    page = (await _ask(client, seeds, who)).data["transfers"]
    assert [*page[0], "pricing", "given", "uncollected", "keyId", "givenAmount"] == list(sheet[0])
    assert [item["hash"] for item in page][::-1] == [row["hash"] for row in sheet]


@pytest.mark.parametrize("who", PATHS)
async def test_json_lines_are_a_file_that_verifies(farebox: Farebox, client: AppClient, who: str) -> None:
    seeds = await _keep_book(farebox)
    reply = await _ask(client, seeds, who, format="jsonl")
    assert (200, NDJSON) == (reply.status, reply.header("content-type"))
    assert f'attachment; filename="{seeds.merchant}.jsonl"' == reply.header("content-disposition")
    report = check_statement(io.BytesIO(reply.body))
    assert ([], 10) == (report.faults, report.transfers_count)
    assert report.ending is not None
    assert 102_940_000 == report.ending.available
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert (await _ask(client, seeds, who)).data["transfers"] == lines[-2:0:-1]
    assert "102.94" == (await client.get("/api/balance", seeds.merchant_key)).data == lines[-1]["available"]


REFUSALS: Final[list[tuple[dict[str, str | int], str]]] = [
    ({"from": "yesterday"}, "from: 'yesterday' is not a time"),
    ({"from": ""}, "from: '' is not a time"),
    ({"to": "2026-01-31"}, "to: '2026-01-31' is not a time"),
    ({"from": FAR, "to": LONG_AGO}, "to: the end is before the start"),
    ({"kind": "topup"}, f"kind: a kind is one of {', '.join(KINDS)}"),
    ({"kind": ""}, "kind: a kind is one of "),
    ({"type": "Image!"}, "type: a request type is "),
    ({"type": ""}, "type: a request type is "),
    ({"reference": ""}, "reference: this is empty; write one line "),
    ({"reference": "a\nb"}, "reference: this has a line break"),
]
OF_PAGES: Final[list[tuple[dict[str, str | int], str]]] = [
    ({"limit": 0}, "limit: Expected `int` >= 1"),
    ({"limit": -1}, "limit: Expected `int` >= 1"),
    ({"limit": PAGE_TRANSFERS_MAX + 1}, f"limit: Expected `int` <= {PAGE_TRANSFERS_MAX}"),
    ({"limit": "many"}, "limit: Expected `int`"),
    ({"limit": 10**30}, "limit: "),
    ({"cursor": ""}, "cursor: give the nextCursor of the page before, as it is"),
    ({"cursor": "nonsense"}, "cursor: give the nextCursor"),
    ({"cursor": "null"}, "cursor: give the nextCursor"),
    ({"cursor": "' OR 1=1 --"}, "cursor: give the nextCursor"),
    ({"cursor": "\x00" * 5000}, "cursor: give the nextCursor"),
    ({"cursor": ids.book_id(ids.TRANSFER, merchant_id=1, seq=1)}, "cursor: give the nextCursor"),
    ({"format": "xml"}, "format: Invalid enum value 'xml'"),
    ({"format": ""}, "format: Invalid enum value ''"),
]
OF_DOWNLOADS: Final[list[tuple[dict[str, str | int], str]]] = [
    ({"format": "csv", "limit": 5}, "limit: format=csv gives all at once, without pages"),
    ({"format": "jsonl", "limit": 5}, "limit: format=jsonl gives all at once, without pages"),
    ({"format": "csv", "cursor": "x"}, "cursor: format=csv gives all at once, without pages"),
    ({"format": "jsonl", "kind": "charge"}, "kind: format=jsonl is a whole stretch of the book, or it could not be "),
    ({"format": "jsonl", "type": "image"}, "type: format=jsonl is a whole stretch of the book"),
    ({"format": "jsonl", "reference": "R"}, "reference: format=jsonl is a whole stretch of the book"),
    *(({**query, "format": "csv"}, message) for query, message in REFUSALS),
    *(({**query, "format": "jsonl"}, message) for query, message in REFUSALS[:4]),
]


@pytest.mark.parametrize(("query", "message"), [*REFUSALS, *OF_PAGES, *OF_DOWNLOADS])
async def test_what_makes_no_sense_is_refused_by_name(
    client: AppClient, seeds: Seeds, query: dict[str, str | int], message: str
) -> None:
    for who in PATHS:
        reply = await _ask(client, seeds, who, **query)
        assert (422, "invalid_value") == (reply.status, reply.code)
        assert reply.message.startswith(message), reply.message


@pytest.mark.parametrize("query", ["?colour=red", "?limit=1&limit=2", "?kind=charge&kind=refund", "?from=%ff"])
async def test_what_is_no_such_query_is_malformed(client: AppClient, seeds: Seeds, query: str) -> None:
    reply = await client.get(f"/api/transfers{query}", seeds.merchant_key)
    assert (400, "malformed_request") == (reply.status, reply.code)


@pytest.mark.parametrize("form", ["json", "csv", "jsonl"])
async def test_each_kind_of_key_reads_what_is_its_own(
    farebox: Farebox, client: AppClient, seeds: Seeds, form: str
) -> None:
    other = await _keep_book(farebox)
    admin = f"/api/admin/merchants/{other.merchant}/transfers?format={form}"
    for target, key, expected in (
        (f"/api/transfers?format={form}", None, (401, "invalid_api_key")),
        (f"/api/transfers?format={form}", "fbm_nonsense", (401, "invalid_api_key")),
        (f"/api/transfers?format={form}", other.service_key, (403, "forbidden")),
        (f"/api/transfers?format={form}", other.support_key, (403, "forbidden")),
        (admin, None, (401, "invalid_api_key")),
        (admin, other.merchant_key, (403, "forbidden")),
        (admin, seeds.merchant_key, (403, "forbidden")),
        (admin, other.service_key, (403, "forbidden")),
        (f"/api/admin/merchants/nobody/transfers?format={form}", other.support_key, (404, "merchant_not_found")),
        (
            f"/api/admin/merchants/mer_0000000000001/transfers?format={form}",
            *(other.support_key, (404, "merchant_not_found")),
        ),
    ):
        reply = await client.get(target, key)
        assert expected == (reply.status, reply.code), target
    # Another merchant's own statement has nothing of it, not even when it names a place in the other's book.
    reply = await _ask(client, seeds, format=form)
    assert 200 == reply.status
    assert other.merchant[4:] not in reply.body.decode()
    cursor = ids.book_id(ids.TRANSFER, merchant_id=other.merchant_id, seq=5)
    assert 422 == (await _ask(client, seeds, cursor=cursor)).status


async def test_a_frozen_merchant_still_reads(farebox: Farebox, client: AppClient) -> None:
    seeds = await _keep_book(farebox)
    await client.post(f"/api/admin/merchants/{seeds.merchant}/freeze", seeds.support_key, b"")
    for form in ("json", "csv", "jsonl"):
        assert 200 == (await _ask(client, seeds, format=form)).status


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_head_of_a_file_has_its_headers_alone(farebox: Farebox, client: AppClient, form: str) -> None:
    seeds = await seed(farebox)
    for target, key in (
        (f"/api/transfers?format={form}", seeds.merchant_key),
        (f"/api/admin/merchants/{seeds.merchant}/transfers?format={form}", seeds.support_key),
    ):
        reply = await client.send("HEAD", target, key=key)
        assert (200, b"") == (reply.status, reply.body)
        assert reply.header("content-disposition") is not None


async def test_another_origin_may_read_files_as_it_may_read_pages(cors_client: AppClient, seeds: Seeds) -> None:
    for form in ("json", "csv", "jsonl"):
        reply = await cors_client.get(
            f"/api/transfers?format={form}", seeds.merchant_key, [("origin", "https://shop.example")]
        )
        assert "https://shop.example" == reply.header("access-control-allow-origin")


async def test_pages_are_of_the_documented_shape(farebox: Farebox, client: AppClient) -> None:
    seeds = await _keep_book(farebox)
    document = client.document
    for path, who in (("/api/transfers", "merchant"), ("/api/admin/merchants/{merchant_id}/transfers", "support")):
        operation: dict[str, Any] = document["paths"][path]["get"]
        content = operation["responses"]["200"]["content"]
        assert {"application/json", CSV, NDJSON} == content.keys()
        validator = Draft202012Validator(
            {**content["application/json"]["schema"], "components": document["components"]}
        )
        validator.validate((await _ask(client, seeds, who)).json())
        parameters = {item["name"]: item["schema"] for item in operation["parameters"] if item["in"] == "query"}
        assert {"from", "to", "kind", "type", "reference", "cursor", "limit", "format"} == parameters.keys()
        assert list(KINDS) == parameters["kind"]["enum"]
        assert (100, 1, PAGE_TRANSFERS_MAX) == tuple(
            parameters["limit"][word] for word in ("default", "minimum", "maximum")
        )


async def test_a_file_comes_whole_over_a_socket(farebox: Farebox) -> None:
    seeds = await _keep_book(farebox)
    async with plain_http.async_client(timeout=30) as client:
        with Server(farebox.settings.database_url) as server:
            for target, key in (
                ("/api/transfers", seeds.merchant_key),
                (f"/api/admin/merchants/{seeds.merchant}/transfers", seeds.support_key),
            ):
                reply = await client.get(f"{server.url}{target}?format=jsonl", headers={"x-api-key": key})
                assert NDJSON == reply.headers["content-type"]
                assert [] == check_statement(io.BytesIO(reply.content)).faults
                reply = await client.get(f"{server.url}{target}?format=csv", headers={"x-api-key": key})
                assert CSV == reply.headers["content-type"]
                assert 11 == reply.text.count("\r\n")
