"""A merchant's users: invite, change roles, remove. Its owners and support do so alike."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.people.users import ROLE_WORDS, ROLES, Member, Role, User
from farebox.web.pages.preview import Preview
from farebox.web.pages.render import clock_time, moment
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
    def page(self, request: PageRequest, name: str, status: int, **values: Any) -> Awaitable[Response]:
        """Answer with a page: `users` or `preview`."""

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
        return await self._do_once(request, invite, "invited")

    async def set_role(self, request: PageRequest) -> Response:
        """Change what a user may do."""
        try:
            await request.services.users.set_role(
                *(self.merchant(request), request.form.text("user"), _role(request)),
                is_owner_needed=self.is_owner_needed,
                principal=request.principal,
            )
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)
        return request.redirect(self.url(request), "role_saved")

    async def ask_remove(self, request: PageRequest) -> Response:
        """Tell what it comes to to take a user off the account; nothing is changed."""
        members = await request.services.users.members(self.merchant(request))
        mailbox = inputs.mailbox(request.query("user"))
        member = next((member for member in members if inputs.mailbox(member.user.email) == mailbox), None)
        if member is None:
            return request.redirect(self.url(request))
        others = [other.user for other in members if other is not member]
        return await self.page(request, "preview", 200, preview=self._removal(request, member, others))

    async def remove(self, request: PageRequest) -> Response:
        """Take a user off the account."""
        remove = partial(
            request.services.users.remove,
            *(self.merchant(request), request.form.text("user")),
            is_owner_needed=self.is_owner_needed,
            principal=request.principal,
        )
        return await self._do_once(request, remove, "user_removed")

    def _removal(self, request: PageRequest, member: Member, others: Sequence[User]) -> Preview:
        """Tell what it comes to to take a user off the account, on which these others stay."""
        user, login = member.user, member.login
        is_last_owner = user.role == Role.OWNER and all(other.role != Role.OWNER for other in others)
        may = not (is_last_owner and self.is_owner_needed)
        spoken, say, notice = request.language, request.language.gettext, ""
        if not may:
            notice = say("They are the only owner, and an account keeps one: make somebody else an owner first.")
        elif not others:
            notice = say("Nobody else is registered: from then on nobody is warned when the balance runs low.")
        elif is_last_owner:
            notice = say("They are the only owner: from then on nobody there can invite people or make keys.")
        elif inputs.mailbox(user.email) == inputs.mailbox(request.login.email) and self.is_owner_needed:
            notice = say("This is you: you lose your own way in, and somebody else has to invite you again.")
        signed_in_at = None if login is None else login.signed_in_at
        signed_in = say("never")
        if signed_in_at is not None:
            signed_in = clock_time(signed_in_at, request.zone, spoken=spoken)
        return Preview(
            action=f"{self.url(request)}/remove",
            back=self.url(request),
            question=say("Remove %(email)s?", email=user.email),
            facts=[
                (say("Role"), say(ROLE_WORDS[Role(user.role)])),
                (say("Registered"), moment(user.created_at, request.zone, spoken=spoken)),
                (say("Last signed in"), signed_in),
                (say("From then on"), say("they get no mails about this account, and see nothing of it")),
                (say("Keys that they made"), say("go on working")),
                (say("Taking it back"), say("they can be invited again")),
            ],
            button=say("Remove %(email)s", email=user.email) if may else "",
            fields={"user": user.email},
            notice=notice,
            is_danger=True,
            is_done_once=True,
        )

    async def _do_once(self, request: PageRequest, do: Callable[..., Awaitable[object]], flash: str) -> Response:
        """Do once what a button about a user asks for."""
        try:
            return await request.do_once(do, self.url(request), flash)
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._page(request, 422)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        members = await request.services.users.members(self.merchant(request))
        return await self.page(request, "users", status, members=members)


def _role(request: PageRequest) -> Role:
    """Read a role.

    Raises:
        InvalidInput: there is no such role.
    """
    role = ROLES.get(request.form.text("role"))
    if role is None:
        raise InvalidInput("role", f"a role is one of {', '.join(ROLES)}")
    return role
