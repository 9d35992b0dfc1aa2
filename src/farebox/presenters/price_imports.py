"""What an import of a price list changes, as data and in words."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from farebox.presenters.fields import amount_or_none
from farebox.presenters.prices import request_cost_words
from farebox.service import inputs
from farebox.service.catalogue.difference import Change, Difference
from farebox.service.catalogue.imports import Comparison
from farebox.service.catalogue.listed import Offer
from farebox.service.price_texts import write_rule


class OfferData(Struct, frozen=True, rename="camel"):
    """What a request type costs: a rule or a unit price; with neither it is variable."""

    unit_price: str | None
    rule: dict[str, Any] | None


class DifferenceData(Struct, frozen=True, rename="camel"):
    """A request type of the list, and what becomes of it."""

    type: str
    change: str
    starts_at: str
    before: OfferData | None
    after: OfferData | None
    problem: str | None
    remarks: tuple[str, ...]


class ImportData(Struct, frozen=True, rename="camel"):
    """What an import changes, or changed if it is made."""

    is_made: bool
    starts_at: str
    counts: dict[str, int]
    not_in_list: int
    differences: Sequence[DifferenceData]


def import_data(comparison: Comparison, *, is_made: bool) -> ImportData:
    """Tell what an import changes."""
    return ImportData(
        is_made=is_made,
        starts_at=inputs.format_time(comparison.starts_at),
        counts={change.value: count for change, count in comparison.counts.items()},
        not_in_list=comparison.others,
        differences=[_difference(difference) for difference in comparison.differences],
    )


def offer_words(offer: Offer | None, currency: str) -> str:
    """Write an offer in one line; "" for the currency of a default price."""
    return "no price" if offer is None else request_cost_words(offer.unit_price, offer.rule, currency)


def change_words(difference: Difference, currency: str) -> str:
    """Write what becomes of a type's price: what it is, what it was and is to be, or why it is left out."""
    if difference.change == Change.LEFT_OUT:
        return _problem(difference) or ""
    after = offer_words(difference.listed.offer, currency)
    if difference.change == Change.CHANGED:
        return f"{offer_words(difference.before, currency)} → {after}"
    return after


def left_out_counts(comparison: Comparison) -> list[tuple[str, int]]:
    """Count the types that are left out by the reason, the most frequent first."""
    reasons = Counter(
        difference.listed.problem.reason.value
        for difference in comparison.differences
        if difference.listed.problem is not None
    )
    return reasons.most_common()


def _difference(difference: Difference) -> DifferenceData:
    return DifferenceData(
        type=difference.listed.request_type,
        change=difference.change.value,
        starts_at=inputs.format_time(difference.starts_at),
        before=_offer(difference.before),
        after=_offer(difference.listed.offer),
        problem=_problem(difference),
        remarks=difference.listed.remarks,
    )


def _offer(offer: Offer | None) -> OfferData | None:
    if offer is None:
        return None
    return OfferData(amount_or_none(offer.unit_price), None if offer.rule is None else write_rule(offer.rule))


def _problem(difference: Difference) -> str | None:
    problem = difference.listed.problem
    return None if problem is None else f"{problem.reason.value}: {problem.detail}"
