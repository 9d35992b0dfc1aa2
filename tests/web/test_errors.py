"""Every error under /api/ is in the envelope, under a stable name, in words that help.

The client checks each answer of these tests: its envelope, its headers, and that the OpenAPI document foretold it.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service import parsing
from farebox.service.errors import FateUnknown, Overloaded, Unavailable
from farebox.service.people import api_keys
from farebox.storage.interface import CommitUnknown, StoreUnavailable
from tests.support.app_client import JSON, AppClient, Headers, Reply, open_client
from tests.support.clock import later
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHARGES: Final = "/api/charges"
MERCHANTS: Final = "/api/admin/merchants"
BODY_BYTES_MAX: Final = 64 * 1024

_numbers = iter(range(10**9))


def _content(seeds: Seeds, **fields: object) -> dict[str, object]:
    return {"merchant": seeds.merchant, "type": "image", "idempotencyKey": f"key-{next(_numbers)}", **fields}


async def _charge(client: AppClient, seeds: Seeds, **fields: object) -> Reply:
    return await client.post(CHARGES, seeds.service_key, _content(seeds, **fields))


def _top_ups(merchant: str) -> str:
    return f"{MERCHANTS}/{merchant}/topups"


# Paths and methods


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api",
            "/api/",
            "/api/x",
            "/api/balance/",
            "/api//balance",
            "/api/balance/x",
            "/api/balances",
            "/api/Balance",
        ),
        *(
            "/api/../x",
            "/api/%2e%2e/x",
            "/api/./balance",
            "/api/%2F",
            "/api/balance%2f",
            "/api/%ff",
            "/api/%00",
            "/api/💰",
        ),
        *("/api/charges/", "/api/charges/x/y", "/api/admin", "/api/admin/merchants/x/topups/y", "/api/" + "x" * 5000),
    ],
)
async def test_unknown_path_is_a_404_that_tells_where_to_look(client: AppClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        reply = await client.send(method, path)
        assert (404, "not_found") == (reply.status, reply.code)
        assert "/openapi.json" in reply.message


@pytest.mark.parametrize("path", ["//api", "//api/", "///api/x", "//api//balance"])
async def test_slashes_repeated_are_still_the_api(client: AppClient, path: str) -> None:
    reply = await client.get(path)
    assert (404, "not_found", None) == (reply.status, reply.code, reply.json()["data"])
    assert "application/json" == reply.header("content-type")


@pytest.mark.parametrize("path", ["/apis", "/API/balance", "/nothing", "/openapi.json/x", "*"])
@pytest.mark.parametrize(("accept", "media"), [("*/*", "text/plain"), ("text/html,*/*;q=0.8", "text/html")])
async def test_outside_the_api_an_error_is_a_line_of_text_or_a_page(
    client: AppClient, path: str, accept: str, media: str
) -> None:
    reply = await client.get(path, headers=[("accept", accept)])
    assert 404 == reply.status
    assert f"{media}; charset=utf-8" == reply.header("content-type")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/balance", "GET, HEAD, OPTIONS"),
        ("/api/account", "GET, HEAD, OPTIONS"),
        ("/api/charges", "OPTIONS, POST"),
        ("/api/admin/merchants", "GET, HEAD, OPTIONS, POST"),
        ("/api/admin/merchants/mer_x/topups", "OPTIONS, POST"),
    ],
)
async def test_wrong_method_is_a_405_that_names_the_right_ones(client: AppClient, path: str, allowed: str) -> None:
    taken = allowed.split(", ")
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        if method not in taken:
            reply = await client.send(method, path)
            assert (405, "method_not_allowed") == (reply.status, reply.code)
            assert allowed == ", ".join(sorted((reply.header("allow") or "").split(", ")))
            assert all(word in reply.message for word in taken)
    options = await client.send("OPTIONS", path)
    assert (204, b"", allowed) == (options.status, options.body, options.header("allow"))


async def test_browser_may_read_errors_of_every_kind_from_an_allowed_origin(farebox: Farebox) -> None:
    client = await open_client(farebox, cors_origins=("https://shop.example",))
    origin: Headers = [("origin", "https://shop.example")]
    for method, path in (
        ("GET", "/api/x"),
        ("GET", CHARGES),
        ("POST", CHARGES),
        ("GET", _top_ups("x")),
        ("POST", "/api/x"),
    ):
        reply = await client.send(method, path, headers=origin)
        assert "https://shop.example" == reply.header("access-control-allow-origin"), (method, path)


# Who asks


@pytest.mark.parametrize("target", ["/api/account", CHARGES, MERCHANTS, _top_ups("mer_x")])
async def test_bad_caller_is_a_401_whatever_else_is_wrong(farebox: Farebox, client: AppClient, target: str) -> None:
    seeds = await seed(farebox)
    revoked = [
        await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id),
        await farebox.services.merchants.create_key(KeyKind.SERVICE, name="recognition"),
        await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="ann"),
    ]
    for key in revoked:
        await farebox.services.merchants.revoke_key(key.key.key_id)
    unknown = [
        api_keys.make_key(KeyKind.SERVICE),
        api_keys.make_key(KeyKind.SUPPORT),
        api_keys.make_key(KeyKind.MERCHANT, 7),
    ]
    good, nobody = (json.dumps(_content(seeds, merchant=it)).encode() for it in (seeds.merchant, "nobody"))
    bodies = [b"", b"{", b"[]", b"x" * (BODY_BYTES_MAX + 1), good, nobody, b'{"type": 1}']
    method = "GET" if target == "/api/account" else "POST"
    for text in (None, "", "garbage", *unknown, *(key.text for key in revoked)):
        for body in bodies:
            for content_type in ("application/json", "text/plain"):
                reply = await client.send(method, target, key=text, body=body, headers=[("content-type", content_type)])
                assert (401, "invalid_api_key") == (reply.status, reply.code), (text, body[:40])
                assert "Invalid API key" == reply.message


@pytest.mark.parametrize(
    ("method", "target", "kinds"),
    [
        ("GET", "/api/balance", {"merchant"}),
        ("GET", "/api/account", {"merchant"}),
        ("POST", CHARGES, {"service"}),
        ("POST", MERCHANTS, {"support"}),
        ("POST", _top_ups("mer_x"), {"support"}),
    ],
)
async def test_wrong_kind_of_caller_is_a_403_whatever_else_is_wrong(
    farebox: Farebox, client: AppClient, method: str, target: str, kinds: set[str]
) -> None:
    seeds = await seed(farebox)
    keys = {"merchant": seeds.merchant_key, "service": seeds.service_key, "support": seeds.support_key}
    good, nobody = (json.dumps(_content(seeds, merchant=it)).encode() for it in (seeds.merchant, "nobody"))
    for kind in keys.keys() - kinds:
        for body in (b"", b"{", b"[]", good, nobody, b"x" * (BODY_BYTES_MAX + 1)):
            reply = await client.send(method, target, key=keys[kind], body=body)
            assert (403, "forbidden") == (reply.status, reply.code), (kind, body[:40])
    for kind in kinds:
        assert 403 != (await client.send(method, target, key=keys[kind])).status


# Bodies


def _with(content: dict[str, object], more: bytes) -> bytes:
    """Add bytes to the end of a JSON object, before its closing brace."""
    return json.dumps(content).encode()[:-1] + more + b"}"


BAD_BODIES: Final[dict[str, tuple[bytes, str]]] = {
    "empty": (b"", "JSON"),
    "blank": (b" \n\t ", "JSON"),
    "null": (b"null", "object"),
    "number": (b"12", "object"),
    "string": (b'"image"', "object"),
    "array": (b"[]", "object"),
    "array of objects": (b"[{}]", "object"),
    "not JSON": (b"merchant=x&type=image", "JSON"),
    "truncated": (b'{"merchant": "m', "JSON"),
    "truncated after a comma": (b'{"merchant": "m",', "JSON"),
    "comma too many": (b'{"merchant": "m",}', "JSON"),
    "single quotes": (b"{'merchant': 'm'}", "JSON"),
    "comment": (b'{"merchant": "m" /* whose */}', "JSON"),
    "NaN": (b"NaN", "JSON"),
    "BOM": (b"\xef\xbb\xbf{}", "JSON"),
    "UTF-16": ("{}".encode("utf-16"), "JSON"),
    "UTF-16 without a BOM": ('{"merchant": "m"}'.encode("utf-16-be"), "JSON"),
    "UTF-32": ("{}".encode("utf-32-le"), "JSON"),
    "zero bytes": (bytes(100), "JSON"),
    "deep arrays": (b"[" * 60_000, "object"),
    "deep arrays closed": (b"[" * 30_000 + b"]" * 30_000, "object"),
    "deep objects": (b'{"colour":' * 6_000, "`colour`"),
    "unknown field": (b'{"colour": "red"}', "`colour`"),
    "unknown field, deep": (b'{"colour": ' + b"[" * 60_000, "`colour`"),
    "field in another case": (b'{"Merchant": "m"}', "`Merchant`"),
    "field of the inside": (b'{"idempotency_key": "m"}', "`idempotency_key`"),
}


@pytest.mark.parametrize(("body", "word"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_body_that_is_no_object_of_known_fields_is_a_400(
    farebox: Farebox, client: AppClient, body: bytes, word: str
) -> None:
    seeds = await seed(farebox)
    targets = (
        (CHARGES, seeds.service_key),
        (MERCHANTS, seeds.support_key),
        (_top_ups(seeds.merchant), seeds.support_key),
    )
    for target, key in targets:
        reply = await client.post(target, key, body)
        assert (400, "malformed_request") == (reply.status, reply.code), target
        if target == CHARGES:
            assert word in reply.message


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (b', "type": "image"', "'type'"),
        (b', "type": "call"', "'type'"),
        (b', "amount": "1", "amount": "1"', "'amount'"),
        (b', "amount": "1", "am\\u006funt": "9"', "'amount'"),
        (b', "\\u0061\\u006d\\u006f\\u0075\\u006e\\u0074": "1", "amount": "9"', "'amount'"),
        (b', "quantity": NaN', "JSON"),
        (b', "quantity": Infinity', "JSON"),
        (b', "quantity": 01', "JSON"),
        (b', "quantity": 0x10', "JSON"),
        (b', "reference": "\xff"', "JSON"),
        (b', "reference": "\xc0\xaf"', "JSON"),
        (b', "reference": "\xed\xa0\x80"', "JSON"),
        (b', "reference": "\\ud800"', "JSON"),
        (b', "reference": "\\udc00\\ud800"', "JSON"),
        (b', "reference": "\\x41"', "JSON"),
        (b', "reference": "a\nb"', "JSON"),
        (b', "\\ud800": "1"', "JSON"),
        (b'}{"type": "image"', "JSON"),
        (b', "reference": "x"} true {', "JSON"),
        (b', "callback": 1', "`callback`"),
    ],
)
async def test_body_that_can_be_read_in_two_ways_or_not_at_all_is_a_400(
    farebox: Farebox, client: AppClient, more: bytes, word: str
) -> None:
    seeds = await seed(farebox)
    reply = await client.post(CHARGES, seeds.service_key, _with(_content(seeds), more))
    assert (400, "malformed_request") == (reply.status, reply.code)
    assert word in reply.message
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data


@pytest.mark.parametrize("missing", ["merchant", "type", "idempotencyKey"])
async def test_missing_field_is_named(farebox: Farebox, client: AppClient, missing: str) -> None:
    seeds = await seed(farebox)
    content = _content(seeds)
    del content[missing]
    reply = await client.post(CHARGES, seeds.service_key, content)
    assert (400, "malformed_request") == (reply.status, reply.code)
    assert f"`{missing}`" in reply.message


async def test_missing_fields_of_support_are_named(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    top_ups = _top_ups(seeds.merchant)
    assert "`amount`" in (await client.post(top_ups, seeds.support_key, {"reference": "R"})).message
    assert "`reference`" in (await client.post(top_ups, seeds.support_key, {"amount": "1"})).message
    assert "`name`" in (await client.post(MERCHANTS, seeds.support_key, {"currency": "USD"})).message
    assert "`currency`" in (await client.post(MERCHANTS, seeds.support_key, {"name": "N"})).message


@pytest.mark.parametrize("pieces", [1, 2, 70])
async def test_body_beyond_the_limit_is_a_413(farebox: Farebox, client: AppClient, pieces: int) -> None:
    seeds = await seed(farebox)
    for length, status in ((BODY_BYTES_MAX, 400), (BODY_BYTES_MAX + 1, 413), (3 * BODY_BYTES_MAX, 413)):
        body = b"x" * length
        step = -(-length // pieces)
        reply = await client.send(
            *("POST", CHARGES), key=seeds.service_key, body=[body[at : at + step] for at in range(0, length, step)]
        )
        assert status == reply.status
        if status == 413:
            assert "payload_too_large" == reply.code
            assert str(BODY_BYTES_MAX) in reply.message


@pytest.mark.parametrize("length", ["65537", "10000000", "9" * 19, "9" * 20, "9" * 5000, "0" * 30 + "1"])
async def test_body_announced_as_too_long_is_refused_unread(farebox: Farebox, client: AppClient, length: str) -> None:
    seeds = await seed(farebox)
    reply = await client.send("POST", CHARGES, key=seeds.service_key, headers=[JSON, ("content-length", length)])
    assert (413, "payload_too_large") == (reply.status, reply.code)


@pytest.mark.parametrize("length", ["", "abc", "-5", "+5", "1e3", "\xb2"])
async def test_length_that_is_no_number_is_left_to_the_server(farebox: Farebox, client: AppClient, length: str) -> None:
    seeds = await seed(farebox)
    headers: Headers = [JSON, ("content-length", length)]
    assert 200 == (await client.post(CHARGES, seeds.service_key, _content(seeds), headers)).status


@pytest.mark.parametrize(
    "content_type",
    [
        *(
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/json",
            "json",
            "",
        ),
        *("application/jsonx", "application/json-patch+json", "application/xml", "*/*", "application", "\xff"),
    ],
)
async def test_wrong_content_type_is_a_415_that_names_the_right_one(
    farebox: Farebox, client: AppClient, content_type: str
) -> None:
    seeds = await seed(farebox)
    reply = await client.post(CHARGES, seeds.service_key, _content(seeds), [("content-type", content_type)])
    assert (415, "unsupported_media_type") == (reply.status, reply.code)
    assert "application/json" in reply.message


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x"],
)
async def test_json_goes_by_its_content_type_or_by_none(
    farebox: Farebox, client: AppClient, content_type: str | None
) -> None:
    seeds = await seed(farebox)
    headers: Headers = [] if content_type is None else [("content-type", content_type)]
    assert 200 == (await client.post(CHARGES, seeds.service_key, _content(seeds), headers)).status


@pytest.mark.parametrize("pieces", [[], [b""], [b'{"merchant":'], [b"{}", b""]])
async def test_caller_that_goes_away_within_its_body_moves_nothing(
    farebox: Farebox, client: AppClient, pieces: Sequence[bytes]
) -> None:
    seeds = await seed(farebox)
    whole = json.dumps(_content(seeds)).encode()
    for body in (pieces, [*pieces, whole]):
        reply = await client.send("POST", CHARGES, key=seeds.service_key, body=body, is_cut_short=True)
        assert (400, "malformed_request") == (reply.status, reply.code)
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_body_in_many_pieces_is_one_body(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    body = json.dumps(_content(seeds)).encode()
    pieces = [bytes([byte]) for byte in body]
    assert 200 == (await client.send("POST", CHARGES, key=seeds.service_key, body=[b"", *pieces, b""])).status


# Values

BAD_AMOUNTS: Final = [
    *(
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "1e5",
        "1E5",
        "1.2345678",
        "1.0000000",
        "-1",
        "+1",
        "1.20\n",
        "\n1.20",
        " 1",
    ),
    *("1 ", "", " ", ".", "1.", ".5", "1..2", "1.2.3", "1,000", "1_000", "1'000", "$1", "1 USD", "0x10", "1/2", "one"),
    *(
        "1" + "0" * 30,
        "9" * 14,
        "1000000000000.000001",
        "9" * 5000,
        "\u0661",
        "\uff11",
        "1\u00a0000",
        "1\u0000",
        "--1",
        "0-1",
    ),
]


@pytest.mark.parametrize("amount", BAD_AMOUNTS)
async def test_amount_that_is_none_is_a_422_that_shows_one(farebox: Farebox, client: AppClient, amount: str) -> None:
    seeds = await seed(farebox)
    replies = [
        ("amount", await _charge(client, seeds, type="call", amount=amount)),
        (
            "amount",
            await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": amount, "reference": "R"}),
        ),
        *[
            (
                field,
                await client.post(MERCHANTS, seeds.support_key, {"name": "N", "currency": "USD", field: value}),
            )
            for field, value in (("threshold", amount), ("thresholds", [amount]), ("creditLimit", amount))
        ],
    ]
    for field, reply in replies:
        assert (422, "invalid_value") == (reply.status, reply.code), field
        assert reply.message.startswith(f"{field}: ")
        assert "such as 12.50" in reply.message or "largest amount, 1000000000000.00" in reply.message
        assert len(reply.message) < 200
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data


@pytest.mark.parametrize("amount", ["0", "0.00", "0.000000", "0000000000000"])
async def test_amount_of_zero_moves_nothing_and_is_refused(farebox: Farebox, client: AppClient, amount: str) -> None:
    seeds = await seed(farebox)
    for reply in (
        await _charge(client, seeds, type="call", amount=amount),
        await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": amount, "reference": "R"}),
    ):
        assert (422, "invalid_value") == (reply.status, reply.code)
        assert "amount: the amount must be more than 0" == reply.message


@pytest.mark.parametrize("amount", [1, 1.5, 0, -1, 1e300, 10**30, True, False, [], ["1"], {}, {"micros": 1}])
async def test_amount_is_a_string_and_nothing_else(farebox: Farebox, client: AppClient, amount: object) -> None:
    seeds = await seed(farebox)
    for reply in (
        await _charge(client, seeds, type="call", amount=amount),
        await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": amount, "reference": "R"}),
        await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": None, "reference": "R"}),
    ):
        assert (422, "invalid_value") == (reply.status, reply.code)
        assert reply.message.startswith("amount: Expected `str")


async def test_amount_null_is_no_amount(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    assert 200 == (await _charge(client, seeds, amount=None, reference=None)).status
    assert "amount_required" == (await _charge(client, seeds, type="call", amount=None)).code


@pytest.mark.parametrize(
    "quantity",
    [0, -1, 1_000_001, 10**9, 2**63, -(2**64), 10**30, 1.5, 1.0, 1e3, "1", "", True, False, [], [1], {}],
)
async def test_quantity_is_a_whole_number_within_its_limits(
    farebox: Farebox, client: AppClient, quantity: object
) -> None:
    seeds = await seed(farebox)
    reply = await _charge(client, seeds, quantity=quantity)
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith("quantity: ")
    assert "whole number from 1 to 1000000" in reply.message or "Expected `int | null`" in reply.message


async def test_quantity_of_more_digits_than_a_number_may_have_is_refused(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for digits in (b"9" * 60_000, b"-" + b"9" * 6_000, b"1e999999", b"1" + b"0" * 6_000 + b".0"):
        reply = await client.post(CHARGES, seeds.service_key, _with(_content(seeds), b', "quantity": ' + digits))
        assert reply.status in (400, 422)
        assert len(reply.message) < 200


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        *[
            ("type", value, "a-z, 0-9")
            for value in ("", " ", "a,b", "image ", "a?b", "-a", ".a", "é", "a" * 201, "a\n")
        ],
        *[
            ("idempotencyKey", value, "visible ASCII")
            for value in ("", " ", "a b", "k" * 129, "é", "a\n", "a\u0000", "💰")
        ],
        *[
            ("reference", value, "one line")
            for value in ("", " ", " a", "a ", "a\nb", "r" * 129, "a\u0000", "\u2028", "\u202e")
        ],
    ],
)
async def test_text_outside_its_limits_is_a_422_that_tells_them(
    farebox: Farebox, client: AppClient, field: str, value: str, words: str
) -> None:
    seeds = await seed(farebox)
    reply = await _charge(client, seeds, **{field: value})
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith(f"{field}: ")
    assert words in reply.message


@pytest.mark.parametrize("field", ["merchant", "type", "idempotencyKey", "reference"])
@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, None])
async def test_text_is_a_string_and_nothing_else(
    farebox: Farebox, client: AppClient, field: str, value: object
) -> None:
    seeds = await seed(farebox)
    reply = await _charge(client, seeds, **{field: value})
    if (field, value) == ("reference", None):
        assert 200 == reply.status
    else:
        assert (422, "invalid_value") == (reply.status, reply.code)
        assert reply.message.startswith(f"{field}: Expected `str")


@pytest.mark.parametrize(
    ("content", "field", "word"),
    [
        ({"name": ""}, "name", "one line"),
        ({"name": "a\tb"}, "name", "one line"),
        ({"name": "n" * 201}, "name", "200"),
        ({"currency": "usd"}, "currency", "USD"),
        ({"currency": "US"}, "currency", "USD"),
        ({"currency": "ZZZ"}, "currency", "USD"),
        ({"currency": "c" * 9000}, "currency", "USD"),
        ({"threshold": "0"}, "threshold", "more than 0"),
        ({"threshold": 5}, "threshold", "str"),
        ({"thresholds": ["1", 2]}, "thresholds[1]", "str"),
        ({"thresholds": "1"}, "thresholds", "array"),
        ({"thresholds": ["1", "0"]}, "thresholds", "more than 0"),
        ({"thresholds": [str(amount) for amount in range(1, 7)]}, "thresholds", "5"),
        ({"threshold": "1", "thresholds": ["2"]}, "thresholds", "not both"),
        ({"threshold": "1", "thresholds": []}, "thresholds", "not both"),
        ({"creditLimit": "-5"}, "creditLimit", "12.50"),
        ({"creditLimit": None}, "creditLimit", "str"),
    ],
)
async def test_new_merchants_values_are_checked(
    farebox: Farebox, client: AppClient, content: dict[str, object], field: str, word: str
) -> None:
    seeds = await seed(farebox)
    before = len(await farebox.services.merchants.list())
    reply = await client.post(MERCHANTS, seeds.support_key, {"name": "Contoso", "currency": "USD", **content})
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith(f"{field}: ")
    assert word in reply.message
    assert before == len(await farebox.services.merchants.list())


# What the ledger refuses


@pytest.mark.parametrize(
    "merchant",
    [
        *("", "x", "mer_", "mer_0000000000000", "mer_ZZZZZZZZZZZZZ", "mer_" + "0" * 14, "MER_0000000000000"),
        *("xfer_000000000000000000000", "fbm_", "fbs_00000000000000000000000000", "é", "m" * 5000, "0", "\u0000"),
    ],
)
async def test_merchant_that_nobody_is_is_a_404(farebox: Farebox, client: AppClient, merchant: str) -> None:
    seeds = await seed(farebox)
    reply = await _charge(client, seeds, merchant=merchant)
    assert (404, "merchant_not_found") == (reply.status, reply.code)
    assert "No merchant has this id or API key" == reply.message


async def test_merchant_named_by_a_closed_key_is_a_404_so_that_401_speaks_of_the_caller(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox)
    revoked = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    expired = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    for key in (revoked, expired):
        assert 200 == (await _charge(client, seeds, merchant=key.text)).status
    await farebox.services.merchants.revoke_key(revoked.key.key_id)
    await farebox.services.merchants.rotate_key(expired.key.key_id, overlap_seconds=0)
    unknown = api_keys.make_key(KeyKind.MERCHANT, seeds.merchant_id)
    other_kinds = (seeds.service_key, seeds.support_key)
    for text in (revoked.text, expired.text, unknown, seeds.merchant_key.lower(), *other_kinds):
        reply = await _charge(client, seeds, merchant=text)
        assert (404, "merchant_not_found") == (reply.status, reply.code)
        assert text not in reply.message


@pytest.mark.parametrize("merchant", ["mer_0000000000000", "x", "mer_", "Northwind%20Imaging", "%00"])
async def test_top_up_of_a_merchant_that_nobody_is_is_a_404(farebox: Farebox, client: AppClient, merchant: str) -> None:
    seeds = await seed(farebox)
    reply = await client.post(_top_ups(merchant), seeds.support_key, {"amount": "1", "reference": "R"})
    assert (404, "merchant_not_found") == (reply.status, reply.code)


async def test_a_clock_that_is_behind_is_a_503_and_no_unknown_type(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.prices.set("new", "0.01")
    before = await _charge(client, seeds, idempotencyKey="before")
    for seconds, type_ in ((-30, "new"), (-61, "image")):
        with later(farebox, seconds=seconds):
            reply = await _charge(client, seeds, type=type_)
            assert (503, "clock_behind", "1") == (reply.status, reply.code, reply.header("retry-after"))
            hold = await client.post(
                "/api/holds",
                seeds.service_key,
                {"merchant": seeds.merchant, "type": type_, "idempotencyKey": "h", "ttlSeconds": 60},
            )
            assert (503, "clock_behind") == (hold.status, hold.code)
            batch = [{"merchant": seeds.merchant, "type": type_, "idempotencyKey": f"b{number}"} for number in range(3)]
            reply = await client.post("/api/charges/batch", seeds.service_key, {"charges": batch})
            assert [(503, "clock_behind")] * 3 == [(o["statusCode"], o["errorCode"]) for o in reply.data["outcomes"]]
            # A type that nobody ever set a price for is unknown at any time, unless the book says more.
            if seconds == -30:
                assert "unknown_type" == (await _charge(client, seeds, type="nothing")).code
            again = await _charge(client, seeds, idempotencyKey="before")
            assert before.body == again.body
    assert 200 == (await _charge(client, seeds, type="new")).status


async def test_unknown_type_is_a_422_that_names_it(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    reply = await _charge(client, seeds, type="video")
    assert (422, "unknown_type") == (reply.status, reply.code)
    assert "'video'" in reply.message


async def test_price_that_has_not_begun_is_not_in_force(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.prices.set("later", "1", starts="2100-01-01T00:00:00Z")
    assert "unknown_type" == (await _charge(client, seeds, type="later")).code


async def test_variable_type_needs_an_amount_and_no_other_takes_one(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    required = await _charge(client, seeds, type="call")
    assert (422, "amount_required") == (required.status, required.code)
    assert "'call'" in required.message
    assert "amount" in required.message
    unwanted = await _charge(client, seeds, amount="5")
    assert (422, "amount_not_allowed") == (unwanted.status, unwanted.code)
    assert "quantity" in unwanted.message
    done = await _charge(client, seeds, type="call", amount="12.345678", quantity=3)
    assert ("12.345678", "87.654322", "87.654322") == tuple(
        done.data[name] for name in ("cost", "balance", "available")
    )


async def test_merchants_own_price_goes_before_the_default(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    await farebox.services.prices.set("image", "0.5", merchant_id=seeds.merchant_id)
    assert "1.00" == (await _charge(client, seeds, quantity=2)).data["cost"]
    assert "0.02" == (await _charge(client, other, quantity=2)).data["cost"]


async def test_insufficient_balance_is_a_402_that_says_how_much_is_missing(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="0.05")
    reply = await _charge(client, seeds, quantity=6)
    assert (402, "insufficient_balance") == (reply.status, reply.code)
    assert "0.06 USD" in reply.message
    assert "0.05" in reply.message
    assert 200 == (await _charge(client, seeds, quantity=5)).status
    assert "0.00" == (await client.get("/api/balance", seeds.merchant_key)).data
    assert 402 == (await _charge(client, seeds, quantity=1)).status


async def test_credit_limit_may_be_spent_to_its_last_micro(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="1", credit_limit="2.5")
    assert 402 == (await _charge(client, seeds, type="call", amount="3.500001")).status
    done = await _charge(client, seeds, type="call", amount="3.5")
    assert ("-2.50", "-2.50") == (done.data["balance"], done.data["available"])
    assert "-2.50" == (await client.get("/api/balance", seeds.merchant_key)).data
    assert 402 == (await _charge(client, seeds, type="call", amount="0.000001")).status


async def test_frozen_merchant_is_a_403_but_takes_top_ups(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)
    reply = await _charge(client, seeds)
    assert (403, "merchant_frozen") == (reply.status, reply.code)
    assert "frozen" in reply.message
    top_up = await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": "1", "reference": "R"})
    assert "101.00" == top_up.data["balance"]
    assert (await client.get("/api/account", seeds.merchant_key)).data["isFrozen"] is True
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=False, principal=None)
    assert 200 == (await _charge(client, seeds)).status


async def test_cost_beyond_the_largest_amount_is_a_422(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.prices.set("whale", "1000000000000")
    reply = await _charge(client, seeds, type="whale", quantity=2)
    assert (422, "amount_too_large") == (reply.status, reply.code)
    assert "1,000,000,000,000.00 USD" in reply.message


async def test_balances_stay_within_what_is_kept_exact(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None, credit_limit="1000000000000")
    top_ups = _top_ups(seeds.merchant)
    for number in range(4):
        content = {"amount": "1000000000000", "reference": f"R{number}"}
        assert 200 == (await client.post(top_ups, seeds.support_key, content)).status
    for reply in (
        await client.post(top_ups, seeds.support_key, {"amount": "1000000000000", "reference": "R5"}),
        await client.post(top_ups, seeds.support_key, {"amount": "0.01", "reference": "R6"}),
    ):
        assert (422, "balance_limit_exceeded") == (reply.status, reply.code)
    for _ in range(4):
        assert 200 == (await _charge(client, seeds, type="call", amount="1000000000000")).status
    beyond = await _charge(client, seeds, type="call", amount="0.01")
    assert (422, "balance_limit_exceeded") == (beyond.status, beyond.code)


# Again


async def test_same_key_and_content_is_the_same_charge_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    content = _content(seeds, quantity=3, reference="R-9")
    first = await client.post(CHARGES, seeds.service_key, content)
    assert first.header("idempotent-replay") is None
    await _charge(client, seeds)
    for again in (content, {**content, "amount": None}, {**content, "merchant": seeds.merchant_key}):
        replay = await client.post(CHARGES, seeds.service_key, again)
        assert "true" == replay.header("idempotent-replay")
        assert first.body == replay.body
    assert "99.96" == (await client.get("/api/balance", seeds.merchant_key)).data


@pytest.mark.parametrize(
    "other", [{"quantity": 2}, {"type": "call", "amount": "1"}, {"reference": "R"}, {"type": "video"}, {"amount": "1"}]
)
async def test_same_key_with_other_content_is_a_409(
    farebox: Farebox, client: AppClient, other: dict[str, object]
) -> None:
    seeds = await seed(farebox)
    content = _content(seeds)
    first = await client.post(CHARGES, seeds.service_key, content)
    reply = await client.post(CHARGES, seeds.service_key, {**content, **other})
    assert (409, "idempotency_conflict") == (reply.status, reply.code)
    assert first.data["transferId"] in reply.message
    assert "99.99" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_refusal_is_not_remembered(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None)
    content = _content(seeds)
    assert 402 == (await client.post(CHARGES, seeds.service_key, content)).status
    await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": "1", "reference": "R"})
    reply = await client.post(CHARGES, seeds.service_key, content)
    assert (200, None) == (reply.status, reply.header("idempotent-replay"))


async def test_same_key_of_another_merchant_is_another_charge(farebox: Farebox, client: AppClient) -> None:
    first, second = await seed(farebox), await seed(farebox)
    for seeds in (first, second):
        reply = await _charge(client, seeds, idempotencyKey="shared")
        assert (200, None) == (reply.status, reply.header("idempotent-replay"))


async def test_same_reference_is_the_same_top_up_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None)
    top_ups = _top_ups(seeds.merchant)
    first = await client.post(top_ups, seeds.support_key, {"amount": "5", "reference": "R", "note": "by wire"})
    again = await client.post(top_ups, seeds.support_key, {"amount": "5.00", "reference": "R"})
    assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    other = await client.post(top_ups, seeds.support_key, {"amount": "6", "reference": "R"})
    assert (409, "idempotency_conflict") == (other.status, other.code)
    assert "5.00" == (await client.get("/api/balance", seeds.merchant_key)).data


# Precedence


async def test_refusals_take_precedence_in_their_order(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None)
    await farebox.services.prices.set("dear", "1000000000000")
    used = await seed(farebox)
    key = "once"
    assert 200 == (await _charge(client, used, idempotencyKey=key)).status
    await farebox.services.operations.set_frozen(used.merchant_id, is_frozen=True, principal=None)
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)

    worst: dict[str, Any] = {"merchant": "nobody", "type": "video", "quantity": 2, "amount": "1", "idempotencyKey": key}
    steps: list[tuple[str | None, dict[str, object], str]] = [
        (None, {"quantity": 0}, "invalid_api_key"),
        (seeds.merchant_key, {"quantity": 0}, "forbidden"),
        (seeds.service_key, {"quantity": 0}, "invalid_value"),
        (seeds.service_key, {}, "merchant_not_found"),
        (seeds.service_key, {"merchant": used.merchant}, "idempotency_conflict"),
        (seeds.service_key, {"merchant": seeds.merchant}, "merchant_frozen"),
    ]
    for caller, fields, code in steps:
        assert code == (await client.post(CHARGES, caller, {**worst, **fields})).code
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=False, principal=None)
    worst["merchant"] = seeds.merchant
    steps = [
        (seeds.service_key, {}, "unknown_type"),
        (seeds.service_key, {"type": "dear"}, "amount_not_allowed"),
        (seeds.service_key, {"type": "call", "amount": None}, "amount_required"),
        (seeds.service_key, {"type": "dear", "amount": None}, "amount_too_large"),
        (seeds.service_key, {"type": "dear", "amount": None, "quantity": 1}, "insufficient_balance"),
    ]
    for caller, fields, code in steps:
        assert code == (await client.post(CHARGES, caller, {**worst, **fields})).code
    assert "0.00" == (await client.get("/api/balance", seeds.merchant_key)).data


# When Farebox itself is in trouble


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(Overloaded, 503, "overloaded"), (Unavailable, 503, "unavailable"), (FateUnknown, 500, "outcome_unknown")],
)
async def test_trouble_with_a_charge_has_a_name_and_says_what_to_do(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch, error: type[Exception], status: int, code: str
) -> None:
    seeds = await seed(farebox)

    async def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(farebox.committer, "submit", fail)
        for reply in (
            await _charge(client, seeds),
            await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": "1", "reference": "R"}),
        ):
            assert (status, code) == (reply.status, reply.code)
            assert "again" in reply.message or "Repeat" in reply.message


async def test_trouble_with_the_database_is_a_503_for_everyone_but_the_balance(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await seed(farebox)

    async def fail(*_: object) -> None:
        raise StoreUnavailable("could not connect to db.internal")

    with monkeypatch.context() as patch:
        stores = farebox.stores
        for store, name in (
            (stores.api_keys, "authenticate"),
            (stores.connector, "transact"),
            (stores.accounts, "find"),
        ):
            patch.setattr(store, name, fail)
        replies = [
            await _charge(client, seeds),
            await _charge(client, seeds, quantity=0),
            await client.get("/api/account", seeds.merchant_key),
            await client.post(MERCHANTS, seeds.support_key, {"name": "N", "currency": "USD"}),
            await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": "1", "reference": "R"}),
        ]
    for reply in replies:
        assert (503, "unavailable") == (reply.status, reply.code)
        assert "internal" not in reply.message
    assert 200 == (await _charge(client, seeds)).status


async def test_unknown_fate_of_what_has_no_key_warns_against_repeating_it(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = await seed(farebox)

    async def fail(*_: object, **__: object) -> None:
        raise CommitUnknown("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(farebox.stores.merchants, "create", fail)
        reply = await client.post(MERCHANTS, seeds.support_key, {"name": "N", "currency": "USD"})
    assert (500, "outcome_unknown") == (reply.status, reply.code)
    assert "See what is there before you repeat" in reply.message


async def test_crash_is_a_500_that_tells_nothing_and_is_logged(
    farebox: Farebox, client: AppClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = await seed(farebox)

    async def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in line 42")

    with monkeypatch.context() as patch:
        patch.setattr(farebox.stores.connector, "transact", crash)
        patch.setattr(farebox.stores.merchants, "create", crash)
        patch.setattr(farebox.stores.merchants, "find", crash)
        replies = [
            await _charge(client, seeds),
            await client.get("/api/account", seeds.merchant_key),
            await client.post(MERCHANTS, seeds.support_key, {"name": "N", "currency": "USD"}),
            await client.post(_top_ups(seeds.merchant), seeds.support_key, {"amount": "1", "reference": "R"}),
        ]
    for reply in replies:
        assert (500, "internal_error", "Internal server error") == (reply.status, reply.code, reply.message)
    assert "in line 42" in caplog.text


# No input at all is a crash

ENDPOINTS: Final = [
    *(("GET", "/api/balance"), ("GET", "/api/account"), ("POST", CHARGES), ("POST", MERCHANTS)),
    *(("POST", _top_ups("mer_0000000000000")), ("POST", _top_ups("@"))),
]

_texts = st.text() | st.sampled_from(
    [
        "",
        "0",
        "1",
        "-1",
        "1e5",
        "0.01",
        "image",
        "call",
        "USD",
        "@",
        "mer_0000000000000",
        "a" * 129,
        "\ud800",
        "\u0000",
        "é",
    ]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_FIELDS: Final = ("merchant", "type", "idempotencyKey", "quantity", "amount", "reference")
_MORE_FIELDS: Final = ("name", "currency", "threshold", "thresholds", "creditLimit", "note")
_objects = st.one_of(
    st.fixed_dictionaries(dict.fromkeys(_FIELDS[:3], _values), optional=dict.fromkeys(_FIELDS[3:], _values)),
    st.fixed_dictionaries({}, optional=dict.fromkeys((*_FIELDS, *_MORE_FIELDS), _values)),
    st.dictionaries(_texts, _values, max_size=4),
)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _raw_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


def _damaged(body: bytes, at: int, by: bytes) -> bytes:
    place = at % (len(body) + 1)
    return body[:place] + by + body[place + 1 :]


_bodies = st.one_of(
    st.binary(max_size=200),
    _values.map(_json),
    _objects.map(_json),
    _objects.map(_raw_json),
    st.builds(_damaged, _objects.map(_json), st.integers(0, 500), st.binary(max_size=3)),
)
_header_names = st.sampled_from(
    [
        "content-type",
        "content-length",
        "origin",
        "host",
        "accept",
        "x-api-key",
        "transfer-encoding",
        "cookie",
        "expect",
        "x-a",
    ]
)
_header_values = st.binary(max_size=40) | st.sampled_from(
    [b"application/json", b"text/plain", b"9" * 5000, b"-1", b"https://shop.example", b"null", b"chunked", b"\xff", b""]
)
_keys = st.sampled_from(["merchant_key", "service_key", "support_key"]) | st.binary(max_size=60) | st.none()


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    endpoint=st.sampled_from(ENDPOINTS),
    body=_bodies,
    key=_keys,
    headers=st.lists(st.tuples(_header_names, _header_values), max_size=3),
    is_cut_short=st.booleans(),
)
async def test_no_input_is_a_crash(
    farebox: Farebox,
    cors_client: AppClient,
    seeds: Seeds,
    endpoint: tuple[str, str],
    body: bytes,
    key: str | bytes | None,
    headers: list[tuple[str, bytes]],
    is_cut_short: bool,
) -> None:
    method, target = endpoint[0], endpoint[1].replace("@", seeds.merchant)
    text = getattr(seeds, key) if isinstance(key, str) else key
    reply = await cors_client.send(
        method,
        target,
        key=text,
        headers=list(headers),
        body=body.replace(b'"@"', _json(seeds.merchant)),
        is_cut_short=is_cut_short,
    )
    assert reply.status < 500, reply


@settings(max_examples=150)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "HEAD", "TRACE"])
    | st.from_regex("[A-Z]{1,10}", fullmatch=True),
    path=st.text(max_size=30).map(lambda text: text.replace("?", "")),
    headers=st.lists(st.tuples(_header_names, _header_values), max_size=2),
)
async def test_no_path_or_method_is_a_crash(
    cors_client: AppClient, method: str, path: str, headers: list[tuple[str, bytes]]
) -> None:
    for start in ("/api/", "/api", "/", "/api/admin/merchants/"):
        reply = await cors_client.send(method, start + path, headers=list(headers))
        assert reply.status < 500, reply


async def test_ids_of_a_charge_tell_its_merchant_and_its_place_in_the_book(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    reply = await _charge(client, seeds)
    assert (seeds.merchant_id, 2) == parsing.parse_book_id(ids.TRANSFER, reply.data["transferId"])
    assert ["transferId", "cost", "balance", "available"] == list(reply.data)


@pytest.mark.parametrize("quantity", [1.5, 1.0, True, "3", None, -1, 10**12 + 1, [1], {}])
async def test_a_quantity_that_is_none_is_named_by_its_line(
    farebox: Farebox, client: AppClient, quantity: object
) -> None:
    seeds = await seed(farebox)
    reply = await _charge(client, seeds, quantity=None, quantities={"input": 3, "output": quantity})
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert "quantities.output: a quantity is a whole number from 0 to 1,000,000,000,000" == reply.message
