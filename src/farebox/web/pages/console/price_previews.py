"""What it comes to to price a new request type, to end a price, or to withdraw one that is still to come."""

from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup
from msgspec import Struct

from farebox.core import ids
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.presenters.prices import request_cost_words
from farebox.service.inputs import format_time
from farebox.service.languages import ENGLISH
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
            ("Used so far", ENGLISH.listed(shown) if not more else f"{', '.join(shown)}{more}"),
        ],
        button=f"Set a price for the new type {name}",
        fields=fields,
        notice="A price counts only for requests of exactly this name. Nothing is set yet.",
    )


def retired_type(root: str, name: str, words: str, fields: Mapping[str, str]) -> Preview:
    """Ask whether a merchant is meant to have a price of its own of a type that nobody is charged for then."""
    return Preview(
        action=root,
        back=root,
        question=f"{name} is retired then: set a price all the same?",
        facts=[
            ("Price", words),
            ("From then on", f"requests of type {name} are refused all the same, charges and holds"),
            ("It counts", "once a new default price of the type starts"),
        ],
        button=f"Set its own price of {name}",
        fields=fields,
        notice="A type that is retired is refused for all merchants, those with a price of their own too. Nothing is "
        "set yet.",
    )


class PriceNeighbours(Struct, frozen=True):
    """A version of a price among those that were not withdrawn: what it follows, and what follows it."""

    price: Price
    before: Price | None
    after: Price | None


class PriceEnd(Struct, frozen=True):
    """The end of a price, as it is asked for: a merchant's own, or the default of all."""

    price: Price
    """The version in force until then."""
    at: int
    is_now: bool
    default: Price | Outcome | None
    """What the merchant is charged by from then on; None if it is the default that ends."""
    following: Price | None
    """The version that is to start after the end."""
    own_count: int
    """How many merchants have a price of their own of the type then."""


def ending(root: str, end: PriceEnd, currency: str, zone: ZoneInfo) -> Preview:
    """Tell what it comes to to end a price."""
    name = end.price.request_type
    starts = "From now on" if end.is_now else Markup("From {} on").format(_time(end.at, zone))
    until = "Price now" if end.is_now else "Price until then"
    facts = [(until, _words(end.price, currency))]
    if end.default is None:
        question, button = f"Retire {name}?", f"Retire {name}"
        own = f"{end.own_count:,}, whose requests are refused as well" if end.own_count else "none"
        facts += [
            (starts, f"requests of type {name} are refused, charges and holds"),
            ("Merchants with a price of their own", own),
            ("Holds that there are", "can be captured and released"),
        ]
    else:
        question, button = f"End the merchant's own price of {name}?", "End its own price"
        then = f"nothing: requests of type {name} are refused"
        if isinstance(end.default, Price):
            then = f"it pays the default: {_words(end.default, currency)}"
        facts.append((starts, then))
    if end.following is not None:
        words = Markup("{}, by a price that is set already: {}")
        again = words.format(_time(end.following.starts_at, zone), _words(end.following, currency))
        facts.append(("It starts again", again))
    back = "the end can be withdrawn until it comes; later, a new price can be set"
    facts.append(("Taking it back", "a new price can be set at any time" if end.is_now else back))
    return Preview(
        action=f"{root}/end",
        back=root,
        question=question,
        facts=facts,
        button=f"{button} now" if end.is_now else f"{button} then",
        fields={"type": name} if end.is_now else {"type": name, "starts": format_time(end.at)},
        is_danger=True,
        is_done_once=True,
    )


def withdrawal(root: str, versions: PriceNeighbours, currency: str, zone: ZoneInfo) -> Preview:
    """Tell what it comes to to withdraw a version before it starts."""
    price, before, after = versions.price, versions.before, versions.after
    is_own = price.merchant_id is not None
    if before is None:
        goes_on = "the default goes on, if there is one" if is_own else "it has no price, so its requests are refused"
    elif before.is_end:
        goes_on = "the default goes on, if there is one" if is_own else "it stays retired"
    else:
        goes_on = f"what it costs before goes on: {_words(before, currency)}"
    what = "end of the price" if price.is_end else "price"
    return Preview(
        action=f"{root}/withdraw",
        back=root,
        question=f"Withdraw this {what} of {price.request_type}?",
        facts=[
            *facts_of(("Price", None if price.is_end else _words(price, currency))),
            ("It was to start" if not price.is_end else "It was to end", _time(price.starts_at, zone)),
            ("From then on", goes_on),
            *([] if after is None else [("What follows stays set", _following(after, currency, zone))]),
            ("Taking it back", "is not possible; the same can be set again"),
        ],
        button="Withdraw it",
        fields={"price": ids.public_id(ids.PRICE, price.price_id)},
        is_danger=True,
    )


def _following(after: Price, currency: str, zone: ZoneInfo) -> Markup:
    words = "the price ends" if after.is_end else _words(after, currency)
    return Markup("from {} on: {}").format(_time(after.starts_at, zone), words)


def _time(micros: int, zone: ZoneInfo) -> Markup:
    """Write a time with its zone, as what happens then happens everywhere."""
    return Markup("{} ({})").format(render.moment(micros, zone), zone.key)


def _words(price: Price, currency: str) -> str:
    return request_cost_words(price.unit_price, price.rule, currency)
