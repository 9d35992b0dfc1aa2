"""What it comes to to price a new request type, to end a price, or to withdraw one that is still to come."""

from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from farebox.core import ids
from farebox.core.prices import Price
from farebox.presenters.prices import PriceVersions, price_words
from farebox.web.pages import render
from farebox.web.pages.preview import Preview, facts_of

_OTHERS_MAX: Final = 12
"""How many of the types that have a price are named beside one that has none."""


def new_type(root: str, name: str, words: str, others: Sequence[str], fields: Mapping[str, str]) -> Preview:
    """Ask whether a request type that was not used so far is meant, beside others that were."""
    shown = others[:_OTHERS_MAX]
    more = f" and {len(others) - len(shown):,} more" if len(others) > len(shown) else ""
    return Preview(
        action=root,
        back=root,
        question=f"“{name}” was not used so far: really?",
        facts=[
            ("Request type", name),
            ("Price", words),
            ("Used so far", render.joined(shown) if not more else f"{', '.join(shown)}{more}"),
        ],
        button=f"Set a price for the new type {name}",
        fields=fields,
        notice="A price counts only for requests of exactly this name. Nothing is set yet.",
    )


def ending(root: str, versions: PriceVersions, default: Price | None, currency: str, *, is_merchants: bool) -> Preview:
    """Tell what it comes to to end what is in force of a type: a merchant's own, or the default of all."""
    name, price = versions.request_type, versions.in_force
    now = None if price is None else price_words(price, currency)
    if is_merchants:
        then = "nothing: such requests are refused" if default is None else price_words(default, currency)
        facts = facts_of(("It pays now", now), ("From then on, by the default", then))
        question, button = f"End the merchant's own price of {name}?", "End it now"
    else:
        facts = facts_of(
            ("Price now", now),
            (
                "From then on",
                "every charge and hold of this type is refused, of merchants with a price of their own too",
            ),
            ("Holds that there are", "can be captured and released"),
        )
        question, button = f"Retire {name}?", f"Retire {name} now"
    coming = f"{len(versions.coming):,}, which start as they were set" if versions.coming else None
    return Preview(
        action=f"{root}/end",
        back=root,
        question=question,
        facts=[
            *facts,
            *facts_of(("Versions to come", coming)),
            ("Taking it back", "a new price can be set at any time"),
        ],
        button=button,
        fields={"type": name},
        is_danger=True,
        is_done_once=True,
    )


def withdrawal(root: str, price: Price, currency: str, zone: ZoneInfo) -> Preview:
    """Tell what it comes to to withdraw a version before it starts."""
    return Preview(
        action=f"{root}/withdraw",
        back=root,
        question=f"Withdraw this price of {price.request_type}?",
        facts=[
            ("Price", price_words(price, currency)),
            ("It was to start", render.moment(price.starts_at, zone)),
            ("From then on", "it never starts; the version before it goes on"),
            ("Taking it back", "is not possible; the same price can be set again"),
        ],
        button="Withdraw it",
        fields={"price": ids.public_id(ids.PRICE, price.price_id)},
        is_danger=True,
    )
