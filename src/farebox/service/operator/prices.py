"""Prices, as support sets them: versions are added, withdrawn before they start, and ended, but never edited."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.audit_log import Action
from farebox.core.currencies import format_money_with_code
from farebox.core.money import format_amount
from farebox.core.permissions import Operation
from farebox.core.prices import REQUESTS, Price
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.core.transfers import Transfer
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, Missing, translated, unknown_merchant
from farebox.service.id_generator import IdGenerator
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may
from farebox.service.price_life import PriceLife, life_of
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.stores import Stores

FREE_REQUESTS: Final = Rule(Rates((Line(REQUESTS, 0),)))
"""What a unit price of 0 is kept as."""


class PricePage(Struct, frozen=True):
    """Some versions, by type and start, and where the next page goes on; None once there is no more."""

    prices: Sequence[Price]
    later: Sequence[Price]
    """The versions of the last one's type that the next page begins with: what the last ones are goes by them."""
    next_cursor: str | None


class Prices:
    """The versions of the default prices and of merchants' own.

    Every method may raise InvalidInput, Missing, Conflict or Unavailable. `merchant_id` is None for the defaults.
    """

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock
        self._id_generator = IdGenerator(clock)

    async def set(
        self,
        request_type: str,
        unit_price: str | None = None,
        *,
        rule: Rule | None = None,
        merchant_id: int | None = None,
        starts: str | None = None,
        principal: Principal | None = None,
        request_key: RequestKey | None = None,
    ) -> Price:
        """Add a version of a price, in force from `starts` (now, if None).

        It is a rule or a unit price; with neither, the type is variable, and callers name the amount. A price is never
        edited, and can't be set into the past: what was charged stays explained by what was in force.
        """
        micros = None if unit_price is None else inputs.amount("unitPrice", unit_price, is_zero_allowed=True)
        if micros == 0:
            micros, rule = None, FREE_REQUESTS
        price = self._new(request_type, micros, rule, merchant_id, starts)
        words = await self._words(price)
        detail = f"{price.request_type} {words} from {inputs.format_time(price.starts_at)}"
        await self._add(price, Action.SET_PRICE, detail, principal, request_key)
        return price

    async def end(
        self,
        request_type: str,
        *,
        merchant_id: int | None = None,
        starts: str | None = None,
        principal: Principal | None = None,
        request_key: RequestKey | None = None,
    ) -> Price:
        """Add a version that ends a price from `starts` on (now, if None).

        A merchant's own gives way to the default; a default's type is retired, and charged to nobody from then on.

        Raises:
            Missing: no version is in force then.
            Conflict: it has ended by then, or another version starts at that very time.
        """
        price = self._new(request_type, None, None, merchant_id, starts, is_end=True)
        starts_at = inputs.format_time(price.starts_at)
        try:
            await self._add(price, Action.END_PRICE, f"{price.request_type} from {starts_at}", principal, request_key)
        except Missing as error:
            before = [
                version
                for version in await self.versions(merchant_id, price.request_type)
                if version.withdrawn_at is None and version.starts_at <= price.starts_at
            ]
            if before:
                ended_at = inputs.format_time(before[-1].starts_at)
                raise Conflict(f"the price of {price.request_type!r} ends at {ended_at} already") from error
            raise Missing(f"{price.request_type!r} has no price that could end at {starts_at}") from error
        return price

    async def withdraw(
        self, price_id: int, *, merchant_id: int | None = None, principal: Principal | None = None
    ) -> Price:
        """Withdraw a version that has not started; one that was withdrawn stays so.

        Raises:
            Conflict: it has started.
        """
        ensure_may(principal, Operation.SET_PRICE)
        price = await self.get(merchant_id, price_id)
        if price.withdrawn_at is not None:
            return price
        public_id = ids.public_id(ids.PRICE, price_id)
        detail = f"{price.request_type} from {inputs.format_time(price.starts_at)}"
        now = self._clock.now()
        audit_entry = audit_entry_by(
            principal, now, Action.WITHDRAW_PRICE, merchant_id=merchant_id, subject=public_id, detail=detail
        )
        try:
            with translated(missing="the price has started"):
                await self._stores.prices.withdraw(price, self._clock.now, audit_entry)
        except Missing as error:
            if (await self.get(merchant_id, price_id)).withdrawn_at is None:
                raise Conflict(
                    f"{public_id} has started: what was charged stays explained by it; set a price that follows it"
                ) from error
        return await self.get(merchant_id, price_id)

    async def get(self, merchant_id: int | None, price_id: int) -> Price:
        """Read a version."""
        await ensure_merchant(self._stores, merchant_id)
        with translated():
            price = await self._stores.prices.find(merchant_id, price_id)
        if price is not None:
            return price
        if merchant_id is None:
            raise Missing("no default price has this id; one of a merchant's own is named with its merchant")
        raise Missing("the merchant has no price of its own that has this id")

    async def named_by(self, transfer: Transfer) -> Price | None:
        """Read the version that a transfer names, if it names one."""
        with translated():
            return await self._stores.prices.named_by(transfer)

    async def list(self, merchant_id: int | None) -> Sequence[Price]:
        """List every version, by type and start, those that were withdrawn too."""
        await ensure_merchant(self._stores, merchant_id)
        with translated():
            return await self._stores.prices.list(merchant_id)

    async def page(self, merchant_id: int | None, *, cursor: str | None, limit: int) -> PricePage:
        """List versions as `list` does, a page of them: after the one that the cursor names, or from the first one."""
        await ensure_merchant(self._stores, merchant_id)
        stores, after = self._stores.prices, None
        with translated():
            if cursor is not None:
                after = await stores.find(merchant_id, inputs.public_id("cursor", ids.PRICE, cursor))
                if after is None:
                    raise InvalidInput("cursor", "not a cursor that a page of this list came with")
            found = await stores.page(merchant_id, after, limit=limit + 1)
            if len(found) <= limit:
                return PricePage(found, [], None)
            last = found[limit - 1]
            versions = await stores.versions(merchant_id, last.request_type)
        later = [price for price in versions if (price.starts_at, price.price_id) > (last.starts_at, last.price_id)]
        return PricePage(found[:limit], later, ids.public_id(ids.PRICE, last.price_id))

    async def request_types(self, merchant_id: int | None) -> Sequence[str]:
        """List the request types that a merchant has, had or will have a price for, the first that was priced first.

        Of no merchant, those that have a default price.
        """
        versions = await self._versions(merchant_id)
        by_age = sorted(versions, key=lambda price: price.price_id)
        standing = (price.request_type for price in by_age if not price.is_end and price.withdrawn_at is None)
        return tuple(dict.fromkeys(standing))

    async def in_force(self, merchant_id: int | None) -> Sequence[Price]:
        """List the prices that a charge of this moment would meet, by type: a merchant's own go before the defaults."""
        return (await self.life(merchant_id)).in_force

    async def life(self, merchant_id: int | None) -> PriceLife:
        """Tell what a merchant's requests cost now, what they will, and which can't be charged any more."""
        return life_of(await self._versions(merchant_id), self._clock.now())

    async def versions(self, merchant_id: int | None, request_type: str) -> Sequence[Price]:
        """List every version of a type, by start, those that were withdrawn too."""
        await ensure_merchant(self._stores, merchant_id)
        with translated():
            return await self._stores.prices.versions(merchant_id, request_type)

    async def own_count(self, request_type: str, at: int) -> int:
        """Tell how many merchants have a price of their own of a type in force at a time."""
        with translated():
            return await self._stores.prices.own_count(request_type, at)

    async def _versions(self, merchant_id: int | None) -> Sequence[Price]:
        """List all versions that a merchant may meet."""
        with translated():
            versions = list(await self._stores.prices.list(None))
            if merchant_id is not None:
                versions += await self._stores.prices.list(merchant_id)
        return versions

    def _new(
        self,
        request_type: str,
        unit_price: int | None,
        rule: Rule | None,
        merchant_id: int | None,
        starts: str | None,
        *,
        is_end: bool = False,
    ) -> Price:
        now = self._clock.now()
        starts_at = now if starts is None else inputs.time("from", starts)
        if starts_at < now:
            raise InvalidInput("from", "a price can't start in the past")
        return Price(
            self._id_generator.next(),
            inputs.request_type("type", request_type),
            unit_price,
            starts_at,
            merchant_id,
            rule,
            is_end,
        )

    async def _add(
        self, price: Price, action: Action, detail: str, principal: Principal | None, request_key: RequestKey | None
    ) -> None:
        ensure_may(principal, Operation.SET_PRICE)
        now = self._clock.now()
        audit_entry = audit_entry_by(
            principal,
            now,
            action,
            merchant_id=price.merchant_id,
            subject=ids.public_id(ids.PRICE, price.price_id),
            detail=detail,
        )
        conflict = f"a price of {price.request_type!r} starts at {inputs.format_time(price.starts_at)} already"
        with translated(conflict=conflict):
            await self._stores.prices.add(price, now, audit_entry, repeat_of(request_key, price.price_id, now))

    async def _words(self, price: Price) -> str:
        if price.rule is not None and price.rule != FREE_REQUESTS:
            return "by a rule"
        if price.is_variable:
            return "variable"
        unit_price = price.unit_price or 0
        if price.merchant_id is None:
            return format_amount(unit_price)
        with translated():
            account = await self._stores.accounts.find(price.merchant_id)
        if account is None:
            raise unknown_merchant(price.merchant_id)
        return format_money_with_code(unit_price, account.currency)


async def ensure_merchant(stores: Stores, merchant_id: int | None) -> None:
    """Go on if there is this merchant, or if with None the defaults are meant.

    Raises:
        UnknownMerchant: there is none.
    """
    with translated():
        if merchant_id is not None and await stores.merchants.find(merchant_id) is None:
            raise unknown_merchant(merchant_id)
