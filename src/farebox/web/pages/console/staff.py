"""The staff, who may sign in at the console."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from farebox.core.people import read_people
from farebox.core.permissions import Operation
from farebox.core.staff_roles import STAFF_ROLES
from farebox.presenters.keys import is_working
from farebox.presenters.users import staff_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.people.users import Login
from farebox.web.pages.console.common import ticked_roles
from farebox.web.pages.console.staff_previews import ROOT, closing, confirmation, removal_of_codes
from farebox.web.pages.preview import Preview
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_FIELDS: Final = {"role": ""}


class StaffPages:
    """The support staff."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""

        def route(path: str, **handlers: Any) -> PageRoute:
            return PageRoute(
                f"{ROOT}{path}", Audience.SUPPORT, is_console=True, operation=Operation.MANAGE_STAFF, **handlers
            )

        return [
            route("", get=self.show, post=self.add, is_done_once=True),
            route("/again", post=self.invite_again, is_done_once=True),
            PageRoute(
                f"{ROOT}/confirm",
                Audience.SUPPORT,
                get=self.ask_confirm,
                post=self.confirm,
                is_console=True,
                operation=Operation.CONFIRM_STAFF,
                is_form=True,
                is_done_once=True,
            ),
            route("/roles", post=self.set_roles),
            route("/close", get=self.ask_close, post=self.close, is_form=True, is_done_once=True),
            route("/reopen", post=self.reopen, is_done_once=True),
            route(
                "/codes",
                get=self.ask_disable_two_factor,
                post=self.disable_two_factor,
                is_form=True,
                is_done_once=True,
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List the staff."""
        return await self._page(request)

    async def add(self, request: PageRequest) -> Response:
        """Add somebody, and mail them how to sign in."""
        try:
            roles = ticked_roles(request)
            if not roles:
                raise InvalidInput("role", "choose at least one role")
            add = partial(
                request.services.staff.add,
                *(request.form.text("email"), request.form.text("name")),
                roles=roles,
                principal=request.principal,
            )
            return await request.do_once(add, ROOT, "staff_added")
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)

    async def invite_again(self, request: PageRequest) -> Response:
        """Mail somebody once more how to sign in."""
        return await self._do_once(request, request.services.staff.invite_again, "invited")

    async def set_roles(self, request: PageRequest) -> Response:
        """Change what somebody may do."""
        try:
            await request.services.staff.set_roles(_email(request), ticked_roles(request), principal=request.principal)
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)
        return request.redirect(ROOT, "role_saved")

    async def ask_confirm(self, request: PageRequest) -> Response:
        """Tell what it comes to to confirm an account that another one added; nothing is changed."""
        login = await _login(request)
        if login is None or not login.counts_as:
            return request.redirect(ROOT)
        return _ask(request, confirmation(request, login))

    async def confirm(self, request: PageRequest) -> Response:
        """Say that somebody whom another one added is a person of their own."""
        return await self._do_once(request, request.services.staff.confirm, "staff_confirmed")

    async def ask_close(self, request: PageRequest) -> Response:
        """Tell what it comes to to close an account; nothing is changed."""
        login = await _login(request)
        if login is None or login.disabled_at is not None:
            return request.redirect(ROOT)
        return _ask(request, closing(request, login, keys_count=(await _keys_made(request))[login.login_id]))

    async def close(self, request: PageRequest) -> Response:
        """Let somebody sign in no more."""
        return await self._do_once(request, request.services.staff.close, "staff_closed")

    async def reopen(self, request: PageRequest) -> Response:
        """Let somebody sign in again."""
        return await self._do_once(request, request.services.staff.reopen, "staff_reopened")

    async def ask_disable_two_factor(self, request: PageRequest) -> Response:
        """Tell what it comes to to ask somebody for no codes any more; nothing is changed."""
        login = await _login(request)
        if login is None or login.totp_seed is None:
            return request.redirect(ROOT)
        return _ask(request, removal_of_codes(request, login))

    async def disable_two_factor(self, request: PageRequest) -> Response:
        """Ask somebody who lost their authenticator for no codes any more; one's own are removed by password."""
        if inputs.mailbox(_email(request)) == inputs.mailbox(request.login.email):
            request.form.errors[""] = "Remove your own codes on your profile, with your password"
            return await self._page(request, 422)
        return await self._do_once(request, request.services.staff.disable_two_factor, "staff_two_factor_off")

    async def _do_once(self, request: PageRequest, action: Callable[..., Awaitable[object]], flash: str) -> Response:
        """Do once to one of the staff what a button asks for."""
        try:
            return await request.do_once(partial(action, _email(request), principal=request.principal), ROOT, flash)
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        people = await request.services.approvals.people(request.principal)
        may_confirm = {login.login_id for login in await request.services.approvals.accounts_to_confirm(people)}
        staff = await request.services.staff.list()
        makers = await _keys_made(request)
        return request.page(
            "console/staff.html",
            status,
            staff=[(login, staff_data(login)) for login in staff],
            may_confirm=may_confirm if request.principal.may(Operation.CONFIRM_STAFF) else (),
            keys_of_closed={login.login_id: makers[login.login_id] for login in staff if login.disabled_at is not None},
            role_words=list(STAFF_ROLES),
            changed=next((staff_data(login) for login in staff if login.email == request.query("change")), None),
        )


async def _login(request: PageRequest) -> Login | None:
    """Read which of the staff a page is about; None if there is nobody of this address."""
    mailbox = inputs.mailbox(request.query("staff"))
    staff = await request.services.staff.list()
    return next((login for login in staff if inputs.mailbox(login.email) == mailbox), None)


async def _keys_made(request: PageRequest) -> Counter[int]:
    """Count the services' and support's keys that work, by the account that made them."""
    now = request.services.console.now()
    keys = [key for key in await request.services.merchants.keys(None) if is_working(key, now)]
    return Counter(number for key in keys for number in read_people(key.people))


def _ask(request: PageRequest, preview: Preview) -> Response:
    return request.page("console/preview.html", frame="console/plain.html", preview=preview)


def _email(request: PageRequest) -> str:
    """Read the address that a button is about, as addresses are shown; a text that is none belongs to nobody."""
    text = request.form.text("staff")
    try:
        return inputs.email("staff", text)
    except InvalidInput:
        return text
