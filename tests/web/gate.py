"""Asking the gate as each kind of proxy does, for its tests."""

from dataclasses import dataclass
from itertools import count
from typing import Final

from farebox.bootstrap import Farebox
from farebox.service.gate.files import read_rules
from farebox.service.gate.tokens import GateSigner
from farebox.web.rate_limits import Limits
from tests.support.app_client import NO_LIMITS, AppClient, Reply, open_client

SECRET: Final = "4f1d9a7be2c8036655af0c1e9d7b3a24"
SIGNER: Final = GateSigner(SECRET)
RULES: Final = """
[[route]]
method = "POST"
path = "/v1/images"
type = "image"

[[route]]
method = "POST"
path = "/v1/batches/{size}"
type = "image"
quantity = 5

[[route]]
method = ["GET", "DELETE"]
path = "/v1/images/{id}"
type = "image"
mode = "hold"
hold_for = 120

[[route]]
method = "POST"
path = "/v1/calls"
type = "call"
amount = "0.25"

[[route]]
method = "POST"
path = "/v1/unpriced"
type = "nothing-has-this-price"

[[route]]
method = "GET"
path = "/v1/models"
free = true

[[route]]
method = "GET"
path = "/status"
public = true

[[route]]
method = "*"
path = "/internal/**"
refuse = true
"""

_ids = count(1)


def request_id() -> str:
    """Make an id as a proxy does, for a new request."""
    return f"{next(_ids):032x}"


@dataclass(frozen=True)
class Proxy:
    """One kind of proxy: where it asks, and how it tells of a request."""

    name: str
    path: str
    method: str | None
    target: str | None
    id: str | None

    async def ask(
        self,
        client: AppClient,
        method: str,
        target: str,
        key: str | None,
        *,
        request: str | None = None,
        secret: str | None = SECRET,
        more: tuple[tuple[str, str], ...] = (),
    ) -> Reply:
        """Ask about one request; without `request`, about a new one."""
        headers = [*more]
        if secret is not None:
            headers.append(("X-Gate-Secret", secret))
        if self.id is not None:
            headers.append((self.id, request or request_id()))
        if self.method is None or self.target is None:
            return await client.send(method, self.path + target, key=key, headers=headers)
        headers += [(self.method, method), (self.target, target)]
        return await client.send("GET", self.path, key=key, headers=headers)


NGINX: Final = Proxy("nginx", "/gate/nginx", "X-Original-Method", "X-Original-URI", "X-Request-Id")
CADDY: Final = Proxy("caddy", "/gate/forwarded", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Request-Id")
TRAEFIK: Final = Proxy("traefik", "/gate/forwarded/hold", "X-Forwarded-Method", "X-Forwarded-Uri", None)
ENVOY: Final = Proxy("envoy", "/gate/envoy", None, None, "x-request-id")
PLAIN: Final = Proxy("plain", "/gate/plain", "X-Original-Method", "X-Original-URI", "X-Request-Id")
PROXIES: Final = (NGINX, CADDY, TRAEFIK, ENVOY, PLAIN)
WITH_IDS: Final = tuple(proxy for proxy in PROXIES if proxy.id is not None)


async def gate_client(farebox: Farebox, rules: str = RULES, limits: Limits = NO_LIMITS) -> AppClient:
    """Make a client of an application with a gate of these rules."""
    return await open_client(farebox, limits=limits, gate_rules=read_rules(rules))


def told(reply: Reply) -> tuple[str | None, ...]:
    """Return what a proxy is told of a request that may pass: its merchant, transfer, hold and token."""
    return tuple(reply.header(f"x-{name}") for name in ("merchant-id", "transfer-id", "hold-id", "gate-token"))
