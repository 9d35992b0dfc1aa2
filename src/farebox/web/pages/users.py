"""The people registered on a merchant's account: invite, change roles, remove. Its owners and support do so alike."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any, ClassVar

from starlette.responses import Response

from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.people.users import ROLE_WORDS, ROLES, Role
from farebox.web.pages.house import PageRequest


class PeoplePage(ABC):
    """The page of a merchant's people, wherever it is."""

    is_owner_needed: ClassVar[bool]
    """Whether the account must keep an owner; support may leave it without one."""

    @abstractmethod
    def merchant(self, ask: PageRequest) -> int:
        """Return whose people they are."""

    @abstractmethod
    def url(self, ask: PageRequest) -> str:
        """Write where the page is."""

    @abstractmethod
    def page(self, ask: PageRequest, status: int, **values: Any) -> Awaitable[Response]:
        """Answer with the page."""

    async def show(self, ask: PageRequest) -> Response:
        """List the people."""
        return await self._page(ask)

    async def invite(self, ask: PageRequest) -> Response:
        """Register somebody, and mail them how to sign in."""
        try:
            email = ask.form.text("email")
            await ask.services.users.invite(self.merchant(ask), email, _role(ask), principal=ask.principal)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(self.url(ask), "invited")

    async def invite_again(self, ask: PageRequest) -> Response:
        """Mail somebody once more how to sign in."""
        deed = ask.services.users.invite_again(self.merchant(ask), ask.form.text("person"), principal=ask.principal)
        return await self._do(ask, deed, "invited")

    async def set_role(self, ask: PageRequest) -> Response:
        """Change what somebody may do."""
        try:
            role = _role(ask)
        except InvalidInput as error:
            ask.form.fail(error, {"role": ""})
            return await self._page(ask, 422)
        deed = ask.services.users.set_role(
            *(self.merchant(ask), ask.form.text("person"), role),
            is_owner_needed=self.is_owner_needed,
            principal=ask.principal,
        )
        return await self._do(ask, deed, "role_saved")

    async def remove(self, ask: PageRequest) -> Response:
        """Take somebody off the account."""
        deed = ask.services.users.remove(
            *(self.merchant(ask), ask.form.text("person")),
            is_owner_needed=self.is_owner_needed,
            principal=ask.principal,
        )
        return await self._do(ask, deed, "person_removed")

    async def _do(self, ask: PageRequest, deed: Awaitable[object], said: str) -> Response:
        """Do what a button beside a person asks for."""
        try:
            await deed
        except ServiceError as error:
            ask.form.fail(error, {"role": "", "email": ""})
            return await self._page(ask, 422)
        return ask.redirect(self.url(ask), said)

    async def _page(self, ask: PageRequest, status: int = 200) -> Response:
        members = await ask.services.users.members(self.merchant(ask))
        return await self.page(ask, status, members=members, role_words=ROLE_WORDS)


def _role(ask: PageRequest) -> Role:
    """Read a role.

    Raises:
        InvalidInput: it is none.
    """
    role = ROLES.get(ask.form.text("role"))
    if role is None:
        raise InvalidInput("role", f"a role is one of {', '.join(ROLES)}")
    return role
