"""Usage by API key: as JSON and CSV have it."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.money import format_amount
from farebox.presenters.fields import AMOUNT_OUT, KeyId, Time, id_or_none
from farebox.service import inputs
from farebox.service.csv_files import csv_of
from farebox.service.insight.key_usage import KeyUsageLine
from farebox.service.operator.merchants import ApiKey


class KeyUsageLineData(Struct, frozen=True, rename="camel"):
    """What one key's requests of one type came to within one hour or day."""

    starts_at: Time
    key_id: Annotated[KeyId | None, Meta(description="Null for requests that named the merchant by its id.")]
    key_name: Annotated[str | None, Meta(description="The key's name, if it has one.", examples=["batch jobs"])]
    type: Annotated[str, Meta(examples=["image"])]
    count: Annotated[int, Meta(description="Requests: the sum of quantities charged and captured.", examples=[1200])]
    cost: Annotated[str, Meta(description="What they took.", examples=["9.60"], extra_json_schema=AMOUNT_OUT)]
    refunded: Annotated[
        str, Meta(description="What was given back in this time.", examples=["0.00"], extra_json_schema=AMOUNT_OUT)
    ]


class KeyUsageSum(Struct, frozen=True):
    """What one key's requests came to in all days that are shown."""

    key: ApiKey | None
    requests: int
    cost: int
    refunded: int


def key_usage_data(lines: Sequence[KeyUsageLine], keys: Sequence[ApiKey]) -> list[KeyUsageLineData]:
    """Tell of usage by key as JSON has it; `keys` are the merchant's."""
    names = {key.key_id: key.name for key in keys}
    return [
        KeyUsageLineData(
            starts_at=inputs.format_time(line.starts_at),
            key_id=id_or_none(ids.KEY, line.key_id),
            key_name=None if line.key_id is None else names.get(line.key_id),
            type=line.request_type,
            count=line.requests,
            cost=format_amount(line.cost),
            refunded=format_amount(line.refunded),
        )
        for line in lines
    ]


def key_usage_csv(lines: Sequence[KeyUsageLine], keys: Sequence[ApiKey]) -> bytes:
    """Write usage by key as CSV; requests that named no key have empty cells."""
    return csv_of(KeyUsageLineData, key_usage_data(lines, keys), texts=["keyName"])


def key_usage_sums(lines: Sequence[KeyUsageLine], keys: Sequence[ApiKey]) -> list[KeyUsageSum]:
    """Sum lines up by key, the most expensive first."""
    by_number: Mapping[int, ApiKey] = {key.key_id: key for key in keys}
    sums: dict[int | None, list[int]] = {}
    for line in lines:
        found = sums.setdefault(line.key_id, [0, 0, 0])
        for place, number in enumerate((line.requests, line.cost, line.refunded)):
            found[place] += number
    rows = [KeyUsageSum(None if number is None else by_number.get(number), *parts) for number, parts in sums.items()]
    return sorted(rows, key=lambda row: (-row.cost, row.key.key_id if row.key else 0))
