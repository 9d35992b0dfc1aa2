"""Usage by API key: what the requests that named each key came to, by hour or day of a time zone.

It is rolled up and exact as usage is. Requests that named the merchant by its id, or that were made before transfers
kept their keys, make up what is left of the whole.
"""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.insight.quarters import By, chosen_days, read_buckets
from farebox.storage.sums.usage import UsageStore

_Key: TypeAlias = tuple[int, int, str]
"""When an hour or day starts, a key's number or 0, and a request type."""


class KeyUsageLine(Struct, frozen=True):
    """One key's requests of one type within one hour or day; `key_id` is None for those that named no key."""

    starts_at: int
    key_id: int | None
    request_type: str
    requests: int
    cost: int
    refunded: int


class KeyUsageReader:
    """Reads usage by key. Every method may raise Unavailable."""

    def __init__(self, usage: UsageStore, clock: Clock) -> None:
        """Read from this store."""
        self._usage = usage
        self._clock = clock

    async def read(
        self,
        merchant_id: int,
        *,
        by: By,
        first: str | None,
        last: str | None,
        zone: str,
        request_type: str | None = None,
        key_id: int | None = None,
    ) -> Sequence[KeyUsageLine]:
        """Read a merchant's usage by key, oldest first, keys and types in order; requests without a key come first.

        Args:
            merchant_id: whose.
            by: hours or days.
            first: the first day, such as 2026-01-31; by default 30 days (or a week, by hours) up to `last`.
            last: the last day; by default today.
            zone: the IANA time zone whose days these are.
            request_type: this one alone.
            key_id: this key alone.

        Raises:
            InvalidInput: a day, zone or type that makes no sense, or too many of them, as for all usage.
        """
        wanted = None if request_type is None else inputs.request_type("type", request_type)
        days = chosen_days(by=by, first=first, last=last, zone=zone, now=self._clock.now())
        sums: dict[_Key, list[int]] = {}
        # The keys' part goes first, so that a charge of this moment is never more than the whole.
        async for starts_at, item in read_buckets(self._usage.buckets_by_key, merchant_id, days, by):
            parts = (item.requests, item.cost, item.refunded)
            _add(sums, (starts_at, item.key_id, item.request_type), parts, 1)
            _add(sums, (starts_at, 0, item.request_type), parts, -1)
        async for starts_at, total in read_buckets(self._usage.buckets, merchant_id, days, by):
            _add(sums, (starts_at, 0, total.request_type), (total.requests, total.cost, total.refunded), 1)
        return [
            KeyUsageLine(starts_at, number or None, name, *parts)
            for (starts_at, number, name), parts in sorted(sums.items())
            if any(parts) and wanted in (None, name) and key_id in (None, number)
        ]


def _add(sums: dict[_Key, list[int]], key: _Key, parts: Sequence[int], sign: int) -> None:
    found = sums.setdefault(key, [0, 0, 0])
    for place, number in enumerate(parts):
        found[place] += sign * number
