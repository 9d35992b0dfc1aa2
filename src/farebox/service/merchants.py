"""Merchants, their people and keys, and prices: what support sets up around the ledger."""

import secrets
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.commands import KeyKind
from farebox.core.pricing import Price
from farebox.core.thresholds import Threshold
from farebox.service import access, inputs
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, Missing, translated
from farebox.storage.interface import Store
from farebox.storage.rows import ApiKey, Merchant, User

OVERLAP_SECONDS_DEFAULT: Final = 24 * 3600
"""How long a rotated key goes on working beside its successor."""

_MICROS_PER_SECOND: Final = 1_000_000
_PAGE_ROWS: Final = 500


class NewKey(Struct, frozen=True):
    """A key just made, and its text, which nobody can read again."""

    key: ApiKey
    text: str


class Merchants:
    """What support sets up. Every method may raise InvalidInput, Missing, Conflict or Unavailable."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Work on this store."""
        self._store = store
        self._clock = clock

    async def create(
        self, *, name: str, currency: str, thresholds: list[str], credit_limit: str
    ) -> tuple[Merchant, Account, NewKey]:
        """Add a merchant with an empty book and its first API key.

        Its thresholds stay silent until a first top-up reaches them: a balance that starts at zero has not fallen.
        """
        now = self._clock.now()
        merchant = Merchant(self._new_number(now), inputs.name("name", name), now)
        account = Account(
            merchant.merchant_id,
            inputs.currency("currency", currency),
            credit_limit=inputs.amount("creditLimit", credit_limit, is_zero_allowed=True),
            thresholds=tuple(Threshold(amount, False) for amount in inputs.thresholds("thresholds", thresholds)),
        )
        key = self._new_key(KeyKind.MERCHANT, now, merchant_id=merchant.merchant_id)
        with translated():
            await self._store.create_merchant(merchant, account, key.key)
        return merchant, account, key

    async def rename(self, merchant_id: int, name: str) -> None:
        """Change a merchant's name."""
        with translated():
            await self._store.rename_merchant(merchant_id, inputs.name("name", name))

    async def get(self, merchant_id: int) -> tuple[Merchant, Account]:
        """Read a merchant and its account."""
        with translated():
            merchant = await self._store.merchant(merchant_id)
            account = await self._store.account(merchant_id)
        if merchant is None or account is None:
            raise Missing(f"no merchant has the id {ids.public_id(ids.MERCHANT, merchant_id)}")
        return merchant, account

    async def list(self) -> Sequence[tuple[Merchant, Account]]:
        """List every merchant, oldest first."""
        found: list[tuple[Merchant, Account]] = []
        with translated():
            while page := await self._store.merchants(found[-1][0].merchant_id if found else -1, _PAGE_ROWS):
                found.extend(page)
        return found

    async def add_user(self, merchant_id: int, email: str) -> User:
        """Register a person on a merchant's account: who is registered gets its alerts."""
        now = self._clock.now()
        user = User(merchant_id, self._new_number(now), inputs.email("email", email), now)
        with translated(conflict=f"{user.email} is registered there already"):
            await self._store.add_user(user)
        return user

    async def users(self, merchant_id: int) -> Sequence[User]:
        """List the people registered on a merchant's account."""
        await self.get(merchant_id)
        with translated():
            return await self._store.users(merchant_id)

    async def remove_user(self, merchant_id: int, email: str) -> None:
        """Take a person off a merchant's account."""
        normal = inputs.email("email", email)
        with translated(missing=f"{normal} is not registered there"):
            await self._store.remove_user(merchant_id, normal)

    async def create_key(
        self, kind: KeyKind, *, merchant_id: int | None = None, name: str | None = None, expires: str | None = None
    ) -> NewKey:
        """Make an API key: `merchant_id` for a merchant's, `name` for a service's or support's."""
        now = self._clock.now()
        expires_at = None if expires is None else inputs.time("expires", expires)
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("expires", "a key can't expire before it is made; name a time to come")
        owner = None if name is None else inputs.name("name", name)
        key = self._new_key(kind, now, merchant_id=merchant_id, name=owner, expires_at=expires_at)
        with translated():
            await self._store.create_key(key.key)
        return key

    async def keys(self, merchant_id: int | None) -> Sequence[ApiKey]:
        """List a merchant's API keys, or the services' and support's with None."""
        if merchant_id is not None:
            await self.get(merchant_id)
        with translated():
            return await self._store.keys(merchant_id)

    async def revoke_key(self, key_id: int) -> None:
        """Close an API key at once and for ever."""
        with translated(missing=_no_key(key_id)):
            await self._store.revoke_key(key_id, self._clock.now())

    async def rotate_key(self, key_id: int, *, overlap_seconds: int = OVERLAP_SECONDS_DEFAULT) -> NewKey:
        """Make a key's successor; the old one goes on for `overlap_seconds`."""
        now = self._clock.now()
        with translated(missing=_no_key(key_id)):
            old = await self._store.key(key_id)
            if old is None:
                raise Missing(_no_key(key_id))
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
                raise Conflict("the key is revoked or expired; create a new one instead")
            key = self._new_key(KeyKind(old.kind), now, merchant_id=old.merchant_id, name=old.name)
            expires_at = now + overlap_seconds * _MICROS_PER_SECOND
            await self._store.rotate_key(key_id, successor=key.key, expires_at=expires_at)
        return key

    async def set_price(
        self, request_type: str, unit_price: str | None, *, merchant_id: int | None = None, starts: str | None = None
    ) -> Price:
        """Add a version of a price, a default or a merchant's own, in force from `starts` (now, if None).

        `unit_price` is None for a variable type, whose callers name the amount. A price is never edited, and can't be
        set into the past: what was charged stays explained by what was in force.
        """
        now = self._clock.now()
        starts_at = now if starts is None else inputs.time("from", starts)
        if starts_at < now:
            raise InvalidInput("from", "a price can't start in the past")
        price = Price(
            self._new_number(now),
            inputs.request_type("type", request_type),
            None if unit_price is None else inputs.amount("unitPrice", unit_price),
            starts_at,
            merchant_id,
        )
        with translated():
            await self._store.set_price(price, now)
        return price

    async def prices(self, merchant_id: int | None) -> Sequence[Price]:
        """List every version of the default prices (None) or of a merchant's own."""
        if merchant_id is not None:
            await self.get(merchant_id)
        with translated():
            return await self._store.prices(merchant_id)

    def _new_number(self, now: int) -> int:
        return ids.new_number(now // 1000, secrets.randbits(ids.RANDOM_BITS))

    def _new_key(
        self,
        kind: KeyKind,
        now: int,
        *,
        merchant_id: int | None = None,
        name: str | None = None,
        expires_at: int | None = None,
    ) -> NewKey:
        text = access.make_key(kind, merchant_id)
        return NewKey(
            ApiKey(
                key_id=self._new_number(now),
                kind=kind,
                digest=access.digest(text),
                hint=access.hint(text),
                created_at=now,
                merchant_id=merchant_id,
                name=name,
                expires_at=expires_at,
            ),
            text,
        )


def _no_key(key_id: int) -> str:
    return f"no key has the id {ids.public_id(ids.KEY, key_id)}"
