"""A merchant's API keys, for its owners to make, rotate, end and revoke; everybody sees which there are."""

from collections.abc import Awaitable
from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.core.commands import KeyKind
from farebox.service.languages import gettext_noop
from farebox.service.operator.merchants import NewKey
from farebox.service.repeats import RequestKey
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.key_budgets import key_usage_file
from farebox.web.pages.keys import KEY, KeyPages
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_KEYS: Final = f"{ROOT}/keys"


class AccountKeyPages(KeyPages):
    """A merchant's keys."""

    overlaps: ClassVar = {
        "0": gettext_noop("not at all"),
        "3600": gettext_noop("for an hour"),
        "86400": gettext_noop("for a day"),
        "604800": gettext_noop("for a week"),
    }

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_KEYS, Audience.VIEWER, get=self.show, post=self.create, posts=Audience.OWNER, is_done_once=True),
            PageRoute(f"{_KEYS}/usage.csv", Audience.VIEWER, get=self.export_usage),
            PageRoute(f"{_KEYS}/{KEY}", Audience.OWNER, get=self.show_one),
            PageRoute(f"{_KEYS}/{KEY}/name", Audience.OWNER, post=self.rename),
            PageRoute(f"{_KEYS}/{KEY}/budget", Audience.OWNER, post=self.set_budget),
            PageRoute(f"{_KEYS}/{KEY}/rotate", Audience.OWNER, post=self.rotate, is_done_once=True),
            PageRoute(f"{_KEYS}/{KEY}/end", Audience.OWNER, post=self.end),
            PageRoute(f"{_KEYS}/{KEY}/suspend", Audience.OWNER, get=self.ask_suspend, post=self.suspend),
            PageRoute(f"{_KEYS}/{KEY}/resume", Audience.OWNER, post=self.resume),
            PageRoute(f"{_KEYS}/{KEY}/revoke", Audience.OWNER, get=self.ask_revoke, post=self.revoke),
        ]

    def merchant(self, request: PageRequest) -> int:
        """Return whose keys they are."""
        return request.merchant_id

    def url(self, request: PageRequest) -> str:
        """Write where the list is."""
        return f"{account_url(request)}/keys"

    def make(self, request: PageRequest, expires: str | None, request_key: RequestKey) -> Awaitable[NewKey]:
        """Make a key of the merchant's."""
        return request.services.merchants.create_key(
            KeyKind.MERCHANT,
            merchant_id=request.merchant_id,
            name=request.form.text("name") or None,
            expires=expires,
            principal=request.principal,
            request_key=request_key,
        )

    async def export_usage(self, request: PageRequest) -> Response:
        """Give what each key's requests came to as CSV."""
        return await key_usage_file(request, request.merchant_id)

    def page(self, request: PageRequest, name: str, status: int, **values: Any) -> Awaitable[Response]:
        """Show one of the merchant's own pages."""
        return account_page(request, f"account/{name}.html", status, **values)
