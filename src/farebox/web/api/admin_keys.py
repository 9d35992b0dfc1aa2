"""What support does with its key: API keys and prices."""

from collections.abc import Sequence
from typing import Final, Literal

from starlette.types import Receive, Scope

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.outcomes import Code
from farebox.core.pricing import Price
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.operator.merchants import ApiKey, NewKey
from farebox.services import Services
from farebox.web.api.base import SUPPORT, Endpoints, Route, answer, key_in_path, merchant_in_path, price_data
from farebox.web.client_address import Addresses
from farebox.web.endpoint import Answer, BodyDecoder, read_body
from farebox.web.schemas import admin as bodies

_MERCHANT: Final = "/api/admin/merchants/{merchant_id:str}"
_KEY: Final = "/api/admin/keys/{key_id:str}"
_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)
_STAFF_KINDS: Final = {"service": KeyKind.SERVICE, "support": KeyKind.SUPPORT}
_KIND_WORDS: Final[dict[KeyKind, Literal["merchant", "service", "support"]]] = {
    KeyKind.MERCHANT: "merchant",
    KeyKind.SERVICE: "service",
    KeyKind.SUPPORT: "support",
}


class AdminKeys(Endpoints):
    """The endpoints for API keys and prices."""

    def __init__(self, services: Services, addresses: Addresses) -> None:
        """Answer from these services."""
        super().__init__(services, addresses)
        self._merchant_key_decoder = BodyDecoder(bodies.MerchantKeyRequest)
        self._staff_key_decoder = BodyDecoder(bodies.StaffKeyRequest)
        self._expire_decoder = BodyDecoder(bodies.ExpireKeyRequest)
        self._rotate_decoder = BodyDecoder(bodies.RotateKeyRequest)
        self._price_decoder = BodyDecoder(bodies.PriceRequest)

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                *("GET", f"{_MERCHANT}/keys", self.list_merchant_keys, "List a merchant's API keys", SUPPORT),
                *(bodies.KeysData, None, _UNKNOWN),
            ),
            Route(
                *("POST", f"{_MERCHANT}/keys", self.create_merchant_key, "Make an API key for a merchant", SUPPORT),
                *(bodies.NewKeyData, bodies.MerchantKeyRequest, _UNKNOWN),
            ),
            Route(
                *("GET", "/api/admin/keys", self.list_staff_keys, "List the services' and support's API keys"),
                *(SUPPORT, bodies.KeysData),
            ),
            Route(
                *("POST", "/api/admin/keys", self.create_staff_key, "Make an API key for a service or for support"),
                *(SUPPORT, bodies.NewKeyData, bodies.StaffKeyRequest),
            ),
            Route(
                *("POST", f"{_KEY}/revoke", self.revoke_key, "Close an API key at once and for ever", SUPPORT),
                bodies.KeyData,
                missing=True,
            ),
            Route(
                *("POST", f"{_KEY}/expire", self.expire_key, "Let an API key end at a time to come", SUPPORT),
                *(bodies.KeyData, bodies.ExpireKeyRequest),
                missing=True,
            ),
            Route(
                *("POST", f"{_KEY}/rotate", self.rotate_key, "Make an API key's successor", SUPPORT),
                *(bodies.NewKeyData, bodies.RotateKeyRequest),
                missing=True,
                conflicts=True,
            ),
            Route(
                *("GET", "/api/admin/prices", self.list_prices, "List every version of the default prices", SUPPORT),
                bodies.PricesData,
            ),
            Route(
                *("POST", "/api/admin/prices", self.set_price, "Set a default price", SUPPORT),
                *(bodies.PriceData, bodies.PriceRequest),
            ),
            Route(
                *("GET", f"{_MERCHANT}/prices", self.list_merchant_prices, "List a merchant's own prices", SUPPORT),
                *(bodies.PricesData, None, _UNKNOWN),
            ),
            Route(
                *("POST", f"{_MERCHANT}/prices", self.set_merchant_price, "Set a price of a merchant's own", SUPPORT),
                *(bodies.PriceData, bodies.PriceRequest, _UNKNOWN),
            ),
        ]

    async def list_merchant_keys(self, scope: Scope, receive: Receive) -> Answer:
        """List a merchant's keys."""
        await self._support(scope)
        return await self._keys(merchant_in_path(scope))

    async def list_staff_keys(self, scope: Scope, receive: Receive) -> Answer:
        """List the operator's own keys."""
        await self._support(scope)
        return await self._keys(None)

    async def create_merchant_key(self, scope: Scope, receive: Receive) -> Answer:
        """Make a key for a merchant and show it, this once."""
        principal = await self._support(scope)
        request = self._merchant_key_decoder.decode(await read_body(scope, receive))
        merchant_id = merchant_in_path(scope)
        return _new_key(
            await self._services.merchants.create_key(
                KeyKind.MERCHANT, merchant_id=merchant_id, expires=request.expires, principal=principal
            )
        )

    async def create_staff_key(self, scope: Scope, receive: Receive) -> Answer:
        """Make a key for a service or for support and show it, this once."""
        principal = await self._support(scope)
        request = self._staff_key_decoder.decode(await read_body(scope, receive))
        return _new_key(
            await self._services.merchants.create_key(
                _STAFF_KINDS[request.kind], name=request.name, expires=request.expires, principal=principal
            )
        )

    async def revoke_key(self, scope: Scope, receive: Receive) -> Answer:
        """Close a key at once."""
        principal = await self._support(scope)
        key_id = key_in_path(scope)
        await self._services.merchants.revoke_key(key_id, principal=principal)
        return answer(_key_data(await self._services.merchants.key(key_id)))

    async def expire_key(self, scope: Scope, receive: Receive) -> Answer:
        """Let a key end later."""
        principal = await self._support(scope)
        request = self._expire_decoder.decode(await read_body(scope, receive))
        key = await self._services.merchants.expire_key(key_in_path(scope), request.expires, principal=principal)
        return answer(_key_data(key))

    async def rotate_key(self, scope: Scope, receive: Receive) -> Answer:
        """Make a key's successor and show it, this once."""
        principal = await self._support(scope)
        request = self._rotate_decoder.decode(await read_body(scope, receive))
        return _new_key(
            await self._services.merchants.rotate_key(
                key_in_path(scope), overlap_seconds=request.overlap_seconds, principal=principal
            )
        )

    async def list_prices(self, scope: Scope, receive: Receive) -> Answer:
        """List the default prices."""
        await self._support(scope)
        return _prices(await self._services.merchants.prices(None))

    async def list_merchant_prices(self, scope: Scope, receive: Receive) -> Answer:
        """List a merchant's own prices."""
        await self._support(scope)
        return _prices(await self._services.merchants.prices(merchant_in_path(scope)))

    async def set_price(self, scope: Scope, receive: Receive) -> Answer:
        """Set a default price."""
        return await self._set_price(scope, receive, is_default=True)

    async def set_merchant_price(self, scope: Scope, receive: Receive) -> Answer:
        """Set a price of a merchant's own."""
        return await self._set_price(scope, receive, is_default=False)

    async def _set_price(self, scope: Scope, receive: Receive, *, is_default: bool) -> Answer:
        principal = await self._support(scope)
        request = self._price_decoder.decode(await read_body(scope, receive))
        try:
            price = await self._services.merchants.set_price(
                request.type,
                request.unit_price,
                merchant_id=None if is_default else merchant_in_path(scope),
                starts=request.starts_at,
                principal=principal,
            )
        except InvalidInput as error:
            # What the command line calls --from is startsAt here.
            raise InvalidInput("startsAt" if error.field == "from" else error.field, error.message) from error
        return answer(price_data(price))

    async def _keys(self, merchant_id: int | None) -> Answer:
        return answer(bodies.KeysData([_key_data(key) for key in await self._services.merchants.keys(merchant_id)]))


def _prices(prices: Sequence[Price]) -> Answer:
    return answer(bodies.PricesData([price_data(price) for price in prices]))


def _new_key(key: NewKey) -> Answer:
    return answer(bodies.NewKeyData(key.text, _key_data(key.key)))


def _key_data(key: ApiKey) -> bodies.KeyData:
    return bodies.KeyData(
        key_id=ids.public_id(ids.KEY, key.key_id),
        kind=_KIND_WORDS[KeyKind(key.kind)],
        hint=key.hint,
        merchant_id=None if key.merchant_id is None else ids.public_id(ids.MERCHANT, key.merchant_id),
        name=key.name,
        created_at=inputs.format_time(key.created_at),
        expires_at=None if key.expires_at is None else inputs.format_time(key.expires_at),
        revoked_at=None if key.revoked_at is None else inputs.format_time(key.revoked_at),
    )
