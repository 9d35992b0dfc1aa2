"""The words of the mail that tells that given credit ends soon."""

from typing import Final

from farebox.alerts.alert_words import AlertSubject, AlertWords, Fact, balance_facts
from farebox.alerts.email_address import one_line
from farebox.alerts.mail import time_in_words
from farebox.core.credit.grants import Grant
from farebox.service.plain_values import listed

_ADVICE: Final = "What is left of it then can't be spent any more. Paid money does not end."
_AGAIN: Final = "You are told once of each credit that ends."


def credit_ends_words(subject: AlertSubject, grant: Grant) -> AlertWords:
    """Say how much of a grant is left, and when it ends."""
    left, end = subject.money(grant.left), time_in_words(grant.expires_at or 0)
    facts = [
        Fact("Given credit left", left, f"of {subject.money(grant.amount)}, {one_line(grant.reason)}"),
        Fact("Ends", end),
    ]
    if grant.types is not None:
        facts.append(Fact("Pays for", f"{listed(grant.types.split(' '))} alone"))
    return AlertWords(
        subject=f"{left} of given credit ends on {end}",
        headline=f"has {left} of given credit that ends on {end}",
        facts=(*facts, *balance_facts(subject)),
        advice=_ADVICE,
        is_over=True,
        again=_AGAIN,
    )
