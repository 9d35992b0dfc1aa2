"""One process of the server: the API and the pages, put on the parts that `bootstrap` builds."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import ASGIApp

from farebox.bootstrap import Farebox
from farebox.config import Settings, SettingsError
from farebox.observe import configure_logging
from farebox.processes import hold_signals, stop_once
from farebox.web.app import create_app
from farebox.web.client_address import Addresses, InvalidNetwork
from farebox.web.pages.live import Live
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.rate_limits import Limits

GC_THRESHOLD: Final = 50_000
"""How many more objects made than freed start a collection in a server."""


def client_addresses(settings: Settings) -> Addresses:
    """Make what tells where requests come from.

    Raises:
        SettingsError: a trusted proxy is no address or network.
    """
    try:
        return Addresses(settings.trusted_proxy_list)
    except InvalidNetwork as error:
        raise SettingsError(f"FAREBOX_TRUSTED_PROXIES: {error}") from error


def rate_limits(farebox: Farebox, addresses: Addresses) -> Limits:
    """Make what counts how much of the API anyone has had."""
    return Limits(
        addresses,
        per_merchant_key=farebox.settings.rate_limit_per_second,
        per_staff_key=farebox.settings.staff_rate_limit_per_second,
        failures_per_address=farebox.settings.bad_keys_per_second,
        on_good=farebox.key_last_used.note,
    )


def web_app() -> ASGIApp:
    """Make the application of one server process, from the process's own settings."""
    hold_signals()
    configure_logging()
    farebox = Farebox.build(Settings.load())
    live = Live()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with farebox.running(is_server=True):
            _settle_garbage_collector()
            stop_once(live.close)
            yield

    addresses = client_addresses(farebox.settings)
    return create_app(
        farebox.services,
        addresses,
        limits=rate_limits(farebox, addresses),
        throttle=SignInThrottle(),
        cors_origins=farebox.settings.cors_origin_list,
        lifespan=lifespan,
        live=live,
    )


def _settle_garbage_collector() -> None:
    """Keep what was built at the start out of every collection, and collect less often.

    The hot path makes no cycles (its values are Structs without gc), so collections found nothing and took a fifth of
    the time; see docs/explanation/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
