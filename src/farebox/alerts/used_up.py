"""The words of the mail that tells that requests are refused for lack of money."""

from typing import Final

from farebox.alerts.alert_words import AlertSubject, AlertWords, Fact, balance_facts
from farebox.alerts.mail import time_in_words

_AGAIN: Final = "You are told again when a request is refused after money has arrived."


def used_up_words(subject: AlertSubject) -> AlertWords:
    """Say that nothing is left to spend; or, if something is, that a request asked for more."""
    left = subject.money(subject.spendable)
    if subject.spendable == 0:
        line, headline = "balance used up, requests are refused", "is used up: requests are refused"
        advice = "Requests are refused until you top up."
    else:
        line, headline = f"a request was refused, {left} can be spent", "did not cover a request, which was refused"
        advice = f"Requests that cost more than {left} are refused until you top up."
    return AlertWords(
        subject=line,
        headline=headline,
        facts=(*balance_facts(subject), _cause_fact(subject)),
        advice=advice,
        is_over=False,
        again=_AGAIN,
    )


def _cause_fact(subject: AlertSubject) -> Fact:
    alert = subject.mail.alert
    if alert.refused is None:
        return Fact("Why now", "you were registered on the account")
    return Fact("What was refused", f"a request for {subject.money(alert.refused)}", time_in_words(alert.fired_at))
