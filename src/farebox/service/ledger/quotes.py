"""Quotes: what a charge of this moment would cost, worked out by the same function, with no money looked at."""

from collections.abc import Mapping
from typing import Final, TypeVar

from msgspec import Struct

from farebox.core import quotes
from farebox.core.commands import Charge, Payer
from farebox.core.currencies import format_money_with_code
from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.period_counts import PeriodCounts
from farebox.core.prices import Price, in_force
from farebox.core.pricing.times import period_start
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Refused, UnknownMerchant, translated
from farebox.service.ledger.operations import MERCHANT_NOT_FOUND, checked_measures
from farebox.service.ledger.request_fields import QuoteFields
from farebox.service.people.api_keys import parse_payer
from farebox.service.people.imported_keys import ImportedKeys
from farebox.storage.stores import Stores

_Told = TypeVar("_Told")

_NOBODY: Final = 0
"""Stands for the merchant where a default price is quoted to nobody in particular."""


class QuoteAsked(Struct, frozen=True):
    """A quote as the command line and pages ask for it."""

    type: str
    quantity: int | None = None
    quantities: Mapping[str, object] | None = None
    requested_at: str | None = None
    amount: str | None = None


class Quoted(Struct, frozen=True):
    """A quote, and what it was worked out by; `currency` is None for a default price that is quoted to nobody."""

    price: Price
    quote: quotes.Quote
    at: int
    """The time by which windows and periods were chosen, in microseconds since 1970."""
    currency: str | None

    @property
    def period_starts_at(self) -> int | None:
        """When the period began whose units count, if the price has one."""
        rule = self.price.rule
        return None if rule is None or rule.period is None else period_start(rule.period, self.at)


class Quotes:
    """Tells costs. Every method may raise Unavailable."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Read prices and counts from these stores."""
        self._stores = stores
        self._clock = clock
        self._imported_keys = ImportedKeys(stores.api_keys)

    async def quote(self, fields: QuoteFields, merchant_id: int | None) -> Quoted:
        """Tell what a charge of these fields would cost a merchant now; for no merchant, by the default price.

        Units that were counted up to now count; a frozen merchant and one without balance are told the cost all the
        same.

        Raises:
            InvalidInput: a field is wrong.
            UnknownMerchant: there is no such merchant.
            Refused: a charge would be refused, for what it asks or because the type has no price.
        """
        request_type = inputs.request_type("type", fields.type)
        quantity = 1 if fields.quantity is None else inputs.quantity("quantity", fields.quantity)
        amount = None if fields.amount is None else inputs.amount("amount", fields.amount)
        quantities, requested_at = checked_measures(fields)
        command = Charge(
            Payer(_NOBODY if merchant_id is None else merchant_id),
            request_type,
            quantity,
            idempotency_key="",
            amount=amount,
            quantities=quantities,
            requested_at=requested_at,
        )
        now = self._clock.now()
        at = now if requested_at is None else requested_at
        currency = None if merchant_id is None else await self._currency(merchant_id)
        price = _done(in_force(*await self._versions(merchant_id, request_type, now), request_type))
        quote = _done(quotes.quote(price, command, now, await self._counts(price, merchant_id, at)))
        if quote.amount > AMOUNT_MICROS_MAX:
            largest = format_money_with_code(AMOUNT_MICROS_MAX, currency or "")
            raise Refused(refused(Code.AMOUNT_TOO_LARGE, f"One charge is at most {largest.strip()}"))
        return Quoted(price, quote, at, currency)

    async def merchant_of(self, text: str) -> int:
        """Read whom a quote is for, named by id or by API key.

        Raises:
            Refused: the text names no merchant.
        """
        payer = parse_payer(text) or (await self._imported_keys.payers([text])).get(text)
        if payer is None:
            raise Refused(MERCHANT_NOT_FOUND)
        if payer.digest is not None:
            with translated():
                key = await self._stores.api_keys.authenticate(payer.merchant_id, payer.digest)
            if key is None or not key.is_valid_at(self._clock.now()):
                raise Refused(MERCHANT_NOT_FOUND)
        return payer.merchant_id

    async def _currency(self, merchant_id: int) -> str:
        with translated():
            account = await self._stores.accounts.find(merchant_id)
        if account is None:
            raise UnknownMerchant
        return account.currency

    async def _versions(
        self, merchant_id: int | None, request_type: str, now: int
    ) -> tuple[Price | None, Price | None]:
        """Read the merchant's own version and the default that started last."""
        prices = self._stores.prices
        with translated():
            own = None if merchant_id is None else await prices.in_force(merchant_id, request_type, now)
            return own, await prices.in_force(None, request_type, now)

    async def _counts(self, price: Price, merchant_id: int | None, at: int) -> PeriodCounts:
        if merchant_id is None or price.rule is None or price.rule.period is None:
            return PeriodCounts()
        starts_at = period_start(price.rule.period, at)
        with translated():
            counts = await self._stores.prices.period_counts(merchant_id, price.request_type, starts_at)
        return PeriodCounts(
            {
                (merchant_id, price.request_type, starts_at, count.period_unit, count.line): count.units
                for count in counts
            }
        )


def _done(told: _Told | Outcome) -> _Told:
    """Return what was told.

    Raises:
        Refused: it could not be told.
    """
    if isinstance(told, Outcome):
        raise Refused(told)
    return told
