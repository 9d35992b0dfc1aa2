"""One process of the server: the API and the pages, put on the parts that `bootstrap` builds."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import ASGIApp

from farebox.background import DELIVERY_LIMITS, DeliveryLimits, background_work
from farebox.bootstrap import Farebox, gate_rules
from farebox.config import Settings
from farebox.observe import configure_logging
from farebox.processes import hold_signals, stop_once
from farebox.service.gate.gate import Gate
from farebox.service.gate.rules import Matcher, Rules
from farebox.service.gate.tokens import GateSigner
from farebox.service.periodic import running
from farebox.web.app import create_app
from farebox.web.client_address import Addresses
from farebox.web.gate.app import GateApp
from farebox.web.http_limits import HTTP_LIMITS, HttpLimits
from farebox.web.pages.live import Live
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.rate_limits import Limits

GC_THRESHOLD: Final = 50_000
"""How many more objects made than freed start a collection in a server."""


def rate_limits(farebox: Farebox, addresses: Addresses) -> Limits:
    """Make what counts how much of the API anyone has had."""
    return Limits(
        addresses,
        per_merchant_key=farebox.settings.rate_limit,
        per_staff_key=farebox.settings.rate_limit_staff,
        failures_per_address=farebox.settings.bad_keys,
        on_good=farebox.key_last_used.note,
    )


def gate_app(farebox: Farebox, rules: Rules | None, limits: Limits) -> GateApp | None:
    """Put the gate on the parts, if there are rules for it."""
    if rules is None:
        return None
    services = farebox.services
    gate = Gate(services.operations, services.balances, GateSigner(farebox.settings.gate_secret))
    return GateApp(gate, Matcher(rules), services.queries, limits)


def web_app(
    build: Callable[[Settings], Farebox] = Farebox.build,
    *,
    http_limits: HttpLimits = HTTP_LIMITS,
    delivery_limits: DeliveryLimits = DELIVERY_LIMITS,
) -> ASGIApp:
    """Make the application of one server process, from the process's own settings."""
    hold_signals()
    configure_logging()
    settings = Settings.load()
    rules = gate_rules(settings)
    farebox = build(settings)
    live = Live()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with farebox.running(), running(background_work(farebox, delivery_limits)):
            _settle_garbage_collector()
            stop_once(live.close, unread_seconds_max=http_limits.unread_seconds)
            yield

    addresses = Addresses(settings.trusted_proxies)
    limits = rate_limits(farebox, addresses)
    return create_app(
        farebox.services,
        addresses,
        limits=limits,
        throttle=SignInThrottle(),
        cors_origins=settings.cors_origins,
        lifespan=lifespan,
        live=live,
        http_limits=http_limits,
        gate=gate_app(farebox, rules, limits),
    )


def _settle_garbage_collector() -> None:
    """Keep what was built at the start out of every collection, and collect less often.

    The hot path makes no cycles (its values are Structs without gc), so collections found nothing and took a fifth of
    the time; see docs/explanation/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
