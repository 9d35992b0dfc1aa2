"""The words of the mail that tells that requests are refused for lack of money."""

from typing import Final

from farebox.alerts.alert_words import REFUSED, REGISTERED, AlertSubject, AlertWords, Fact, balance_facts
from farebox.alerts.mail import time_in_words

_AGAIN: Final = "You are told again when a request is refused after money has arrived."


def used_up_words(subject: AlertSubject) -> AlertWords:
    """Say that nothing is left to spend; or, if something is, that a request asked for more."""
    left, account = subject.money(subject.spendable), subject.account
    if subject.spendable == 0:
        advice = REFUSED
        if account.seq == 0:
            line, headline = "never topped up, requests are refused", "was never topped up: requests are refused"
        elif account.owed:
            line, headline = "money is owed, requests are refused", "can't be spent while money is owed"
        elif account.credit_limit:
            line, headline = "balance and credit used up, requests are refused", "and its credit limit are used up"
        else:
            line, headline = "balance used up, requests are refused", "is used up: requests are refused"
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
        return REGISTERED
    return Fact("What was not covered", f"a request for {subject.money(alert.refused)}", time_in_words(alert.fired_at))
