"""Given credit in words for people: what ends when, what a grant pays for, and how much of a transfer was given."""

from datetime import tzinfo
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.credit.grants import Grant, GrantTerms, read_given, read_terms
from farebox.core.currencies import format_money
from farebox.core.transfers import Transfer
from farebox.presenters.times import at, time_words
from farebox.service.date_words import date_and_time
from farebox.service.plain_values import listed

_TYPES_NAMED: Final = 3
"""So many request types are named; of more, it is told how many there are."""

_TAKING: Final = frozenset({Kind.CHARGE, Kind.HOLD, Kind.CAPTURE})
_GIVING_BACK: Final = frozenset({Kind.REFUND, Kind.RELEASE, Kind.EXPIRE})


def types_words(types: str | None) -> str:
    """Say what a grant pays for: every request type; image and review alone."""
    if types is None:
        return "every request type"
    names = types.split(" ")
    if len(names) > _TYPES_NAMED + 1:
        names = [*names[:_TYPES_NAMED], f"{len(names) - _TYPES_NAMED} more"]
    return f"{listed(names)} alone"


def ends_words(grant: Grant, currency: str, zone: tzinfo | None) -> str:
    """Say what ends when: 20.00 ends on 1 December 2026, 00:00; 5.00 for image alone ends on 3 December 2026, 12:00."""
    about = "" if grant.types is None else f" for {types_words(grant.types)}"
    return f"{format_money(grant.left, currency)}{about} ends on {date_and_time(at(grant.expires_at or 0, zone))}"


def terms_words(terms: GrantTerms, zone: tzinfo | None) -> list[tuple[str, str]]:
    """Say on which terms credit is given: a label and words for each, without the amount."""
    starts = "at once" if terms.starts_at is None else time_words(terms.starts_at, zone)
    ends = "not by itself" if terms.expires_at is None else time_words(terms.expires_at, zone)
    return [
        ("Starts", starts),
        ("Ends", ends),
        ("Pays for", types_words(terms.types)),
        ("Priority", priority_words(terms.priority)),
    ]


def requested_terms(text: str, zone: tzinfo | None) -> str:
    """Say in a line on which terms a grant is requested, as its request for approval has them."""
    _, terms = read_terms(text)
    words = [f"{label.lower()} {told}" for label, told in terms_words(terms, zone)[:3]]
    return f"It {', '.join(words)}"


def priority_words(priority: int) -> str:
    """Say when a grant is spent, by its priority."""
    return "0, spent before paid money" if priority == 0 else f"{priority}, spent after paid money"


def given_of(transfer: Transfer) -> int:
    """Tell how much of a transfer's amount was given credit, in micros, taken or given back."""
    if transfer.kind not in _TAKING | _GIVING_BACK:
        return 0
    return sum(amount for _, amount in read_given(transfer.given))


def given_words(transfer: Transfer, currency: str) -> str:
    """Say how much of a transfer was given credit: 1.50 of it given credit; "" if none of it was."""
    given = given_of(transfer)
    if not given:
        return ""
    back = "back to " if transfer.kind in _GIVING_BACK else ""
    part = "all of it" if given == transfer.amount else f"{format_money(given, currency)} of it"
    return f"{part} {back}given credit"
