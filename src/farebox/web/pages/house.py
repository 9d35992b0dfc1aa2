"""What every page is made of: its line in the table, who may see it, and what all pages do alike.

Nothing is trusted that a browser sends by itself. A session's cookie, which scripts can't read, tells who
asks; a form is obeyed only if it carries the session's CSRF token and came from a page of ours.
"""

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.people.api_keys import Principal
from farebox.service.people.sign_in import SignedIn, normal_email
from farebox.service.people.users import Realm, Role
from farebox.services import Services
from farebox.web.client_address import Addresses, source_of
from farebox.web.envelope import ApiError, api_error
from farebox.web.pages import render
from farebox.web.pages.forms import Form, read_form
from farebox.web.rate_limits import BUCKETS_MAX, Buckets
from farebox.web.routing import Handler as RequestHandler
from farebox.web.routing import Resource, exact_route

SIGN_INS_A_SECOND: Final = 0.2
SIGN_INS_BURST_SECONDS: Final = 60.0
"""Of each address, and for each account from anywhere: a dozen tries at once, then one in five seconds.

From where somebody has signed in to an account lately its tries are counted apart, so that whoever guesses its password
elsewhere does not keep them out.
"""

_COOKIES: Final = {Realm.MERCHANT: "farebox", Realm.SUPPORT: "farebox-support"}
_DOORS: Final = {Realm.MERCHANT: "/sign-in", Realm.SUPPORT: "/support/sign-in"}
_ZONE_COOKIE: Final = "farebox-zone"
_THEME_COOKIE: Final = "farebox-theme"
_THEMES: Final = ("light", "dark")
_MARK: Final = "mark"
_HTMX: Final = "hx-request"
_EMAIL_CHARS_MAX: Final = 300
_OURS: Final = re.compile(r"/(?:accounts|support|profile)(?:/[A-Za-z0-9_/-]*)?(?:\?[A-Za-z0-9_=&%.+:-]*)?", re.ASCII)
_UTC: Final = ZoneInfo("UTC")


class Audience(Enum):
    """The people who may see a page."""

    ANYONE = "anyone"
    PERSON = "whoever is signed in as a merchant's person"
    VIEWER = "the merchant's people, and support to look"
    MEMBER = "the merchant's members and owners"
    OWNER = "the merchant's owners"
    SUPPORT = "support"


_ROLES: Final = {
    Audience.VIEWER: frozenset(Role),
    Audience.MEMBER: frozenset({Role.OWNER, Role.MEMBER}),
    Audience.OWNER: frozenset({Role.OWNER}),
}


class PageRequest(Struct):
    """A page that is asked for: by whom, of which merchant, and what was typed.

    `role` is what the person may do on the merchant's account, None for support, who only look there.
    """

    request: Request
    services: Services
    addresses: Addresses
    form: Form
    visit: SignedIn | None = None
    merchant_id: int = 0
    role: Role | None = None

    @property
    def signed_in(self) -> SignedIn:
        """Who asks, of pages that nobody else gets.

        Raises:
            LookupError: nobody is signed in.
        """
        if self.visit is None:
            raise LookupError("this page is for anyone, so nobody needs to be signed in")
        return self.visit

    @property
    def zone(self) -> ZoneInfo:
        """The reader's time zone, as their browser says; UTC if it says none."""
        text = self.request.cookies.get(_ZONE_COOKIE, "")
        try:
            return inputs.time_zone("zone", text.replace("%2F", "/")) if text else _UTC
        except InvalidInput:
            return _UTC

    @property
    def path(self) -> str:
        """Which page is asked for. The request's own URL is made of its Host header, which may be anything."""
        return str(self.request.scope["path"])

    @property
    def address(self) -> str | None:
        """Where the request comes from."""
        return self.addresses.of(self.request.scope)

    @property
    def agent(self) -> str:
        """What the browser calls itself."""
        return self.request.headers.get("user-agent", "")

    @property
    def principal(self) -> Principal:
        """Who asks, for the audit log."""
        return Principal(self.signed_in.login.email, address=self.address)

    @property
    def is_owner(self) -> bool:
        """Whether the person may do everything on the merchant's account."""
        return self.role == Role.OWNER

    @property
    def is_member(self) -> bool:
        """Whether the person may change anything on the merchant's account."""
        return self.role in (Role.OWNER, Role.MEMBER)

    def param(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the query, its first; a default if it is missing."""
        values = self.request.query_params.getlist(name)
        return values[0] if values else default

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Answer with a page, which knows who asks."""
        theme = self.request.cookies.get(_THEME_COOKIE, "")
        known = {
            "ask": self,
            "form": self.form,
            "mark": "" if self.visit is None else self.services.sign_in.csrf_token(self.visit),
            "person": None if self.visit is None else self.visit.login,
            "zone": self.zone,
            "theme": theme if theme in _THEMES else "",
            "path": self.path,
            "said": FLASHES.get(self.query("said"), ""),
            "support_contact": self.services.operator.support_contact,
        }
        return render.page(template, {**known, **values}, status=status)

    def redirect(self, url: str, said: str = "") -> Response:
        """Send the browser on; `said` names what the next page says has been done."""
        return render.redirect(f"{url}{'&' if '?' in url else '?'}said={said}" if said else url)

    def begin(self, visit: SignedIn, url: str) -> Response:
        """Send the browser on, signed in."""
        response = self.redirect(url)
        set_cookie(response, self.services, Realm(visit.login.realm), visit.token)
        return response


FLASHES: Final = {
    "signed_out": "You are signed out.",
    "signed_out_elsewhere": "You are signed out everywhere else.",
    "password_changed": "Your password is changed, and you are signed out everywhere else.",
    "codes_on": "From now on you are asked for a one-time code when you sign in.",
    "codes_off": "You are not asked for one-time codes any more.",
    "thresholds_saved": "The thresholds are saved.",
    "test_sent": "A test mail is on its way to you.",
    "key_revoked": "The key is revoked: it opens nothing any more.",
    "key_expiry_saved": "The key's end is saved.",
    "invited": "The invitation is on its way.",
    "person_removed": "They are removed, and get no more mails.",
    "role_saved": "The role is saved.",
    "topped_up": "The top-up is in the ledger.",
    "adjusted": "The adjustment is in the ledger.",
    "reversed": "The top-up is taken back.",
    "refunded": "The refund is in the ledger.",
    "waits": "It waits for a second person's approval.",
    "approved": "It is approved and in the ledger.",
    "rejected": "It is rejected; nothing was moved.",
    "credit_limit_saved": "The credit limit is saved.",
    "frozen": "The merchant is frozen: every charge is refused.",
    "unfrozen": "The merchant can spend again.",
    "renamed": "The name is changed.",
    "price_saved": "The price is saved.",
    "retried": "Every mail that was not sent is due now.",
    "staff_added": "The invitation is on its way.",
    "staff_closed": "They can't sign in any more.",
    "staff_reopened": "They can sign in again.",
    "their_codes_off": "They are not asked for one-time codes any more.",
    "was_made": "This was made before, under the same reference; nothing was moved again.",
    "verifying": "The verification has begun. You may leave this page; it goes on.",
}
"""What a page says after something was done, by the name in its address: nobody else's words can be put there."""

Handler = Callable[[PageRequest], Awaitable[Response]]


class PageRoute(Struct, frozen=True):
    """One page: where it is, who may see it, and what answers reading it and posting to it.

    Not everyone who may see a page may post to it: `posts` says who may. A page that is open asks for some
    others by itself, which keeps nobody signed in: those are not `is_use` of a session.
    """

    path: str
    sees: Audience
    get: Handler | None = None
    post: Handler | None = None
    posts: Audience | None = None
    is_console: bool = False
    is_use: bool = True


class AccessControl:
    """Lets requests through to pages."""

    def __init__(self, services: Services, addresses: Addresses, now: Callable[[], float]) -> None:
        """Ask these services; `addresses` tells where requests come from, `now` is in seconds and never goes back."""
        self._services = services
        self._addresses = addresses
        self._tries = Buckets(SIGN_INS_A_SECOND, SIGN_INS_BURST_SECONDS, now)
        self._homes: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._looks: OrderedDict[tuple[bytes, int], None] = OrderedDict()

    def routes(self, table: Sequence[PageRoute]) -> list[Route]:
        """Make the routes of all pages; a path without parts that are free goes before one with some."""
        return [
            exact_route(
                line.path,
                Resource(
                    get=line.get and self._handler(line, line.get, line.sees),
                    post=line.post and self._handler(line, line.post, line.posts or line.sees),
                ),
            )
            for line in sorted(table, key=lambda line: "{" in line.path)
        ]

    def tried(self, ask: PageRequest, email: str, what: str = "account") -> None:
        """Count a try to sign in, or to have an account mail sent: `what` tells such things apart.

        Raises:
            ApiError: 429, from this address or for this account there were too many.
        """
        account, source = _account(email), source_of(ask.address)
        place = f" from {source}" if (account, source) in self._homes else ""
        for name in (f"address {source}", f"{what} {account}{place}"):
            wait = self._tries.acquire(name)
            if wait:
                seconds = int(wait) + 1
                words = f"Those were too many tries. Try again in {seconds} seconds"
                raise ApiError(429, "rate_limited", words, [(b"retry-after", b"%d" % seconds)])

    def passed(self, ask: PageRequest, email: str) -> None:
        """Hear that somebody signed in."""
        home = _account(email), source_of(ask.address)
        self._homes[home] = None
        self._homes.move_to_end(home)
        if len(self._homes) > BUCKETS_MAX:
            self._homes.popitem(last=False)

    def _handler(self, line: PageRoute, answer: Handler, who: Audience) -> RequestHandler:
        async def handle(request: Request) -> Response:
            ask = PageRequest(request, self._services, self._addresses, Form())
            try:
                return await self._let_in(ask, who, line) or await self._answer(ask, answer)
            except Exception as error:
                return error_page(ask, api_error(error))

        return handle

    async def _answer(self, ask: PageRequest, answer: Handler) -> Response:
        if ask.request.method == "POST":
            _check_origin(ask.request)
            ask.form = await read_form(ask.request)
            if ask.visit is not None and not ask.services.sign_in.is_csrf_token(ask.visit, ask.form.raw(_MARK)):
                raise ApiError(403, "forbidden", "This form is from another session. Load the page again and repeat")
        return await answer(ask)

    async def _let_in(self, ask: PageRequest, who: Audience, line: PageRoute) -> Response | None:
        """Find out who asks; return where to send them first, or None to let them in.

        Raises:
            ApiError: they may not.
        """
        realm = Realm.SUPPORT if who == Audience.SUPPORT or line.is_console else Realm.MERCHANT
        ask.visit = await self._visit(ask, realm, line)
        if who == Audience.ANYONE:
            return None
        if who in _ROLES:
            return await self._let_in_to_account(ask, who, line)
        return None if ask.visit is not None else _door(ask, realm)

    async def _let_in_to_account(self, ask: PageRequest, who: Audience, line: PageRoute) -> Response | None:
        ask.merchant_id = number_of(ask, "merchant", ids.MERCHANT)
        if ask.visit is not None:
            ask.role = await self._services.users.role(ask.merchant_id, ask.visit.login.email)
            if ask.role in _ROLES[who]:
                return None
            if ask.role is not None:
                words = " and ".join(sorted(role.name.lower() + "s" for role in _ROLES[who]))
                raise ApiError(403, "forbidden", f"Only {words} may do this. Ask one of yours")
        support = await self._visit(ask, Realm.SUPPORT, line)
        if support is not None and who == Audience.VIEWER and ask.request.method != "POST":
            ask.visit = support
            await self._note_look(ask, support)
            return None
        if ask.visit is None:
            return _door(ask, Realm.MERCHANT)
        # Nobody learns which accounts there are.
        raise _no_page()

    async def _note_look(self, ask: PageRequest, support: SignedIn) -> None:
        """Write down that support looks at an account, once for each session that does."""
        look = support.session.digest, ask.merchant_id
        if look in self._looks:
            return
        # At once, since a page's parts are asked for together.
        self._looks[look] = None
        if len(self._looks) > BUCKETS_MAX:
            self._looks.popitem(last=False)
        try:
            # Of one that there is: others are no account.
            await self._services.merchants.get(ask.merchant_id)
            await self._services.console.note_look(ask.merchant_id, principal=ask.principal)
        except BaseException:
            self._looks.pop(look, None)
            raise

    async def _visit(self, ask: PageRequest, realm: Realm, line: PageRoute) -> SignedIn | None:
        token = ask.request.cookies.get(cookie_name(self._services, realm))
        return None if not token else await self._services.sign_in.visit(token, realm, is_use=line.is_use)


def error_page(ask: PageRequest, error: ApiError) -> Response:
    """Answer with a page that says what went wrong."""
    template = "error_console.html" if ask.path.startswith("/support") else "error.html"
    response = ask.page(template, status=error.status, status_code=error.status, message=error.message)
    for name, value in error.headers:
        response.headers[name.decode()] = value.decode()
    return response


def cookie_name(services: Services, realm: Realm) -> str:
    """Name a realm's cookie; by TLS one that no other host, path or plain connection can set."""
    return f"__Host-{_COOKIES[realm]}" if services.operator.is_secure else _COOKIES[realm]


def set_cookie(response: Response, services: Services, realm: Realm, token: str) -> None:
    """Give the browser a session's token, or take it away with an empty one."""
    response.set_cookie(
        cookie_name(services, realm),
        token,
        max_age=None if token else 0,
        path="/",
        secure=services.operator.is_secure,
        httponly=True,
        samesite="lax",
    )


def next_page(text: str, default: str) -> str:
    """Return where to go after signing in: a page of ours, or else a default (no open redirect)."""
    return text if _OURS.fullmatch(text) else default


def _account(email: str) -> str:
    """Name the account that is meant, however its address is written."""
    return (normal_email(email) or email[:_EMAIL_CHARS_MAX]).casefold()


def _door(ask: PageRequest, realm: Realm) -> Response:
    if _HTMX in ask.request.headers:
        # A part of a page would be filled with the door; instead the whole page is loaded again, and so led there.
        return Response(status_code=401, headers={**render.HEADERS, "HX-Refresh": "true"}, media_type="text/html")
    query = ask.request.scope["query_string"].decode("latin-1")
    target = ask.path + (f"?{query}" if query else "")
    is_read = ask.request.method != "POST"
    return ask.redirect(f"{_DOORS[realm]}?next={quote(target, safe='')}" if is_read else _DOORS[realm])


def number_of(ask: PageRequest, name: str, prefix: str) -> int:
    """Read the number of what a part of the path names.

    Raises:
        ApiError: 404, nothing can have this id.
    """
    try:
        return inputs.public_id(name, prefix, ask.param(name))
    except InvalidInput as error:
        raise _no_page() from error


def _no_page() -> ApiError:
    return ApiError(404, "not_found", "There is no such page")


def _host(origin: str) -> str | None:
    """Return whose page an Origin header names; None if it names none, as of pages that hide where they are from."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _check_origin(request: Request) -> None:
    """Refuse a form that came from a page elsewhere; browsers say so themselves.

    Raises:
        ApiError: 403.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    is_elsewhere = site not in ("same-origin", "none") if site is not None else False
    if site is None and origin is not None:
        host = _host(origin)
        is_elsewhere = host is None or host != request.headers.get("host")
    if is_elsewhere:
        raise ApiError(403, "forbidden", "This form was sent from another site's page")
