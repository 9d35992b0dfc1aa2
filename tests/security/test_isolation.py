"""No merchant's key sees or touches anything of another's, and nobody reaches one merchant's by the path of another."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote_plus, urlencode

import apsw
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.core import ids
from tests.support.app_client import JSON, AppClient, Reply, open_client
from tests.support.destinations import add_destinations
from tests.support.effort import examples
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS: Final = {"get", "post", "put", "patch", "delete"}
ID: Final = re.compile("[a-z]+_[0-9A-Z]{13}")
APPROVAL_ABOVE: Final = "500"
BALANCE: Final = "499"
BODIES: Final = {"end": b'{"reason": "r"}', "mailed": b'{"types": ["balance.low"]}'}
"""What an endpoint asks for that names one thing within a merchant, by the end of its path; of others, nothing."""


@dataclass(frozen=True)
class MerchantParts:
    """A merchant with something of everything: what names its things, and what nobody else may read."""

    seeds: Seeds
    names: tuple[str, ...]
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class TwoMerchants:
    """Two merchants in one ledger."""

    path: Path
    client: AppClient
    ann: MerchantParts
    ben: MerchantParts

    def rows(self, part: MerchantParts) -> dict[str, list[Any]]:
        """Read every row that belongs to a merchant."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        found: dict[str, list[Any]] = {}
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if "merchant_id" in columns:
                query = f"SELECT * FROM {table} WHERE merchant_id = ? ORDER BY 1, 2"
                found[str(table)] = connection.execute(query, (part.seeds.merchant_id,)).fetchall()
        connection.close()
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def merchants(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TwoMerchants]:
    path = tmp_path_factory.mktemp("ledger") / "farebox.db"
    farebox = Farebox.build(Settings.of(database_url=f"sqlite:///{path}", approval_above=APPROVAL_ABOVE))
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        client = await open_client(farebox)
        yield TwoMerchants(path, client, await _furnish(farebox, client, "ann"), await _furnish(farebox, client, "ben"))


async def _furnish(farebox: Farebox, client: AppClient, name: str) -> MerchantParts:
    """Add a merchant by the API, and give it something of everything."""
    seeds = await seed(farebox, balance=BALANCE)
    root = f"/api/admin/merchants/{seeds.merchant}"

    async def post(path: str, key: str, content: dict[str, object]) -> Any:
        reply = await client.post(path, key, content)
        assert reply.status in {200, 202}, reply
        return reply.data

    async def support(path: str, content: dict[str, object]) -> Any:
        return await post(f"{root}/{path}", seeds.support_key, content)

    reply = await client.send(
        "PATCH", root, key=seeds.support_key, headers=(JSON,), body=json.dumps({"name": f"{name} & daughters"}).encode()
    )
    assert 200 == reply.status
    person = await support("users", {"email": f"{name}@{name}.example"})
    top_up = await support("topups", {"amount": "7.77", "reference": f"{name}-paid", "note": f"{name}-note"})
    waiting = await support("topups", {"amount": "777", "reference": f"{name}-waits"})
    key = await support("keys", {})
    price = await support("prices", {"type": "image", "unitPrice": "0.0123", "startsAt": "2099-01-01T00:00:00Z"})
    spend = {"merchant": seeds.merchant, "type": "image"}
    charge = await post("/api/charges", seeds.service_key, {**spend, "idempotencyKey": f"{name}-charge"})
    hold = await post("/api/holds", seeds.service_key, {**spend, "idempotencyKey": f"{name}-hold"})
    statement = (await client.get("/api/transfers?limit=1", seeds.merchant_key)).data
    there = await add_destinations(farebox, seeds.merchant_id, name=f"{name}-orders")
    return MerchantParts(
        seeds,
        (
            *(seeds.merchant, person["userId"], waiting["approvalId"], key["key"]["keyId"], price["priceId"]),
            *(top_up["transferId"], charge["transferId"], hold["holdId"], statement["nextCursor"]),
            *(there["destination"], there["event"]),
            *(f"{name}-charge", f"{name}-hold", f"{name}-paid", f"{name}-waits", f"{name}@{name}.example"),
        ),
        (
            *(
                ids.encode_number(seeds.merchant_id),
                f"{name}@",
                f"{name} &",
                f"{name}-",
                seeds.merchant_key,
                key["apiKey"],
            ),
            *(person["userId"], waiting["approvalId"], key["key"]["keyId"], price["priceId"]),
            *(there["destination"], there["event"]),
        ),
    )


@dataclass(frozen=True)
class Attempt:
    """A request: the place in the document, and what is filled in where."""

    method: str
    template: str
    target: str
    body: bytes

    @property
    def text(self) -> str:
        return unquote_plus(self.target) + self.body.decode()


@st.composite
def attempts(draw: st.DrawFn, merchants: TwoMerchants, *, in_path: str | None) -> Attempt:
    """Make a request for any endpoint, of names that either merchant knows, whole or mixed.

    With `in_path`, its path names this merchant and whatever else the endpoint asks for.
    """
    document = merchants.client.document
    places = [
        (path, method)
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS and (in_path is None or "{merchant_id}" in path)
    ]
    path, method = draw(st.sampled_from(places))
    operation = document["paths"][path][method]
    names = [*merchants.ben.names, *merchants.ann.names]
    mixed = st.tuples(st.sampled_from(names), st.sampled_from(names)).map(lambda pair: pair[0][:-6] + pair[1][-6:])
    values = st.sampled_from(names) | mixed
    parameters = operation.get("parameters", [])
    target = re.sub(
        r"\{(\w+)\}",
        lambda found: quote(in_path if in_path and found[1] == "merchant_id" else draw(values), safe=""),
        path,
    )
    asked = {
        item["name"]: draw(values | st.sampled_from(["csv", "jsonl", "10"]))
        for item in parameters
        if item["in"] == "query"
    }
    # Few at a time: one that makes no sense hides what the others do.
    kept = {name: asked[name] for name in draw(st.lists(st.sampled_from(sorted(asked)), max_size=2))} if asked else {}
    if kept:
        target += "?" + urlencode(kept)
    body = b""
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        # Free texts would be read again where they were written; nobody is to be blamed for those.
        filled = {name: draw(values) if ID.match(str(value)) else value for name, value in content["example"].items()}
        body = json.dumps(filled).encode()
    return Attempt(method.upper(), path, target, body)


async def _send(merchants: TwoMerchants, attempt: Attempt, key: str) -> Reply:
    headers = (JSON,) if attempt.body else ()
    return await merchants.client.send(attempt.method, attempt.target, key=key, headers=headers, body=attempt.body)


def _leaks(part: MerchantParts, attempt: Attempt, reply: Reply) -> list[str]:
    """List what an answer holds of a merchant that the request did not name itself."""
    text = reply.body.decode() + str(reply.headers)
    return [secret for secret in part.secrets if secret in text and secret not in attempt.text]


@examples(250)
@given(data=st.data())
async def test_a_merchants_key_reads_nothing_of_anothers_and_changes_nothing_at_all(
    merchants: TwoMerchants, data: st.DataObject
) -> None:
    before = merchants.rows(merchants.ann), merchants.rows(merchants.ben)
    attempt = data.draw(attempts(merchants, in_path=None))
    reply = await _send(merchants, attempt, merchants.ann.seeds.merchant_key)
    assert [] == _leaks(merchants.ben, attempt, reply), (attempt, reply)
    assert before == (merchants.rows(merchants.ann), merchants.rows(merchants.ben)), attempt


@examples(250)
@given(data=st.data())
async def test_nothing_of_one_merchant_is_read_or_changed_by_a_path_of_anothers(
    merchants: TwoMerchants, data: st.DataObject
) -> None:
    before = merchants.rows(merchants.ben)
    attempt = data.draw(attempts(merchants, in_path=merchants.ann.seeds.merchant))
    reply = await _send(merchants, attempt, merchants.ann.seeds.support_key)
    assert [] == _leaks(merchants.ben, attempt, reply), (attempt, reply)
    assert before == merchants.rows(merchants.ben), attempt


async def test_every_parameter_of_what_a_merchant_may_read_is_tried_with_anothers_names(
    merchants: TwoMerchants,
) -> None:
    count = 0
    for path, item in merchants.client.document["paths"].items():
        for parameter in item.get("get", {}).get("parameters", []):
            if not item["get"]["description"].startswith("Takes a merchant key."):
                continue
            for name in merchants.ben.names:
                attempt = Attempt("GET", path, f"{path}?{urlencode({parameter['name']: name})}", b"")
                reply = await _send(merchants, attempt, merchants.ann.seeds.merchant_key)
                assert [] == _leaks(merchants.ben, attempt, reply), (attempt, reply)
                count += 1
    assert count >= 10 * len(merchants.ben.names)


async def test_every_endpoint_that_names_one_thing_within_a_merchant_is_tried_with_anothers(
    merchants: TwoMerchants,
) -> None:
    before = merchants.rows(merchants.ben)
    count = 0
    for path, item in merchants.client.document["paths"].items():
        inner = [name for name in re.findall(r"\{(\w+)\}", path) if name != "merchant_id"]
        if "{merchant_id}" not in path or not inner:
            continue
        for method in METHODS & item.keys():
            # A body that is wrong is told of ahead of what its path names.
            body = BODIES.get(path.rsplit("/", 1)[1], b"{}")
            for name in merchants.ben.names:
                target = path.replace("{merchant_id}", merchants.ann.seeds.merchant)
                target = re.sub(r"\{\w+\}", quote(name, safe=""), target)
                reply = await merchants.client.send(
                    method.upper(), target, key=merchants.ann.seeds.support_key, headers=(JSON,), body=body
                )
                assert 404 == reply.status, (method, target, reply)
                count += 1
    assert count >= 3 * len(merchants.ben.names)
    assert before == merchants.rows(merchants.ben)


async def test_a_merchants_rows_are_there_to_be_compared(merchants: TwoMerchants) -> None:
    """So that the tests above compare something."""
    found = {table: len(rows) for table, rows in merchants.rows(merchants.ben).items() if rows}
    assert {
        *("merchant", "account", "transfer", "hold", "merchant_price", "merchant_key", "merchant_user", "approval"),
        *("audit_log", "destination", "alert", "delivery"),
    } <= found.keys()
