"""The staff, who may sign in at the console."""

from collections.abc import Awaitable
from typing import Final

from starlette.responses import Response

from farebox.service import inputs
from farebox.service.errors import Conflict, InvalidInput, ServiceError
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_ROOT: Final = "/support/staff"


class StaffPages:
    """The support staff."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_ROOT, Audience.SUPPORT, get=self.show, post=self.add, is_console=True),
            PageRoute(f"{_ROOT}/again", Audience.SUPPORT, post=self.invite_again, is_console=True),
            PageRoute(f"{_ROOT}/close", Audience.SUPPORT, post=self.close, is_console=True),
            PageRoute(f"{_ROOT}/reopen", Audience.SUPPORT, post=self.reopen, is_console=True),
            PageRoute(f"{_ROOT}/codes", Audience.SUPPORT, post=self.disable_two_factor, is_console=True),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List the staff."""
        return await self._page(request)

    async def add(self, request: PageRequest) -> Response:
        """Add somebody, and mail them how to sign in."""
        try:
            await request.services.staff.add(
                request.form.text("email"), request.form.text("name"), principal=request.principal
            )
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)
        return request.redirect(_ROOT, "staff_added")

    async def invite_again(self, request: PageRequest) -> Response:
        """Mail somebody once more how to sign in."""
        return await self._do(
            request, request.services.staff.invite_again(_email(request), principal=request.principal), "invited"
        )

    async def close(self, request: PageRequest) -> Response:
        """Let somebody sign in no more; nobody does that to themselves."""
        email = _email(request)
        if email == request.login.email:
            return await self._do(request, _refuse("You can't close your own way in; ask somebody else"), "")
        return await self._do(request, request.services.staff.close(email, principal=request.principal), "staff_closed")

    async def reopen(self, request: PageRequest) -> Response:
        """Let somebody sign in again."""
        return await self._do(
            request, request.services.staff.reopen(_email(request), principal=request.principal), "staff_reopened"
        )

    async def disable_two_factor(self, request: PageRequest) -> Response:
        """Ask somebody who lost their authenticator for no codes any more; one's own are removed by password."""
        email = _email(request)
        if email == request.login.email:
            return await self._do(request, _refuse("Remove your own codes on your profile, with your password"), "")
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
            request.form.fail(error)
            return await self._page(request, 422)
        return request.redirect(_ROOT, flash)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        return request.page("console/staff.html", status, staff=await request.services.staff.list())


def _email(request: PageRequest) -> str:
    """Read the address that a button is about, as addresses are stored; a text that is none belongs to nobody."""
    text = request.form.text("staff")
    try:
        return inputs.email("staff", text)
    except InvalidInput:
        return text


async def _refuse(words: str) -> None:
    raise Conflict(words)
