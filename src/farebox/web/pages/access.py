"""Who gets in to a page: found out from a session's cookie, never from anything that a browser sends by itself.

What a form asks for is done only if the form carries the session's token and came from a page of ours.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.core import ids
from farebox.service.people.sign_in import SignedIn
from farebox.service.people.users import Realm, Role
from farebox.services import Services
from farebox.web.client_address import Addresses
from farebox.web.envelope import ApiError
from farebox.web.pages import cookies, render
from farebox.web.pages.csrf import check_csrf_token, check_origin
from farebox.web.pages.forms import Form, read_form
from farebox.web.pages.once import check_once_token
from farebox.web.pages.request import PageRequest, no_such_page
from farebox.web.pages.routes import Audience, PageHandler, PageRoute
from farebox.web.rate_limits import BUCKETS_MAX
from farebox.web.routing import Handler, Resource, exact_route

_SIGN_IN_PAGES: Final = {Realm.MERCHANT: "/sign-in", Realm.SUPPORT: "/support/sign-in"}
HTMX_HEADER: Final = "hx-request"
_ROLES: Final = {
    Audience.VIEWER: frozenset(Role),
    Audience.MEMBER: frozenset({Role.OWNER, Role.MEMBER}),
    Audience.OWNER: frozenset({Role.OWNER}),
}
_NOT_ALLOWED: Final = {
    Audience.MEMBER: "Only members and owners may do this. Ask one of yours",
    Audience.OWNER: "Only owners may do this. Ask one of yours",
}


class AccessControl:
    """Lets requests through to pages."""

    def __init__(self, services: Services, addresses: Addresses) -> None:
        """Ask these services; `addresses` tells where requests come from."""
        self._services = services
        self._addresses = addresses
        self._seen_by_support: OrderedDict[tuple[bytes, int], None] = OrderedDict()

    def routes(self, pages: Sequence[PageRoute]) -> list[Route]:
        """Make the routes of all pages; a path without parameters goes before one with some."""
        return [
            exact_route(
                page.path,
                Resource(
                    get=page.get and self._handler(page, page.get, page.sees),
                    post=page.post and self._handler(page, page.post, page.posts or page.sees),
                ),
            )
            for page in sorted(pages, key=lambda page: "{" in page.path)
        ]

    def _handler(self, page: PageRoute, handler: PageHandler, audience: Audience) -> Handler:
        async def handle(http: Request) -> Response:
            request = PageRequest(http, self._services, self._addresses, Form())
            try:
                return await self._let_in(request, audience, page) or await self._answer(request, page, handler)
            except Exception as error:
                return request.error(error)

        return handle

    async def _answer(self, request: PageRequest, page: PageRoute, handler: PageHandler) -> Response:
        if request.http.method == "POST":
            check_origin(request.http)
            request.form = await read_form(request.http, page.form_bytes_max, is_file_taken=page.is_file_taken)
            if request.signed_in is not None:
                check_csrf_token(self._services.sign_in, request.signed_in, request.form)
            if page.is_done_once:
                check_once_token(request.form)
        return await handler(request)

    async def _let_in(self, request: PageRequest, audience: Audience, page: PageRoute) -> Response | None:
        """Find out who asks; return where to send them first, or None to let them in.

        Raises:
            ApiError, Forbidden: they may not.
        """
        realm = Realm.SUPPORT if audience == Audience.SUPPORT or page.is_console else Realm.MERCHANT
        request.signed_in = await self._signed_in(request, realm, page)
        if audience == Audience.ANYONE:
            return None
        if audience in _ROLES:
            return await self._let_in_to_account(request, audience, page)
        if request.signed_in is None:
            return _sign_in_first(request, realm)
        if audience == Audience.SUPPORT and (page.is_form or request.http.method == "POST"):
            request.principal.ensure_may(page.operation)
        if realm == Realm.SUPPORT:
            request.waiting_count = len(await self._services.approvals.waiting_for(request.login))
        return None

    async def _let_in_to_account(self, request: PageRequest, audience: Audience, page: PageRoute) -> Response | None:
        request.merchant_id = request.number("merchant", ids.MERCHANT)
        if request.signed_in is not None:
            request.role = await self._services.users.role(request.merchant_id, request.login.email)
            if request.role in _ROLES[audience]:
                return None
            if request.role is not None:
                raise ApiError(403, "forbidden", _NOT_ALLOWED[audience])
        support = await self._signed_in(request, Realm.SUPPORT, page)
        if support is not None and audience == Audience.VIEWER and request.http.method != "POST":
            request.signed_in = support
            await self._log_support_view(request, support)
            return None
        if request.signed_in is None:
            return _sign_in_first(request, Realm.MERCHANT)
        # Nobody learns which accounts there are.
        raise no_such_page()

    async def _log_support_view(self, request: PageRequest, support: SignedIn) -> None:
        """Write into the audit log that support sees an account, once for each session that does."""
        view = support.session.digest, request.merchant_id
        if view in self._seen_by_support:
            return
        # At once, since a page's parts are asked for together.
        self._seen_by_support[view] = None
        if len(self._seen_by_support) > BUCKETS_MAX:
            self._seen_by_support.popitem(last=False)
        try:
            # Of one that there is: others are no account.
            await self._services.merchants.get(request.merchant_id)
            await self._services.console.note_look(request.merchant_id, principal=request.principal)
        except BaseException:
            self._seen_by_support.pop(view, None)
            raise

    async def _signed_in(self, request: PageRequest, realm: Realm, page: PageRoute) -> SignedIn | None:
        token = cookies.session_token(request.http, self._services, realm)
        return await self._services.sign_in.authenticate(token, realm, is_use=page.is_use) if token else None


def _sign_in_first(request: PageRequest, realm: Realm) -> Response:
    """Send the browser to the page where one signs in, and back after that if a page was to be read."""
    if HTMX_HEADER in request.http.headers:
        # A part of a page would be filled with the sign-in page; the whole page is loaded again, and so led there.
        return Response(status_code=401, headers={**render.HEADERS, "HX-Refresh": "true"}, media_type="text/html")
    query = request.http.scope["query_string"].decode("latin-1")
    target = request.path + (f"?{query}" if query else "")
    is_read = request.http.method != "POST"
    sign_in_page = _SIGN_IN_PAGES[realm]
    return request.redirect(f"{sign_in_page}?next={quote(target, safe='')}" if is_read else sign_in_page)
