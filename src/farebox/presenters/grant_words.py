"""Given credit in words for people: what ends when, what a grant pays for, and how much of a transfer was given."""

from datetime import tzinfo
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.credit.grants import Grant, GrantTerms, read_given, read_terms
from farebox.core.transfers import Transfer
from farebox.presenters.times import at, time_words
from farebox.service.languages import ENGLISH, Language

_TYPES_NAMED: Final = 3
"""So many request types are named; of more, it is told how many there are."""

_TAKING: Final = frozenset({Kind.CHARGE, Kind.HOLD, Kind.CAPTURE})
_GIVING_BACK: Final = frozenset({Kind.REFUND, Kind.RELEASE, Kind.EXPIRE})


def types_words(types: str | None, spoken: Language = ENGLISH) -> str:
    """Say what a grant pays for: every request type; image and review alone."""
    if types is None:
        return spoken.gettext("every request type")
    names = types.split(" ")
    if len(names) > _TYPES_NAMED + 1:
        more = len(names) - _TYPES_NAMED
        names = [*names[:_TYPES_NAMED], spoken.ngettext("%(count)s more", "%(count)s more", more)]
    return spoken.gettext("%(types)s alone", types=spoken.listed(names))


def ends_words(grant: Grant, currency: str, zone: tzinfo | None, spoken: Language = ENGLISH) -> str:
    """Say what ends when: 20.00 ends on 1 December 2026, 00:00; 5.00 for image alone ends on 3 December 2026, 12:00."""
    amount, time = spoken.amount(grant.left, currency), spoken.date_and_time(at(grant.expires_at or 0, zone))
    if grant.types is None:
        return spoken.gettext("%(amount)s ends on %(time)s", amount=amount, time=time)
    types = types_words(grant.types, spoken)
    return spoken.gettext("%(amount)s for %(types)s ends on %(time)s", amount=amount, types=types, time=time)


def terms_words(terms: GrantTerms, zone: tzinfo | None, spoken: Language = ENGLISH) -> list[tuple[str, str]]:
    """Say on which terms credit is given: a label and words for each, without the amount."""
    starts = spoken.gettext("at once") if terms.starts_at is None else time_words(terms.starts_at, zone, spoken)
    ends = spoken.gettext("not by itself") if terms.expires_at is None else time_words(terms.expires_at, zone, spoken)
    return [
        (spoken.gettext("Starts"), starts),
        (spoken.gettext("Ends"), ends),
        (spoken.gettext("Pays for"), types_words(terms.types, spoken)),
        (spoken.gettext("Priority"), priority_words(terms.priority, spoken)),
    ]


def requested_terms(text: str, zone: tzinfo | None) -> str:
    """Say in a line on which terms a grant is requested, as its request for approval has them."""
    _, terms = read_terms(text)
    words = [f"{label.lower()} {told}" for label, told in terms_words(terms, zone)[:3]]
    return f"It {', '.join(words)}"


def priority_words(priority: int, spoken: Language = ENGLISH) -> str:
    """Say when a grant is spent, by its priority."""
    if priority == 0:
        return spoken.gettext("0, spent before paid money")
    return spoken.gettext("%(priority)s, spent after paid money", priority=priority)


def given_of(transfer: Transfer) -> int:
    """Tell how much of a transfer's amount was given credit, in micros, taken or given back."""
    if transfer.kind not in _TAKING | _GIVING_BACK:
        return 0
    return sum(amount for _, amount in read_given(transfer.given))


def given_words(transfer: Transfer, currency: str, spoken: Language = ENGLISH) -> str:
    """Say how much of a transfer was given credit: 1.50 of it given credit; "" if none of it was."""
    given = given_of(transfer)
    if not given:
        return ""
    amount, is_back = spoken.amount(given, currency), transfer.kind in _GIVING_BACK
    if given == transfer.amount:
        return spoken.gettext("all of it back to given credit") if is_back else spoken.gettext("all of it given credit")
    if is_back:
        return spoken.gettext("%(amount)s of it back to given credit", amount=amount)
    return spoken.gettext("%(amount)s of it given credit", amount=amount)
