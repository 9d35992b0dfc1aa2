"""The authorization matrix: each kind of key, and each kind of bad key, at each endpoint that the document lists."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import STAFF_ROLES, StaffRole
from tests.support.app_client import JSON, AppClient
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS: Final = ("merchant", "service", "support")
METHODS: Final = {"get", "post", "put", "patch", "delete"}
UNKNOWN_IDS: Final = {
    "price_id": "price_0000000000001",
    "hold_id": "hold_0000000000001" + "00000001",
    "grant_id": "grant_0000000000001" + "00000001",
    "approval_id": "appr_0000000000001",
    "key_id": "key_0000000000001",
    "user_id": "user_0000000000001",
    "destination_id": "dest_0000000000001",
}


def operations(document: Any) -> Iterator[tuple[str, str, set[str]]]:
    """Yield each operation: method, path, and whose keys its description says that it takes."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                takes = re.match(r"Takes an? ([a-z ]+) key\.", operation["description"])
                assert takes is not None, (method, path)
                yield method.upper(), path, set(takes[1].split(" or "))


def target(path: str, seeds: Seeds) -> str:
    ids = {**UNKNOWN_IDS, "merchant_id": seeds.merchant}
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], path)


async def ask(client: AppClient, method: str, path: str, key: str | None) -> tuple[int, str | None]:
    """Ask with an empty object: whoever may ask is told what is missing, and nothing is done."""
    reply = await client.send(method, path, key=key, headers=(JSON,), body=b"" if method == "GET" else b"{}")
    return reply.status, reply.code


async def test_there_is_an_endpoint_for_each_kind_of_key(client: AppClient) -> None:
    found = list(operations(client.document))
    assert len(found) > 30
    assert set(KINDS) == set().union(*[kinds for _, _, kinds in found])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_opens_what_is_documented_for_its_kind_and_nothing_else(
    client: AppClient, seeds: Seeds, kind: str
) -> None:
    key = {"merchant": seeds.merchant_key, "service": seeds.service_key, "support": seeds.support_key}[kind]
    for method, path, kinds in operations(client.document):
        status, code = await ask(client, method, target(path, seeds), key)
        is_open = (status, code) not in {(403, "forbidden"), (401, "invalid_api_key")}
        assert is_open == (kind in kinds), (kind, method, path, status, code)
        if not is_open:
            assert (403, "forbidden") == (status, code), (method, path)


async def test_a_support_key_opens_what_is_documented_for_its_role_and_nothing_else(
    farebox: Farebox, client: AppClient, seeds: Seeds
) -> None:
    create = farebox.services.merchants.create_key
    for word, role in STAFF_ROLES.items():
        key = (await create(KeyKind.SUPPORT, name=f"a {word}", roles=[role])).text
        for method, path, kinds in operations(client.document):
            if "support" not in kinds:
                continue
            description = client.document["paths"][path][method.lower()]["description"]
            needed = re.search(r"A support key needs the role ([a-z ]+)\.", description)
            # A quote is asked for with a body, and changes nothing.
            assert (needed is None) == (method == "GET" or path == "/api/quotes"), (method, path)
            reply = await client.send(
                method, target(path, seeds), key=key, headers=(JSON,), body=b"" if method == "GET" else b"{}"
            )
            if needed is None or word in needed[1].split(" or "):
                assert (403, "forbidden") != (reply.status, reply.code), (word, method, path)
            else:
                # Ahead of whatever else is wrong with the request, and nothing is done.
                assert (403, "forbidden") == (reply.status, reply.code), (word, method, path)
                assert f"yours is {word}" in reply.message, (word, method, path)


async def test_a_change_of_a_merchant_needs_the_role_for_each_thing_that_it_changes(
    farebox: Farebox, client: AppClient, seeds: Seeds
) -> None:
    path = f"/api/admin/merchants/{seeds.merchant}"
    create = farebox.services.merchants.create_key
    support = (await create(KeyKind.SUPPORT, name="till", roles=[StaffRole.SUPPORT])).text
    administrator = (await create(KeyKind.SUPPORT, name="setup", roles=[StaffRole.ADMINISTRATOR])).text
    name: dict[str, Any] = {"name": "Acme"}
    credit, thresholds = {"creditLimit": "5"}, {"thresholds": ["1"]}
    for key, fields in (
        (support, name),
        (support, credit | thresholds),
        (administrator, credit),
        (administrator, name | credit),
    ):
        before = await farebox.services.merchants.get(seeds.merchant_id)
        reply = await client.send("PATCH", path, key=key, headers=(JSON,), body=json.dumps(fields).encode())
        assert (403, "forbidden") == (reply.status, reply.code), fields
        assert before == await farebox.services.merchants.get(seeds.merchant_id)
    for key, fields in ((support, credit), (administrator, name | thresholds)):
        reply = await client.send("PATCH", path, key=key, headers=(JSON,), body=json.dumps(fields).encode())
        assert 200 == reply.status, fields


async def test_a_bad_key_of_any_sort_opens_nothing_and_nothing_tells_them_apart(
    farebox: Farebox, client: AppClient, seeds: Seeds
) -> None:
    merchants = farebox.services.merchants
    closed = [
        await merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id),
        await merchants.create_key(KeyKind.SERVICE, name="closed"),
        await merchants.create_key(KeyKind.SUPPORT, name="closed"),
    ]
    for made in closed:
        await merchants.revoke_key(made.key.key_id)
    bad: list[str | None] = [
        None,
        "",
        "x",
        seeds.merchant_key.lower(),
        seeds.merchant_key[:-1] + ("0" if seeds.merchant_key[-1] != "0" else "1"),
        "fbu_" + "0" * 26,
        *(made.text for made in closed),
    ]
    for method, path, _ in operations(client.document):
        answers = set()
        for key in bad:
            reply = await client.send(
                method, target(path, seeds), key=key, headers=(JSON,), body=b"" if method == "GET" else b"{}"
            )
            headers = tuple((name, value) for name, value in reply.headers if name != "date")
            answers.add((reply.status, reply.code, reply.body, headers))
        assert 1 == len(answers), (method, path, answers)
        assert (401, "invalid_api_key") == next(iter(answers))[:2], (method, path)


async def test_a_merchants_key_reads_that_merchants_account_and_no_others(farebox: Farebox, client: AppClient) -> None:
    ann, ben = await seed(farebox, balance="1.25"), await seed(farebox, balance="987654.32")
    for method, path, kinds in operations(client.document):
        if "merchant" not in kinds:
            continue
        body = b'{"type": "image"}' if path == "/api/quotes" else b""
        reply = await client.send(method, path, key=ann.merchant_key, headers=(JSON,) if body else (), body=body)
        assert 200 == reply.status, path
        for secret in (ben.merchant, ben.merchant[4:], "987654.32"):
            assert secret.encode() not in reply.body, path


async def test_a_merchants_key_can_not_be_turned_into_anothers(farebox: Farebox, client: AppClient) -> None:
    """A key's text names its merchant, so that its look-up can be routed; the secret has to fit it."""
    ann, ben = await seed(farebox), await seed(farebox)
    forged = ben.merchant_key[:17] + ann.merchant_key[17:]
    for path in ("/api/balance", "/api/account"):
        assert 401 == (await client.get(path, forged)).status
