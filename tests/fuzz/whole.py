"""Whole requests to the whole application over a ledger: every endpoint and page, by everybody, with anything in them.

Every answer is none of the server's own errors, is in the envelope under /api/ and as the OpenAPI document
foretells; and when all was asked, the ledger verifies.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from farebox.core import ids
from farebox.service.operator.verifier import Verifier
from farebox.web.pages.routes import PageRoute
from farebox.web.schemas import admin, spending
from tests.fuzz.gate import METHODS, TARGETS
from tests.fuzz.making import any_bytes, any_text, edited_bytes, just
from tests.fuzz.requests import BODIES, WORD, body_bytes, query_bytes
from tests.fuzz.target import Target
from tests.fuzz.texts import IDS, KEYS
from tests.security.people import SIGNED_IN, Site, open_site
from tests.security.test_authorization import UNKNOWN_IDS, operations
from tests.security.test_pages import ROUTES, assert_safe
from tests.support.app_client import JSON, NDJSON
from tests.web.console.visitor import FORM
from tests.web.gate import PROXIES, SECRET

API: Final = "requests of the API"
PAGES: Final = "requests of pages"
GATE: Final = "requests of the gate"
SHARES: Final = {API: 70, PAGES: 30, GATE: 20}
"""How many of so many inputs are whole requests; see `Target.share`."""

_KINDS: Final = {kind.__name__: kind for kind in BODIES}
_NAME: Final = re.compile(r' name="([^"]+)"')
_PART: Final = re.compile(r"\{[^}]+\}")
_ENDINGS: Final = ("sign-out", "password", "sign-in", "sessions")
"""Paths whose forms end a session, or make a server stretch a password for a tenth of a second."""

_LINES: Final = "/api/charges/batch"


@dataclass(frozen=True)
class Asked:
    """One request; its body comes in pieces."""

    method: str
    target: str
    headers: list[tuple[str, bytes]]
    body: list[bytes]
    is_cut_short: bool


class Whole:
    """A site, everything that can be asked in it, and the loop that it lives on."""

    def __init__(self, runner: asyncio.Runner, site: Site, fields: dict[str, list[str]]) -> None:
        """Take a site that is open, and the names of what the forms of its pages hold."""
        self._runner = runner
        self._site = site
        self._fields = fields
        self._operations = list(operations(site.client.document))
        seeds = site.seeds
        self._keys = {"merchant": seeds.merchant_key, "service": seeds.service_key, "support": seeds.support_key}

    def request(self, random: Random) -> Asked:
        """Make a request of the API."""
        method, path, kinds = random.choice(self._operations)
        if random.random() < 0.05:
            method = random.choice(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"))
        target = _PART.sub(lambda part: self._part(random, part[0][1:-1]), path)
        if random.random() < 0.05:
            target = _spoiled(random, target)
        names = [given["name"] for given in self._operation(path, method).get("parameters", ())] or ["cursor", "limit"]
        target += self._query(random, names)
        is_batch = path == _LINES
        media = just(JSON[1], *([NDJSON] * 3 if is_batch else [JSON[1]] * 8), "text/plain", "")(random)
        headers = [("content-type", media.encode()), *self._key(random, sorted(kinds)), *_odd_header(random)]
        return Asked(method, target, headers, _cut(random, self._body(random, path, method)), random.random() < 0.02)

    def page(self, random: Random) -> Asked:
        """Make a request of a page, or of its form."""
        route = random.choice(ROUTES)
        path = self._site.path(route.path) if random.random() < 0.7 else _PART.sub(_made_up(random), route.path)
        who = random.choice((*SIGNED_IN, "owner", "support", "support"))
        visitor = self._site.visitors[who]
        cookie = visitor.cookie[1].encode()
        headers = [("cookie", cookie if random.random() < 0.9 else edited_bytes(lambda _: cookie)(random))]
        headers += _odd_header(random)
        names = self._names(route.path)
        is_read = route.get is not None and random.random() < 0.3
        if route.post is None or is_read or path.rpartition("/")[2] in _ENDINGS:
            method = random.choice(("GET", "GET", "GET", "HEAD"))
            return Asked(method, path + self._query(random, names), headers, [b""], is_cut_short=False)
        fields = [(name, _word(random)) for name in names if random.random() < 0.8]
        fields.append(("csrf_token", visitor.csrf_token if random.random() < 0.9 else any_text(random)))
        body = urlencode(fields, errors="replace").encode()
        body = body if random.random() < 0.9 else edited_bytes(lambda _: body)(random)
        return Asked("POST", path, [*headers, (FORM[0], FORM[1].encode())], _cut(random, body), random.random() < 0.02)

    def gate(self, random: Random) -> Asked:
        """Make what a proxy asks the gate, and sometimes what none would."""
        proxy = random.choice(PROXIES)
        told = {proxy.method: METHODS(random), proxy.target: TARGETS(random), proxy.id: f"{random.randint(0, 50):020d}"}
        headers = [(name, text.encode("utf-8", "surrogatepass")) for name, text in told.items() if name is not None]
        if random.random() < 0.1:
            headers = random.sample(headers, random.randint(0, len(headers)))
        secret = SECRET.encode() if random.random() < 0.95 else edited_bytes(lambda _: SECRET.encode())(random)
        headers += [("x-gate-secret", secret), *self._key(random, ["merchant"]), *_odd_header(random)]
        if random.random() < 0.1:
            headers.append(("x-farebox-refusal", any_bytes(random)))
        path = proxy.path if random.random() < 0.95 else "/gate/refused"
        if proxy.target is None:
            path += quote(TARGETS(random), safe="/%?=;:@", errors="replace")
        return Asked(random.choice(("GET", "GET", "POST")), path, headers, [b""], is_cut_short=False)

    def check(self, asked: Asked) -> None:
        """Ask, and check the answer; the client checks those of the API."""
        reply = self._runner.run(
            self._site.client.send(
                asked.method,
                asked.target,
                headers=asked.headers,
                body=asked.body,
                is_cut_short=asked.is_cut_short,
            )
        )
        # In such a site, streams are closed: they say so.
        is_stream = asked.target.partition("?")[0].endswith("/live")
        is_gate = asked.target.startswith("/gate/")
        is_told = is_gate and reply.code in ("gate_misconfigured", "unavailable")
        assert reply.status < 500 or (is_stream and reply.status == 503) or is_told, reply
        if is_gate and reply.status != 200:
            assert (reply.header("x-farebox-refusal") is None) == (reply.body != b""), reply
        elif is_gate:
            assert b"" == reply.body, reply
        elif not asked.target.startswith("/api"):
            assert_safe(reply)

    def verify(self) -> int:
        """Replay the whole ledger, and return how many transfers it has come to."""

        async def replay() -> tuple[list[Any], int]:
            audit = Verifier(self._site.farebox.stores.connector)
            return [fault async for fault in audit.faults(None)], audit.transfers_count

        faults, count = self._runner.run(replay())
        assert [] == faults
        return count

    def _names(self, path: str) -> list[str]:
        """List what a form holds: its page's fields, or those of the page above it, which shows it."""
        while path and not self._fields.get(path):
            path = path.rpartition("/")[0]
        return self._fields.get(path) or ["amount"]

    def _operation(self, path: str, method: str) -> dict[str, Any]:
        found: dict[str, Any] = self._site.client.document["paths"][path].get(method.lower(), {})
        return found

    def _part(self, random: Random, name: str) -> str:
        own = {
            "merchant_id": self._site.seeds.merchant,
            "hold_id": self._book_id(random, ids.HOLD),
            "grant_id": self._book_id(random, ids.GRANT),
        }
        known = {**UNKNOWN_IDS, **own}[name]
        return known if random.random() < 0.8 else quote(IDS(random), safe="", errors="replace") or "x"

    def _query(self, random: Random, names: list[str]) -> str:
        return "" if random.random() < 0.6 else "?" + query_bytes(random, names).decode("latin-1").replace("?", "")

    def _key(self, random: Random, kinds: list[str]) -> list[tuple[str, bytes]]:
        if random.random() < 0.9:
            kind = random.choice(kinds if random.random() < 0.9 else list(self._keys))
            return [("x-api-key", self._keys[kind].encode())]
        return [("x-api-key", KEYS(random).encode("utf-8", "surrogatepass")) for _ in range(random.randint(0, 2))]

    def _body(self, random: Random, path: str, method: str) -> bytes:
        given = self._operation(path, method).get("requestBody")
        if given is None:
            return b"" if random.random() < 0.9 else any_bytes(random)
        schema = next(iter(given["content"].values()))["schema"]
        kind = _KINDS[schema["$ref"].rpartition("/")[2]]
        if path == _LINES and random.random() < 0.5:
            return b"\n".join(body_bytes(random, spending.ChargeRequest) for _ in range(random.randint(0, 5)))
        if random.random() < 0.3:
            return body_bytes(random, kind)
        body = json.dumps(self._sound(random, kind)).encode()
        return body if random.random() < 0.7 else edited_bytes(lambda _: body)(random)

    def _sound(self, random: Random, kind: type[Struct]) -> dict[str, Any]:
        """Make a body whose values may all be taken, since such get furthest."""
        seeds = self._site.seeds
        values: dict[str, Any] = {
            "amount": random.choice(("0.01", "0.5", "3")),
            "charges": [] if kind is spending.ChargeRequest else self._sound_charges(random),
            "creditLimit": "5",
            "currency": "USD",
            "direction": random.choice(("credit", "debit")),
            "expiresAt": (datetime.now(UTC) + timedelta(seconds=random.choice((1, 60, 10**6)))).isoformat(),
            "email": f"{random.randint(0, 9)}@northwind.example",
            "idempotencyKey": f"{random.randint(0, 10**6)}",
            "isFrozen": False,
            "kind": random.choice(("service", "support")),
            "merchant": seeds.merchant,
            "name": "Northwind",
            "overlapSeconds": 60,
            "priority": random.randint(0, 3),
            "quantities": {"requests": random.randint(1, 3)},
            "quantity": random.randint(1, 3),
            "requestedAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "rule": {"lines": [{"name": "requests", "amount": "0.02"}]},
            "reference": f"R-{random.randint(0, 10**6)}",
            "thresholds": ["1", "50"],
            "transferId": self._book_id(random, ids.TRANSFER),
            "ttlSeconds": 60,
            # A type that ends is charged no more.
            "type": "old" if kind is admin.EndPriceRequest else random.choice(("image", "image", "call")),
            "types": random.choice((["image"], ["call", "image"])),
            "unitPrice": "0.02",
        }
        return {
            field.encode_name: values.get(field.encode_name, "x")
            for field in msgspec.structs.fields(kind)
            if field.required or random.random() < 0.2
        }

    def _sound_charges(self, random: Random) -> list[dict[str, Any]]:
        return [self._sound(random, spending.ChargeRequest) for _ in range(random.randint(1, 3))]

    def _book_id(self, random: Random, prefix: str) -> str:
        return ids.book_id(prefix, merchant_id=self._site.seeds.merchant_id, seq=random.randint(1, 30))


@contextmanager
def open_whole() -> Iterator[Whole]:
    """Open a site of its own, in which whatever is asked is kept; it goes when it is closed."""
    with tempfile.TemporaryDirectory(prefix="farebox-fuzz-") as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        site = runner.run(stack.enter_async_context(open_site(Path(folder))))
        try:
            yield Whole(runner, site, runner.run(_forms(site)))
        finally:
            runner.run(stack.aclose())


def whole_targets(whole: Whole) -> list[Target[Asked]]:
    """List what takes whole requests."""
    return [
        Target(API, whole.request, whole.check, SHARES[API]),
        Target(PAGES, whole.page, whole.check, SHARES[PAGES]),
        Target(GATE, whole.gate, whole.check, SHARES[GATE]),
    ]


async def _forms(site: Site) -> dict[str, list[str]]:
    """Read every page, and return the names of what its forms hold."""
    found = {}
    for route in ROUTES:
        if route.get is not None:
            page = await site.ask("GET", site.path(route.path), _who(route))
            names = {name for name in _NAME.findall(page.body.decode()) if name not in ("csrf_token", "viewport")}
            found[route.path] = sorted(names)
    return found


def _who(route: PageRoute) -> str:
    return "support" if route.is_console else "owner"


def _word(random: Random) -> str:
    return "" if random.random() < 0.1 else str(WORD(random))


def _made_up(random: Random) -> str:
    return quote(IDS(random), safe="", errors="replace").replace("\\", "") or "x"


def _spoiled(random: Random, target: str) -> str:
    content = edited_bytes(lambda _: target.encode())(random)
    return "/" + quote(content, safe="/%").replace("?", "").lstrip("/")


def _odd_header(random: Random) -> list[tuple[str, bytes]]:
    if random.random() < 0.9:
        return []
    name = random.choice(
        ("accept", "content-length", "content-encoding", "if-none-match", "origin", "sec-fetch-site", "x-forwarded-for")
    )
    return [(name, any_bytes(random).replace(b"\r", b"").replace(b"\n", b""))]


def _cut(random: Random, content: bytes) -> list[bytes]:
    place = random.randint(0, len(content))
    return [content] if random.random() < 0.8 else [content[:place], content[place:]]
