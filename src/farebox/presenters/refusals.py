"""Refused requests: as JSON and CSV have them, and in words."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from farebox.core.outcomes import Code
from farebox.presenters.fields import Time
from farebox.service import inputs
from farebox.service.csv_files import csv_of
from farebox.service.insight.refusal_words import reason_words
from farebox.service.insight.refusals import LINES_MAX, RefusalLine
from farebox.service.languages import ENGLISH, Language, gettext_noop

_OTHERS: Final = gettext_noop("further types")
_FOR_MONEY: Final = frozenset({Code.INSUFFICIENT_BALANCE, Code.MONEY_OWED})


class RefusalLineData(Struct, frozen=True, rename="camel"):
    """Requests of one type that were refused for one reason within one hour or day."""

    starts_at: Time
    type: Annotated[
        str | None,
        Meta(
            description=f"Null: types beyond the {LINES_MAX} types and reasons that a quarter of an hour has by name.",
            examples=["image"],
        ),
    ]
    reason: Annotated[
        str, Meta(description="The code with which they were refused.", examples=["insufficient_balance"])
    ]
    count: Annotated[int, Meta(description="How many requests were refused.", examples=[12])]


class RefusedSum(Struct, frozen=True):
    """How many requests were refused of a type for a reason, in words, in all days that are shown."""

    type_words: str
    reason_words: str
    requests: int


def refusal_data(line: RefusalLine) -> RefusalLineData:
    """Tell of refusals as JSON has them."""
    return RefusalLineData(inputs.format_time(line.starts_at), line.request_type, line.reason, line.requests)


def refusals_csv(lines: Sequence[RefusalLine]) -> bytes:
    """Write refusals as CSV; the type of further types is an empty cell."""
    return csv_of(RefusalLineData, map(refusal_data, lines))


def type_words(request_type: str | None, spoken: Language = ENGLISH) -> str:
    """Name a request type of a line."""
    return request_type or spoken.gettext(_OTHERS)


def refused_today(by_reason: Mapping[str, int], spoken: Language = ENGLISH) -> str:
    """Say how many requests were refused today; nothing if none was."""
    for_money = sum(by_reason.get(reason, 0) for reason in _FOR_MONEY)
    others = sum(by_reason.values()) - for_money
    if for_money:
        words = spoken.ngettext(
            "%(count)s request was refused for lack of money today",
            "%(count)s requests were refused for lack of money today",
            for_money,
        )
        if not others:
            return f"{words}."
        return spoken.ngettext(
            "%(words)s, and %(count)s for other reasons.",
            "%(words)s, and %(count)s for other reasons.",
            others,
            words=words,
        )
    if not others:
        return ""
    return spoken.ngettext("%(count)s request was refused today.", "%(count)s requests were refused today.", others)


def refused_sums(lines: Sequence[RefusalLine], spoken: Language = ENGLISH) -> list[RefusedSum]:
    """Sum lines up over all their days, the largest sums first."""
    sums: dict[tuple[str, str], int] = {}
    for line in lines:
        words = (type_words(line.request_type, spoken), reason_words(line.reason, spoken))
        sums[words] = sums.get(words, 0) + line.requests
    return [
        RefusedSum(*words, requests) for words, requests in sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    ]


def refused_by_day(lines: Sequence[RefusalLine]) -> list[tuple[int, int, int]]:
    """Sum lines up by day, newest first: when it starts, how many were refused for lack of money, how many in all."""
    days: dict[int, tuple[int, int]] = {}
    for line in lines:
        for_money, in_all = days.get(line.starts_at, (0, 0))
        is_for_money = line.reason in _FOR_MONEY
        days[line.starts_at] = (for_money + (line.requests if is_for_money else 0), in_all + line.requests)
    return [(starts_at, *counts) for starts_at, counts in sorted(days.items(), reverse=True)]
