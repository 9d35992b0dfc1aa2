"""The ways in and out: signing in, links from mails, forgotten passwords, and one's own profile."""

from typing import Any, Final

import segno
from markupsafe import Markup
from starlette.responses import Response

from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.people.sign_in import LinkExpired, SignInRefused, TwoFactorSetup
from farebox.service.people.users import ROLE_WORDS, Realm, Role
from farebox.web.pages.house import AccessControl, Audience, PageRequest, PageRoute, next_page, set_cookie

_QR_SCALE: Final = 4
_HOMES: Final = {Realm.MERCHANT: "/accounts", Realm.SUPPORT: "/support"}


class SignInPages:
    """The pages by which people come and go."""

    def __init__(self, gate: AccessControl) -> None:
        """Count tries at this gate."""
        self._gate = gate

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        routes = [
            PageRoute("/", Audience.ANYONE, get=self.start),
            PageRoute("/link/{link:str}", Audience.ANYONE, get=self.show_link, post=self.use_link),
            PageRoute("/accounts", Audience.PERSON, get=self.accounts),
        ]
        for realm, root in ((Realm.MERCHANT, ""), (Realm.SUPPORT, "/support")):
            pages = _Realm(self._gate, realm, root)
            is_console = realm == Realm.SUPPORT
            people = Audience.SUPPORT if is_console else Audience.PERSON
            routes += [
                PageRoute(
                    f"{root}/sign-in", Audience.ANYONE, get=pages.show, post=pages.sign_in, is_console=is_console
                ),
                PageRoute(f"{root}/forgotten", Audience.ANYONE, get=pages.ask, post=pages.send, is_console=is_console),
                PageRoute(f"{root}/sign-out", people, post=pages.sign_out),
                PageRoute(f"{root}/profile", people, get=pages.profile),
                PageRoute(f"{root}/profile/password", people, post=pages.change_password),
                PageRoute(f"{root}/profile/sessions", people, post=pages.sign_out_elsewhere),
                PageRoute(f"{root}/profile/codes", people, get=pages.offer_two_factor, post=pages.enable_two_factor),
                PageRoute(f"{root}/profile/codes/remove", people, post=pages.disable_two_factor),
            ]
        return routes

    async def start(self, ask: PageRequest) -> Response:
        """Send whoever comes to the front on to their account, or to the door."""
        return ask.redirect("/accounts" if ask.visit is not None else "/sign-in")

    async def accounts(self, ask: PageRequest) -> Response:
        """List the accounts that a person may see; straight on to the only one."""
        found = await ask.services.users.memberships(ask.signed_in.login.email)
        if len(found) == 1:
            return ask.redirect(f"/accounts/{found[0].id}")
        return ask.page("accounts.html", memberships=found, role_words={int(it): ROLE_WORDS[it] for it in Role})

    async def show_link(self, ask: PageRequest) -> Response:
        """Show what a mailed link is for; it is not used up by being looked at, as mail programs do."""
        return await self._link(ask)

    async def use_link(self, ask: PageRequest) -> Response:
        """Set the password of whom a link went to, and sign them in."""
        try:
            visit = await ask.services.sign_in.use_link(
                ask.param("link"), ask.form.raw("password"), address=ask.address, agent=ask.agent
            )
        except InvalidInput as error:
            ask.form.fail(error)
            return await self._link(ask, status=422)
        except LinkExpired as error:
            return ask.page("link_useless.html", status=410, message=error.message)
        return ask.begin(visit, _HOMES[Realm(visit.login.realm)])

    async def _link(self, ask: PageRequest, status: int = 200) -> Response:
        try:
            account_mail, login = await ask.services.sign_in.open_link(ask.param("link"))
        except LinkExpired as error:
            return ask.page("link_useless.html", status=410, message=error.message)
        is_console = login.realm == Realm.SUPPORT
        return ask.page("link.html", status=status, account_mail=account_mail, login=login, is_console=is_console)


class _Realm:
    """One realm's door and profile."""

    def __init__(self, gate: AccessControl, realm: Realm, root: str) -> None:
        self._gate = gate
        self._realm = realm
        self._root = root

    async def show(self, ask: PageRequest) -> Response:
        """Show the door; whoever is signed in goes through it."""
        if ask.visit is not None:
            return ask.redirect(next_page(ask.query("next"), _HOMES[self._realm]))
        return self._page(ask, "sign_in.html", next=ask.query("next"))

    async def sign_in(self, ask: PageRequest) -> Response:
        """Sign somebody in, in a new session."""
        email = ask.form.text("email")
        self._gate.tried(ask, email)
        try:
            visit = await ask.services.sign_in.sign_in(
                self._realm,
                email=email,
                password=ask.form.raw("password"),
                code=ask.form.text("code"),
                address=ask.address,
                agent=ask.agent,
            )
        except SignInRefused as error:
            ask.form.errors[""] = error.message
            return self._page(ask, "sign_in.html", status=401, next=ask.form.text("next"))
        self._gate.passed(ask, email)
        if ask.visit is not None:
            await ask.services.sign_in.sign_out(ask.visit)
        return ask.begin(visit, next_page(ask.form.text("next"), _HOMES[self._realm]))

    async def ask(self, ask: PageRequest) -> Response:
        """Ask for the address that a link is to be mailed to."""
        return self._page(ask, "forgotten.html", is_sent=False)

    async def send(self, ask: PageRequest) -> Response:
        """Mail a link, if anybody has the address; the answer is the same if nobody has."""
        email = ask.form.text("email")
        self._gate.tried(ask, email, "account_mail to")
        try:
            await ask.services.sign_in.request_reset(self._realm, email)
        except InvalidInput as error:
            ask.form.fail(error)
            return self._page(ask, "forgotten.html", status=422, is_sent=False)
        return self._page(ask, "forgotten.html", is_sent=True)

    async def sign_out(self, ask: PageRequest) -> Response:
        """End the session."""
        await ask.services.sign_in.sign_out(ask.signed_in)
        response = ask.redirect(f"{self._root}/sign-in", "signed_out")
        set_cookie(response, ask.services, self._realm, "")
        return response

    async def profile(self, ask: PageRequest) -> Response:
        """Show a person's sessions, and let them change password and codes."""
        return await self._profile(ask)

    async def change_password(self, ask: PageRequest) -> Response:
        """Change a person's password."""
        self._gate.tried(ask, ask.signed_in.login.email)
        try:
            await ask.services.sign_in.change_password(
                ask.signed_in, old=ask.form.raw("password_old"), new=ask.form.raw("password_new")
            )
        except ServiceError as error:
            ask.form.fail(error, {"old": "password_old", "new": "password_new"})
            return await self._profile(ask, status=422)
        return ask.redirect(f"{self._root}/profile", "password_changed")

    async def sign_out_elsewhere(self, ask: PageRequest) -> Response:
        """End a person's other sessions."""
        await ask.services.sign_in.sign_out_elsewhere(ask.signed_in)
        return ask.redirect(f"{self._root}/profile", "signed_out_elsewhere")

    async def offer_two_factor(self, ask: PageRequest) -> Response:
        """Offer one-time codes, by a picture to scan."""
        return self._offer(ask, ask.services.sign_in.two_factor_setup(ask.signed_in.login))

    async def enable_two_factor(self, ask: PageRequest) -> Response:
        """Ask for one-time codes from now on, if the first one is right."""
        self._gate.tried(ask, ask.signed_in.login.email)
        sign_in = ask.services.sign_in
        setup = sign_in.two_factor_setup(ask.signed_in.login, _seed(ask.form.text("seed")))
        try:
            await sign_in.enable_two_factor(
                ask.signed_in, seed=setup.seed, code=ask.form.text("code"), password=ask.form.raw("password")
            )
        except ServiceError as error:
            ask.form.fail(error)
            return self._offer(ask, setup, status=422)
        return ask.redirect(f"{self._root}/profile", "codes_on")

    async def disable_two_factor(self, ask: PageRequest) -> Response:
        """Ask for no one-time codes any more."""
        self._gate.tried(ask, ask.signed_in.login.email)
        try:
            await ask.services.sign_in.disable_two_factor(ask.signed_in, password=ask.form.raw("password"))
        except ServiceError as error:
            ask.form.fail(error)
            return await self._profile(ask, status=422)
        return ask.redirect(f"{self._root}/profile", "codes_off")

    async def _profile(self, ask: PageRequest, status: int = 200) -> Response:
        sessions = await ask.services.sign_in.sessions(ask.signed_in)
        return self._page(ask, "profile.html", status=status, sessions=sessions, here=ask.signed_in.session.digest)

    def _offer(self, ask: PageRequest, setup: TwoFactorSetup, status: int = 200) -> Response:
        picture = segno.make(setup.uri, error="m").svg_inline(
            scale=_QR_SCALE, border=2, dark="#16202c", light="#ffffff", omitsize=True, title="QR code of the secret"
        )
        # The library writes it, out of nothing but the secret.
        return self._page(ask, "codes.html", status=status, setup=setup, picture=Markup(picture))  # noqa: S704

    def _page(self, ask: PageRequest, template: str, status: int = 200, **values: Any) -> Response:
        return ask.page(template, status, root=self._root, is_console=self._realm == Realm.SUPPORT, **values)


def _seed(text: str) -> bytes | None:
    try:
        return inputs.seed("seed", text)
    except InvalidInput:
        return None
