"""A request for a page, and the answers that pages give to it."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from farebox.core.permissions import Operation
from farebox.core.staff_roles import StaffRole
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.insight import quarters
from farebox.service.languages import ENGLISH, Language, language, language_for
from farebox.service.people.api_keys import Principal
from farebox.service.people.sign_in import SignedIn
from farebox.service.people.users import Login, Realm, Role
from farebox.service.repeats import Made
from farebox.services import Services
from farebox.web.client_address import Addresses
from farebox.web.envelope import ApiError, api_error
from farebox.web.pages import cookies, render
from farebox.web.pages.error_words import error_words
from farebox.web.pages.flash import FLASH_PARAMETER, FLASHES
from farebox.web.pages.form_messages import in_language
from farebox.web.pages.forms import Form
from farebox.web.pages.once import form_key, new_once_token, sent_once

_Thing = TypeVar("_Thing")


class PageRequest(Struct):
    """A page that is asked for: by whom, of which merchant, and what was typed.

    `http` is the framework's own request. `role` is what the user may do on the merchant's account, None for staff, who
    only look there.
    """

    http: Request
    services: Services
    addresses: Addresses
    form: Form
    signed_in: SignedIn | None = None
    merchant_id: int = 0
    role: Role | None = None
    waiting_count: int = 0
    """How much waits for who asks to approve it, if they are of the staff."""

    @property
    def required_signed_in(self) -> SignedIn:
        """Who asks, of pages that nobody else gets.

        Raises:
            LookupError: nobody is signed in.
        """
        if self.signed_in is None:
            raise LookupError("this page is for anyone, so nobody needs to be signed in")
        return self.signed_in

    @property
    def login(self) -> Login:
        """The login of who asks, of pages that nobody else gets.

        Raises:
            LookupError: nobody is signed in.
        """
        return self.required_signed_in.login

    @property
    def zone(self) -> ZoneInfo:
        """The reader's time zone."""
        return cookies.time_zone(self.http)

    @property
    def path(self) -> str:
        """Which page is asked for. The request's own URL is made of its Host header, which may be anything."""
        return str(self.http.scope["path"])

    @property
    def address(self) -> str | None:
        """Where the request comes from."""
        return self.addresses.of(self.http.scope)

    @property
    def agent(self) -> str:
        """What the browser calls itself."""
        return self.http.headers.get("user-agent", "")

    @property
    def principal(self) -> Principal:
        """Who asks, for the audit log and for what they may do."""
        login = self.login
        roles = StaffRole(login.roles) if login.realm == Realm.SUPPORT else None
        return Principal(login.email, address=self.address, roles=roles, login_id=login.login_id)

    def may(self, operation: str) -> bool:
        """Tell templates whether who asks may do this operation."""
        return self.principal.may(Operation(operation))

    @property
    def is_owner(self) -> bool:
        """Whether the user may do everything on the merchant's account."""
        return self.role == Role.OWNER

    @property
    def is_member(self) -> bool:
        """Whether the user may change anything on the merchant's account."""
        return self.role in (Role.OWNER, Role.MEMBER)

    @property
    def is_console(self) -> bool:
        """Whether a page of the console is asked for."""
        return self.path == "/support" or self.path.startswith("/support/")

    @property
    def language(self) -> Language:
        """What the reader is spoken to in: what they chose, or their browser names; the console speaks English."""
        if self.is_console:
            return ENGLISH
        if self.signed_in is not None and self.signed_in.login.language:
            return language(self.signed_in.login.language)
        header = self.http.headers.get("accept-language", "")
        return language(language_for(header, self.services.operator.language))

    def param(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.http.path_params[name])

    def number(self, name: str, prefix: str) -> int:
        """Return the number of what a part of the path names.

        Raises:
            ApiError: 404, nothing can have this id.
        """
        try:
            return inputs.public_id(name, prefix, self.param(name))
        except InvalidInput as error:
            raise no_such_page() from error

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the query, its first; a default if it is missing."""
        values = self.http.query_params.getlist(name)
        return values[0] if values else default

    def last_days(self, count: int) -> tuple[date, date]:
        """Tell the first and the last of so many days of the reader's zone, the last of which is today."""
        last = quarters.today(self.services.console.now(), self.zone)
        return last - timedelta(days=count - 1), last

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Answer with a page, which knows who asks."""
        signed_in, spoken = self.signed_in, self.language
        self.form.errors = {name: in_language(message, spoken) for name, message in self.form.errors.items()}
        known = {
            "request": self,
            "form": self.form,
            "csrf_token": "" if signed_in is None else self.services.sign_in.csrf_token(signed_in),
            "login": None if signed_in is None else signed_in.login,
            "zone": self.zone,
            "theme": cookies.theme(self.http),
            "path": self.path,
            "once_token": partial(new_once_token, self.services.console.now()),
            "flash": " ".join(
                spoken.known(FLASHES.get(name, "")) for name in self.http.query_params.getlist(FLASH_PARAMETER)
            ),
            "support_contact": self.services.operator.support_contact,
        }
        return render.page(template, {**known, **values}, status=status, spoken=spoken)

    async def make_once(
        self, make: Callable[..., Awaitable[_Thing]], find: Callable[[int], Awaitable[_Thing]]
    ) -> Made[_Thing]:
        """Make what a form asks for, unless it did when it was first sent.

        Args:
            make: makes it; takes what the request is called as `request_key`.
            find: reads what was made, by its number.

        Raises:
            Conflict: the form was sent before with other words in it, or was shown too long ago.
        """
        login_id, now = self.login.login_id, self.services.console.now()
        request_key = form_key(self.form, path=self.path, login_id=login_id, now=now)
        with sent_once():
            return await self.services.repeats.once(request_key, partial(make, request_key=request_key), find)

    async def do_once(self, do: Callable[..., Awaitable[object]], url: str, flash: str) -> Response:
        """Do what a form asks for, as `make_once`, and send the browser on."""

        async def number(made_id: int) -> object:
            return made_id

        done = await self.make_once(do, number)
        return self.redirect(url, flash, *(["sent_twice"] if done.is_replay else []))

    def redirect(self, url: str, *flashes: str) -> Response:
        """Send the browser on; `flashes` name what the next page says has been done."""
        query = urlencode([(FLASH_PARAMETER, flash) for flash in flashes])
        return render.redirect(f"{url}{'&' if '?' in url else '?'}{query}" if query else url)

    def begin(self, signed_in: SignedIn, url: str) -> Response:
        """Send the browser on, signed in."""
        response = self.redirect(url)
        cookies.set_session_token(response, self.services, Realm(signed_in.login.realm), signed_in.token)
        return response

    def error(self, error: Exception) -> Response:
        """Answer with a page that says what went wrong, in words for a person."""
        cause = api_error(error)
        template = "error_console.html" if self.is_console else "error.html"
        response = self.page(
            template,
            status=cause.status,
            status_code=cause.status,
            error=error_words(cause, error, self.language),
            start="/support" if self.is_console else "/",
        )
        for name, value in cause.headers:
            response.headers[name.decode()] = value.decode()
        return response


def no_such_page() -> ApiError:
    """Say that there is no such page."""
    return ApiError(404, "not_found", "There is no such page")
