"""Signing in and out, links from mails, forgotten passwords, and one's own profile."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from markupsafe import Markup
from starlette.responses import Response

from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.languages import LANGUAGE_NAMES, gettext_noop, language_for
from farebox.service.people.sign_in import LinkExpired, SignedIn, SignInRefused, TwoFactorSetup
from farebox.service.people.users import Realm
from farebox.service.people.warnings import offered_warning_types, warned_types
from farebox.web.pages.cookies import set_session_token
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute
from farebox.web.pages.throttle import SignInThrottle

_QR_SCALE: Final = 4
_START_PAGES: Final = {Realm.MERCHANT: "/accounts", Realm.SUPPORT: "/support"}
_OUR_PAGE: Final = re.compile(
    r"/(?:accounts|support|profile)(?:/[A-Za-z0-9_/-]*)?(?:\?[A-Za-z0-9_=&%.+:/@*~()\[\]-]*)?", re.ASCII
)
_WARNINGS: Final[Mapping[str, str]] = {
    "spending.unusual": gettext_noop("The spending of a merchant is unusual"),
    "destination.disabled": gettext_noop("A webhook or chat of the operator's own was disabled"),
}
"""What staff are warned of, by the types of its events."""


class SignInPages:
    """The pages that both realms share, and those of each."""

    def __init__(self, throttle: SignInThrottle) -> None:
        """Let this throttle count attempts."""
        self._throttle = throttle

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        routes = [
            PageRoute("/", Audience.ANYONE, get=self.start),
            PageRoute("/link/{link:str}", Audience.ANYONE, get=self.show_link, post=self.use_link),
            PageRoute("/accounts", Audience.USER, get=self.accounts),
        ]
        for realm, root in ((Realm.MERCHANT, ""), (Realm.SUPPORT, "/support")):
            pages = _RealmPages(self._throttle, realm, root)
            is_console = realm == Realm.SUPPORT
            signed_in = Audience.SUPPORT if is_console else Audience.USER
            routes += [
                PageRoute(
                    f"{root}/sign-in", Audience.ANYONE, get=pages.show, post=pages.sign_in, is_console=is_console
                ),
                PageRoute(
                    f"{root}/forgotten",
                    Audience.ANYONE,
                    get=pages.show_forgotten,
                    post=pages.send,
                    is_console=is_console,
                ),
                PageRoute(f"{root}/sign-out", signed_in, post=pages.sign_out),
                PageRoute(f"{root}/profile", signed_in, get=pages.profile),
                PageRoute(f"{root}/profile/password", signed_in, post=pages.change_password),
                PageRoute(f"{root}/profile/language", signed_in, post=pages.choose_language),
                PageRoute(f"{root}/profile/sessions", signed_in, post=pages.sign_out_elsewhere),
                PageRoute(f"{root}/profile/codes", signed_in, get=pages.offer_two_factor, post=pages.enable_two_factor),
                PageRoute(f"{root}/profile/codes/remove", signed_in, post=pages.disable_two_factor),
            ]
            if is_console:
                routes.append(PageRoute(f"{root}/profile/warnings", signed_in, post=pages.choose_warnings))
        return routes

    async def start(self, request: PageRequest) -> Response:
        """Send the browser on from the front page: to the accounts, or to sign in."""
        return request.redirect("/accounts" if request.signed_in is not None else "/sign-in")

    async def accounts(self, request: PageRequest) -> Response:
        """List the accounts that a user may see; straight on to the only one."""
        memberships = await request.services.users.memberships(request.login.email)
        if len(memberships) == 1:
            return request.redirect(f"/accounts/{memberships[0].id}")
        return request.page("accounts.html", memberships=memberships)

    async def show_link(self, request: PageRequest) -> Response:
        """Show what a mailed link is for; it is not used up by being looked at, as mail programs do."""
        return await self._link(request)

    async def use_link(self, request: PageRequest) -> Response:
        """Set the password of whom a link went to, and sign them in."""
        try:
            signed_in = await request.services.sign_in.use_link(
                request.param("link"), request.form.raw("password"), address=request.address, agent=request.agent
            )
        except InvalidInput as error:
            request.form.fail(error)
            return await self._link(request, status=422)
        except LinkExpired as error:
            return request.page("link_expired.html", status=410, message=error.message)
        await _keep_language(request, signed_in)
        return request.begin(signed_in, _START_PAGES[Realm(signed_in.login.realm)])

    async def _link(self, request: PageRequest, status: int = 200) -> Response:
        try:
            _, login = await request.services.sign_in.open_link(request.param("link"))
        except LinkExpired as error:
            return request.page("link_expired.html", status=410, message=error.message)
        is_console = login.realm == Realm.SUPPORT
        return request.page("link.html", status=status, recipient=login, is_console=is_console)


class _RealmPages:
    """One realm's sign-in page and profile."""

    def __init__(self, throttle: SignInThrottle, realm: Realm, root: str) -> None:
        self._throttle = throttle
        self._realm = realm
        self._root = root

    async def show(self, request: PageRequest) -> Response:
        """Show the form to sign in; a browser that is signed in already is sent on."""
        if request.signed_in is not None:
            return request.redirect(next_page(request.query("next"), _START_PAGES[self._realm]))
        return self._page(request, "sign_in.html", next=request.query("next"))

    async def sign_in(self, request: PageRequest) -> Response:
        """Sign somebody in, in a new session."""
        email = request.form.text("email")
        self._throttle.count_attempt(request.address, email)
        try:
            signed_in = await request.services.sign_in.sign_in(
                self._realm,
                email=email,
                password=request.form.raw("password"),
                code=request.form.text("code"),
                address=request.address,
                agent=request.agent,
            )
        except SignInRefused as error:
            request.form.errors[""] = error.message
            return self._page(request, "sign_in.html", status=401, next=request.form.text("next"))
        self._throttle.record_success(request.address, email)
        await _keep_language(request, signed_in)
        if request.signed_in is not None:
            await request.services.sign_in.sign_out(request.signed_in)
        return request.begin(signed_in, next_page(request.form.text("next"), _START_PAGES[self._realm]))

    async def show_forgotten(self, request: PageRequest) -> Response:
        """Ask for the address that a link is to be mailed to."""
        return self._page(request, "forgotten.html", is_sent=False)

    async def send(self, request: PageRequest) -> Response:
        """Mail a link, if anybody has the address; the answer is the same if nobody has."""
        email = request.form.text("email")
        self._throttle.count_attempt(request.address, email, "account mail to")
        try:
            await request.services.sign_in.request_reset(self._realm, email)
        except InvalidInput as error:
            request.form.fail(error)
            return self._page(request, "forgotten.html", status=422, is_sent=False)
        return self._page(request, "forgotten.html", is_sent=True)

    async def sign_out(self, request: PageRequest) -> Response:
        """End the session."""
        await request.services.sign_in.sign_out(request.required_signed_in)
        response = request.redirect(f"{self._root}/sign-in", "signed_out")
        set_session_token(response, request.services, self._realm, "")
        return response

    async def profile(self, request: PageRequest) -> Response:
        """Show the sessions of who is signed in, and let them change password and codes."""
        return await self._profile(request)

    async def change_password(self, request: PageRequest) -> Response:
        """Change the password of who is signed in."""
        self._throttle.count_attempt(request.address, request.login.email)
        try:
            await request.services.sign_in.change_password(
                request.required_signed_in, old=request.form.raw("password_old"), new=request.form.raw("password_new")
            )
        except ServiceError as error:
            request.form.fail(error, {"old": "password_old", "new": "password_new"})
            return await self._profile(request, status=422)
        return request.redirect(f"{self._root}/profile", "password_changed")

    async def choose_language(self, request: PageRequest) -> Response:
        """Speak to who is signed in as they choose."""
        try:
            await request.services.sign_in.speak(request.required_signed_in, request.form.text("language"))
        except InvalidInput as error:
            request.form.fail(error)
            return await self._profile(request, status=422)
        return request.redirect(f"{self._root}/profile", "language_chosen")

    async def choose_warnings(self, request: PageRequest) -> Response:
        """Warn one of the staff by mail of what they choose."""
        try:
            await request.services.warning_choices.set(
                request.login.email, request.form.all("warning"), principal=request.principal
            )
        except InvalidInput as error:
            request.form.fail(error, {"types": ""})
            return await self._profile(request, status=422)
        return request.redirect(f"{self._root}/profile", "warnings_saved")

    async def sign_out_elsewhere(self, request: PageRequest) -> Response:
        """End the other sessions of who is signed in."""
        await request.services.sign_in.sign_out_elsewhere(request.required_signed_in)
        return request.redirect(f"{self._root}/profile", "signed_out_elsewhere")

    async def offer_two_factor(self, request: PageRequest) -> Response:
        """Offer one-time codes, by a picture to scan."""
        return self._offer(request, request.services.sign_in.two_factor_setup(request.login))

    async def enable_two_factor(self, request: PageRequest) -> Response:
        """Ask for one-time codes from now on, if the first one is right."""
        self._throttle.count_attempt(request.address, request.login.email)
        sign_in = request.services.sign_in
        setup = sign_in.two_factor_setup(request.login, _seed(request.form.text("seed")))
        try:
            await sign_in.enable_two_factor(
                request.required_signed_in,
                seed=setup.seed,
                code=request.form.text("code"),
                password=request.form.raw("password"),
            )
        except ServiceError as error:
            request.form.fail(error)
            return self._offer(request, setup, status=422)
        return request.redirect(f"{self._root}/profile", "two_factor_on")

    async def disable_two_factor(self, request: PageRequest) -> Response:
        """Ask for no one-time codes any more."""
        self._throttle.count_attempt(request.address, request.login.email)
        try:
            await request.services.sign_in.disable_two_factor(
                request.required_signed_in, password=request.form.raw("password")
            )
        except ServiceError as error:
            request.form.fail(error)
            return await self._profile(request, status=422)
        return request.redirect(f"{self._root}/profile", "two_factor_off")

    async def _profile(self, request: PageRequest, status: int = 200) -> Response:
        sessions = await request.services.sign_in.sessions(request.required_signed_in)
        warnings = offered_warning_types(request.login) if self._realm == Realm.SUPPORT else []
        return self._page(
            request,
            "profile.html",
            status=status,
            sessions=sessions,
            here=request.required_signed_in.session.digest,
            warnings=[(name, request.language.gettext(_WARNINGS[name])) for name in warnings],
            warned=request.form.all("warning") if status != HTTPStatus.OK else warned_types(request.login),
            languages=list(LANGUAGE_NAMES.items()),
            spoken=request.login.language or request.services.operator.language,
        )

    def _offer(self, request: PageRequest, setup: TwoFactorSetup, status: int = 200) -> Response:
        import segno

        picture = segno.make(setup.uri, error="m").svg_inline(
            scale=_QR_SCALE,
            border=2,
            dark="#16202c",
            light="#ffffff",
            omitsize=True,
            title=request.language.gettext("QR code of the secret"),
        )
        # The library writes it, out of nothing but the secret and a title of ours.
        return self._page(request, "two_factor.html", status=status, setup=setup, picture=Markup(picture))  # noqa: S704

    def _page(self, request: PageRequest, template: str, status: int = 200, **values: Any) -> Response:
        return request.page(template, status, root=self._root, is_console=self._realm == Realm.SUPPORT, **values)


async def _keep_language(request: PageRequest, signed_in: SignedIn) -> None:
    """Keep the language that the browser names, of somebody who chose none yet."""
    named = language_for(request.http.headers.get("accept-language", ""), "")
    if named and not signed_in.login.language:
        await request.services.sign_in.speak(signed_in, named)


def next_page(text: str, default: str) -> str:
    """Return where to go after signing in: a page of ours, or else a default (no open redirect)."""
    return text if _OUR_PAGE.fullmatch(text) else default


def _seed(text: str) -> bytes | None:
    try:
        return inputs.seed("seed", text)
    except InvalidInput:
        return None
