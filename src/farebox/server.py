"""One process of the server: the API and the pages, put on the parts that `bootstrap` builds."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp

from farebox.background import DELIVERY_LIMITS, DeliveryLimits, background_work
from farebox.bootstrap import Farebox, ensure_tracing, gate_rules
from farebox.config import Settings
from farebox.http.limits import HTTP_LIMITS, HttpLimits
from farebox.http.worker import AT_STOP
from farebox.metrics import definitions
from farebox.metrics.ledger import RISK_REST_SECONDS, LedgerFigures
from farebox.metrics.port import MetricsPort
from farebox.metrics.server import Metrics
from farebox.metrics.slots import WRITE_SECONDS, server_folder
from farebox.observe import configure_logging
from farebox.service.gate.gate import Gate
from farebox.service.gate.rules import Matcher, Rules
from farebox.service.gate.tokens import GateSigner
from farebox.service.periodic import Periodic, running
from farebox.web.app import create_app
from farebox.web.client_address import Addresses
from farebox.web.gate.app import GateApp
from farebox.web.metrics import is_shown
from farebox.web.pages.live import Live
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.rate_limits import Limits
from farebox.web.watch import RequestWatch

if TYPE_CHECKING:
    from farebox.tracing.traces import Traces

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
    gate = Gate(services.operations, services.balances, GateSigner(*farebox.settings.gate_secret.keys))
    return GateApp(gate, Matcher(rules), services.queries, limits)


class ServerMetrics:
    """Counts what one process does, and answers for the whole server, as the settings say where."""

    def __init__(self, farebox: Farebox, live: Live) -> None:
        """Watch these from now on."""
        committer, self._settings = farebox.committer, farebox.settings
        self._metrics = Metrics(server_folder())
        self._figures = LedgerFigures(farebox.stores.connector, farebox.clock)
        self.counts = self._metrics.counts
        committer.watch(self.counts.note_batch)
        farebox.refusal_counts.watch(self.counts.note_refusal)
        self._metrics.watch(definitions.QUEUE_COMMANDS, lambda: committer.waiting_count)
        self._metrics.watch(definitions.QUEUE_COMMANDS_MAX, lambda: committer.queue_commands_max)
        self._metrics.watch(definitions.LIVE_STREAMS, lambda: live.count)

    @property
    def steps(self) -> tuple[Periodic, ...]:
        """List what is to be done again and again."""
        return (
            Periodic("counts for other processes", self._metrics.write, pause_seconds=WRITE_SECONDS),
            Periodic("looks for balances at risk", self._figures.look_for_risks, pause_seconds=RISK_REST_SECONDS),
        )

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """Write the metrics of the whole server, as a header Accept asks for; return their media type as well."""
        return await self._metrics.answer(self._figures, accept)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on the metrics' own port, if there is one."""
        address, token = self._settings.metrics_address, self._settings.metrics_token
        if not address:
            yield
            return
        port = MetricsPort(*address.host_and_port, self.answer, lambda shown: not token or is_shown(shown, token.keys))
        await port.open()
        try:
            yield
        finally:
            await port.close()

    def close(self) -> None:
        """Leave what was counted to the processes that stay."""
        self._metrics.close()


def web_app(
    build: Callable[[Settings], Farebox] = Farebox.build,
    *,
    http_limits: HttpLimits = HTTP_LIMITS,
    delivery_limits: DeliveryLimits = DELIVERY_LIMITS,
) -> ASGIApp:
    """Make the application of one server process, from the process's own settings."""
    settings = Settings.load()
    configure_logging(is_json=settings.log_format == "json", secrets=settings.secrets)
    ensure_tracing(settings)
    rules = gate_rules(settings)
    farebox = build(settings)
    live = Live()
    metrics = ServerMetrics(farebox, live) if settings.has_metrics else None
    traces = _traces(farebox) if settings.tracing.is_on else None

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[Mapping[str, object]]:
        async with AsyncExitStack() as stack:
            steps = background_work(farebox, delivery_limits)
            if metrics is not None:
                stack.callback(metrics.close)
                steps = (*steps, *metrics.steps)
            await stack.enter_async_context(farebox.running())
            await stack.enter_async_context(running(steps))
            if metrics is not None:
                await stack.enter_async_context(metrics.listening())
            _settle_garbage_collector()
            yield {AT_STOP: live.close}
        if traces is not None:
            await asyncio.to_thread(traces.close)

    addresses = Addresses(settings.trusted_proxies)
    limits = rate_limits(farebox, addresses)
    app = create_app(
        farebox.services,
        addresses,
        limits=limits,
        throttle=SignInThrottle(),
        cors_origins=settings.cors_origins,
        lifespan=lifespan,
        live=live,
        http_limits=http_limits,
        gate=gate_app(farebox, rules, limits),
        watch=RequestWatch(
            addresses,
            note=None if metrics is None else metrics.counts.note_request,
            is_logged=settings.access_log.is_on,
        ),
        metrics=None if metrics is None or settings.metrics_address else (metrics.answer, settings.metrics_token.keys),
    )
    if traces is None:
        return app
    from farebox.tracing.app import TracedApp

    return TracedApp(app, traces)


def _traces(farebox: Farebox) -> "Traces":
    """Begin to trace; what that takes is imported by servers that do."""
    from farebox.tracing.traces import Traces

    traces = Traces(farebox.stores.connector.dialect)
    farebox.committer.trace(traces)
    return traces


def _settle_garbage_collector() -> None:
    """Keep what was built at the start out of every collection, and collect less often.

    The hot path makes no cycles (its values are Structs without gc), so collections found nothing and took a fifth of
    the time; see docs/explanation/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
