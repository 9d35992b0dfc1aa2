"""The server itself: what waits, what it commits, and whether the ledger is as it should be."""

from functools import partial
from typing import Any, Final

from starlette.responses import Response

from farebox.core.permissions import Operation
from farebox.service.errors import ServiceError
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

RUNS: Final = 10
_ROOT: Final = "/support/system"


class SystemPages:
    """Figures of this process and of the database, and verifications of the ledger."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_ROOT, Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(f"{_ROOT}/runs", Audience.SUPPORT, get=self.runs, is_console=True),
            PageRoute(
                f"{_ROOT}/verify",
                Audience.SUPPORT,
                post=self.verify,
                is_console=True,
                operation=Operation.RUN_SERVER,
                is_done_once=True,
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show the figures and the latest verifications."""
        return await self._page(request)

    async def runs(self, request: PageRequest) -> Response:
        """Show the verifications alone, for a page that is open while one runs."""
        return request.page("console/runs.html", **await self._runs(request))

    async def verify(self, request: PageRequest) -> Response:
        """Start a verification."""
        try:
            start = partial(request.services.verifications.start, principal=request.principal)
            return await request.do_once(start, _ROOT, "verifying")
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        services = request.services
        return request.page(
            "console/system.html",
            status,
            health=await services.health.check(),
            readiness=await services.health.readiness(),
            per_second=f"{services.throughput.commands_per_second():,.1f}",
            counts=await services.console.counts(),
            **await self._runs(request),
        )

    async def _runs(self, request: PageRequest) -> dict[str, Any]:
        verifications = request.services.verifications
        runs = await verifications.latest(RUNS)
        return {
            "runs": [(run, verifications.is_under_way(run)) for run in runs],
            "actors": await request.services.audit_log.names(),
        }
