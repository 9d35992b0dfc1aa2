"""The staff, who may sign in at the console."""

from collections import Counter
from collections.abc import Awaitable
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
from farebox.web.pages.console.common import ticked_roles
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_ROOT: Final = "/support/staff"
_FIELDS: Final = {"role": ""}


class StaffPages:
    """The support staff."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""

        def route(path: str, **handlers: Any) -> PageRoute:
            return PageRoute(
                f"{_ROOT}{path}", Audience.SUPPORT, is_console=True, operation=Operation.MANAGE_STAFF, **handlers
            )

        return [
            route("", get=self.show, post=self.add, is_made_once=True),
            route("/again", post=self.invite_again, is_made_once=True),
            PageRoute(
                f"{_ROOT}/confirm",
                Audience.SUPPORT,
                post=self.confirm,
                is_console=True,
                operation=Operation.CONFIRM_STAFF,
            ),
            route("/roles", post=self.set_roles),
            route("/close", post=self.close),
            route("/reopen", post=self.reopen),
            route("/codes", post=self.disable_two_factor),
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
            return await request.do_once(add, _ROOT, "staff_added")
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)

    async def invite_again(self, request: PageRequest) -> Response:
        """Mail somebody once more how to sign in."""
        invite = partial(request.services.staff.invite_again, _email(request), principal=request.principal)
        try:
            return await request.do_once(invite, _ROOT, "invited")
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)

    async def set_roles(self, request: PageRequest) -> Response:
        """Change what somebody may do."""
        return await self._do(
            request,
            request.services.staff.set_roles(_email(request), ticked_roles(request), principal=request.principal),
            "role_saved",
        )

    async def confirm(self, request: PageRequest) -> Response:
        """Say that somebody whom another one added is a person of their own."""
        return await self._do(
            request, request.services.staff.confirm(_email(request), principal=request.principal), "staff_confirmed"
        )

    async def close(self, request: PageRequest) -> Response:
        """Let somebody sign in no more."""
        return await self._do(
            request, request.services.staff.close(_email(request), principal=request.principal), "staff_closed"
        )

    async def reopen(self, request: PageRequest) -> Response:
        """Let somebody sign in again."""
        return await self._do(
            request, request.services.staff.reopen(_email(request), principal=request.principal), "staff_reopened"
        )

    async def disable_two_factor(self, request: PageRequest) -> Response:
        """Ask somebody who lost their authenticator for no codes any more; one's own are removed by password."""
        email = _email(request)
        if inputs.mailbox(email) == inputs.mailbox(request.login.email):
            request.form.errors[""] = "Remove your own codes on your profile, with your password"
            return await self._page(request, 422)
        return await self._do(
            request,
            request.services.staff.disable_two_factor(email, principal=request.principal),
            "staff_two_factor_off",
        )

    async def _do(self, request: PageRequest, action: Awaitable[object], flash: str) -> Response:
        """Do what a button beside one of the staff asks for."""
        try:
            await action
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)
        return request.redirect(_ROOT, flash)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        people = await request.services.approvals.people(request.principal)
        may_confirm = {login.login_id for login in await request.services.approvals.accounts_to_confirm(people)}
        staff = await request.services.staff.list()
        now = request.services.console.now()
        keys = [key for key in await request.services.merchants.keys(None) if is_working(key, now)]
        makers = Counter(number for key in keys for number in read_people(key.people))
        return request.page(
            "console/staff.html",
            status,
            staff=[(login, staff_data(login)) for login in staff],
            may_confirm=may_confirm if request.principal.may(Operation.CONFIRM_STAFF) else (),
            keys_of_closed={login.login_id: makers[login.login_id] for login in staff if login.disabled_at is not None},
            role_words=list(STAFF_ROLES),
            changed=next((staff_data(login) for login in staff if login.email == request.query("change")), None),
        )


def _email(request: PageRequest) -> str:
    """Read the address that a button is about, as addresses are shown; a text that is none belongs to nobody."""
    text = request.form.text("staff")
    try:
        return inputs.email("staff", text)
    except InvalidInput:
        return text
