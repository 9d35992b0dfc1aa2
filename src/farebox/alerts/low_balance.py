"""The words of the mail that tells of a balance below a threshold."""

from typing import Final

from farebox.alerts.alert_words import REFUSED, REGISTERED, AlertSubject, AlertWords, Fact, balance_facts
from farebox.alerts.mail import time_in_words
from farebox.core.accounts import Kind
from farebox.service.request_words import requested

_CAUSES: Final = {
    Kind.CHARGE: "a charge",
    Kind.CAPTURE: "a captured hold",
    Kind.ADJUSTMENT_DEBIT: "an adjustment by support",
    Kind.GRANT_EXPIRY: "the end of given credit",
    Kind.TOP_UP_REVERSAL: "a reversed top-up",
}
"""The kinds of transfer that bring a balance down, in a merchant's words."""

_ARRIVALS: Final = {
    Kind.TOP_UP: "a top-up",
    Kind.ADJUSTMENT_CREDIT: "an adjustment by support",
    Kind.GRANT: "given credit",
}
"""The kinds of transfer that bring money, and may leave the balance below all the same."""

_AGAIN: Final = (
    "You are told again when a top-up or an adjustment leaves the balance below the threshold, "
    "or brings it back and it falls below again."
)


def low_balance_words(subject: AlertSubject, threshold: int) -> AlertWords:
    """Say that a balance is below a threshold; or, if refunds brought it back since, that it was."""
    below, now = subject.money(threshold), subject.money(subject.account.posted)
    is_over = subject.account.posted >= threshold
    if is_over:
        line, headline = f"balance back at {now}, was below {below}", f"was below {below} and is back at {now}"
    else:
        line, headline = f"balance below {below}", f"{_verb(subject)} below {below}"
        if subject.spendable == 0:
            line = f"nothing left to spend, {line}"
    return AlertWords(
        subject=line,
        headline=headline,
        facts=(*balance_facts(subject), Fact("Your threshold", below), *_cause_facts(subject)),
        advice="There is nothing you need to do." if is_over else _refusal(subject),
        is_over=is_over,
        again=_AGAIN,
    )


def _verb(subject: AlertSubject) -> str:
    """Say how the balance came to be below; one that a threshold was set above did not fall."""
    if subject.transfer is None:
        return "is"
    return "is still" if subject.transfer.kind in _ARRIVALS else "fell"


def _cause_facts(subject: AlertSubject) -> list[Fact]:
    """Tell what the mail comes of: its transfer, the threshold, or the reader who joined."""
    alert, transfer = subject.mail.alert, subject.transfer
    if alert.user_id is not None:
        return [REGISTERED]
    if transfer is None:
        return [Fact("Why now", "the threshold was set above the balance")]
    then = Fact("Balance at that time", subject.money(alert.posted), time_in_words(alert.fired_at))
    if transfer.kind in _ARRIVALS:
        arrival = f"{_ARRIVALS[Kind(transfer.kind)]} of {subject.money(transfer.amount)} left it below"
        return [Fact("Why now", arrival, transfer.id), then]
    cause = f"{_CAUSES[Kind(transfer.kind)]} of {subject.money(transfer.amount)}"
    if transfer.request_type:
        is_ruled = transfer.pricing is not None
        cause += f" for {requested(transfer) if is_ruled else f'{transfer.quantity} x {transfer.request_type}'}"
    return [Fact("What brought it down", cause, transfer.id), then]


def _refusal(subject: AlertSubject) -> str:
    """Say when requests are refused, which a credit limit puts off."""
    limit = subject.account.credit_limit
    if subject.spendable == 0:
        return REFUSED
    if limit == 0:
        return "When nothing is available any more, requests are refused until you top up."
    words = subject.money(limit)
    return f"When your balance and your credit limit of {words} are used up, requests are refused until you top up."
