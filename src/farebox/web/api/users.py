"""The people registered on a merchant's account, as support sets them up."""

from functools import partial
from typing import Final

from farebox.core import ids
from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.users import UserData, user_data
from farebox.service.errors import Missing
from farebox.service.operator.merchants import User
from farebox.web.api.answers import answer, answer_once
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path, text_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import UserRequest, UsersData
from farebox.web.schemas.destinations import MailedRequest

_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)


class UserEndpoints(Endpoints):
    """A merchant's users."""

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/users",
        keys=SUPPORT,
        summary="List who is registered on a merchant",
        data=UsersData,
        refusals=_UNKNOWN,
    )
    async def list_users(self, request: ApiRequest) -> Answer:
        """List who is registered on a merchant's account."""
        users = await self._services.merchants.users(merchant_in_path(request))
        return answer(UsersData([user_data(user) for user in users]))

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/users",
        keys=SUPPORT,
        summary="Register a person, who then gets alerts",
        data=UserData,
        operations=(Operation.MANAGE_USERS,),
        refusals=_UNKNOWN,
        conflicts=True,
        is_made_once=True,
    )
    async def add_user(self, request: ApiRequest, body: UserRequest) -> Answer:
        """Register a person on a merchant's account."""
        merchant_id, services = merchant_in_path(request), self._services
        return await answer_once(
            services.repeats,
            request,
            body,
            make=partial(services.merchants.add_user, merchant_id, body.email),
            find=partial(services.merchants.user, merchant_id),
            data=user_data,
        )

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/users/{{user_id:str}}/mailed",
        keys=SUPPORT,
        summary="Choose what a person is mailed about",
        data=UserData,
        operations=(Operation.MANAGE_USERS,),
        refusals=_UNKNOWN,
        missing=True,
    )
    async def set_mailed(self, request: ApiRequest, body: MailedRequest) -> Answer:
        """Choose which events a person is mailed about."""
        user = await self._named(request)
        return answer(
            user_data(
                await self._services.choices.set_mailed(
                    user.merchant_id, user.email, body.types, principal=request.principal
                )
            )
        )

    @route(
        method="DELETE",
        path=f"{MERCHANT_PATH}/users/{{user_id:str}}",
        keys=SUPPORT,
        summary="Take a person off a merchant",
        data=UserData,
        operations=(Operation.MANAGE_USERS,),
        refusals=_UNKNOWN,
        missing=True,
    )
    async def remove_user(self, request: ApiRequest) -> Answer:
        """Take a person off a merchant's account."""
        user = await self._named(request)
        await self._services.users.remove(
            user.merchant_id, user.email, is_owner_needed=False, principal=request.principal
        )
        return answer(user_data(user))

    async def _named(self, request: ApiRequest) -> User:
        """Read the person whom the path names.

        Raises:
            Missing: nobody registered there has this id.
        """
        user_id = text_in_path(request, "user_id")
        for user in await self._services.merchants.users(merchant_in_path(request)):
            if ids.public_id(ids.USER, user.user_id) == user_id:
                return user
        raise Missing("nobody registered there has this id")
