"""GET /api/balance, to the letter: clients in the field depend on its bytes, statuses and headers."""

from decimal import ROUND_CEILING, Decimal

import pytest

from farebox.bootstrap import Farebox
from farebox.core.commands import CreateHold, KeyKind, Payer
from farebox.service.people import api_keys
from farebox.storage.interface import StoreUnavailable
from farebox.web.schemas.spending import ChargeRequest
from tests.support.app_client import AppClient, Headers, Reply, open_client
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNAUTHORIZED = b'{"isSuccess":false,"statusCode":401,"errorMessage":"Invalid API key","data":null}'
FAILED = b'{"isSuccess":false,"statusCode":500,"errorMessage":"Internal server error","data":null}'
ORIGIN = "https://dashboard.example"


def _success(amount: str) -> bytes:
    return b'{"isSuccess":true,"statusCode":200,"errorMessage":null,"data":"%b"}' % amount.encode()


def _names(reply: Reply) -> set[str]:
    return {name for name, _ in reply.headers}


async def _spend(farebox: Farebox, seeds: Seeds, amount: str) -> None:
    outcome = await farebox.services.operations.charge(
        ChargeRequest(seeds.merchant, "call", "spend", amount=amount), caller=None
    )
    assert outcome.is_ok, outcome


async def test_success_is_these_very_bytes_and_headers(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="1250.75")
    reply = await client.get("/api/balance", seeds.merchant_key)
    assert 200 == reply.status
    assert b'{"isSuccess":true,"statusCode":200,"errorMessage":null,"data":"1250.75"}' == reply.body
    assert [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-length", "72"),
    ] == reply.headers


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (None, "0.00"),
        ("1250.75", "1250.75"),
        ("12.3456", "12.3456"),
        ("5", "5.00"),
        ("5.1", "5.10"),
        ("5.10", "5.10"),
        ("5.100", "5.10"),
        ("5.001", "5.001"),
        ("0.000001", "0.000001"),
        ("1.100000", "1.10"),
        ("1.123456", "1.123456"),
        ("1000", "1000.00"),
        ("1234567.89", "1234567.89"),
        ("999999999999.999999", "999999999999.999999"),
        ("1000000000000", "1000000000000.00"),
    ],
)
async def test_balance_is_a_plain_exact_decimal(
    farebox: Farebox, client: AppClient, left: str | None, shown: str
) -> None:
    """Whole cents are paid; after a charge a finer amount may be left."""
    paid = None if left is None else str(Decimal(left).quantize(Decimal("0.01"), ROUND_CEILING))
    seeds = await seed(farebox, balance=paid)
    if left is not None and paid is not None and Decimal(paid) > Decimal(left):
        await _spend(farebox, seeds, str(Decimal(paid) - Decimal(left)))
    assert _success(shown) == (await client.get("/api/balance", seeds.merchant_key)).body


@pytest.mark.parametrize(
    ("spent", "shown"),
    [
        ("0.01", "-0.01"),
        ("0.000001", "-0.000001"),
        ("12.3456", "-12.3456"),
        ("1000", "-1000.00"),
        ("999999999999.5", "-999999999999.50"),
    ],
)
async def test_balance_on_credit_is_negative(farebox: Farebox, client: AppClient, spent: str, shown: str) -> None:
    seeds = await seed(farebox, balance=None, credit_limit="1000000000000")
    await _spend(farebox, seeds, spent)
    assert _success(shown) == (await client.get("/api/balance", seeds.merchant_key)).body


async def test_credit_limit_is_not_part_of_the_balance(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="10", credit_limit="500")
    assert _success("10.00") == (await client.get("/api/balance", seeds.merchant_key)).body


async def test_balance_is_what_is_available_without_what_is_held(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="10")
    held = await farebox.committer.submit(CreateHold(Payer(seeds.merchant_id), "call", 1, "h", amount=4_000_000))
    assert held.is_ok
    assert _success("6.00") == (await client.get("/api/balance", seeds.merchant_key)).body


async def test_balance_follows_every_move_at_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="10")
    await _spend(farebox, seeds, "9.5")
    assert _success("0.50") == (await client.get("/api/balance", seeds.merchant_key)).body


async def test_frozen_merchant_reads_its_balance(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="10")
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)
    assert _success("10.00") == (await client.get("/api/balance", seeds.merchant_key)).body


async def test_each_key_opens_its_own_merchant(farebox: Farebox, client: AppClient) -> None:
    first, second = await seed(farebox, balance="1"), await seed(farebox, balance="2")
    assert _success("1.00") == (await client.get("/api/balance", first.merchant_key)).body
    assert _success("2.00") == (await client.get("/api/balance", second.merchant_key)).body


async def _closed_keys(farebox: Farebox, seeds: Seeds) -> dict[str, str]:
    """Make keys that once opened something: a merchant's revoked and expired ones, and a service's."""
    merchants = farebox.services.merchants
    revoked = await merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    await merchants.revoke_key(revoked.key.key_id)
    expired = await merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    await merchants.rotate_key(expired.key.key_id, overlap_seconds=0)
    service = await merchants.create_key(KeyKind.SERVICE, name="recognition")
    await merchants.revoke_key(service.key.key_id)
    support = await merchants.create_key(KeyKind.SUPPORT, name="ann")
    await merchants.rotate_key(support.key.key_id, overlap_seconds=0)
    return {
        "revoked": revoked.text,
        "expired": expired.text,
        "revoked service": service.text,
        "expired support": support.text,
    }


async def test_bad_keys_are_indistinguishable(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    key = seeds.merchant_key
    missing = await client.get("/api/balance")
    assert 401 == missing.status
    assert UNAUTHORIZED == missing.body
    assert "invalid_api_key" == missing.code
    bad: dict[str, str | bytes] = {
        **await _closed_keys(farebox, seeds),
        "empty": "",
        "blank": " ",
        "garbage": "garbage",
        "unknown": api_keys.make_key(KeyKind.MERCHANT, seeds.merchant_id),
        "unknown merchant": api_keys.make_key(KeyKind.MERCHANT, 1),
        "unknown service": api_keys.make_key(KeyKind.SERVICE),
        "unknown support": api_keys.make_key(KeyKind.SUPPORT),
        "other merchant's number": other.merchant_key[:17] + key[17:],
        "other kind": "fbs_" + key[17:],
        "number beyond 63 bits": "fbm_Z" + key[5:],
        "merchant id": seeds.merchant,
        "lower case": key.lower(),
        "upper case": key.upper(),
        "one character short": key[:-1],
        "one character more": key + "0",
        "one character wrong": key[:-1] + ("0" if key[-1] != "0" else "1"),
        "leading space": " " + key,
        "trailing space": key + " ",
        "space within": key[:9] + " " + key[9:],
        "line break": key + "\n",
        "quoted": f'"{key}"',
        "bearer": f"Bearer {key}",
        "two in one": f"{key}, {key}",
        "not ASCII": b"\xff\xfe\x00\x80",
        "digits of another script": key[:-1].encode() + "\u0661".encode(),
        "wide characters": "\uff46\uff42\uff4d\uff3f".encode() + key[4:].encode(),
        "10 kB": "f" * 10_000,
        "10 kB of a key": key * 233,
        "SQL": "' OR 1=1 --",
    }
    for what, text in bad.items():
        assert missing == await client.get("/api/balance", text), what
    twice: Headers = [("x-api-key", key), ("x-api-key", key)]
    assert missing == await client.get("/api/balance", headers=twice)
    mixed: Headers = [("X-API-Key", key), ("x-api-key", "garbage")]
    assert missing == await client.get("/api/balance", headers=mixed)
    elsewhere: Headers = [("authorization", f"Bearer {key}"), ("api-key", key), ("cookie", f"x-api-key={key}")]
    assert missing == await client.get("/api/balance", headers=elsewhere)
    assert missing == await client.get(f"/api/balance?x-api-key={key}&api_key={key}")
    assert 200 == (await client.get("/api/balance", key)).status


async def test_revoked_key_closes_at_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    second = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    assert 200 == (await client.get("/api/balance", second.text)).status
    await farebox.services.merchants.revoke_key(second.key.key_id)
    assert UNAUTHORIZED == (await client.get("/api/balance", second.text)).body
    assert 200 == (await client.get("/api/balance", seeds.merchant_key)).status


async def test_header_name_takes_any_case(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    headers: Headers = [("X-Api-KEY", seeds.merchant_key)]
    assert 200 == (await client.get("/api/balance", headers=headers)).status


async def test_keys_of_other_kinds_are_forbidden(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for key in (seeds.service_key, seeds.support_key):
        reply = await client.get("/api/balance", key)
        assert (403, "forbidden") == (reply.status, reply.code)
        assert (
            b'{"isSuccess":false,"statusCode":403,"errorMessage":"This kind of API key may not do this","data":null}'
            == reply.body
        )


async def test_head_answers_as_get_does(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="3")
    asked, head = (
        await client.get("/api/balance", seeds.merchant_key),
        await client.send("HEAD", "/api/balance", key=seeds.merchant_key),
    )
    assert (asked.status, asked.headers) == (head.status, head.headers)
    assert 401 == (await client.send("HEAD", "/api/balance")).status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
async def test_other_methods_are_refused_with_those_that_are_taken(
    farebox: Farebox, client: AppClient, method: str
) -> None:
    seeds = await seed(farebox)
    reply = await client.send(method, "/api/balance", key=seeds.merchant_key)
    assert (405, "method_not_allowed") == (reply.status, reply.code)
    assert "GET, HEAD, OPTIONS" == reply.header("allow")
    assert "GET, HEAD, OPTIONS" in reply.message


async def test_query_and_body_of_a_get_are_ignored(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="3")
    reply = await client.send(
        "GET",
        "/api/balance?_=1731&merchant=x",
        key=seeds.merchant_key,
        headers=[("content-length", "9")],
        body=b"{}{}{}{}{",
    )
    assert _success("3.00") == reply.body


async def test_database_that_is_away_is_a_500_with_the_contracts_words(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await seed(farebox, balance="3")

    async def fail(*_: object) -> None:
        raise StoreUnavailable("connection refused at db.internal:5432")

    with monkeypatch.context() as patch:
        patch.setattr(farebox.stores.connector, "balances", fail)
        patch.setattr(farebox.stores.api_keys, "authenticate", fail)
        for key in (seeds.merchant_key, seeds.service_key, seeds.support_key):
            reply = await client.get("/api/balance", key)
            assert 500 == reply.status
            assert FAILED == reply.body
            assert "unavailable" == reply.code
            assert "1" == reply.header("retry-after")
        assert UNAUTHORIZED == (await client.get("/api/balance")).body
    assert _success("3.00") == (await client.get("/api/balance", seeds.merchant_key)).body


async def test_crash_is_a_500_that_tells_nothing_more(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = await seed(farebox, balance="3")

    async def crash(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    with monkeypatch.context() as patch:
        patch.setattr(farebox.stores.connector, "balances", crash)
        reply = await client.get("/api/balance", seeds.merchant_key)
        assert FAILED == reply.body
        assert "internal_error" == reply.code
    assert "hunter2" in caplog.text
    assert seeds.merchant_key not in caplog.text
    assert 200 == (await client.get("/api/balance", seeds.merchant_key)).status


async def test_no_origin_may_read_unless_the_operator_says_so(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    reply = await client.get("/api/balance", seeds.merchant_key, [("origin", ORIGIN)])
    assert 200 == reply.status
    assert not {name for name in _names(reply) if name.startswith("access-control")}
    preflight = await client.send("OPTIONS", "/api/balance", headers=[("origin", ORIGIN)])
    assert 204 == preflight.status
    assert not {name for name in _names(preflight) if name.startswith("access-control")}


async def test_allowed_origin_may_read_answers_and_errors(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    client = await open_client(farebox, cors_origins=(ORIGIN, "https://other.example"))
    for key, target in ((seeds.merchant_key, "/api/balance"), (None, "/api/balance"), (None, "/api/nothing")):
        reply = await client.get(target, key, [("origin", ORIGIN)])
        assert ORIGIN == reply.header("access-control-allow-origin")
        assert "origin" == reply.header("vary")
        exposed = reply.header("access-control-expose-headers")
        assert exposed is not None
        assert {"X-Error-Code", "Idempotent-Replay", "Retry-After", "X-Request-Id"} == set(exposed.split(", "))
        assert reply.header("access-control-allow-credentials") is None


async def test_preflight_allows_the_key_header_for_an_allowed_origin(farebox: Farebox) -> None:
    client = await open_client(farebox, cors_origins=(ORIGIN,))
    asked: Headers = [
        ("origin", ORIGIN),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "x-api-key"),
    ]
    reply = await client.send("OPTIONS", "/api/balance", headers=asked)
    assert (204, b"") == (reply.status, reply.body)
    assert ORIGIN == reply.header("access-control-allow-origin")
    assert "x-api-key, content-type, idempotency-key" == reply.header("access-control-allow-headers")
    assert "GET, HEAD, OPTIONS" == reply.header("access-control-allow-methods")
    assert "600" == reply.header("access-control-max-age")
    assert "origin" == reply.header("vary")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://dashboard.example",
        "https://dashboard.example:8443",
        "https://dashboard.example.evil.example",
        "https://evil-dashboard.example",
        "null",
        "",
        "https://dashboard.example\x00",
    ],
)
async def test_origin_that_is_not_allowed_gets_no_permission(farebox: Farebox, origin: str) -> None:
    seeds = await seed(farebox)
    client = await open_client(farebox, cors_origins=(ORIGIN,))
    for method in ("GET", "OPTIONS"):
        reply = await client.send(method, "/api/balance", key=seeds.merchant_key, headers=[("origin", origin)])
        assert not {name for name in _names(reply) if name.startswith("access-control")}
        # A cache must not hand this answer to the allowed origin.
        assert "origin" == reply.header("vary")


async def test_answer_varies_by_origin_even_without_one(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    client = await open_client(farebox, cors_origins=(ORIGIN,))
    reply = await client.get("/api/balance", seeds.merchant_key)
    assert "origin" == reply.header("vary")
    assert reply.header("access-control-allow-origin") is None


async def test_star_allows_every_origin(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    client = await open_client(farebox, cors_origins=("*",))
    for origin in (ORIGIN, "null", "http://localhost:3000"):
        for method in ("GET", "OPTIONS"):
            reply = await client.send(method, "/api/balance", key=seeds.merchant_key, headers=[("origin", origin)])
            assert "*" == reply.header("access-control-allow-origin")
            assert reply.header("access-control-allow-credentials") is None
