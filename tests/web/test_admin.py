"""What support does with its key: merchants, their people, keys, prices, money, approvals, and the log of all that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service.inputs import format_time
from farebox.service.operator.verifier import Verifier
from farebox.service.people import api_keys
from farebox.web.api import routes
from tests.support.app_client import AppClient, Reply, open_client
from tests.support.clock import at, later
from tests.support.destinations import NOWHERE, add_destinations
from tests.support.server import Seeds, empty, give_credit, seed, support_key_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MERCHANTS: Final = "/api/admin/merchants"
KEYS: Final = "/api/admin/keys"
NOBODY: Final = "mer_0000000000000"
FAR: Final = "2100-01-01T00:00:00Z"
SOON: Final = "2099-01-01T00:00:00Z"
RULE: Final = {"lines": [{"name": "input", "amount": "0.15", "per": 1_000_000}]}
NO_BODY: Final = None
SOON_AHEAD: Final = 3 * 86_400_000_000

_numbers = iter(range(10**9))


def _new(word: str) -> str:
    return f"{word}-{next(_numbers)}"


def _path(seeds: Seeds, rest: str = "") -> str:
    return f"{MERCHANTS}/{seeds.merchant}{rest}"


async def _ask(client: AppClient, seeds: Seeds, method: str, path: str, body: object = NO_BODY) -> Reply:
    """Send a request as support; `{m}` in its path is the merchant."""
    target = path.replace("{m}", _path(seeds))
    if body is NO_BODY:
        return await client.send(method, target, key=seeds.support_key)
    if method == "POST":
        return await client.post(target, seeds.support_key, body)
    return await client.send(
        *(method, target), key=seeds.support_key, headers=[("content-type", "application/json")], body=_json(body)
    )


def _json(body: object) -> bytes:
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


async def _merchant(client: AppClient, seeds: Seeds) -> dict[str, Any]:
    data = (await _ask(client, seeds, "GET", "{m}")).data
    assert isinstance(data, dict)
    return data


async def _log(client: AppClient, seeds: Seeds, *, query: str = "") -> list[dict[str, Any]]:
    """Read the newest entries of the audit log."""
    return list((await _ask(client, seeds, "GET", f"/api/admin/audit?limit=1000{query}")).data["entries"])


async def _key_id(farebox: Farebox, text: str) -> str:
    """Find the id of a service's or support's key."""
    (found,) = [key for key in await farebox.services.merchants.keys(None) if key.digest == api_keys.digest(text)]
    return ids.public_id(ids.KEY, found.key_id)


# Keys and rights


async def test_support_alone_administers(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    closed = [
        await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id),
        await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="eve"),
    ]
    for key in closed:
        await farebox.services.merchants.revoke_key(key.key.key_id)
    expired = await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="eve")
    await farebox.services.merchants.rotate_key(expired.key.key_id, overlap_seconds=0)
    bad = [None, "", "x", api_keys.make_key(KeyKind.SUPPORT), expired.text, *[key.text for key in closed]]
    admin = [route for route in routes(farebox.services) if route.path.startswith("/api/admin")]
    assert len(admin) > 25
    before = await _log(client, seeds)
    targets = []
    for route in admin:
        target = route.path.replace("{merchant_id:str}", seeds.merchant).replace("{key_id:str}", "key_x")
        target = target.replace("{user_id:str}", "user_x").replace("{approval_id:str}", "appr_x")
        for body in (b"", b"{", b"{}", b"x" * 70_000):
            for text, status, code in (
                *[(text, 403, "forbidden") for text in (seeds.merchant_key, seeds.service_key)],
                *[(text, 401, "invalid_api_key") for text in bad],
            ):
                reply = await client.send(route.method, target, key=text, body=body)
                assert (status, code) == (reply.status, reply.code), (route.method, target, text)
        targets.append((route.method, target))
    assert before == await _log(client, seeds)
    for method, target in targets:
        assert (await client.send(method, target, key=seeds.support_key)).status not in (401, 403), target


# Unknown ids

UNKNOWN_MERCHANT: Final[list[tuple[str, str, object]]] = [
    ("GET", "", NO_BODY),
    ("PATCH", "", {"name": "N"}),
    ("PATCH", "", {"thresholds": ["1"]}),
    ("PATCH", "", {"creditLimit": "1"}),
    ("PATCH", "", {}),
    ("POST", "/freeze", NO_BODY),
    ("POST", "/unfreeze", NO_BODY),
    ("GET", "/users", NO_BODY),
    ("POST", "/users", {"email": "bob@northwind.example"}),
    ("GET", "/keys", NO_BODY),
    ("POST", "/keys", {}),
    ("GET", "/prices", NO_BODY),
    ("POST", "/prices", {"type": "image", "unitPrice": "1"}),
    ("POST", "/topups", {"amount": "1", "reference": "R"}),
    ("POST", "/adjustments", {"amount": "1", "reference": "R", "reason": "r"}),
]


@pytest.mark.parametrize("merchant", [NOBODY, "x", "mer_", "MER_0000000000000", "%00", "mer_ZZZZZZZZZZZZZ"])
async def test_merchant_that_nobody_is_is_a_404(farebox: Farebox, client: AppClient, merchant: str) -> None:
    seeds = await seed(farebox)
    before = await _log(client, seeds)
    for method, rest, body in UNKNOWN_MERCHANT:
        reply = await _ask(client, seeds, method, f"{MERCHANTS}/{merchant}{rest}", body)
        assert (404, "merchant_not_found") == (reply.status, reply.code), (method, rest)
    assert before == await _log(client, seeds)


@pytest.mark.parametrize("key_id", ["key_0000000000000", "x", "key_", "mer_0000000000000", "%00", "key_ZZZZZZZZZZZZZ"])
async def test_key_that_nobody_has_is_a_404(farebox: Farebox, client: AppClient, key_id: str) -> None:
    seeds = await seed(farebox)
    before = await _log(client, seeds)
    for rest, body in (
        ("revoke", NO_BODY),
        ("suspend", NO_BODY),
        ("resume", NO_BODY),
        ("expire", {"expires": FAR}),
        ("rotate", {}),
    ):
        reply = await _ask(client, seeds, "POST", f"{KEYS}/{key_id}/{rest}", body)
        assert (404, "not_found") == (reply.status, reply.code), rest
    assert before == await _log(client, seeds)


# Invalid requests

INVALID: Final[list[tuple[str, str, object, str]]] = [
    ("PATCH", "{m}", {"name": ""}, "name"),
    ("PATCH", "{m}", {"name": "a\nb"}, "name"),
    ("PATCH", "{m}", {"name": None}, "name"),
    ("PATCH", "{m}", {"thresholds": ["0"]}, "thresholds"),
    ("PATCH", "{m}", {"thresholds": ["1", "2", "3", "4", "5", "6"]}, "thresholds"),
    ("PATCH", "{m}", {"thresholds": None}, "thresholds"),
    ("PATCH", "{m}", {"thresholds": [1]}, "thresholds[0]"),
    ("PATCH", "{m}", {"creditLimit": "-1"}, "creditLimit"),
    ("PATCH", "{m}", {"creditLimit": 1}, "creditLimit"),
    # None of the rest is done either.
    ("PATCH", "{m}", {"name": "Contoso", "thresholds": ["1"], "creditLimit": "x"}, "creditLimit"),
    ("PATCH", "{m}", {"name": "", "thresholds": ["1"], "creditLimit": "1"}, "name"),
    ("PATCH", "{m}", {"name": "Contoso", "thresholds": ["x"], "creditLimit": "1"}, "thresholds"),
    ("POST", "{m}/users", {"email": "bob"}, "email"),
    ("POST", "{m}/users", {"email": "bob@"}, "email"),
    ("POST", "{m}/users", {"email": "bob@x.example\nbcc: eve@x.example"}, "email"),
    ("POST", "{m}/users", {"email": 5}, "email"),
    ("POST", "{m}/keys", {"expires": "2020-01-01T00:00:00Z"}, "expires"),
    ("POST", "{m}/keys", {"expires": "2100-01-01"}, "expires"),
    ("POST", "{m}/keys", {"expires": "2100-01-01T00:00:00"}, "expires"),
    ("POST", "{m}/keys", {"expires": "2100-13-01T00:00:00Z"}, "expires"),
    ("POST", "{m}/keys", {"expires": "9999-12-31T23:59:59-01:00"}, "expires"),
    ("POST", "{m}/keys", {"expires": 4_102_444_800}, "expires"),
    ("POST", KEYS, {"kind": "merchant", "name": "n"}, "kind"),
    ("POST", KEYS, {"kind": "support", "name": ""}, "name"),
    ("POST", KEYS, {"kind": "service", "name": "n", "expires": "yesterday"}, "expires"),
    ("POST", KEYS + "/{k}/expire", {"expires": "2020-01-01T00:00:00Z"}, "expires"),
    ("POST", KEYS + "/{k}/expire", {"expires": "9999-12-31T23:59:59-23:59"}, "expires"),
    ("POST", KEYS + "/{k}/expire", {"expires": None}, "expires"),
    ("POST", KEYS + "/{k}/rotate", {"overlapSeconds": -1}, "overlapSeconds"),
    ("POST", KEYS + "/{k}/rotate", {"overlapSeconds": 90 * 86400 + 1}, "overlapSeconds"),
    ("POST", KEYS + "/{k}/rotate", {"overlapSeconds": "60"}, "overlapSeconds"),
    *[
        ("POST", path, {"type": "x", "unitPrice": "1", **fields}, field)
        for path in ("/api/admin/prices", "{m}/prices")
        for field, fields in (
            ("type", {"type": "x y"}),
            ("unitPrice", {"rule": {"lines": []}}),
            ("rule.lines", {"rule": {"lines": []}, "unitPrice": None}),
            ("rule.lines[0].amount", {"rule": {"lines": [{"name": "input", "amount": 0.15}]}, "unitPrice": None}),
            ("unitPrice", {"unitPrice": "-1"}),
            ("unitPrice", {"unitPrice": 1}),
            ("startsAt", {"startsAt": "2020-01-01T00:00:00Z"}),
            ("startsAt", {"startsAt": "0001-01-01T00:00:00+01:00"}),
            ("startsAt", {"startsAt": "9999-12-31T23:59:59-01:00"}),
            ("startsAt", {"startsAt": "now"}),
        )
    ],
    ("POST", "{m}/topups", {"amount": "1", "reference": ""}, "reference"),
    ("POST", "{m}/topups", {"amount": "1", "reference": "r" * 129}, "reference"),
    ("POST", "{m}/topups", {"amount": "-1", "reference": "R"}, "amount"),
    ("POST", "{m}/topups", {"amount": "1", "reference": "R", "note": "a\nb"}, "note"),
    ("POST", "{m}/adjustments", {"amount": "0", "reference": "R", "reason": "r"}, "amount"),
    ("POST", "{m}/adjustments", {"amount": "--1", "reference": "R", "reason": "r"}, "amount"),
    ("POST", "{m}/adjustments", {"amount": "-", "reference": "R", "reason": "r"}, "amount"),
    ("POST", "{m}/adjustments", {"amount": "1", "reference": "R", "reason": ""}, "reason"),
    ("POST", "{m}/adjustments", {"amount": "1", "reference": " ", "reason": "r"}, "reference"),
    ("POST", "{m}/reversals", {"transferId": "{t}", "reference": "", "reason": "r"}, "reference"),
    ("POST", "{m}/reversals", {"transferId": "{t}", "reference": "R", "reason": ""}, "reason"),
    ("POST", "{m}/reversals", {"transferId": "{t}", "reference": "R", "reason": "r", "amount": "0"}, "amount"),
    ("GET", MERCHANTS + "?limit=0", NO_BODY, "limit"),
    ("GET", MERCHANTS + "?limit=1001", NO_BODY, "limit"),
    ("GET", MERCHANTS + "?limit=x", NO_BODY, "limit"),
    ("GET", MERCHANTS + "?cursor=x", NO_BODY, "cursor"),
    ("GET", "/api/admin/approvals?cursor=mer_0000000000000", NO_BODY, "cursor"),
    ("GET", "/api/admin/approvals?merchant=x", NO_BODY, "merchant"),
    ("GET", "/api/admin/audit?cursor=x", NO_BODY, "cursor"),
    ("GET", "/api/admin/audit?cursor=" + "Z" * 26, NO_BODY, "cursor"),
    ("GET", "/api/admin/audit?cursor=" + "0" * 27, NO_BODY, "cursor"),
    ("GET", "/api/admin/audit?merchant=key_0000000000000", NO_BODY, "merchant"),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), INVALID)
async def test_value_that_makes_no_sense_is_a_422_that_names_its_field(
    farebox: Farebox, client: AppClient, method: str, path: str, body: object, field: str
) -> None:
    seeds = await seed(farebox)
    key = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    before = (await _merchant(client, seeds), await _log(client, seeds), await _sizes(farebox, seeds))
    reply = await _ask(client, seeds, method, path.replace("{k}", ids.public_id(ids.KEY, key.key.key_id)), body)
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith(f"{field}: ")
    assert before == (await _merchant(client, seeds), await _log(client, seeds), await _sizes(farebox, seeds))


async def _sizes(farebox: Farebox, seeds: Seeds) -> list[int]:
    """Count what support can add."""
    merchants = farebox.services.merchants
    return [
        len(await merchants.users(seeds.merchant_id)),
        *[len(await merchants.keys(owner)) for owner in (None, seeds.merchant_id)],
        *[len(await farebox.services.prices.list(owner)) for owner in (None, seeds.merchant_id)],
    ]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "{m}", {"currency": "EUR"}),
        ("PATCH", "{m}", {"isFrozen": True}),
        ("PATCH", "{m}", []),
        ("POST", "{m}/users", {}),
        ("POST", "{m}/users", {"email": "bob@northwind.example", "name": "Bob"}),
        ("POST", "{m}/keys", {"kind": "merchant"}),
        ("POST", KEYS, {"name": "n"}),
        ("POST", KEYS, {"kind": "support"}),
        ("POST", "{m}/prices", {"type": "x"}),
        ("POST", "{m}/prices", {"unitPrice": "1"}),
        ("POST", "{m}/adjustments", {"amount": "1", "reference": "R"}),
        ("POST", "{m}/reversals", {"reference": "R", "reason": "r"}),
        ("GET", MERCHANTS + "?page=2", NO_BODY),
        ("GET", MERCHANTS + "?limit=1&limit=2", NO_BODY),
        ("GET", "/api/admin/audit?person=ann", NO_BODY),
    ],
)
async def test_field_that_is_missing_unknown_or_repeated_is_a_400(
    farebox: Farebox, client: AppClient, method: str, path: str, body: object
) -> None:
    seeds = await seed(farebox)
    reply = await _ask(client, seeds, method, path, body)
    assert (400, "malformed_request") == (reply.status, reply.code)


# Merchants


async def test_new_merchant_is_there_with_a_key_that_works_at_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    content = {"name": "Contoso", "currency": "EUR", "thresholds": ["20", "5"], "creditLimit": "1.5"}
    made = (await _ask(client, seeds, "POST", MERCHANTS, content)).data
    silent = [{"amount": amount, "isArmed": False} for amount in ("5.00", "20.00")]
    api_key, merchant_id = made.pop("apiKey"), made["merchantId"]
    rules = {"name": "Contoso", "currency": "EUR", "creditLimit": "1.50", "thresholds": silent, "runwayThresholds": []}
    assert made == (await _ask(client, seeds, "GET", f"{MERCHANTS}/{merchant_id}")).data
    assert made.pop("createdAt")
    nothing = dict.fromkeys(("posted", "held", "available", "owed"), "0.00")
    assert {"merchantId": merchant_id, **rules, **nothing, "isFrozen": False, "closedAt": None, "tags": []} == made
    assert "0.00" == (await client.get("/api/balance", api_key)).data
    assert [] == (await _ask(client, seeds, "GET", f"{MERCHANTS}/{merchant_id}/users")).data["users"]


async def test_one_threshold_may_be_named_alone(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    content = {"name": "Contoso", "currency": "EUR", "threshold": "5"}
    made = (await _ask(client, seeds, "POST", MERCHANTS, content)).data
    assert [{"amount": "5.00", "isArmed": False}] == made["thresholds"]


async def test_patch_changes_what_is_named_and_nothing_else(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    now = await _merchant(client, seeds)
    armed = [{"amount": amount, "isArmed": True} for amount in ("5.00", "20.00")]
    for change, effect in (
        ({}, {}),
        ({"name": "Contoso"}, {"name": "Contoso"}),
        ({"thresholds": ["20", "5", "20.00"]}, {"thresholds": armed}),
        ({"creditLimit": "7"}, {"creditLimit": "7.00"}),
        ({"thresholds": []}, {"thresholds": []}),
        (
            {"name": "Fabrikam", "thresholds": ["5"], "creditLimit": "0"},
            {"name": "Fabrikam", "thresholds": armed[:1], "creditLimit": "0.00"},
        ),
    ):
        reply = await _ask(client, seeds, "PATCH", "{m}", change)
        now |= effect
        assert (200, now) == (reply.status, reply.data)
        assert now == await _merchant(client, seeds)


async def test_credit_limit_in_use_can_not_be_lowered_and_nothing_else_is_changed(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox, balance="1", credit_limit="10")
    charge = {"merchant": seeds.merchant, "type": "call", "amount": "4", "idempotencyKey": "k"}
    assert 200 == (await client.post("/api/charges", seeds.service_key, charge)).status
    before = (await _merchant(client, seeds), await _log(client, seeds))
    change = {"name": "Contoso", "thresholds": ["5"], "creditLimit": "2.999999"}
    reply = await _ask(client, seeds, "PATCH", "{m}", change)
    assert (409, "credit_limit_in_use") == (reply.status, reply.code)
    assert "3.00 USD" in reply.message
    assert before == (await _merchant(client, seeds), await _log(client, seeds))
    assert 200 == (await _ask(client, seeds, "PATCH", "{m}", {"creditLimit": "3"})).status


async def test_frozen_merchant_can_not_spend_until_it_is_unfrozen(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "k"}
    for word, is_frozen, status in (("freeze", True, 403), ("freeze", True, 403), ("unfreeze", False, 200)):
        reply = await _ask(client, seeds, "POST", f"{{m}}/{word}")
        assert is_frozen is reply.data["isFrozen"]
        assert status == (await client.post("/api/charges", seeds.service_key, charge)).status


async def test_pages_list_every_merchant_once_while_new_ones_come(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    before = [
        ids.public_id(ids.MERCHANT, merchant.merchant_id) for merchant, _ in await farebox.services.merchants.list()
    ]
    assert len(before) > 20
    found: list[str] = []
    added: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        data = (await _ask(client, seeds, "GET", f"{MERCHANTS}?limit=7" + (f"&cursor={cursor}" if cursor else ""))).data
        found += [merchant["merchantId"] for merchant in data["merchants"]]
        cursor = data["nextCursor"]
        assert cursor is None or 7 == len(data["merchants"])
        if len(added) < 5:
            await asyncio.sleep(0.002)
            added.append((await seed(farebox)).merchant)
    assert [*before, *added] == found
    whole = (await _ask(client, seeds, "GET", f"{MERCHANTS}?limit=1000")).data
    assert (found, None) == ([merchant["merchantId"] for merchant in whole["merchants"]], whole["nextCursor"])
    assert await _merchant(client, seeds) in whole["merchants"]


# People


async def test_person_is_registered_once_listed_and_removed(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    added = await _ask(client, seeds, "POST", "{m}/users", {"email": "Bob@NORTHWIND.example"})
    assert ["userId", "email", "createdAt", "role", "mailed"] == list(added.data)
    # The first person is an owner, all others are members.
    assert ("Bob@northwind.example", "owner") == (added.data["email"], added.data["role"])
    again = await _ask(client, seeds, "POST", "{m}/users", {"email": "Bob@northwind.example"})
    assert (409, "conflict") == (again.status, again.code)
    other_case = await _ask(client, seeds, "POST", "{m}/users", {"email": "bOB@northwind.example"})
    assert (409, "conflict") == (other_case.status, other_case.code)
    assert 200 == (await _ask(client, other, "POST", "{m}/users", {"email": "Bob@northwind.example"})).status
    second = await _ask(client, seeds, "POST", "{m}/users", {"email": "eve@northwind.example"})
    assert "member" == second.data["role"]
    assert {"users": [added.data, second.data]} == (await _ask(client, seeds, "GET", "{m}/users")).data
    # Another merchant's people are none of this one's.
    theirs = (await _ask(client, other, "GET", "{m}/users")).data["users"][0]["userId"]
    for user_id in (theirs, "user_0000000000000", "x", "%00"):
        reply = await _ask(client, seeds, "DELETE", f"{{m}}/users/{user_id}")
        assert (404, "not_found") == (reply.status, reply.code)
    path = f"{{m}}/users/{added.data['userId']}"
    removed = await _ask(client, seeds, "DELETE", path)
    assert (200, added.data) == (removed.status, removed.data)
    assert 404 == (await _ask(client, seeds, "DELETE", path)).status
    assert {"users": [second.data]} == (await _ask(client, seeds, "GET", "{m}/users")).data
    assert 404 == (await _ask(client, seeds, "DELETE", f"{MERCHANTS}/{NOBODY}/users/{theirs}")).status


# Keys


async def _use(client: AppClient, seeds: Seeds, kind: str, text: str) -> int:
    """Use a key for what its kind may do and return the status."""
    if kind == "merchant":
        return (await client.get("/api/balance", text)).status
    if kind == "support":
        return (await client.get(_path(seeds), text)).status
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": _new("k")}
    return (await client.post("/api/charges", text, charge)).status


async def _make_key(client: AppClient, seeds: Seeds, kind: str, **fields: object) -> tuple[str, dict[str, Any]]:
    """Make a key and return its text and what else there is to know."""
    if kind == "merchant":
        reply = await _ask(client, seeds, "POST", "{m}/keys", fields)
    else:
        reply = await _ask(client, seeds, "POST", KEYS, {"kind": kind, "name": "geo", **fields})
    assert ["apiKey", "key"] == list(reply.data)
    return reply.data["apiKey"], reply.data["key"]


KINDS: Final = ("merchant", "service", "support")


@pytest.mark.parametrize("kind", KINDS)
async def test_new_key_works_and_is_listed_without_its_text(farebox: Farebox, client: AppClient, kind: str) -> None:
    seeds = await seed(farebox)
    text, key = await _make_key(client, seeds, kind, expires="2100-01-01T01:00:00+01:00")
    assert 200 == await _use(client, seeds, kind, text)
    assert key.pop("createdAt")
    assert key.pop("keyId").startswith("key_")
    assert {
        "kind": kind,
        "hint": f"{text[:4]}…{text[-4:]}",
        "merchantId": seeds.merchant if kind == "merchant" else None,
        "name": None if kind == "merchant" else "geo",
        "expiresAt": "2100-01-01T00:00:00.000000Z",
        "revokedAt": None,
        "suspendedAt": None,
        "roles": ["support", "administrator"] if kind == "support" else [],
        "budget": None,
    } == key
    listed = await _ask(client, seeds, "GET", "{m}/keys" if kind == "merchant" else KEYS)
    assert key["hint"] in [item["hint"] for item in listed.data["keys"]]
    other = await _ask(client, seeds, "GET", KEYS if kind == "merchant" else "{m}/keys")
    assert key["hint"] not in [item["hint"] for item in other.data["keys"]]
    assert (
        text[-26:] not in listed.body.decode() + (await client.get("/api/admin/audit", seeds.support_key)).body.decode()
    )


async def test_text_of_a_key_is_nowhere_in_the_database_and_its_digest_is(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    texts = [(await _make_key(client, seeds, kind))[0] for kind in KINDS]
    made = (await _ask(client, seeds, "POST", MERCHANTS, {"name": "Contoso", "currency": "EUR"})).data
    (staff_key,) = [
        key for key in (await _ask(client, seeds, "GET", KEYS)).data["keys"] if key["hint"][-4:] == texts[1][-4:]
    ]
    rotated = (await _ask(client, seeds, "POST", f"{KEYS}/{staff_key['keyId']}/rotate", {})).data["apiKey"]
    for text in (*texts, rotated, made["apiKey"]):
        await _use(client, seeds, "merchant", text)
    path = farebox.settings.database_url.sqlite_path
    assert path is not None
    stored = b"".join(file.read_bytes() for file in Path(path).parent.iterdir())
    for text in (*texts, rotated, made["apiKey"]):
        assert api_keys.digest(text) in stored
        assert text[-26:].encode() not in stored
        assert text[-26:].encode("utf-16-le") not in stored


@pytest.mark.parametrize("kind", KINDS)
async def test_revoked_key_is_closed_at_once_and_for_ever(farebox: Farebox, client: AppClient, kind: str) -> None:
    seeds = await seed(farebox)
    text, key = await _make_key(client, seeds, kind)
    assert 200 == await _use(client, seeds, kind, text)
    revoked = (await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/revoke")).data
    revoked_at = revoked.pop("revokedAt")
    assert {name: key[name] for name in revoked} == revoked
    assert 401 == await _use(client, seeds, kind, text)
    before = await _log(client, seeds)
    reply = await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/revoke")
    again = reply.data
    assert "true" == reply.header("idempotent-replay")
    with later(farebox, seconds=60):
        once_more = (await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/revoke")).data
    # It stays revoked since the first time.
    assert again["revokedAt"] == once_more["revokedAt"] == revoked_at
    assert before == await _log(client, seeds)
    for rest, body in (("rotate", {}), ("expire", {"expires": FAR})):
        reply = await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/{rest}", body)
        assert (409, "conflict") == (reply.status, reply.code)
        assert "revoked or expired" in reply.message


async def test_a_suspended_key_opens_nothing_until_it_is_resumed(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    text, key = await _make_key(client, seeds, "merchant")
    suspended = (await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/suspend")).data
    assert suspended["suspendedAt"] is not None
    refused = await client.get("/api/balance", text)
    assert (401, "invalid_api_key", "Invalid API key") == (refused.status, refused.code, refused.message)
    charge = {"merchant": text, "type": "image", "quantity": 1, "idempotencyKey": "c"}
    named = await client.post("/api/charges", seeds.service_key, charge)
    assert (404, "merchant_not_found") == (named.status, named.code)
    # Other keys of the merchant go on.
    assert 200 == (await client.get("/api/balance", seeds.merchant_key)).status
    before = await _log(client, seeds)
    again = await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/suspend")
    assert ("true", suspended) == (again.header("idempotent-replay"), again.data)
    assert before == await _log(client, seeds)
    resumed = await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/resume")
    assert key == resumed.data
    assert 200 == (await client.get("/api/balance", text)).status
    assert 200 == (await client.post("/api/charges", seeds.service_key, charge)).status
    before = await _log(client, seeds)
    again = await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/resume")
    assert "true" == again.header("idempotent-replay")
    assert before == await _log(client, seeds)


async def test_a_hold_that_a_suspended_key_made_is_captured(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    text, key = await _make_key(client, seeds, "merchant")
    body = {"merchant": text, "type": "image", "quantity": 1, "idempotencyKey": "h"}
    hold = (await client.post("/api/holds", seeds.service_key, body)).data["holdId"]
    await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/suspend")
    reply = await client.post(f"/api/holds/{hold}/capture", seeds.service_key, {"idempotencyKey": "x"})
    assert 200 == reply.status


@pytest.mark.parametrize("kind", ["service", "support"])
async def test_only_merchants_keys_are_suspended(farebox: Farebox, client: AppClient, kind: str) -> None:
    seeds = await seed(farebox)
    _, key = await _make_key(client, seeds, kind)
    for action in ("suspend", "resume"):
        reply = await _ask(client, seeds, "POST", f"{KEYS}/{key['keyId']}/{action}")
        assert (409, "conflict") == (reply.status, reply.code)
        assert "only merchants' keys are suspended" in reply.message


@pytest.mark.parametrize("kind", KINDS)
async def test_key_ends_at_the_time_that_it_was_given_last(farebox: Farebox, client: AppClient, kind: str) -> None:
    seeds = await seed(farebox)
    text, key = await _make_key(client, seeds, kind)
    path = f"{KEYS}/{key['keyId']}/expire"
    first = await _ask(client, seeds, "POST", path, {"expires": "2099-01-01T00:00:00Z"})
    assert "2099-01-01T00:00:00.000000Z" == first.data["expiresAt"]
    nearer = await _ask(client, seeds, "POST", path, {"expires": "2098-01-01T00:00:00Z"})
    assert "2098-01-01T00:00:00.000000Z" == nearer.data["expiresAt"]
    farther = await _ask(client, seeds, "POST", path, {"expires": "2098-01-02T00:00:00Z"})
    assert "2098-01-02T00:00:00.000000Z" == farther.data["expiresAt"]
    end = 4_039_459_200_000_000
    for moment, status in ((end - 1, 200), (end, 401)):
        with at(farebox, moment):
            assert status == await _use(client, seeds, kind, text)
    with at(farebox, end):
        reply = await _ask(client, seeds, "POST", path, {"expires": "2099-01-01T00:00:00Z"})
    assert (409, "conflict") == (reply.status, reply.code)
    assert "revoked or expired" in reply.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("overlap", [0, 60, None])
async def test_rotated_key_goes_on_beside_its_successor_for_as_long_as_asked(
    farebox: Farebox, client: AppClient, kind: str, overlap: int | None
) -> None:
    seeds = await seed(farebox)
    text, key = await _make_key(client, seeds, kind)
    path = f"{KEYS}/{key['keyId']}/rotate"
    with later(farebox, seconds=0):
        reply = await _ask(client, seeds, "POST", path, {} if overlap is None else {"overlapSeconds": overlap})
        successor = reply.data["apiKey"]
        assert {"kind": kind, "name": key["name"], "merchantId": key["merchantId"], "expiresAt": None} == {
            name: reply.data["key"][name] for name in ("kind", "name", "merchantId", "expiresAt")
        }
        start = farebox.clock.now()
    end = start + (86_400 if overlap is None else overlap) * 1_000_000
    for moment, status in ((end - 1, 200), (end, 401)):
        with at(farebox, max(moment, start)):
            assert (401 if moment < start else status) == await _use(client, seeds, kind, text)
            assert 200 == await _use(client, seeds, kind, successor)
    with later(farebox, seconds=100_000):
        again = await _ask(client, seeds, "POST", path, {})
        assert (409, "conflict") == (again.status, again.code)


async def test_support_person_can_close_its_own_key(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    path = f"{KEYS}/{await _key_id(farebox, seeds.support_key)}/revoke"
    assert 200 == (await _ask(client, seeds, "POST", path)).status
    assert 401 == (await _ask(client, seeds, "POST", path)).status


# Prices


async def test_prices_are_versions_and_never_edited(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    name = _new("type")
    versions = [
        (await _ask(client, seeds, "POST", "/api/admin/prices", {"type": name, "unitPrice": price, **fields})).data
        for price, fields in (("0.5", {}), (None, {"startsAt": FAR}), ("0.25", {"startsAt": "2099-01-01T00:00:00Z"}))
    ]
    own = (await _ask(client, seeds, "POST", "{m}/prices", {"type": name, "unitPrice": "0.1"})).data
    assert [
        *("priceId", "type", "unitPrice", "rule", "startsAt", "merchantId"),
        *("isVariable", "isEnd", "isInForce", "state", "withdrawnAt"),
    ] == list(own)
    assert [(False, True), (True, False), (False, False)] == [
        (version["isVariable"], version["isInForce"]) for version in versions
    ]
    assert ("0.10", seeds.merchant) == (own["unitPrice"], own["merchantId"])
    assert [("0.50", None), (None, None), ("0.25", None)] == [(it["unitPrice"], it["merchantId"]) for it in versions]
    listed = (await _ask(client, seeds, "GET", "/api/admin/prices?limit=1000")).data["prices"]
    assert [versions[0], versions[2], versions[1]] == [price for price in listed if price["type"] == name]
    assert {"prices": [own], "nextCursor": None} == (await _ask(client, seeds, "GET", "{m}/prices")).data
    other = await seed(farebox)
    assert {"prices": [], "nextCursor": None} == (await _ask(client, other, "GET", "{m}/prices")).data


async def test_prices_come_in_pages_and_tell_the_same_in_each(farebox: Farebox, client: AppClient) -> None:
    """What a version is goes by those that follow it, which may stand on the next page."""
    seeds = await seed(farebox)
    name, now = _new("type"), farebox.clock.now()
    for path in ("/api/admin/prices", "{m}/prices"):
        for seconds in range(5):
            with at(farebox, now + seconds):
                assert (
                    200 == (await _ask(client, seeds, "POST", path, {"type": name, "unitPrice": f"{seconds}"})).status
                )
        with at(farebox, now + 10):
            whole = (await _ask(client, seeds, "GET", f"{path}?limit=1000")).data
            assert None is whole["nextCursor"]
            states = [price["state"] for price in whole["prices"] if price["type"] == name]
            assert ["past"] * 4 + ["in_force"] == states
            for limit in (1, 2, 3, len(whole["prices"])):
                pages: list[Any] = []
                cursor: str | None = ""
                while cursor is not None:
                    more = f"&cursor={cursor}" if cursor else ""
                    page = (await _ask(client, seeds, "GET", f"{path}?limit={limit}{more}")).data
                    assert 1 <= len(page["prices"]) <= limit
                    pages += page["prices"]
                    cursor = page["nextCursor"]
                assert whole["prices"] == pages
    # The cursor of one list is none of the other.
    (own, *_) = (await _ask(client, seeds, "GET", "{m}/prices")).data["prices"]
    for cursor in ("price_", own["priceId"]):
        refused = await _ask(client, seeds, "GET", f"/api/admin/prices?cursor={cursor}")
        assert (422, "invalid_value") == (refused.status, refused.code)


async def test_price_counts_from_its_start_to_the_microsecond(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    name, start = _new("type"), 4_102_444_800_000_000
    for price, fields in (("1", {}), ("2", {"startsAt": "2099-12-31T23:00:00-01:00"})):
        content = {"type": name, "unitPrice": price, **fields}
        assert 200 == (await _ask(client, seeds, "POST", "/api/admin/prices", content)).status
    charge = {"merchant": seeds.merchant, "type": name}
    for moment, cost in ((start - 1, "1.00"), (start, "2.00")):
        with at(farebox, moment):
            reply = await client.post("/api/charges", seeds.service_key, {**charge, "idempotencyKey": cost})
        assert cost == reply.data["cost"]


# Money


async def test_adjustment_moves_the_balance_either_way_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, credit_limit="1")
    for amount, reference, available in (("2.5", "A", "102.50"), ("-103.5", "B", "-1.00")):
        content = {"amount": amount, "reference": reference, "reason": "counted anew"}
        first = await _ask(client, seeds, "POST", "{m}/adjustments", content)
        assert (amount.removeprefix("-") + "0", available, available) == tuple(
            first.data[name] for name in ("amount", "balance", "available")
        )
        again = await _ask(client, seeds, "POST", "{m}/adjustments", {**content, "reason": "other words"})
        assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    for amount, code in (("-0.01", "insufficient_balance"), ("1000000000000", None)):
        content = {"amount": amount, "reference": _new("R"), "reason": "r"}
        assert code == (await _ask(client, seeds, "POST", "{m}/adjustments", content)).code
    other = await _ask(client, seeds, "POST", "{m}/adjustments", {"amount": "-2.5", "reference": "A", "reason": "r"})
    assert (409, "idempotency_conflict") == (other.status, other.code)


async def test_references_of_top_ups_adjustments_and_reversals_do_not_meet(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    top_up = await _ask(client, seeds, "POST", "{m}/topups", {"amount": "5", "reference": "R"})
    adjusted = await _ask(client, seeds, "POST", "{m}/adjustments", {"amount": "5", "reference": "R", "reason": "r"})
    content = {"transferId": top_up.data["transferId"], "reference": "R", "reason": "r"}
    reversed_ = await _ask(client, seeds, "POST", "{m}/reversals", content)
    assert ["105.00", "110.00", "105.00"] == [reply.data["balance"] for reply in (top_up, adjusted, reversed_)]


async def test_top_up_is_reversed_in_parts_up_to_its_whole(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    top_up = (await _ask(client, seeds, "POST", "{m}/topups", {"amount": "10", "reference": "T"})).data["transferId"]
    content = {"transferId": top_up, "reference": "V1", "reason": "bounced"}
    part = await _ask(client, seeds, "POST", "{m}/reversals", {**content, "amount": "4"})
    again = await _ask(client, seeds, "POST", "{m}/reversals", {**content, "amount": "4"})
    assert ("4.00", "106.00", "true", part.body) == (
        *(part.data["amount"], part.data["balance"]),
        *(again.header("idempotent-replay"), again.body),
    )
    assert "idempotency_conflict" == (await _ask(client, seeds, "POST", "{m}/reversals", content)).code
    content["reference"] = "V2"
    too_much = await _ask(client, seeds, "POST", "{m}/reversals", {**content, "amount": "6.000001"})
    assert (409, "reversal_exceeds_top_up") == (too_much.status, too_much.code)
    rest = await _ask(client, seeds, "POST", "{m}/reversals", content)
    assert ("6.00", "100.00") == (rest.data["amount"], rest.data["balance"])
    content["reference"] = "V3"
    assert "reversal_exceeds_top_up" == (await _ask(client, seeds, "POST", "{m}/reversals", content)).code


async def test_what_is_no_top_up_of_this_merchant_or_is_spent_can_not_be_reversed(
    farebox: Farebox, client: AppClient
) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    charge = {"merchant": seeds.merchant, "type": "call", "amount": "99.5", "idempotencyKey": "k"}
    charged = (await client.post("/api/charges", seeds.service_key, charge)).data["transferId"]
    top_up = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1)
    theirs = ids.book_id(ids.TRANSFER, merchant_id=other.merchant_id, seq=1)
    missing = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=9)
    before = await _log(client, seeds)
    for transfer_id, status, code in (
        (charged, 409, "transfer_not_reversible"),
        (top_up, 402, "insufficient_balance"),
        *[(it, 404, "transfer_not_found") for it in (theirs, missing, "x", "", top_up.replace("xfer", "hold"))],
    ):
        content = {"transferId": transfer_id, "reference": "V", "reason": "r"}
        reply = await _ask(client, seeds, "POST", "{m}/reversals", content)
        assert (status, code) == (reply.status, reply.code), transfer_id
    assert before == await _log(client, seeds)
    content = {"transferId": top_up, "reference": "V", "reason": "r"}
    reply = await _ask(client, seeds, "POST", f"{MERCHANTS}/{NOBODY}/reversals", content)
    assert (404, "transfer_not_found") == (reply.status, reply.code)
    assert 200 == (await _ask(client, seeds, "POST", "{m}/reversals", {**content, "amount": "0.5"})).status
    assert [] == [fault async for fault in Verifier(farebox.stores.connector).faults(seeds.merchant_id)]


# The audit log

ALL_HOOKS: Final = "/api/admin/destinations"
HOOK: Final = {"channel": "webhook", "url": NOWHERE, "types": ["balance.low"], "name": "books"}
ACTIONS: Final[list[tuple[str, str, object, str, str, str]]] = [
    ("POST", MERCHANTS, {"name": "Contoso", "currency": "EUR"}, "create_merchant", "merchantId", "Contoso"),
    ("PATCH", "{m}", {"name": "Contoso"}, "rename_merchant", "merchantId", "Contoso"),
    ("PATCH", "{m}", {"thresholds": ["20", "5"]}, "set_thresholds", "merchantId", "5.00 USD, 20.00 USD"),
    ("PATCH", "{m}", {"thresholds": []}, "set_thresholds", "merchantId", "none"),
    ("PATCH", "{m}", {"runwayThresholds": [14, 3]}, "set_runway_thresholds", "merchantId", "3, 14"),
    ("PATCH", "{m}", {"creditLimit": "7"}, "set_credit_limit", "merchantId", "from 0.00 USD to 7.00 USD"),
    ("PATCH", "{m}", {"tags": ["VIP", "eu"]}, "set_tags", "merchantId", "eu, vip"),
    ("POST", "{m}/notes", {"text": "pays late"}, "note", "noteId", "pays late"),
    ("POST", "{m}/close", {"reason": "moved away"}, "set_closed", "merchantId", "closed, moved away"),
    ("POST", "{m}/reopen", {"reason": "came back"}, "set_closed", "merchantId", "reopened, came back"),
    ("POST", "{m}/freeze", NO_BODY, "set_frozen", "merchantId", "frozen"),
    ("POST", "{m}/unfreeze", NO_BODY, "set_frozen", "merchantId", "active"),
    ("POST", "{m}/users", {"email": "eve@northwind.example"}, "add_user", "email", "member"),
    ("POST", "{m}/users/{u}/mailed", {"types": ["balance.low"]}, "set_mail_kinds", "email", "balance.low"),
    ("DELETE", "{m}/users/{u}", NO_BODY, "remove_user", "email", ""),
    ("POST", "{m}/destinations", HOOK, "add_destination", "destinationId", "webhook books: balance.low"),
    ("POST", ALL_HOOKS, HOOK, "add_destination", "destinationId", "webhook books: balance.low"),
    ("PATCH", ALL_HOOKS + "/{d}", {"name": "ledger"}, "change_destination", "destinationId", "orders: name ledger"),
    (
        *("PATCH", ALL_HOOKS + "/{d}", {"name": "ledger", "url": NOWHERE}, "change_destination"),
        *("destinationId", "orders: name ledger"),
    ),
    (
        *("PATCH", ALL_HOOKS + "/{d}", {"url": f"{NOWHERE}/new"}, "change_destination"),
        *("destinationId", "orders: URL"),
    ),
    (
        *("POST", ALL_HOOKS + "/{d}/secret", {"overlapSeconds": 0}, "rotate_destination_secret"),
        *("destinationId", "orders, the one before no more"),
    ),
    ("POST", ALL_HOOKS + "/{d}/replay", {"eventId": "{e}"}, "replay_deliveries", "{d}", "orders, {e}"),
    ("DELETE", ALL_HOOKS + "/{d}", NO_BODY, "delete_destination", "destinationId", "orders"),
    ("POST", "{m}/keys", {}, "create_key", "key.keyId", "{key.hint}"),
    ("POST", KEYS, {"kind": "service", "name": "geo"}, "create_key", "key.keyId", "{key.hint} geo"),
    ("POST", KEYS + "/{k}/revoke", NO_BODY, "revoke_key", "keyId", "{hint}"),
    ("POST", KEYS + "/{k}/suspend", NO_BODY, "suspend_key", "keyId", "{hint}"),
    ("POST", KEYS + "/{k}/resume", NO_BODY, "resume_key", "keyId", "{hint}"),
    (
        *("POST", KEYS + "/{k}/expire", {"expires": FAR}, "expire_key"),
        *("keyId", "{hint} from 2100-01-01T00:00:00.000000Z"),
    ),
    ("POST", KEYS + "/{k}/rename", {"name": "nightly"}, "rename_key", "keyId", "{hint} named nightly"),
    ("POST", KEYS + "/{k}/budget", {"day": "5"}, "set_key_budget", "keyId", "{hint} limited to 5.00 USD per day (UTC)"),
    ("POST", KEYS + "/{k}/rotate", {}, "rotate_key", "key.keyId", "{key.hint} instead of {k}"),
    (
        *("POST", "/api/admin/prices", {"type": "audited", "unitPrice": "0.5"}, "set_price"),
        *("priceId", "audited 0.50 from {startsAt}"),
    ),
    (
        *("POST", "{m}/prices", {"type": "audited", "unitPrice": None, "startsAt": FAR}, "set_price"),
        *("priceId", "audited variable from 2100-01-01T00:00:00.000000Z"),
    ),
    (
        *("POST", "/api/admin/prices", {"type": "audited", "rule": RULE, "startsAt": SOON}, "set_price"),
        *("priceId", "audited by a rule from 2099-01-01T00:00:00.000000Z"),
    ),
    (
        *("POST", "/api/admin/prices/end", {"type": "call", "startsAt": FAR}, "end_price"),
        *("priceId", "call from 2100-01-01T00:00:00.000000Z"),
    ),
    (
        *("POST", "{m}/prices/end", {"type": "own", "startsAt": FAR}, "end_price"),
        *("priceId", "own from 2100-01-01T00:00:00.000000Z"),
    ),
    (
        *("POST", "/api/admin/prices/{p}/withdraw", NO_BODY, "withdraw_price"),
        *("priceId", "coming from {startsAt}"),
    ),
    (
        *("POST", "{m}/prices/{o}/withdraw", NO_BODY, "withdraw_price"),
        *("priceId", "own from {startsAt}"),
    ),
    (
        *("POST", "{m}/topups", {"amount": "5", "reference": "T", "note": "wire"}, "top_up"),
        *("transferId", "top_up of 5.00 USD, T, wire"),
    ),
    (
        *("POST", "{m}/adjustments", {"amount": "-3.2", "reference": "A", "reason": "typo"}, "adjustment"),
        *("transferId", "adjustment of -3.20 USD, A, typo"),
    ),
    (
        *("POST", "{m}/reversals", {"transferId": "{t}", "amount": "1", "reference": "V", "reason": "bounced"}),
        *("top_up_reversal", "transferId", "top_up_reversal of 1.00 USD, V, bounced"),
    ),
    (
        *("POST", "{m}/grants", {"amount": "5", "reference": "G", "reason": "trial", "priority": 2}, "give_credit"),
        *("grantId", "grant of 5.00 USD, priority 2, G, trial"),
    ),
    (
        *("POST", "{m}/grants/{g}/end", {"reason": "by mistake"}, "end_grant"),
        *("grantId", "grant_expiry of 4.00 USD, GIVEN, by mistake"),
    ),
    (
        *("POST", "/api/refunds", {"transferId": "{c}", "idempotencyKey": "k", "note": "blurred"}),
        *("refund", "transferId", "refund of 1.00 USD, blurred"),
    ),
]
OPERATORS_OWN: Final = {
    *(KEYS, ALL_HOOKS, "/api/admin/prices", "/api/admin/prices/end", "/api/admin/prices/{p}/withdraw"),
}


def _field(data: Any, name: str) -> str:
    for part in name.split("."):
        data = data[part]
    return str(data)


@pytest.mark.parametrize(
    ("method", "path", "body", "action", "subject", "detail"),
    ACTIONS,
    ids=[f"{method} {path}" for method, path, *_ in ACTIONS],
)
async def test_each_action_is_in_the_audit_log_once(
    farebox: Farebox, client: AppClient, method: str, path: str, body: object, action: str, subject: str, detail: str
) -> None:
    seeds = await seed(farebox)
    user = await farebox.services.merchants.add_user(seeds.merchant_id, "bob@northwind.example")
    key = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    charge = {"merchant": seeds.merchant, "type": "call", "amount": "1", "idempotencyKey": "c"}
    prices = farebox.services.prices
    coming = await prices.set("coming", "1", starts=format_time(farebox.clock.now() + 3_600_000_000))
    await prices.set("own", "1", merchant_id=seeds.merchant_id)
    own = await prices.set("own", "2", merchant_id=seeds.merchant_id, starts=SOON)
    destinations = await add_destinations(farebox, seeds.merchant_id)
    names = {
        "{p}": ids.public_id(ids.PRICE, coming.price_id),
        "{o}": ids.public_id(ids.PRICE, own.price_id),
        "{u}": ids.public_id(ids.USER, user.user_id),
        "{d}": destinations["destination"],
        "{e}": destinations["event"],
        "{k}": ids.public_id(ids.KEY, key.key.key_id),
        "{g}": (await give_credit(farebox, seeds.merchant_id)).id,
        "{t}": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1),
        "{c}": str((await client.post("/api/charges", seeds.service_key, charge)).data["transferId"]),
    }
    if isinstance(body, dict):
        body = {name: names.get(str(value), value) for name, value in body.items()}
    target = path
    for name, value in names.items():
        target = target.replace(name, value)
    if path in ("{m}/close", "{m}/reopen"):
        await empty(farebox, seeds.merchant_id, is_closed=path == "{m}/reopen")
    if path.endswith("/resume"):
        await farebox.services.merchants.suspend_key(key.key.key_id)
    before = await _log(client, seeds)
    with later(farebox, seconds=0):
        now = farebox.clock.now()
        reply = await _ask(client, seeds, method, target, body)
    assert 200 == reply.status, reply
    (audit_entry,) = [audit_entry for audit_entry in await _log(client, seeds) if audit_entry not in before]
    for name in ("key.hint", "hint", "startsAt"):
        if "{" + name + "}" in detail:
            detail = detail.replace("{" + name + "}", _field(reply.data, name))
    merchant = _field(reply.data, "merchantId") if path == MERCHANTS else seeds.merchant
    # tests/presenters holds what is said of each.
    assert audit_entry.pop("sentence").startswith("ann, by the key “ann”, ")
    assert {
        "at": format_time(now),
        "person": "ann",
        "keyId": await _key_id(farebox, seeds.support_key),
        "address": "127.0.0.1",
        "action": action,
        "merchantId": None if path in OPERATORS_OWN else merchant,
        "subject": names[subject] if subject in names else _field(reply.data, subject),
        "detail": detail.replace("{k}", names["{k}"]).replace("{e}", names["{e}"]),
    } == audit_entry
    if audit_entry["merchantId"] is not None:
        (newest, *_) = await _log(client, seeds, query=f"&merchant={merchant}")
        assert audit_entry.items() <= newest.items()
    assert [] == await _log(client, seeds, query="&merchant=mer_0000000000001")


async def test_every_way_to_change_something_is_among_the_actions_above(farebox: Farebox) -> None:
    changing = {
        (route.method, route.path)
        for route in routes(farebox.services)
        if route.path.startswith("/api/admin") and route.method != "GET" and "/approvals/" not in route.path
    }
    shapes = {
        "{m}": MERCHANTS + "/{merchant_id:str}",
        "{k}": "{key_id:str}",
        "{u}": "{user_id:str}",
        "{g}": "{grant_id:str}",
        "{d}": "{destination_id:str}",
    }
    shapes |= dict.fromkeys(("{p}", "{o}"), "{price_id:str}")
    told = set()
    for method, path, *_ in ACTIONS:
        whole = path
        for short, long_ in shapes.items():
            whole = whole.replace(short, long_)
        told.add((method, whole))
    # A test that is sent to a destination changes nothing.
    changing.remove(("POST", "/api/admin/destinations/{destination_id:str}/test"))
    assert changing == {(method, path) for method, path in told if path != "/api/refunds"}


async def test_what_was_refused_or_told_again_is_not_in_the_audit_log(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    once: list[tuple[str, dict[str, Any]]] = [
        ("{m}/topups", {"amount": "5", "reference": "T"}),
        ("{m}/adjustments", {"amount": "5", "reference": "A", "reason": "r"}),
        ("{m}/users", {"email": "bob@northwind.example"}),
    ]
    for path, body in once:
        assert 200 == (await _ask(client, seeds, "POST", path, body)).status
    before = await _log(client, seeds)
    for path, body in once:
        assert (await _ask(client, seeds, "POST", path, body)).status in (200, 409)
        assert (
            409
            == (
                await _ask(client, seeds, "POST", path, {**body, **({"amount": "6"} if "amount" in body else {})})
            ).status
        )
    content = {"amount": "-1000", "reference": "B", "reason": "r"}
    assert 402 == (await _ask(client, seeds, "POST", "{m}/adjustments", content)).status
    assert before == await _log(client, seeds)


async def test_pages_of_the_audit_log_tell_every_action_once_newest_first(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    # All in one microsecond: what was written then has an order all the same.
    with later(farebox, seconds=0):
        for number in range(9):
            content = {"amount": "1", "reference": f"R{number}"}
            assert 200 == (await _ask(client, seeds, "POST", "{m}/topups", content)).status
    whole = await _log(client, seeds, query=f"&merchant={seeds.merchant}")
    assert {f"top_up of 1.00 USD, R{number}" for number in range(9)} == {audit_entry["detail"] for audit_entry in whole}
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        path = f"/api/admin/audit?merchant={seeds.merchant}&limit=4" + (f"&cursor={cursor}" if cursor else "")
        data = (await _ask(client, seeds, "GET", path)).data
        found += data["entries"]
        cursor = data["nextCursor"]
        # A transfer that comes meanwhile is newer, and so on no later page.
        content = {"amount": "1", "reference": _new("later")}
        assert 200 == (await _ask(client, seeds, "POST", "{m}/topups", content)).status
    assert whole == found
    times = [audit_entry["at"] for audit_entry in await _log(client, seeds)]
    assert sorted(times, reverse=True) == times


# Approvals


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Farebox]:
    """A Farebox that wants two people for more than 100."""
    path = tmp_path_factory.mktemp("strict") / "farebox.db"
    farebox = Farebox.build(Settings.of(database_url=f"sqlite:///{path}", approval_above="100"))
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        yield farebox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict_client(strict: Farebox) -> AppClient:
    """A client of the application over it."""
    return await open_client(strict)


async def _approver(farebox: Farebox, name: str = "bob") -> str:
    return await support_key_of(farebox, name)


async def _request(client: AppClient, seeds: Seeds, amount: str = "100.01", reference: str = "R") -> dict[str, Any]:
    """Ask for a top-up (or, with a sign, an adjustment) that is above the limit."""
    if amount[0] in "+-":
        content = {"amount": amount.removeprefix("+"), "reference": reference, "reason": "typo"}
        reply = await _ask(client, seeds, "POST", "{m}/adjustments", content)
    else:
        reply = await _ask(client, seeds, "POST", "{m}/topups", {"amount": amount, "reference": reference})
    assert 202 == reply.status, reply
    return dict(reply.data)


async def _decide(client: AppClient, seeds: Seeds, approval_id: str, how: str, key: str) -> Reply:
    return await client.send("POST", _path(seeds, f"/approvals/{approval_id}/{how}"), key=key)


@pytest.mark.parametrize("amount", ["100", "-100"])
async def test_up_to_the_limit_one_person_is_enough(strict: Farebox, strict_client: AppClient, amount: str) -> None:
    seeds = await seed(strict)
    if amount.startswith("-"):
        reply = await _ask(
            strict_client, seeds, "POST", "{m}/adjustments", {"amount": amount, "reference": "A", "reason": "r"}
        )
    else:
        reply = await _ask(strict_client, seeds, "POST", "{m}/topups", {"amount": amount, "reference": "A"})
    assert (200, "0.00" if amount.startswith("-") else "200.00") == (reply.status, reply.data["available"])
    approvals = await _ask(strict_client, seeds, "GET", f"/api/admin/approvals?merchant={seeds.merchant}")
    assert {"approvals": [], "nextCursor": None} == approvals.data


@pytest.mark.parametrize(
    ("amount", "kind", "written", "after"),
    [
        ("100.01", "top_up", "100.01", "300.01"),
        ("+150", "adjustment", "150.00", "350.00"),
        ("-150", "adjustment", "-150.00", "50.00"),
    ],
)
async def test_above_the_limit_a_move_waits_for_another_person(
    strict: Farebox, strict_client: AppClient, amount: str, kind: str, written: str, after: str
) -> None:
    seeds, client = await seed(strict, balance="100"), strict_client
    assert 200 == (await _ask(client, seeds, "POST", "{m}/topups", {"amount": "100", "reference": "more"})).status
    asked = await _request(client, seeds, amount)
    approval_id = asked["approvalId"]
    assert asked.pop("requestedAt")
    assert {
        "approvalId": approval_id,
        "merchantId": seeds.merchant,
        "kind": kind,
        "amount": written,
        "reference": "R",
        "note": None if kind == "top_up" else "typo",
        "state": "pending",
        "requestedBy": "ann",
        "decidedBy": None,
        "decidedAt": None,
        "transferId": None,
        "refersTo": None,
        "terms": None,
    } == asked
    assert "200.00" == (await client.get("/api/balance", seeds.merchant_key)).data
    request = (await _log(client, seeds))[0]
    bob = await _approver(strict)
    done = await _decide(client, seeds, approval_id, "approve", bob)
    assert (200, after, written.removeprefix("-")) == (done.status, done.data["available"], done.data["amount"])
    assert after == (await client.get("/api/balance", seeds.merchant_key)).data
    (listed,) = (await _ask(client, seeds, "GET", f"/api/admin/approvals?merchant={seeds.merchant}")).data["approvals"]
    assert ("approved", "bob", done.data["transferId"]) == tuple(
        listed[name] for name in ("state", "decidedBy", "transferId")
    )
    assert listed["decidedAt"] >= listed["requestedAt"]
    # Both actions are in the log, each under its own person.
    words = f"{kind} of {written} USD, R" + ("" if kind == "top_up" else ", typo")
    approved = (await _log(client, seeds))[0]
    expected = [
        ("request_approval", "ann", await _key_id(strict, seeds.support_key), approval_id, words),
        ("approve", "bob", await _key_id(strict, bob), done.data["transferId"], words),
    ]
    names = ("action", "person", "keyId", "subject", "detail")
    assert expected == [tuple(audit_entry[name] for name in names) for audit_entry in (request, approved)]
    assert ("127.0.0.1", seeds.merchant) == (approved["address"], approved["merchantId"])
    assert [] == [fault async for fault in Verifier(strict.stores.connector).faults(seeds.merchant_id)]


@pytest.mark.parametrize("starts", [None, SOON_AHEAD])
async def test_above_the_limit_credit_waits_on_the_terms_that_were_asked_for(
    strict: Farebox, strict_client: AppClient, starts: int | None
) -> None:
    seeds, client = await seed(strict, balance="100"), strict_client
    starts_at = None if starts is None else format_time(strict.clock.now() + starts)
    terms = {"startsAt": starts_at, "expiresAt": format_time(strict.clock.now() + 2 * SOON_AHEAD), "priority": 4}
    content = {"amount": "150", "reference": "G", "reason": "trial", "types": ["image"], **terms}
    reply = await _ask(client, seeds, "POST", "{m}/grants", content)
    assert (202, "grant", "150.00") == (reply.status, reply.data["kind"], reply.data["amount"])
    assert {**terms, "types": ["image"]} == reply.data["terms"]
    again = await _ask(client, seeds, "POST", "{m}/grants", content)
    assert (202, "true", reply.data) == (again.status, again.header("idempotent-replay"), again.data)
    bob = await _approver(strict)
    done = await _decide(client, seeds, reply.data["approvalId"], "approve", bob)
    after = "250.00" if starts is None else "100.00"
    assert (200, "150.00", after) == (done.status, done.data["amount"], done.data["available"])
    assert (starts is None) == (done.data["transferId"] is not None)
    (grant,) = (await client.get("/api/grants", seeds.merchant_key)).data["grants"]
    assert ("open" if starts is None else "waiting", terms["expiresAt"], ["image"], 4) == tuple(
        grant[name] for name in ("state", "expiresAt", "types", "priority")
    )
    replay = await _decide(client, seeds, reply.data["approvalId"], "approve", bob)
    assert (200, "true") == (replay.status, replay.header("idempotent-replay"))
    assert [] == [fault async for fault in Verifier(strict.stores.connector).faults(seeds.merchant_id)]


async def test_who_requested_can_not_approve_by_any_key(strict: Farebox, strict_client: AppClient) -> None:
    seeds, client = await seed(strict), strict_client
    approval_id = (await _request(client, seeds))["approvalId"]
    made = await _ask(client, seeds, "POST", "/api/admin/keys", {"kind": "support", "name": "bob"})
    before = await _log(client, seeds)
    for key in (seeds.support_key, made.data["apiKey"]):
        reply = await _decide(client, seeds, approval_id, "approve", key)
        assert (403, "approval_needs_another_person") == (reply.status, reply.code)
        assert "ann requested this" in reply.message
    assert before == await _log(client, seeds)
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data


@pytest.mark.parametrize("person", ["ann", "bob"])
async def test_rejected_request_is_never_made(strict: Farebox, strict_client: AppClient, person: str) -> None:
    seeds, client = await seed(strict), strict_client
    approval_id = (await _request(client, seeds))["approvalId"]
    key, other = await _approver(strict, person), await _approver(strict, "eve")
    first = await _decide(client, seeds, approval_id, "reject", key)
    assert (200, "rejected", person, None) == (
        *(first.status, first.data["state"]),
        *(first.data["decidedBy"], first.data["transferId"]),
    )
    audit_entry = (await _log(client, seeds))[0]
    assert ("reject", person, approval_id, "top_up of 100.01 USD, R") == tuple(
        audit_entry[name] for name in ("action", "person", "subject", "detail")
    )
    again = await _decide(client, seeds, approval_id, "reject", other)
    assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    approve = await _decide(client, seeds, approval_id, "approve", other)
    asked = await _ask(client, seeds, "POST", "{m}/topups", {"amount": "100.01", "reference": "R"})
    for reply in (approve, asked):
        assert (409, "approval_already_rejected") == (reply.status, reply.code)
        assert person in reply.message
    assert audit_entry == (await _log(client, seeds))[0]
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_approved_request_is_made_once_and_can_not_be_rejected(strict: Farebox, strict_client: AppClient) -> None:
    seeds, client = await seed(strict), strict_client
    approval_id = (await _request(client, seeds))["approvalId"]
    first = await _decide(client, seeds, approval_id, "approve", await _approver(strict))
    before = await _log(client, seeds)
    again = await _decide(client, seeds, approval_id, "approve", await _approver(strict, "eve"))
    assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    reject = await _decide(client, seeds, approval_id, "reject", seeds.support_key)
    assert (409, "approval_already_approved") == (reject.status, reject.code)
    # Who asks again under the reference is told what became of it.
    asked = await _ask(client, seeds, "POST", "{m}/topups", {"amount": "100.01", "reference": "R"})
    assert (200, "true", first.data) == (asked.status, asked.header("idempotent-replay"), asked.data)
    other = await _ask(client, seeds, "POST", "{m}/topups", {"amount": "100.02", "reference": "R"})
    assert (409, "idempotency_conflict") == (other.status, other.code)
    assert before == await _log(client, seeds)
    assert "200.01" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_reference_is_requested_once(strict: Farebox, strict_client: AppClient) -> None:
    seeds, client = await seed(strict), strict_client
    content = {"amount": "150", "reference": "R", "note": "wire"}
    first = await _ask(client, seeds, "POST", "{m}/topups", content)
    before = await _log(client, seeds)
    again = await _ask(client, seeds, "POST", "{m}/topups", {**content, "amount": "150.00"})
    assert (202, "true", first.body) == (again.status, again.header("idempotent-replay"), again.body)
    assert (202, None) == (first.status, first.header("idempotent-replay"))
    other = await _ask(client, seeds, "POST", "{m}/topups", {**content, "amount": "151"})
    assert (409, "idempotency_conflict") == (other.status, other.code)
    assert first.data["approvalId"] in other.message
    assert before == await _log(client, seeds)
    # An adjustment's references are its own.
    assert first.data["approvalId"] != (await _request(client, seeds, "+150"))["approvalId"]


async def test_of_many_who_decide_at_once_one_does(strict: Farebox, strict_client: AppClient) -> None:
    seeds, client = await seed(strict), strict_client
    people = [await _approver(strict, f"person-{number}") for number in range(6)]
    for number in range(8):
        approval_id = (await _request(client, seeds, reference=f"R{number}"))["approvalId"]
        hows = ["approve" if (place + number) % 2 else "reject" for place in range(6)]
        replies = await asyncio.gather(
            *[_decide(client, seeds, approval_id, how, key) for how, key in zip(hows, people, strict=True)]
        )
        winners = [
            how
            for how, reply in zip(hows, replies, strict=True)
            if reply.status == 200 and not reply.header("idempotent-replay")
        ]
        assert 1 == len(winners)
        loser = "approval_already_approved" if winners == ["approve"] else "approval_already_rejected"
        for how, reply in zip(hows, replies, strict=True):
            assert (
                (200, None) == (reply.status, reply.code)
                if [how] == winners
                else (409, loser)
                == (
                    reply.status,
                    reply.code,
                )
            )
    states = [
        item["state"]
        for item in (await _ask(client, seeds, "GET", f"/api/admin/approvals?merchant={seeds.merchant}")).data[
            "approvals"
        ]
    ]
    expected = 100_000_000 + states.count("approved") * 100_010_000
    account = await strict.stores.accounts.find(seeds.merchant_id)
    assert account is not None
    assert (8, expected) == (len(states), account.wallet)


async def test_requests_at_once_under_one_reference_are_one(strict: Farebox, strict_client: AppClient) -> None:
    seeds = await seed(strict)
    asked = await asyncio.gather(*[_request(strict_client, seeds) for _ in range(8)])
    assert 1 == len({item["approvalId"] for item in asked})


async def test_approval_of_what_no_longer_fits_is_refused_and_stays_open(
    strict: Farebox, strict_client: AppClient
) -> None:
    seeds, client = await seed(strict, balance="100"), strict_client
    bob = await _approver(strict)
    assert 200 == (await _ask(client, seeds, "POST", "{m}/topups", {"amount": "50", "reference": "more"})).status
    taken = (await _request(client, seeds, "-150"))["approvalId"]
    charge = {"merchant": seeds.merchant, "type": "call", "amount": "0.01", "idempotencyKey": "k"}
    assert 200 == (await client.post("/api/charges", seeds.service_key, charge)).status
    before = await _log(client, seeds)
    refused = await _decide(client, seeds, taken, "approve", bob)
    assert (402, "insufficient_balance") == (refused.status, refused.code)
    assert before == await _log(client, seeds)
    assert 200 == (await _ask(client, seeds, "POST", "{m}/topups", {"amount": "0.01", "reference": "T"})).status
    assert "0.00" == (await _decide(client, seeds, taken, "approve", bob)).data["available"]

    requests = [(await _request(client, seeds, "1000000000000", f"R{number}"))["approvalId"] for number in range(5)]
    replies = [await _decide(client, seeds, approval_id, "approve", bob) for approval_id in requests]
    assert [200, 200, 200, 422, 422] == [reply.status for reply in replies]
    assert {"balance_limit_exceeded"} == {reply.code for reply in replies[3:]}


async def test_approval_that_is_none_is_a_404(strict: Farebox, strict_client: AppClient) -> None:
    seeds, other, client = await seed(strict), await seed(strict), strict_client
    theirs = (await _request(client, other))["approvalId"]
    bob = await _approver(strict)
    for how in ("approve", "reject"):
        for approval_id in (theirs, "appr_0000000000000", "x", "%00", theirs.lower(), theirs.replace("appr", "mer")):
            reply = await _decide(client, seeds, approval_id, how, bob)
            assert (404, "approval_not_found") == (reply.status, reply.code), approval_id
        reply = await client.send("POST", f"{MERCHANTS}/x/approvals/{theirs}/{how}", key=bob)
        assert (404, "merchant_not_found") == (reply.status, reply.code)
    assert "100.00" == (await client.get("/api/balance", other.merchant_key)).data


async def test_pages_of_approvals_tell_each_once_newest_first(strict: Farebox, strict_client: AppClient) -> None:
    seeds, client = await seed(strict), strict_client
    asked = []
    for number in range(7):
        asked.append((await _request(client, seeds, reference=f"R{number}"))["approvalId"])
        await asyncio.sleep(0.002)
    await _request(client, await seed(strict))
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        path = f"/api/admin/approvals?merchant={seeds.merchant}&limit=3" + (f"&cursor={cursor}" if cursor else "")
        data = (await _ask(client, seeds, "GET", path)).data
        found += [item["approvalId"] for item in data["approvals"]]
        cursor = data["nextCursor"]
        await _request(client, seeds, reference=_new("later"))
        await asyncio.sleep(0.002)
    assert asked[::-1] == found
    everything = (await _ask(client, seeds, "GET", "/api/admin/approvals?limit=1000")).data["approvals"]
    assert {seeds.merchant} < {item["merchantId"] for item in everything}


async def test_without_a_limit_one_person_is_enough_for_any_amount(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    reply = await _ask(client, seeds, "POST", "{m}/topups", {"amount": "1000000000", "reference": "T"})
    assert (200, "1000000100.00") == (reply.status, reply.data["available"])
