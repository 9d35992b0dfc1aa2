"""The people registered on a merchant's account: invite, change roles, remove. Its owners and support do so alike."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any, ClassVar

from litestar import Response

from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.people.users import ROLE_WORDS, ROLES, Role
from farebox.web.pages.house import Ask


class PeoplePage(ABC):
    """The page of a merchant's people, wherever it is."""

    is_owner_needed: ClassVar[bool]
    """Whether the account must keep an owner; support may leave it without one."""

    @abstractmethod
    def merchant(self, ask: Ask) -> int:
        """Return whose people they are."""

    @abstractmethod
    def url(self, ask: Ask) -> str:
        """Write where the page is."""

    @abstractmethod
    def page(self, ask: Ask, status: int, **values: Any) -> Awaitable[Response[Any]]:
        """Answer with the page."""

    async def show(self, ask: Ask) -> Response[Any]:
        """List the people."""
        return await self._page(ask)

    async def invite(self, ask: Ask) -> Response[Any]:
        """Register somebody, and mail them how to sign in."""
        try:
            email = ask.form.text("email")
            await ask.services.team.invite(self.merchant(ask), email, _role(ask), actor=ask.actor)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(self.url(ask), "invited")

    async def invite_again(self, ask: Ask) -> Response[Any]:
        """Mail somebody once more how to sign in."""
        deed = ask.services.team.invite_again(self.merchant(ask), ask.form.text("person"), actor=ask.actor)
        return await self._do(ask, deed, "invited")

    async def set_role(self, ask: Ask) -> Response[Any]:
        """Change what somebody may do."""
        try:
            role = _role(ask)
        except InvalidInput as error:
            ask.form.fail(error, {"role": ""})
            return await self._page(ask, 422)
        deed = ask.services.team.set_role(
            *(self.merchant(ask), ask.form.text("person"), role),
            is_owner_needed=self.is_owner_needed,
            actor=ask.actor,
        )
        return await self._do(ask, deed, "role_saved")

    async def remove(self, ask: Ask) -> Response[Any]:
        """Take somebody off the account."""
        deed = ask.services.team.remove(
            *(self.merchant(ask), ask.form.text("person")),
            is_owner_needed=self.is_owner_needed,
            actor=ask.actor,
        )
        return await self._do(ask, deed, "person_removed")

    async def _do(self, ask: Ask, deed: Awaitable[object], said: str) -> Response[Any]:
        """Do what a button beside a person asks for."""
        try:
            await deed
        except ServiceError as error:
            ask.form.fail(error, {"role": "", "email": ""})
            return await self._page(ask, 422)
        return ask.redirect(self.url(ask), said)

    async def _page(self, ask: Ask, status: int = 200) -> Response[Any]:
        members = await ask.services.team.members(self.merchant(ask))
        return await self.page(ask, status, members=members, role_words=ROLE_WORDS)


def _role(ask: Ask) -> Role:
    """Read a role.

    Raises:
        InvalidInput: it is none.
    """
    role = ROLES.get(ask.form.text("role"))
    if role is None:
        raise InvalidInput("role", f"a role is one of {', '.join(ROLES)}")
    return role
