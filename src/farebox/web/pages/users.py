"""A merchant's users: invite, change roles, remove. Its owners and support do so alike."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from functools import partial
from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.people.users import ROLES, Role
from farebox.web.pages.request import PageRequest

_FIELDS: Final = {"role": "", "email": ""}
"""Faults of a button beside a user stand above the list."""


class UserPages(ABC):
    """The page of a merchant's users, on its own side or in the console."""

    is_owner_needed: ClassVar[bool]
    """Whether the account must keep an owner; support may leave it without one."""

    @abstractmethod
    def merchant(self, request: PageRequest) -> int:
        """Return the merchant whose users they are."""

    @abstractmethod
    def url(self, request: PageRequest) -> str:
        """Write where the page is."""

    @abstractmethod
    def page(self, request: PageRequest, status: int, **values: Any) -> Awaitable[Response]:
        """Answer with the page."""

    async def show(self, request: PageRequest) -> Response:
        """List the users."""
        return await self._page(request)

    async def invite(self, request: PageRequest) -> Response:
        """Register somebody, and mail them how to sign in."""
        try:
            invite = partial(
                request.services.users.invite,
                *(self.merchant(request), request.form.text("email"), _role(request)),
                principal=request.principal,
            )
            return await request.do_once(invite, self.url(request), "invited")
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)

    async def invite_again(self, request: PageRequest) -> Response:
        """Mail a user once more how to sign in."""
        invite = partial(
            request.services.users.invite_again,
            *(self.merchant(request), request.form.text("user")),
            principal=request.principal,
        )
        try:
            return await request.do_once(invite, self.url(request), "invited")
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)

    async def set_role(self, request: PageRequest) -> Response:
        """Change what a user may do."""
        try:
            role = _role(request)
        except InvalidInput as error:
            request.form.fail(error, {"role": ""})
            return await self._page(request, 422)
        action = request.services.users.set_role(
            *(self.merchant(request), request.form.text("user"), role),
            is_owner_needed=self.is_owner_needed,
            principal=request.principal,
        )
        return await self._do(request, action, "role_saved")

    async def remove(self, request: PageRequest) -> Response:
        """Take a user off the account."""
        action = request.services.users.remove(
            *(self.merchant(request), request.form.text("user")),
            is_owner_needed=self.is_owner_needed,
            principal=request.principal,
        )
        return await self._do(request, action, "user_removed")

    async def _do(self, request: PageRequest, action: Awaitable[object], flash: str) -> Response:
        """Do what a button beside a user asks for."""
        try:
            await action
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)
        return request.redirect(self.url(request), flash)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        members = await request.services.users.members(self.merchant(request))
        return await self.page(request, status, members=members)


def _role(request: PageRequest) -> Role:
    """Read a role.

    Raises:
        InvalidInput: there is no such role.
    """
    role = ROLES.get(request.form.text("role"))
    if role is None:
        raise InvalidInput("role", f"a role is one of {', '.join(ROLES)}")
    return role
