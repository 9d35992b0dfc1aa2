"""What support does with its key: merchants, the people registered on them, and their rules."""

from typing import Final

import msgspec
from starlette.types import Receive, Scope

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.money import format_amount
from farebox.core.outcomes import Code, Outcome
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Missing, Refused
from farebox.service.operator.merchants import Merchant, User
from farebox.services import Services
from farebox.web.api.base import (
    SUPPORT,
    Endpoints,
    Route,
    answer,
    merchant_in_path,
    thresholds_data,
)
from farebox.web.client_address import Addresses
from farebox.web.endpoint import Answer, BodyDecoder, decode_query, read_body
from farebox.web.schemas import admin as bodies

_MERCHANT: Final = "/api/admin/merchants/{merchant_id:str}"
_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)


class Admin(Endpoints):
    """The endpoints for merchants themselves."""

    def __init__(self, services: Services, addresses: Addresses) -> None:
        """Answer from these services."""
        super().__init__(services, addresses)
        self._merchant_decoder = BodyDecoder(bodies.MerchantRequest)
        self._change_decoder = BodyDecoder(bodies.MerchantChange)
        self._user_decoder = BodyDecoder(bodies.UserRequest)

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                *("GET", "/api/admin/merchants", self.list_merchants, "List merchants, oldest first", SUPPORT),
                bodies.MerchantsData,
                query=bodies.PageQuery,
            ),
            Route(
                *("POST", "/api/admin/merchants", self.create_merchant, "Add a merchant", SUPPORT),
                *(bodies.NewMerchantData, bodies.MerchantRequest),
            ),
            Route("GET", _MERCHANT, self.get_merchant, "Read a merchant", SUPPORT, bodies.MerchantData, None, _UNKNOWN),
            Route(
                *("PATCH", _MERCHANT, self.change_merchant, "Change a merchant's name or rules", SUPPORT),
                *(bodies.MerchantData, bodies.MerchantChange, (*_UNKNOWN, Code.CREDIT_LIMIT_IN_USE)),
                description="Thresholds are replaced as a whole. Nothing is changed if the credit limit is refused.",
            ),
            Route(
                *("POST", f"{_MERCHANT}/freeze", self.freeze_merchant, "Stop a merchant's spending", SUPPORT),
                *(bodies.MerchantData, None, _UNKNOWN),
            ),
            Route(
                *("POST", f"{_MERCHANT}/unfreeze", self.unfreeze_merchant, "Let a merchant spend again", SUPPORT),
                *(bodies.MerchantData, None, _UNKNOWN),
            ),
            Route(
                *("GET", f"{_MERCHANT}/users", self.list_users, "List who is registered on a merchant", SUPPORT),
                *(bodies.UsersData, None, _UNKNOWN),
            ),
            Route(
                *("POST", f"{_MERCHANT}/users", self.add_user, "Register a person, who then gets alerts", SUPPORT),
                *(bodies.UserData, bodies.UserRequest, _UNKNOWN),
                conflicts=True,
            ),
            Route(
                *("DELETE", f"{_MERCHANT}/users/{{user_id:str}}", self.remove_user, "Take a person off a merchant"),
                *(SUPPORT, bodies.UserData, None, _UNKNOWN),
                missing=True,
            ),
        ]

    async def list_merchants(self, scope: Scope, receive: Receive) -> Answer:
        """List a page of merchants."""
        await self._support(scope)
        query = decode_query(scope, bodies.PageQuery)
        after = None if query.cursor is None else inputs.public_id("cursor", ids.MERCHANT, query.cursor)
        found = await self._services.merchants.page(after=after, limit=query.limit)
        more = len(found) == query.limit
        return answer(
            bodies.MerchantsData(
                [_merchant_data(*pair) for pair in found],
                ids.public_id(ids.MERCHANT, found[-1][0].merchant_id) if more else None,
            )
        )

    async def create_merchant(self, scope: Scope, receive: Receive) -> Answer:
        """Add a merchant and show its first key, this once."""
        principal = await self._support(scope)
        request = self._merchant_decoder.decode(await read_body(scope, receive))
        if request.threshold is not None and request.thresholds is not None:
            raise InvalidInput("thresholds", "name one threshold, or a list of thresholds, not both")
        thresholds = request.thresholds or []
        if request.threshold is not None:
            inputs.amount("threshold", request.threshold)
            thresholds = [request.threshold]
        merchant, account, key = await self._services.merchants.create(
            name=request.name,
            currency=request.currency,
            thresholds=thresholds,
            credit_limit=request.credit_limit,
            principal=principal,
        )
        return answer(
            bodies.NewMerchantData(
                merchant_id=ids.public_id(ids.MERCHANT, merchant.merchant_id),
                name=merchant.name,
                currency=account.currency,
                credit_limit=format_amount(account.credit_limit),
                thresholds=thresholds_data(account.thresholds),
                api_key=key.text,
            )
        )

    async def get_merchant(self, scope: Scope, receive: Receive) -> Answer:
        """Read a merchant and its account."""
        await self._support(scope)
        return await self._merchant(merchant_in_path(scope))

    async def change_merchant(self, scope: Scope, receive: Receive) -> Answer:
        """Change what is named; what is not named stays."""
        principal = await self._support(scope)
        merchant_id = merchant_in_path(scope)
        change = self._change_decoder.decode(await read_body(scope, receive))
        # All is checked before anything is changed; of what follows, the credit limit alone can be refused.
        if not isinstance(change.name, msgspec.UnsetType):
            inputs.name("name", change.name)
        if not isinstance(change.thresholds, msgspec.UnsetType):
            inputs.thresholds("thresholds", change.thresholds)
        operations = self._services.operations
        if not isinstance(change.credit_limit, msgspec.UnsetType):
            _done(await operations.set_credit_limit(merchant_id, change.credit_limit, principal=principal))
        if not isinstance(change.thresholds, msgspec.UnsetType):
            _done(await operations.set_thresholds(merchant_id, change.thresholds, principal=principal))
        if not isinstance(change.name, msgspec.UnsetType):
            await self._services.merchants.rename(merchant_id, change.name, principal=principal)
        return await self._merchant(merchant_id)

    async def freeze_merchant(self, scope: Scope, receive: Receive) -> Answer:
        """Stop a merchant's spending."""
        return await self._set_frozen(scope, is_frozen=True)

    async def unfreeze_merchant(self, scope: Scope, receive: Receive) -> Answer:
        """Let a merchant spend again."""
        return await self._set_frozen(scope, is_frozen=False)

    async def list_users(self, scope: Scope, receive: Receive) -> Answer:
        """List who is registered on a merchant's account."""
        await self._support(scope)
        users = await self._services.merchants.users(merchant_in_path(scope))
        return answer(bodies.UsersData([_user_data(user) for user in users]))

    async def add_user(self, scope: Scope, receive: Receive) -> Answer:
        """Register a person on a merchant's account."""
        principal = await self._support(scope)
        request = self._user_decoder.decode(await read_body(scope, receive))
        user = await self._services.merchants.add_user(merchant_in_path(scope), request.email, principal=principal)
        return answer(_user_data(user))

    async def remove_user(self, scope: Scope, receive: Receive) -> Answer:
        """Take a person off a merchant's account."""
        principal = await self._support(scope)
        merchant_id = merchant_in_path(scope)
        wanted = scope["path_params"]["user_id"]
        for user in await self._services.merchants.users(merchant_id):
            if ids.public_id(ids.USER, user.user_id) == wanted:
                await self._services.users.remove(merchant_id, user.email, is_owner_needed=False, principal=principal)
                return answer(_user_data(user))
        raise Missing("nobody registered there has this id")

    async def _set_frozen(self, scope: Scope, *, is_frozen: bool) -> Answer:
        principal = await self._support(scope)
        merchant_id = merchant_in_path(scope)
        _done(await self._services.operations.set_frozen(merchant_id, is_frozen=is_frozen, principal=principal))
        return await self._merchant(merchant_id)

    async def _merchant(self, merchant_id: int) -> Answer:
        return answer(_merchant_data(*await self._services.merchants.get(merchant_id)))


def _done(outcome: Outcome) -> None:
    if not outcome.is_ok:
        raise Refused(outcome)


def _merchant_data(merchant: Merchant, account: Account) -> bodies.MerchantData:
    return bodies.MerchantData(
        merchant_id=ids.public_id(ids.MERCHANT, merchant.merchant_id),
        name=merchant.name,
        currency=account.currency,
        posted=format_amount(account.posted),
        held=format_amount(account.held),
        available=format_amount(account.available),
        credit_limit=format_amount(account.credit_limit),
        is_frozen=account.is_frozen,
        thresholds=thresholds_data(account.thresholds),
        created_at=inputs.format_time(merchant.created_at),
    )


def _user_data(user: User) -> bodies.UserData:
    return bodies.UserData(ids.public_id(ids.USER, user.user_id), user.email, inputs.format_time(user.created_at))
