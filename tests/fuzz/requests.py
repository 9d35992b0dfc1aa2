"""What a request carries: its query, its body, lines of charges, and where it says that it comes from."""

import json
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random
from typing import Any, Final, cast
from urllib.parse import quote, quote_plus

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope

from farebox.http.limits import HTTP_LIMITS
from farebox.service.statements.lines import KINDS
from farebox.services import Services
from farebox.web.api.charge_batches import ChargeBatchEndpoints, _lines
from farebox.web.body import BODY_BYTES_MAX, media_type, read_body
from farebox.web.client_address import FORWARDED_MAX, Addresses, source_of
from farebox.web.decoding import BodyDecoder, decode_query
from farebox.web.envelope import ApiError
from farebox.web.schemas import admin, destinations, grants, quotes, reading, spending, statement
from tests.fuzz.making import (
    Make,
    any_bytes,
    any_text,
    edited,
    edited_bytes,
    joined,
    json_object,
    json_value,
    just,
    maybe,
    one_of,
    several,
)
from tests.fuzz.target import Target, run_now
from tests.fuzz.texts import AMOUNTS, DAYS, EMAILS, IDS, KEYS, TIMES, WORDS, ZONES

QUERIES: Final[tuple[type[Struct], ...]] = (
    admin.PageQuery,
    admin.MerchantPageQuery,
    reading.UsageQuery,
    statement.TransfersQuery,
)
BODIES: Final[tuple[type[Struct], ...]] = tuple(
    kind
    for room in (admin, destinations, grants, quotes, spending)
    for name, kind in vars(room).items()
    if isinstance(kind, type) and issubclass(kind, Struct) and name.endswith(("Request", "Change"))
)

_REFUSALS: Final = {400: "malformed_request", 422: "invalid_value"}


def _refusal(error: ApiError) -> None:
    assert _REFUSALS[error.status] == error.code
    assert error.message
    # What a caller is told has to fit an answer.
    msgspec.json.encode(error.message)


# Queries.

WORD: Final = one_of(AMOUNTS, DAYS, IDS, TIMES, WORDS, ZONES, just(*KINDS, "json", "csv", "jsonl", "hour", "day"))


def query_bytes(random: Random, names: list[str]) -> bytes:
    """Make a query of these names and more."""
    pairs = []
    for _ in range(random.randint(0, 4)):
        name = random.choice(names) if random.random() < 0.9 else WORD(random)
        value = str(random.randint(-5, 2_000)) if random.random() < 0.3 else WORD(random)
        write = random.choice((quote, quote_plus))
        pairs.append(f"{write(name, errors='replace')}={write(value, errors='replace')}")
    return edited_bytes(lambda _: "&".join(pairs).encode())(random)


def _query(random: Random) -> tuple[type[Struct], bytes]:
    kind = random.choice(QUERIES)
    return kind, query_bytes(random, [field.encode_name for field in msgspec.structs.fields(kind)])


def _unquoted(part: bytes) -> str:
    """Undo what a form does to a text, byte by byte."""
    found = bytearray()
    at = 0
    while at < len(part):
        digits = part[at + 1 : at + 3]
        if part[at] == ord("%") and len(digits) == 2 and all(chr(code) in "0123456789abcdefABCDEF" for code in digits):
            found.append(int(digits, 16))
            at += 3
        else:
            found.append(ord(" ") if part[at] == ord("+") else part[at])
            at += 1
    return found.decode()


def _query_model(kind: type[Struct], query: bytes) -> Struct | None:
    try:
        query.decode("ascii")
        parts = [part.partition(b"=") for part in query.split(b"&") if part]
        pairs = [(_unquoted(name), _unquoted(value)) for name, _, value in parts]
        if len(query.split(b"&")) > 50 or len(dict(pairs)) != len(pairs):
            return None
        return msgspec.convert(dict(pairs), kind, strict=False)
    except (UnicodeDecodeError, msgspec.ValidationError):
        return None


def _check_query(made: tuple[type[Struct], bytes]) -> None:
    kind, query = made
    expected = _query_model(kind, query)
    scope: Any = {"query_string": query}
    try:
        found = decode_query(scope, kind)
    except ApiError as error:
        _refusal(error)
        assert expected is None
    else:
        assert expected == found


# Bodies.


def _value(random: Random, name: str) -> Any:
    """Make what a field of this name may hold, mostly."""
    if random.random() < 0.1:
        return json_value(random)
    if name in ("quantity", "ttlSeconds", "overlapSeconds"):
        return random.choice((1, 5, 900, 10**6, random.randint(-2, 2 * 10**6), 1.0))
    makes: dict[str, Make[Any]] = {
        "charges": several(lambda made: dict(_pairs(made, spending.ChargeRequest)), 3),
        "email": EMAILS,
        "expires": TIMES,
        "from": TIMES,
        "merchant": one_of(IDS, KEYS),
        "thresholds": several(AMOUNTS, 6),
        "transferId": IDS,
    }
    is_amount = name in ("amount", "creditLimit", "threshold", "unitPrice")
    return maybe(AMOUNTS if is_amount else makes.get(name, WORDS))(random)


def _pairs(random: Random, kind: type[Struct]) -> list[tuple[str, Any]]:
    fields = [field for field in msgspec.structs.fields(kind) if field.required or random.random() < 0.5]
    pairs = [(field.encode_name, _value(random, field.encode_name)) for field in fields]
    if random.random() < 0.1:
        name = random.choice(fields).encode_name if fields and random.random() < 0.8 else any_text(random)
        pairs.append((name, _value(random, name)))
    random.shuffle(pairs)
    return pairs


def body_bytes(random: Random, kind: type[Struct]) -> bytes:
    """Make a body that is nearly one of this kind."""
    match random.randrange(10):
        case 0:
            return any_bytes(random)
        case 1:
            return json.dumps(json_value(random)).encode()
        case 2:
            return random.choice((b"[", b'{"a":', b'{"merchant":[')) * random.choice((10, 1_000, 5_000))
    return edited_bytes(lambda made: json_object(made, _pairs(made, kind)))(random)


def _body(random: Random) -> tuple[type[Struct], bytes]:
    kind = random.choice(BODIES)
    return kind, body_bytes(random, kind)


class _Repeated(Exception):
    """A name is given twice within one object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _Repeated
    return dict(pairs)


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _json_model(body: bytes) -> Any:
    """Read JSON with the standard library, as strictly as it is written (RFC 8259).

    Raises:
        ValueError, RecursionError, _Repeated: it is none, or can be read in two ways.
    """
    content = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    # Half a surrogate can be escaped, but stands for no character.
    json.dumps(content, ensure_ascii=False).encode()
    return content


_DECODERS: Final = {kind: BodyDecoder(kind) for kind in BODIES}


def _check_body(made: tuple[type[Struct], bytes]) -> None:
    kind, body = made
    try:
        expected = msgspec.convert(_json_model(body), kind)
    except (ValueError, RecursionError, _Repeated):
        expected = None
    try:
        found = _DECODERS[kind].decode(body)
    except ApiError as error:
        _refusal(error)
        found = None
    assert expected == found


# How bodies come.


def _messages(chunks: list[bytes], *, is_whole: bool) -> Receive:
    messages: list[Any] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if is_whole:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    messages.append({"type": "http.disconnect"})

    async def receive() -> Any:
        return messages.pop(0)

    return cast(Receive, receive)


def _cut(random: Random, content: bytes) -> list[bytes]:
    places = sorted(random.randint(0, len(content)) for _ in range(random.randint(0, 5)))
    return [content[start:end] for start, end in zip([0, *places], [*places, len(content)], strict=True)]


def _long(random: Random) -> bytes:
    edge = BODY_BYTES_MAX + random.randint(-2, 2)
    return random.choice((b"x", b" ", b"\n", b"{}")) * random.choice((edge, edge // 2, 2 * edge))


def _line_chunks(random: Random) -> tuple[list[bytes], bool]:
    lines = [
        _long(random)
        if random.random() < 0.01
        else random.choice((b"", b" ", b"\r", body_bytes(random, spending.ChargeRequest)))
        for _ in range(random.randint(0, 8))
    ]
    return _cut(random, b"\n".join(lines)), random.random() < 0.8


def _check_lines(made: tuple[list[bytes], bool]) -> None:
    chunks, is_whole = made

    async def read() -> list[bytes]:
        return [line async for lines in _lines(_messages(chunks, is_whole=is_whole)) for line in lines]

    whole = b"".join(chunks).split(b"\n")
    # Of a caller that went away, the lines that came whole count.
    expected = whole if is_whole else whole[:-1]
    kept = [line[: BODY_BYTES_MAX + 1] for line in expected if line.strip() or len(line) > BODY_BYTES_MAX]
    assert kept == run_now(read())


def _read(random: Random) -> tuple[list[tuple[bytes, bytes]], list[bytes], bool]:
    content = _long(random) if random.random() < 0.02 else any_bytes(random)
    media = edited(just("application/json", "application/json; charset=utf-8", "text/plain", "Application/JSON"))
    length = edited(lambda made: str(made.choice((0, 5, BODY_BYTES_MAX, BODY_BYTES_MAX + 1, 10**30))))
    headers = [
        (name, make(random).encode("utf-8", "surrogatepass"))
        for name, make in ((b"content-type", media), (b"content-length", length))
        if random.random() < 0.5
    ]
    return headers, _cut(random, content), random.random() < 0.8


def _check_read(made: tuple[list[tuple[bytes, bytes]], list[bytes], bool]) -> None:
    headers, chunks, is_whole = made
    content = b"".join(chunks)
    scope: Any = {"headers": headers}
    given = dict(headers)
    is_json = media_type(given.get(b"content-type", b"application/json")) == b"application/json"
    length = given.get(b"content-length", b"")
    # Nobody needs twenty digits, be they zeros.
    is_announced = length.isdigit() and (len(length) > 19 or int(length) > BODY_BYTES_MAX)
    is_long = is_announced or len(content) > BODY_BYTES_MAX
    try:
        found = run_now(read_body(cast(Scope, scope), _messages(chunks, is_whole=is_whole)))
    except ApiError as error:
        refusal = (error.status, error.code)
        named = {(415, "unsupported_media_type"): not is_json, (413, "payload_too_large"): is_long}
        named[400, "malformed_request"] = not is_whole
        assert named[refusal]
    else:
        assert is_json
        assert is_whole
        assert not is_long
        assert content == found


_BATCHES: Final = ChargeBatchEndpoints(cast(Services, None), HTTP_LIMITS)


def _batch(random: Random) -> bytes:
    items = [dict(_pairs(random, spending.ChargeRequest)) for _ in range(random.randint(0, 3))]
    pairs: list[tuple[str, Any]] = [("charges", items if random.random() < 0.9 else json_value(random))]
    if random.random() < 0.1:
        pairs.append((random.choice(("charges", "more")), json_value(random)))
    if random.random() < 0.1:
        return body_bytes(random, spending.BatchRequest)
    return edited_bytes(lambda made: json_object(made, pairs))(random)


def _check_batch(body: bytes) -> None:
    try:
        found = _BATCHES._charges(body)
    except ApiError as error:
        _refusal(error)
        raws = None
    else:
        raws = [bytes(raw) for raw in found]
    try:
        content = _json_model(body)
    except (ValueError, RecursionError, _Repeated):
        # A batch is cut apart before its charges are read; each that is no good is refused on its own.
        return
    is_batch = isinstance(content, dict) and ["charges"] == list(content) and isinstance(content["charges"], list)
    if is_batch and content["charges"]:
        assert raws is not None
        assert content["charges"] == [json.loads(raw) for raw in raws]
    else:
        assert raws is None


# Addresses.


def _address(random: Random) -> str:
    match random.randrange(8):
        case 0:
            return any_text(random)
        case 1 | 2:
            return str(IPv6Address(random.choice((random.getrandbits(128), 1, 0xFD << 120 | random.getrandbits(8)))))
        case 3:
            return f"::ffff:{IPv4Address(random.getrandbits(32))}"
    return str(IPv4Address(random.choice((random.getrandbits(32), 10 << 24 | random.getrandbits(8), 0x7F000001))))


_ENTRY: Final = edited(
    one_of(
        _address,
        _address,
        joined(_address, just(":443", ":0", ":", "%eth0")),
        joined(just("["), _address, just("]", "]:443")),
    )
)
_NETWORK: Final = edited(
    one_of(
        _address,
        joined(_address, just("/"), lambda random: str(random.randint(0, 129))),
        just("10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "::1", "0.0.0.0/0"),
    )
)


def _forwarded(random: Random) -> tuple[list[str], str, list[bytes]]:
    trusted = [just("10.0.0.0/8", "127.0.0.1", "fd00::/8")(random) for _ in range(random.randint(0, 3))]
    if random.random() < 0.1:
        trusted.append(_NETWORK(random))
    values = [
        random.choice((",", ", ", " ,\t")).join(several(_ENTRY, random.choice((4, 30)))(random))
        for _ in range(random.randint(0, 2))
    ]
    return trusted, _address(random), [value.encode("utf-8", "surrogatepass") for value in values]


def _address_model(entry: str) -> IPv4Address | IPv6Address | None:
    """Read an address that may have a port, and one of IPv4 in the clothes of IPv6."""
    host, colon, port = entry.rpartition(":")
    is_port = bool(colon) and 1 <= len(port) <= 5 and set(port) <= set("0123456789")
    if entry.startswith("["):
        inside = entry[1:-1] if entry.endswith("]") else host[1:-1] if is_port and host.endswith("]") else "["
        entry = inside if not set("[]") & set(inside) else ""
    elif is_port and host and set(host) <= set("0123456789."):
        entry = host
    return _plain(entry)


def _plain(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or ip_address(str(address).partition("%")[0])


def _check_forwarded(made: tuple[list[str], str, list[bytes]]) -> None:
    trusted, peer, values = made
    scope: Any = {"client": (peer, 1), "headers": [(b"x-forwarded-for", value) for value in values]}
    try:
        networks = [ip_network(text) for text in trusted]
    except ValueError:
        # The settings refuse it before there is anything to trust.
        return
    entries = [entry.strip() for value in values for entry in value.decode("latin-1").split(",")]
    expected = peer
    for entry in [None, *reversed(entries[-FORWARDED_MAX:])]:
        address = _plain(peer) if entry is None else _address_model(entry)
        if address is None:
            break
        expected = peer if entry is None else str(address)
        if not any(address.version == network.version and address in network for network in networks):
            break
    found = Addresses(networks).of(cast(Scope, scope))
    assert expected == found
    # Nothing but an address is taken from a header.
    assert found == peer or found.isprintable()
    source = source_of(found)
    assert source == source_of(source.removesuffix("/64"))


def request_targets() -> list[Target[Any]]:
    """List what reads parts of requests."""
    return [
        Target("queries", _query, _check_query, 70),
        Target("JSON bodies", _body, _check_body, 110),
        Target("bodies as they come", _read, _check_read, 20),
        Target("lines of charges", _line_chunks, _check_lines, 30),
        Target("batches", _batch, _check_batch, 40),
        Target("X-Forwarded-For", _forwarded, _check_forwarded, 50),
    ]
