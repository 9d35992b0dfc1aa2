"""Budgets of merchants' API keys, and the keys' names: set by a merchant's owners or by support."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Account
from farebox.core.audit_log import Action
from farebox.core.credit.budgets import BUDGET_WORDS, Budget, BudgetUnit
from farebox.core.currencies import fits_minor_unit, format_money_with_code, too_fine
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, translated
from farebox.service.operator.merchants import Merchants, key_audit_entry, key_operation
from farebox.service.people.api_keys import Principal, ensure_may
from farebox.storage.records import ApiKey
from farebox.storage.stores import Stores

UNITS: Final[dict[str, int]] = {word: unit for unit, word in BUDGET_WORDS.items()}
"""How long a limit may be for, as it is named."""


class Limit(Struct, frozen=True):
    """One limit of a budget at this moment. Amounts are micros, times microseconds since 1970."""

    unit: int
    amount: int
    spent: int
    left: int
    ends_at: int | None
    """When it starts anew; None if it never does."""

    @property
    def word(self) -> str:
        """How long it is for, as the API names it."""
        return BUDGET_WORDS[self.unit]


class KeyBudget(Struct, frozen=True):
    """What an API key, together with its predecessors and successors, may spend."""

    zone: str
    limits: Sequence[Limit]

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left of one of its limits."""
        return any(limit.left == 0 for limit in self.limits)


class KeyBudgets:
    """Names API keys and sets their budgets. Every method may raise InvalidInput, Missing or Unavailable."""

    def __init__(self, stores: Stores, clock: Clock, merchants: Merchants) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock
        self._merchants = merchants

    async def of(self, keys: Sequence[ApiKey]) -> Mapping[int, KeyBudget]:
        """Tell the budgets of keys that have one, by the key's number; all of them are one merchant's."""
        if not any(key.budget_id for key in keys):
            return {}
        with translated():
            budgets = await self._stores.budgets.list(keys[0].merchant_id or 0)
        now = self._clock.now()
        limits: dict[int, list[Budget]] = {}
        for budget in budgets:
            limits.setdefault(budget.budget_id, []).append(budget)
        return {
            key.key_id: KeyBudget(limits[key.budget_id][0].zone, [_limit(item, now) for item in limits[key.budget_id]])
            for key in keys
            if key.budget_id in limits
        }

    async def of_key(self, key: ApiKey) -> KeyBudget | None:
        """Tell the budget of a key; None if it has none."""
        return (await self.of([key])).get(key.key_id)

    async def set(
        self, key_id: int, limits: Mapping[str, str], *, zone: str, principal: Principal | None = None
    ) -> ApiKey:
        """Replace the budget of a merchant's key, and of its predecessors and successors; no limits, no budget.

        Args:
            key_id: the key.
            limits: amounts in the merchant's currency, 0 for nothing at all, by "day", "week", "month" or "total".
            zone: the IANA time zone whose days, weeks and months these are.
            principal: who does it; None for Farebox itself.

        Raises:
            Conflict: it is a service's or support's key, which spends nothing of its own.
        """
        key = await self._merchants.key(key_id)
        ensure_may(principal, key_operation(key.merchant_id))
        account, amounts = await self._checked(key, limits, zone)
        words = ", ".join(
            f"{format_money_with_code(amount, account.currency)} {unit_words(unit)}" for unit, amount in amounts
        )
        now = self._clock.now()
        more = f"limited to {words} ({zone})" if words else "without a limit"
        entry = key_audit_entry(principal, now, Action.SET_KEY_BUDGET, key, more)
        with translated():
            await self._stores.budgets.put(account.merchant_id, key_id, amounts, zone=zone, audit_entry=entry)
        return await self._merchants.key(key_id)

    async def would_be(self, key: ApiKey, limits: Mapping[str, str], *, zone: str) -> KeyBudget:
        """Tell what a budget would be if it were set at this moment; nothing is changed."""
        account, amounts = await self._checked(key, limits, zone)
        now = max(self._clock.now(), account.last_at)
        with translated():
            budgets = await self._stores.budgets.would_be(account.merchant_id, key, amounts, zone=zone, now=now)
        return KeyBudget(zone, [_limit(item, now) for item in budgets])

    async def _checked(
        self, key: ApiKey, limits: Mapping[str, str], zone: str
    ) -> tuple[Account, list[tuple[int, int]]]:
        """Check what is to be a merchant's key's budget; return the merchant's account, and units and amounts."""
        if key.merchant_id is None:
            raise Conflict("a service's or support's key has no money to spend; only merchants' keys have budgets")
        inputs.time_zone("timeZone", zone)
        _, account = await self._merchants.get(key.merchant_id)
        amounts = []
        for word, text in limits.items():
            amount = inputs.amount(word, text, is_zero_allowed=True)
            if not fits_minor_unit(amount, account.currency):
                raise InvalidInput(word, too_fine(amount, account.currency))
            amounts.append((UNITS[word], amount))
        return account, sorted(amounts)

    async def rename(self, key_id: int, name: str | None, *, principal: Principal | None = None) -> ApiKey:
        """Give a key another name; a merchant's may have none."""
        key = await self._merchants.key(key_id)
        ensure_may(principal, key_operation(key.merchant_id))
        if name is None and key.merchant_id is None:
            raise InvalidInput("name", "a service's or support's key has a name")
        checked = None if name is None else inputs.name("name", name)
        if checked == key.name:
            return key
        more = f"named {checked}" if checked else "without a name"
        entry = key_audit_entry(principal, self._clock.now(), Action.RENAME_KEY, key, more)
        with translated():
            await self._stores.api_keys.rename(key, checked, entry)
        return await self._merchants.key(key_id)


def _limit(budget: Budget, now: int) -> Limit:
    present = budget.at(now)
    return Limit(budget.unit, budget.amount, present.spent, present.left(now), budget.ends_at(now))


def unit_words(unit: int) -> str:
    """Say how long a limit is for: per day; in all."""
    return "in all" if unit == BudgetUnit.TOTAL else f"per {BUDGET_WORDS[unit]}"
