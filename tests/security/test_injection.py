"""What callers write stays what it is: no header, field of a header, line of a file or formula comes of it."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from tests.support.app_client import JSON, AppClient, Reply, open_client
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS: Final = {"get", "post", "put", "patch", "delete"}
HEADERS: Final = {
    *("content-type", "cache-control", "x-content-type-options", "content-length", "content-disposition"),
    *("x-error-code", "idempotent-replay", "retry-after", "allow", "vary", "etag"),
    *("access-control-allow-origin", "access-control-expose-headers"),
}
HOSTILE: Final = (
    "x\r\nset-cookie: a=b",
    "x\nset-cookie: a=b",
    'x"; filename="set-cookie.exe',
    "x\u2028set-cookie: a=b",
    "x\x00set-cookie",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(farebox: Farebox) -> AppClient:
    return await open_client(farebox, cors_origins=("https://dashboard.example",))


def _cases(document: Any, merchant: str, text: str) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield every endpoint with the text in each place in turn: method, target, whose key, body."""
    written = "".join(f"%{byte:02x}" for byte in text.encode())
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            operation = item[method]
            kind = operation["description"].split()[2]
            plain = path.replace("{merchant_id}", merchant)
            target = re.sub(r"\{\w+\}", written, plain)
            yield method.upper(), re.sub(r"\{\w+\}", written, path), kind, b""
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    yield method.upper(), f"{target}?{parameter['name']}={written}", kind, b""
            if "requestBody" in operation:
                example = operation["requestBody"]["content"]["application/json"]["example"]
                filled = {**example, "merchant": merchant} if "merchant" in example else example
                for name, value in filled.items():
                    if isinstance(value, str):
                        yield method.upper(), target, kind, json.dumps({**filled, name: text}).encode()
                yield method.upper(), target, kind, json.dumps({**filled, text: 1}).encode()


def _check_headers(reply: Reply) -> None:
    for name, value in reply.headers:
        assert name in HEADERS, reply
        assert re.fullmatch("[ -~]*", value), reply
        assert "set-cookie" not in value, reply


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_answer_has_a_header_that_its_caller_wrote(client: AppClient, seeds: Seeds, text: str) -> None:
    keys = {"merchant": seeds.merchant_key, "service": seeds.service_key, "support": seeds.support_key}
    statuses = set()
    for method, target, kind, body in _cases(client.document, seeds.merchant, text):
        reply = await client.send(method, target, key=keys[kind], headers=(JSON,), body=body)
        _check_headers(reply)
        statuses.add(reply.status)
    for origin in (f"https://dashboard.example{text}", text, "null", "https://dashboard.example.evil.example"):
        reply = await client.get("/api/balance", seeds.merchant_key, headers=[("origin", origin.encode())])
        _check_headers(reply)
        assert reply.header("access-control-allow-origin") is None
    assert 500 not in statuses
    assert {400, 404, 422} <= statuses


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\t", "\r", "\n"])
async def test_no_cell_of_a_csv_is_a_formula_and_the_lines_that_verify_are_exact(
    farebox: Farebox, client: AppClient, start: str
) -> None:
    """What begins with a tab or a line break is refused at the client."""
    seeds = await seed(farebox, balance=None)
    written = f'{start}HYPERLINK("http://evil.example","open")'
    path = f"/api/admin/merchants/{seeds.merchant}/topups"
    content = {"amount": "1.00", "reference": written, "note": written}
    reply = await client.post(path, seeds.support_key, content)
    statement = await client.get("/api/transfers?format=csv", seeds.merchant_key)
    rows = list(csv.DictReader(io.StringIO(statement.body.decode(), newline="")))
    for row in rows:
        for cell in row.values():
            assert not re.match("[=+@\t\r\n\uff1d]|-(?![0-9])", cell), row
    if reply.status != 200:
        assert (422, []) == (reply.status, rows)
        return
    assert [f"'{written}"] * 2 == [rows[0]["reference"], rows[0]["note"]]
    lines = (await client.get("/api/transfers?format=jsonl", seeds.merchant_key)).body.splitlines()
    exact = json.loads(lines[1])
    assert [written] * 2 == [exact["reference"], exact["note"]]
