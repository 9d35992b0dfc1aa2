"""API keys for support: a merchant's, and those of services and support themselves."""

from functools import partial
from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.core.commands import KeyKind
from farebox.core.permissions import Operation
from farebox.core.staff_roles import STAFF_ROLES, StaffRole
from farebox.service.errors import InvalidInput
from farebox.service.operator.merchants import NewKey
from farebox.service.repeats import RequestKey
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url, ticked_roles
from farebox.web.pages.key_budgets import key_usage_file
from farebox.web.pages.keys import KEY, KeyPages
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_STAFF: Final = "/support/keys"
_KINDS: Final = {"service": KeyKind.SERVICE, "support": KeyKind.SUPPORT}


class ConsoleKeyPages(KeyPages):
    """The keys of one merchant, or with none those of services and support."""

    overlaps: ClassVar = {
        "0": "not at all",
        "3600": "for an hour",
        "86400": "for a day",
        "604800": "for a week",
        "2592000": "for 30 days",
    }

    def __init__(self, *, is_merchants: bool) -> None:
        """Show a merchant's keys, or the operator's own."""
        self._is_merchants = is_merchants
        self._operation = Operation.MANAGE_MERCHANT_KEYS if is_merchants else Operation.MANAGE_KEYS

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/keys" if self._is_merchants else _STAFF

        def route(path: str, operation: Operation = self._operation, **handlers: Any) -> PageRoute:
            return PageRoute(f"{root}{path}", Audience.SUPPORT, is_console=True, operation=operation, **handlers)

        suspend = Operation.SUSPEND_MERCHANT_KEY
        of_merchants = [
            route("/usage.csv", get=self.export_usage),
            route(f"/{KEY}/budget", post=self.set_budget),
            route(f"/{KEY}/suspend", suspend, get=self.ask_suspend, post=self.suspend, is_form=True),
            route(f"/{KEY}/resume", suspend, post=self.resume),
        ]
        return [
            *(of_merchants if self._is_merchants else []),
            route("", get=self.show, post=self.create, is_done_once=True),
            route(f"/{KEY}", get=self.show_one),
            route(f"/{KEY}/rotate", post=self.rotate, is_done_once=True),
            route(f"/{KEY}/name", post=self.rename),
            route(f"/{KEY}/end", post=self.end),
            route(f"/{KEY}/revoke", get=self.ask_revoke, post=self.revoke, is_form=True),
        ]

    def merchant(self, request: PageRequest) -> int | None:
        """Return whose keys they are."""
        return merchant_of(request) if self._is_merchants else None

    def url(self, request: PageRequest) -> str:
        """Write where the list is."""
        return f"{merchant_url(merchant_of(request))}/keys" if self._is_merchants else _STAFF

    async def make(self, request: PageRequest, expires: str | None, request_key: RequestKey) -> NewKey:
        """Make a key of the merchant's, or of a service or support person."""
        create = partial(
            request.services.merchants.create_key,
            expires=expires,
            principal=request.principal,
            request_key=request_key,
        )
        if self._is_merchants:
            name = request.form.text("name") or None
            return await create(KeyKind.MERCHANT, merchant_id=merchant_of(request), name=name)
        kind = _KINDS.get(request.form.text("kind"))
        if kind is None:
            raise InvalidInput("kind", "choose whose key it is")
        return await create(
            kind,
            name=request.form.text("name"),
            roles=ticked_roles(request) if kind == KeyKind.SUPPORT else (),
        )

    async def export_usage(self, request: PageRequest) -> Response:
        """Give what each key's requests came to as CSV."""
        return await key_usage_file(request, merchant_of(request))

    async def page(self, request: PageRequest, name: str, status: int, **values: Any) -> Response:
        """Show one of the merchant's pages in the console, or of the console's own."""
        values |= {
            "own_roles": [
                word for word, role in STAFF_ROLES.items() if role & (StaffRole.VIEWER | (request.principal.roles or 0))
            ],
            "may_manage": request.principal.may(self._operation),
        }
        if self._is_merchants:
            return await merchant_page(request, f"console/{name}.html", status, frame="console/frame.html", **values)
        makers = (await request.services.audit_log.names()).makers
        return request.page(f"console/{name}.html", status, frame="console/plain.html", makers=makers, **values)
