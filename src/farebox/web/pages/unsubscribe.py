"""The page that a mail's link to end such mails leads to. Its POST is also what mail programs send (RFC 8058)."""

from collections.abc import Awaitable
from typing import Any

from starlette.responses import Response

from farebox.alerts.kind_words import kind_words
from farebox.service.people.unsubscribing import PATH, LinkInvalid, Subscription, is_optional
from farebox.service.people.warnings import PATH as WARNINGS_PATH
from farebox.service.people.warnings import WarningSubscription
from farebox.service.reports.choices import ReportKind
from farebox.service.reports.links import PATH as REPORTS_PATH
from farebox.service.reports.links import ReportSubscription
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute


class UnsubscribePages:
    """The page of such links. Nobody signs in for it: a link tells by itself whose mails it ends."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        # Mail programs may send the form as multipart, which forms with files are.
        return [
            PageRoute(
                f"{PATH}{{link:str}}", Audience.ANYONE, get=self.show, post=self.end, is_file_taken=True, is_use=False
            ),
            PageRoute(
                f"{REPORTS_PATH}{{link:str}}",
                Audience.ANYONE,
                get=self.show_reports,
                post=self.end_reports,
                is_file_taken=True,
                is_use=False,
            ),
            PageRoute(
                f"{WARNINGS_PATH}{{link:str}}",
                Audience.ANYONE,
                get=self.show_warnings,
                post=self.end_warnings,
                is_file_taken=True,
                is_use=False,
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Ask by a button: mail programs look at links, which must end nothing."""
        return await _page(request, request.services.unsubscribing.read(request.param("link")), is_done=False)

    async def end(self, request: PageRequest) -> Response:
        """End the mails."""
        ended = request.services.unsubscribing.end(request.param("link"), address=request.address)
        return await _page(request, ended, is_done=True)

    async def show_reports(self, request: PageRequest) -> Response:
        """Ask by a button whether reports are to end."""
        return await _page(request, request.services.report_links.read(request.param("link")), is_done=False)

    async def end_reports(self, request: PageRequest) -> Response:
        """End reports."""
        return await _page(request, request.services.report_links.end(request.param("link")), is_done=True)

    async def show_warnings(self, request: PageRequest) -> Response:
        """Ask by a button whether warnings to one of the staff are to end."""
        return await _page(request, request.services.warning_choices.read(request.param("link")), is_done=False)

    async def end_warnings(self, request: PageRequest) -> Response:
        """End warnings to one of the staff."""
        ended = request.services.warning_choices.end(request.param("link"), address=request.address)
        return await _page(request, ended, is_done=True)


async def _page(
    request: PageRequest,
    reading: Awaitable[Subscription | ReportSubscription | WarningSubscription],
    *,
    is_done: bool,
) -> Response:
    """Show what a link is about, or that it is none of ours."""
    try:
        subscription = await reading
    except LinkInvalid:
        return request.page("unsubscribe_invalid.html", status=404)
    if isinstance(subscription, ReportSubscription):
        values = _report_values(request, subscription)
    elif isinstance(subscription, WarningSubscription):
        values = _warning_values(request, subscription)
    else:
        values = _alert_values(request, subscription)
    return request.page("unsubscribe.html", **values, is_on=subscription.is_on, is_done=is_done)


def _alert_values(request: PageRequest, subscription: Subscription) -> dict[str, Any]:
    return {
        "email": subscription.user.email,
        "merchant": subscription.merchant.name,
        "kind": request.language.gettext(kind_words(subscription.kind)),
        "is_optional": is_optional(subscription.kind, subscription.user.role),
        "is_at_alerts": True,
        "choices_url": f"/accounts/{subscription.merchant.id}/alerts",
    }


def _report_values(request: PageRequest, subscription: ReportSubscription) -> dict[str, Any]:
    _, merchant = request.language.gettext, subscription.merchant
    return {
        "email": subscription.login.email,
        "merchant": _("All merchants") if merchant is None else merchant.name,
        "kind": _("Monthly report") if subscription.kind == ReportKind.MONTHLY else _("Weekly report"),
        "is_optional": True,
        "is_at_alerts": False,
        "choices_url": "/support/profile/reports" if merchant is None else f"/accounts/{merchant.id}/alerts/reports",
    }


def _warning_values(request: PageRequest, subscription: WarningSubscription) -> dict[str, Any]:
    return {
        "email": subscription.login.email,
        "merchant": request.language.gettext("All merchants"),
        "kind": request.language.gettext(kind_words(subscription.kind)),
        "is_optional": True,
        "is_at_alerts": False,
        "choices_url": "/support/profile",
    }
