"""The words of mails about what happened once: money that arrived or ended, a hold, a budget, a freeze, a destination.

What happened stays as it was, so it is told by the facts of its alert; the balance beside it is that of now.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from farebox.alerts.alert_words import NOTHING_TO_DO, REFUSED, AlertSubject, AlertWords, Fact, balance_facts
from farebox.alerts.email_address import one_line
from farebox.core import ids
from farebox.core.alerts import AlertKind
from farebox.service.languages import gettext_noop

_CHOSEN: Final = gettext_noop("You chose to be told of this.")
"""Why a mail comes that nobody gets who did not ask for it."""

_LIMITS: Final[Mapping[str, str]] = {
    "day": gettext_noop("%(amount)s per day"),
    "week": gettext_noop("%(amount)s per week"),
    "month": gettext_noop("%(amount)s per month"),
    "total": gettext_noop("%(amount)s in all"),
}


def _recovered(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    _, now = subject.language.gettext, subject.money(subject.account.posted)
    lines = [Fact(_("Back above"), subject.money(amount)) for amount in facts["thresholds"]]
    return AlertWords(
        subject=_("balance recovered, it is %(amount)s", amount=now),
        headline=_("Your balance has recovered: it is %(amount)s", amount=now),
        facts=(*balance_facts(subject), *lines),
        advice=_("Requests are accepted again.") if facts["was_used_up"] else _(NOTHING_TO_DO),
        is_over=True,
        again=_(_CHOSEN),
    )


def _top_up(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    _, amount = subject.language.gettext, subject.money(facts["amount"])
    return AlertWords(
        subject=_("a top-up of %(amount)s has arrived", amount=amount),
        headline=_("A top-up of %(amount)s has arrived", amount=amount),
        facts=(Fact(_("Reference"), one_line(facts["reference"])), *balance_facts(subject)),
        advice=_(NOTHING_TO_DO),
        is_over=True,
        again=_(_CHOSEN),
    )


def _credit_ended(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    language, left = subject.language, subject.money(facts["left"])
    _ = language.gettext
    return AlertWords(
        subject=_("%(amount)s of given credit has ended", amount=left),
        headline=_("Given credit has ended, with %(amount)s of it left", amount=left),
        facts=(Fact(_("Ended"), language.moment(facts["ended_at"])), *balance_facts(subject)),
        advice=_("What was left of it can't be spent any more. Paid money does not end."),
        is_over=True,
        again=_(_CHOSEN),
    )


def _hold_expired(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    _, amount = subject.language.gettext, subject.money(facts["amount"])
    hold = ids.book_id(ids.HOLD, merchant_id=subject.mail.alert.merchant_id, seq=facts["hold"])
    lines = [Fact(_("Hold"), hold)]
    if facts["request_type"]:
        lines.append(Fact(_("For"), facts["request_type"]))
    if facts["reference"]:
        lines.append(Fact(_("Reference"), one_line(facts["reference"])))
    return AlertWords(
        subject=_("a hold of %(amount)s has expired", amount=amount),
        headline=_("A hold of %(amount)s has expired and was given back", amount=amount),
        facts=(*lines, *balance_facts(subject)),
        advice=_("It was neither captured nor released in time, so its request was not charged."),
        is_over=True,
        again=_(_CHOSEN),
    )


def _budget_reached(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    language = subject.language
    _ = language.gettext
    limit = _(_LIMITS[facts["unit"]], amount=subject.money(facts["amount"]))
    lines = [
        Fact(_("API key"), ids.public_id(ids.KEY, facts["key_id"])),
        Fact(_("Its budget"), limit),
        Fact(_("Spent of it"), subject.money(facts["spent"])),
        Fact(_("What was not covered"), _("a request for %(amount)s", amount=subject.money(facts["needed"]))),
    ]
    if facts["ends_at"] is not None:
        lines.append(Fact(_("Starts anew"), language.moment(facts["ends_at"])))
    return AlertWords(
        subject=_("an API key's budget of %(limit)s is reached", limit=limit),
        headline=_("An API key has reached its budget: requests with it are refused"),
        facts=tuple(lines),
        advice=_("Owners of the account can set another budget on the page of its API keys."),
        is_over=True,
        again=_("You are told once for each limit and period."),
    )


def _frozen(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    del facts
    _ = subject.language.gettext
    return AlertWords(
        subject=_("the account is frozen, requests are refused"),
        headline=_("Your account is frozen: requests are refused"),
        facts=tuple(balance_facts(subject)),
        advice=_("Nothing is charged until support lifts this. What is on the account stays there."),
        is_over=True,
        again=_(_CHOSEN),
    )


def _unfrozen(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    del facts
    _ = subject.language.gettext
    return AlertWords(
        subject=_("the account is no longer frozen"),
        headline=_("Your account is no longer frozen"),
        facts=tuple(balance_facts(subject)),
        advice=_("Requests are accepted again.") if subject.spendable else _(REFUSED),
        is_over=True,
        again=_(_CHOSEN),
    )


def _destination_disabled(subject: AlertSubject, facts: Mapping[str, Any]) -> AlertWords:
    language, name = subject.language, one_line(facts["name"])
    _ = language.gettext
    lines = [Fact(_("Last answer"), one_line(facts["reason"]))]
    if facts["failing_since"] is not None:
        lines.append(Fact(_("Failing since"), language.moment(facts["failing_since"])))
    return AlertWords(
        subject=_("messages to %(name)s were given up", name=name),
        headline=_("Messages to %(name)s were given up", name=name),
        facts=(*lines, *balance_facts(subject)),
        advice=_("Mend the receiver, turn its destination on again, and replay what it missed."),
        is_over=True,
        again=_("You are told once, when a destination is disabled."),
    )


EVENT_WORDS: Final[Mapping[int, Callable[[AlertSubject, Mapping[str, Any]], AlertWords]]] = {
    AlertKind.RECOVERED: _recovered,
    AlertKind.TOP_UP: _top_up,
    AlertKind.CREDIT_ENDED: _credit_ended,
    AlertKind.HOLD_EXPIRED: _hold_expired,
    AlertKind.BUDGET_REACHED: _budget_reached,
    AlertKind.FROZEN: _frozen,
    AlertKind.UNFROZEN: _unfrozen,
    AlertKind.DESTINATION_DISABLED: _destination_disabled,
}
"""What the mail about a kind says, of the alert's facts."""
