"""The merchant's dashboard: how much there is, how long it lasts and where it goes."""

from typing import Any, Final, Literal

from starlette.responses import Response

from farebox.core.accounts import Account
from farebox.core.thresholds import lowest_above
from farebox.presenters.refusals import refused_today
from farebox.service.ledger.queries import AccountView
from farebox.service.statements.reader import Selection
from farebox.web.charts.balance import balance_chart, balance_rows
from farebox.web.charts.bars import usage_types
from farebox.web.charts.usage import usage_chart, usage_rows
from farebox.web.pages.live import Live
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

By = Literal["hour", "day"]

ROOT: Final = "/accounts/{merchant:str}"
USAGE_DAYS: Final[dict[By, int]] = {"day": 14, "hour": 2}
"""How many days of usage are drawn, by what a bar is."""

_NOW: Final = "overview_now.html"
_LATEST_TRANSFERS: Final = 8
_NO_SELECTION: Final = Selection()


class OverviewPages:
    """The overview, and what of it is followed live."""

    def __init__(self, live: Live) -> None:
        """Follow by these streams."""
        self._live = live

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(ROOT, Audience.VIEWER, get=self.show),
            PageRoute(f"{ROOT}/now", Audience.VIEWER, get=self.now, is_use=False),
            PageRoute(f"{ROOT}/charts", Audience.VIEWER, get=self.show_charts, is_use=False),
            PageRoute(f"{ROOT}/live", Audience.VIEWER, get=self._live.stream, is_use=False),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show the overview."""
        return await self._page(request, "overview.html")

    async def now(self, request: PageRequest) -> Response:
        """Show the part of the overview that changes with each charge, for a page that is open."""
        return await self._page(request, _NOW)

    async def show_charts(self, request: PageRequest) -> Response:
        """Show the charts anew, for a page that is open."""
        view = await request.services.queries.account_view(request.merchant_id)
        drawn = await self._charts(request, view)
        return request.page("overview_charts.html", merchant=view.merchant, account=view.account, **drawn)

    async def _page(self, request: PageRequest, template: str) -> Response:
        view = await request.services.queries.account_view(request.merchant_id)
        latest = await request.services.statements.page(request.merchant_id, _NO_SELECTION, limit=_LATEST_TRANSFERS)
        below = below_of(view.account)
        queries = request.services.queries
        alert = None if below is None else await queries.last_low_alert(request.merchant_id, below)
        refused = await request.services.refusals.today(request.merchant_id, request.zone)
        drawn = await self._charts(request, view) if template != _NOW else {}
        return request.page(
            template,
            merchant=view.merchant,
            account=view.account,
            forecast=view.forecast,
            state=state_of(view.account),
            owed=await request.services.shortfalls.owed(request.merchant_id, view.account.owed),
            below=below,
            alert=alert,
            latest=latest.transfers,
            refused=refused_today(refused, request.language),
            undelivered=await request.services.queries.undelivered(request.merchant_id),
            unusual=await request.services.unusual_spendings.of(request.merchant_id),
            now=request.services.console.now(),
            is_live=template == _NOW,
            **drawn,
        )

    async def _charts(self, request: PageRequest, view: AccountView) -> dict[str, Any]:
        """Draw the balance of the last weeks, and what the types of requests came to."""
        account, zone, now = view.account, request.zone, request.services.console.now()
        history = await request.services.queries.history(account)
        by: By = "hour" if request.query("by") == "hour" else "day"
        first, last = request.last_days(USAGE_DAYS[by])
        usage = await request.services.usage.read(
            request.merchant_id, by=by, first=str(first), last=str(last), zone=zone.key, request_type=None
        )
        names = await request.services.prices.request_types(request.merchant_id)
        balance: dict[str, Any] = {
            "thresholds": [threshold.amount for threshold in account.thresholds],
            "credit_limit": account.credit_limit,
            "runway": view.forecast.runway,
            "now": now,
            "zone": zone,
            "currency": account.currency,
            "spoken": request.language,
        }
        bars: dict[str, Any] = {
            "zone": zone,
            "by": by,
            "currency": account.currency,
            "spoken": request.language,
            "names": names,
            "first": first,
            "last": last,
        }
        return {
            "balance_charts": [balance_chart(history, **balance, is_narrow=narrow) for narrow in (False, True)],
            "balance_rows": balance_rows(
                history,
                credit_limit=account.credit_limit,
                runway=view.forecast.runway,
                now=now,
                zone=zone,
                currency=account.currency,
                spoken=request.language,
            ),
            "usage_charts": [usage_chart(usage, **bars, is_narrow=narrow) for narrow in (False, True)],
            "usage_rows": usage_rows(usage, zone=zone, by=by, currency=account.currency, spoken=request.language),
            "usage_types": usage_types(usage, names, request.language),
            "usage_days": USAGE_DAYS[by],
            "by": by,
        }


def state_of(account: Account) -> str:
    """Name what a merchant should know first: closed, frozen, owing, new, empty, below a threshold, or nothing."""
    if account.closed_at is not None or account.is_frozen:
        return "frozen" if account.closed_at is None else "closed"
    if account.owed:
        return "owing"
    if account.available + account.credit_limit <= 0:
        return "empty" if account.seq else "new"
    return "fine" if below_of(account) is None else "below"


def below_of(account: Account) -> int | None:
    """Return the lowest threshold that the posted balance is below, in micros."""
    return lowest_above(account.thresholds, account.posted)
