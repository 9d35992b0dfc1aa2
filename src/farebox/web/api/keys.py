"""API keys, as support makes, names, limits and ends them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct

from farebox.core.commands import KeyKind
from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.core.staff_roles import STAFF_ROLES
from farebox.presenters.keys import KeyData, NewKeyData, key_data, new_key_data
from farebox.service.operator.merchants import ApiKey, NewKey
from farebox.web.api.answers import answer, answer_once, replay_headers
from farebox.web.api.paths import MERCHANT_PATH, key_in_path, merchant_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import (
    ExpireKeyRequest,
    KeyBudgetRequest,
    KeysData,
    MerchantKeyRequest,
    RenameKeyRequest,
    RotateKeyRequest,
    StaffKeyRequest,
)

_KEY_PATH: Final = "/api/admin/keys/{key_id:str}"
_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)
_STAFF_KINDS: Final = {"service": KeyKind.SERVICE, "support": KeyKind.SUPPORT}


class KeyEndpoints(Endpoints):
    """The keys of merchants, services and support."""

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/keys",
        keys=SUPPORT,
        summary="List a merchant's API keys",
        data=KeysData,
        refusals=_UNKNOWN,
    )
    async def list_merchant_keys(self, request: ApiRequest) -> Answer:
        """List a merchant's keys."""
        return await self._keys(merchant_in_path(request))

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/keys",
        keys=SUPPORT,
        summary="Make an API key for a merchant",
        data=NewKeyData,
        operations=(Operation.MANAGE_MERCHANT_KEYS,),
        refusals=(*_UNKNOWN, Code.MERCHANT_CLOSED),
        is_made_once=True,
    )
    async def create_merchant_key(self, request: ApiRequest, body: MerchantKeyRequest) -> Answer:
        """Make a key for a merchant and show it, this once."""
        create = partial(
            self._services.merchants.create_key,
            KeyKind.MERCHANT,
            merchant_id=merchant_in_path(request),
            name=body.name,
            expires=body.expires,
        )
        return await self._made(request, body, create)

    @route(
        method="GET",
        path="/api/admin/keys",
        keys=SUPPORT,
        summary="List the services' and support's API keys",
        data=KeysData,
    )
    async def list_staff_keys(self, request: ApiRequest) -> Answer:
        """List the operator's own keys."""
        return await self._keys(None)

    @route(
        method="POST",
        path="/api/admin/keys",
        keys=SUPPORT,
        summary="Make an API key for a service or for support",
        data=NewKeyData,
        operations=(Operation.MANAGE_KEYS,),
        is_made_once=True,
    )
    async def create_staff_key(self, request: ApiRequest, body: StaffKeyRequest) -> Answer:
        """Make a key for a service or for support and show it, this once."""
        roles = [STAFF_ROLES[word] for word in body.roles or ()]
        create = partial(
            self._services.merchants.create_key,
            _STAFF_KINDS[body.kind],
            name=body.name,
            roles=roles,
            expires=body.expires,
        )
        return await self._made(request, body, create)

    @route(
        method="POST",
        path=f"{_KEY_PATH}/revoke",
        keys=SUPPORT,
        summary="Close an API key at once and for ever",
        data=KeyData,
        operations=(Operation.MANAGE_KEYS, Operation.MANAGE_MERCHANT_KEYS),
        missing=True,
        is_replayable=True,
    )
    async def revoke_key(self, request: ApiRequest) -> Answer:
        """Close a key at once."""
        return await self._changed(request, self._services.merchants.revoke_key)

    @route(
        method="POST",
        path=f"{_KEY_PATH}/suspend",
        keys=SUPPORT,
        summary="Suspend a merchant's API key",
        data=KeyData,
        operations=(Operation.SUSPEND_MERCHANT_KEY,),
        missing=True,
        conflicts=True,
        is_replayable=True,
        description="It opens nothing, at once, until it is resumed: as if it were revoked, but that can be undone.",
    )
    async def suspend_key(self, request: ApiRequest) -> Answer:
        """Let a key open nothing until it is resumed."""
        return await self._changed(request, self._services.merchants.suspend_key)

    @route(
        method="POST",
        path=f"{_KEY_PATH}/resume",
        keys=SUPPORT,
        summary="Resume a merchant's suspended API key",
        data=KeyData,
        operations=(Operation.SUSPEND_MERCHANT_KEY,),
        missing=True,
        conflicts=True,
        is_replayable=True,
        description="It opens what it did before. A key that was revoked or has expired stays so.",
    )
    async def resume_key(self, request: ApiRequest) -> Answer:
        """Let a suspended key open what it did before."""
        return await self._changed(request, self._services.merchants.resume_key)

    @route(
        method="POST",
        path=f"{_KEY_PATH}/expire",
        keys=SUPPORT,
        summary="Let an API key end at a time to come",
        data=KeyData,
        operations=(Operation.MANAGE_KEYS, Operation.MANAGE_MERCHANT_KEYS),
        missing=True,
        conflicts=True,
        description="Earlier or later than it was to; a key that was revoked or has expired stays so.",
    )
    async def expire_key(self, request: ApiRequest, body: ExpireKeyRequest) -> Answer:
        """Let a key end at another time."""
        key_id = key_in_path(request)
        key = await self._services.merchants.expire_key(key_id, body.expires, principal=request.principal)
        return answer(await self._data(key))

    @route(
        method="POST",
        path=f"{_KEY_PATH}/rotate",
        keys=SUPPORT,
        summary="Make an API key's successor",
        data=NewKeyData,
        operations=(Operation.MANAGE_KEYS, Operation.MANAGE_MERCHANT_KEYS),
        missing=True,
        conflicts=True,
        is_made_once=True,
    )
    async def rotate_key(self, request: ApiRequest, body: RotateKeyRequest) -> Answer:
        """Make a key's successor and show it, this once."""
        rotate = partial(
            self._services.merchants.rotate_key, key_in_path(request), overlap_seconds=body.overlap_seconds
        )
        return await self._made(request, body, rotate)

    @route(
        method="POST",
        path=f"{_KEY_PATH}/rename",
        keys=SUPPORT,
        summary="Give an API key another name",
        data=KeyData,
        operations=(Operation.MANAGE_KEYS, Operation.MANAGE_MERCHANT_KEYS),
        missing=True,
    )
    async def rename_key(self, request: ApiRequest, body: RenameKeyRequest) -> Answer:
        """Give a key another name."""
        key_id = key_in_path(request)
        return answer(
            await self._data(await self._services.key_budgets.rename(key_id, body.name, principal=request.principal))
        )

    @route(
        method="POST",
        path=f"{_KEY_PATH}/budget",
        keys=SUPPORT,
        summary="Set a merchant's API key's budget",
        data=KeyData,
        operations=(Operation.MANAGE_MERCHANT_KEYS,),
        missing=True,
        conflicts=True,
        description="It replaces the one there was, of the key, its predecessors and successors. What they have spent "
        "in the present day, week, month, or in all counts, whenever the limit was set. Charges and holds that name "
        "the key beyond it are refused: 402, key_budget_exceeded.",
    )
    async def set_budget(self, request: ApiRequest, body: KeyBudgetRequest) -> Answer:
        """Set what a key may spend."""
        key = await self._services.key_budgets.set(
            key_in_path(request), body.limits, zone=body.time_zone, principal=request.principal
        )
        return answer(await self._data(key))

    async def _data(self, key: ApiKey) -> KeyData:
        return key_data(key, await self._services.key_budgets.of_key(key))

    async def _changed(self, request: ApiRequest, change: Callable[..., Awaitable[bool]]) -> Answer:
        """Change the key that the path names, and tell whether it was so before."""
        key_id = key_in_path(request)
        is_done_now = await change(key_id, principal=request.principal)
        key = await self._services.merchants.key(key_id)
        return answer(await self._data(key), replay_headers(is_replay=not is_done_now))

    async def _made(self, request: ApiRequest, body: Struct, make: Callable[..., Awaitable[NewKey]]) -> Answer:
        services = self._services
        return await answer_once(
            services.repeats, request, body, make=make, find=services.merchants.made_key, data=new_key_data
        )

    async def _keys(self, merchant_id: int | None) -> Answer:
        keys = await self._services.merchants.keys(merchant_id)
        budgets = await self._services.key_budgets.of(keys)
        return answer(KeysData([key_data(key, budgets.get(key.key_id)) for key in keys]))
