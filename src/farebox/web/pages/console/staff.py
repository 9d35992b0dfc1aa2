"""The staff, who may sign in at the console."""

from collections.abc import Awaitable
from typing import Final

from starlette.responses import Response

from farebox.service import inputs
from farebox.service.errors import Conflict, InvalidInput, ServiceError
from farebox.web.pages.house import Audience, PageRequest, PageRoute

_ROOT: Final = "/support/staff"


class Staff:
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

    async def show(self, ask: PageRequest) -> Response:
        """List the staff."""
        return await self._page(ask)

    async def add(self, ask: PageRequest) -> Response:
        """Add somebody, and mail them how to sign in."""
        try:
            await ask.services.staff.add(ask.form.text("email"), ask.form.text("name"), principal=ask.principal)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(_ROOT, "staff_added")

    async def invite_again(self, ask: PageRequest) -> Response:
        """Mail somebody once more how to sign in."""
        return await self._do(ask, ask.services.staff.invite_again(_person(ask), principal=ask.principal), "invited")

    async def close(self, ask: PageRequest) -> Response:
        """Let somebody sign in no more; nobody does that to themselves."""
        person = _person(ask)
        if person == ask.signed_in.login.email:
            return await self._do(ask, _refuse("You can't close your own way in; ask somebody else"), "")
        return await self._do(ask, ask.services.staff.close(person, principal=ask.principal), "staff_closed")

    async def reopen(self, ask: PageRequest) -> Response:
        """Let somebody sign in again."""
        return await self._do(ask, ask.services.staff.reopen(_person(ask), principal=ask.principal), "staff_reopened")

    async def disable_two_factor(self, ask: PageRequest) -> Response:
        """Ask somebody who lost their authenticator for no codes any more; one's own are removed by password."""
        person = _person(ask)
        if person == ask.signed_in.login.email:
            return await self._do(ask, _refuse("Remove your own codes on your profile, with your password"), "")
        return await self._do(
            ask, ask.services.staff.disable_two_factor(person, principal=ask.principal), "their_codes_off"
        )

    async def _do(self, ask: PageRequest, deed: Awaitable[object], said: str) -> Response:
        """Do what a button beside a person asks for."""
        try:
            await deed
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(_ROOT, said)

    async def _page(self, ask: PageRequest, status: int = 200) -> Response:
        return ask.page("console/staff.html", status, staff=await ask.services.staff.list())


def _person(ask: PageRequest) -> str:
    """Read whom a button is about, as addresses are stored; what is no address is nobody's."""
    text = ask.form.text("person")
    try:
        return inputs.email("person", text)
    except InvalidInput:
        return text


async def _refuse(words: str) -> None:
    raise Conflict(words)
