"""Imports of price lists: what one would change, and the change itself, in one transaction with one audit entry."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from fractions import Fraction
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.audit_log import Action
from farebox.core.permissions import Operation
from farebox.core.prices import Price
from farebox.service import inputs
from farebox.service.catalogue.amounts import marked_up
from farebox.service.catalogue.difference import Change, Difference, differences
from farebox.service.catalogue.files import read_file, read_json
from farebox.service.catalogue.genai_prices import read_genai_prices
from farebox.service.catalogue.listed import Inexpressible, Listed, Problem, Reason, printable
from farebox.service.catalogue.litellm import read_litellm
from farebox.service.catalogue.markup import read_filter, read_markup
from farebox.service.catalogue.own import read_own
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, translated
from farebox.service.id_generator import IdGenerator
from farebox.service.operator.prices import ensure_merchant
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.interface import Repeated
from farebox.storage.stores import Stores

TYPES_MAX: Final = 20_000
"""How many request types one import may be about; the largest known list comes to a third of that."""

_WRITE_MICROS: Final = 300
"""The time that is left for writing each price of an import that starts at once, so that all are there before the first
is in force: what is charged meanwhile is explained by the price before it."""

_MEANWHILE: Final = "prices were set meanwhile, so that this import would change something else; look at it again"
_FINGERPRINT_BYTES: Final = 16
_MICROS_PER_SECOND: Final = 1_000_000


class ListKind(StrEnum):
    """Whose format a price list is in."""

    OWN = "own"
    LITELLM = "litellm"
    GENAI_PRICES = "genai-prices"


class ListImport(Struct, frozen=True, kw_only=True):
    """A price list, and how it is to be taken over; texts are as they were typed."""

    data: bytes
    kind: ListKind = ListKind.OWN
    markup: str | None = None
    pattern: str | None = None
    """The request types that are meant; all of them, if None."""
    starts: str | None = None
    """When prices begin that have no start of their own; now, if None."""
    reads_fractions: bool = False
    merchant_id: int | None = None
    """Whose own prices they become; the defaults, if None."""


class Comparison(Struct, frozen=True):
    """What an import changes; `others` is the number of request types that have a price and are not in the list."""

    differences: Sequence[Difference]
    starts_at: int
    others: int

    @property
    def counts(self) -> dict[Change, int]:
        """Count what becomes of the list's types."""
        found = Counter(difference.change for difference in self.differences)
        return {change: found[change] for change in Change}

    @property
    def fingerprint(self) -> str:
        """Tell whether two comparisons come to the same changes, whenever each of them starts."""
        changes = [(item.listed.request_type, item.change, item.before, item.listed.offer) for item in self.changes]
        return blake2b(msgspec.json.encode(changes), digest_size=_FINGERPRINT_BYTES).hexdigest()

    @property
    def changes(self) -> list[Difference]:
        """List what is new or changed."""
        return [difference for difference in self.differences if difference.change in (Change.NEW, Change.CHANGED)]


class PriceImports:
    """Compares price lists with the prices that there are, and takes them over.

    Every method may raise InvalidInput, UnknownMerchant, Conflict or Unavailable.
    """

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock
        self._id_generator = IdGenerator(clock)

    async def compare(self, price_list: ListImport) -> Comparison:
        """Tell what an import of this moment would change; nothing is written."""
        now = self._clock.now()
        starts_at = None if price_list.starts is None else inputs.time("starts", price_list.starts)
        if starts_at is not None and starts_at < now:
            raise InvalidInput("starts", "a price can't start in the past")
        # A long list takes a second to read, in which the server goes on charging.
        listed = await asyncio.to_thread(lambda: list(_chosen(price_list, now if starts_at is None else starts_at)))
        if len(listed) > TYPES_MAX:
            raise InvalidInput("FILE", f"this comes to {len(listed):,} prices; an import has {TYPES_MAX:,} at most")
        if starts_at is None:
            starts_at = self._clock.now() + len(listed) * _WRITE_MICROS
        await ensure_merchant(self._stores, price_list.merchant_id)
        with translated():
            versions = await self._stores.prices.list(price_list.merchant_id)
        named = {item.request_type for item in listed}
        return Comparison(
            await asyncio.to_thread(differences, listed, versions, starts_at),
            starts_at,
            sum(map(_filter(price_list), {version.request_type for version in versions} - named)),
        )

    async def make(
        self,
        price_list: ListImport,
        *,
        seen: str | None = None,
        principal: Principal | None = None,
        request_key: RequestKey | None = None,
    ) -> Comparison:
        """Add a version for each type of the list that is new or has changed: all of them, or none.

        What starts at once is in force on return, so that a price that is set next is the later one. `seen` is the
        fingerprint of the comparison that somebody has seen and agreed to.

        Returns:
            What changed. If that is nothing, nothing is written.

        Raises:
            Conflict: it would change other than what was seen.
        """
        ensure_may(principal, Operation.SET_PRICE)
        comparison = await self.compare(price_list)
        if seen is not None and seen != comparison.fingerprint:
            await self._ensure_not_made(request_key)
            raise Conflict(_MEANWHILE)
        prices = [self._price(difference, price_list.merchant_id) for difference in comparison.changes]
        if not prices:
            return comparison
        now = self._clock.now()
        first = prices[0].price_id
        audit_entry = audit_entry_by(
            principal,
            now,
            Action.IMPORT_PRICES,
            merchant_id=price_list.merchant_id,
            subject=ids.public_id(ids.PRICE, first),
            detail=_detail(price_list, comparison),
        )
        with translated(conflict=_MEANWHILE):
            await self._stores.prices.add_all(prices, now, audit_entry, repeat_of(request_key, first, now))
        if price_list.starts is None:
            await asyncio.sleep(max(comparison.starts_at - self._clock.now(), 0) / _MICROS_PER_SECOND)
        return comparison

    async def _ensure_not_made(self, request_key: RequestKey | None) -> None:
        """Tell whether what is different is what this very request changed, when it came at the same time.

        Raises:
            Repeated: it is.
        """
        if request_key is not None:
            with translated():
                key = request_key.key_id, request_key.idempotency_key
                if await self._stores.repeats.find(*key, self._clock.now()) is not None:
                    raise Repeated("the import was made")

    async def made_with(self, merchant_id: int | None, price_id: int) -> Sequence[Price]:
        """List the versions that an import made, by any of them."""
        with translated():
            return await self._stores.prices.made_with(merchant_id, price_id)

    def _price(self, difference: Difference, merchant_id: int | None) -> Price:
        offer = difference.listed.offer
        assert offer is not None  # noqa: S101 - what has no offer is left out.
        return Price(
            self._id_generator.next(),
            difference.listed.request_type,
            offer.unit_price,
            difference.starts_at,
            merchant_id,
            offer.rule,
        )


def _chosen(price_list: ListImport, starts_at: int) -> Iterator[Listed]:
    """Read a list, and take what is meant, with the markup; names that can't be one are a problem too."""
    is_meant = _filter(price_list)
    factor = Fraction(1) if price_list.markup is None else read_markup("markup", price_list.markup)
    for item in _read(price_list, starts_at):
        if not is_meant(item.request_type):
            continue
        try:
            inputs.request_type("type", item.request_type)
            yield item if item.offer is None else replace(item, offer=marked_up(item.offer, factor))
        except InvalidInput as error:
            problem = Problem(Reason.NAME, error.message)
            yield replace(item, request_type=printable(item.request_type), offer=None, problem=problem)
        except Inexpressible as error:
            yield replace(item, offer=None, problem=error.problem)


def _filter(price_list: ListImport) -> Callable[[str], bool]:
    return (lambda _: True) if price_list.pattern is None else read_filter("filter", price_list.pattern)


def _read(price_list: ListImport, starts_at: int) -> Iterable[Listed]:
    if price_list.kind == ListKind.OWN:
        return read_own(read_file(price_list.data))
    values = read_json(price_list.data)
    if price_list.kind == ListKind.LITELLM:
        return read_litellm(values, reads_fractions=price_list.reads_fractions)
    return read_genai_prices(values, at=starts_at, reads_fractions=price_list.reads_fractions)


def _detail(price_list: ListImport, comparison: Comparison) -> str:
    """Say in a line what was imported: 4812 new, 12 changed from 2027-01-01T00:00:00.000000Z, litellm, +20%, gpt-*."""
    counts = comparison.counts
    starts = inputs.format_time(comparison.starts_at)
    words = f"{counts[Change.NEW]} new, {counts[Change.CHANGED]} changed from {starts}"
    return ", ".join(filter(None, (words, price_list.kind.value, price_list.markup, price_list.pattern)))
