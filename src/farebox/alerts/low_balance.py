"""The words of the mail that tells of a balance below a threshold."""

from typing import Final

from farebox.alerts.alert_words import (
    NOTHING_TO_DO,
    REFUSED,
    AlertSubject,
    AlertWords,
    Fact,
    balance_facts,
    registered_fact,
)
from farebox.core.accounts import Kind
from farebox.core.transfers import Transfer
from farebox.service.languages import gettext_noop
from farebox.service.request_words import requested

_CAUSES: Final = {
    Kind.CHARGE: gettext_noop("a charge of %(amount)s"),
    Kind.CAPTURE: gettext_noop("a captured hold of %(amount)s"),
    Kind.ADJUSTMENT_DEBIT: gettext_noop("an adjustment of %(amount)s by support"),
    Kind.GRANT_EXPIRY: gettext_noop("the end of given credit of %(amount)s"),
    Kind.TOP_UP_REVERSAL: gettext_noop("a reversed top-up of %(amount)s"),
}
"""The kinds of transfer that bring a balance down, in a merchant's words."""

_REQUEST_CAUSES: Final = {
    Kind.CHARGE: gettext_noop("a charge of %(amount)s for %(request)s"),
    Kind.CAPTURE: gettext_noop("a captured hold of %(amount)s for %(request)s"),
}
"""The same of those that are for a request."""

_ARRIVALS: Final = {
    Kind.TOP_UP: gettext_noop("a top-up of %(amount)s left it below"),
    Kind.ADJUSTMENT_CREDIT: gettext_noop("an adjustment of %(amount)s by support left it below"),
    Kind.GRANT: gettext_noop("given credit of %(amount)s left it below"),
}
"""The kinds of transfer that bring money, and may leave the balance below all the same."""


def low_balance_words(subject: AlertSubject, threshold: int) -> AlertWords:
    """Say that a balance is below a threshold; or, if refunds brought it back since, that it was."""
    _, below = subject.language.gettext, subject.money(threshold)
    is_over = subject.account.posted >= threshold
    line, headline = _back(subject, below) if is_over else _below(subject, below)
    return AlertWords(
        subject=line,
        headline=headline,
        facts=(*balance_facts(subject), Fact(_("Your threshold"), below), *_cause_facts(subject)),
        advice=_(NOTHING_TO_DO) if is_over else _refusal(subject),
        is_over=is_over,
        again=_(
            "You are told again when a top-up or an adjustment leaves the balance below the threshold, "
            "or brings it back and it falls below again."
        ),
    )


def _back(subject: AlertSubject, below: str) -> tuple[str, str]:
    _, now = subject.language.gettext, subject.money(subject.account.posted)
    return (
        _("balance back at %(amount)s, was below %(threshold)s", amount=now, threshold=below),
        _("Your balance was below %(threshold)s and is back at %(amount)s", amount=now, threshold=below),
    )


def _below(subject: AlertSubject, below: str) -> tuple[str, str]:
    """Say how the balance came to be below; one that a threshold was set above did not fall."""
    _, transfer = subject.language.gettext, subject.transfer
    if subject.spendable == 0:
        line = _("nothing left to spend, balance below %(threshold)s", threshold=below)
    else:
        line = _("balance below %(threshold)s", threshold=below)
    if transfer is None:
        return line, _("Your balance is below %(threshold)s", threshold=below)
    if transfer.kind in _ARRIVALS:
        return line, _("Your balance is still below %(threshold)s", threshold=below)
    return line, _("Your balance fell below %(threshold)s", threshold=below)


def _cause_facts(subject: AlertSubject) -> list[Fact]:
    """Tell what the mail comes of: its transfer, the threshold, or the reader who joined."""
    alert, transfer, language = subject.mail.alert, subject.transfer, subject.language
    _ = language.gettext
    if alert.user_id is not None:
        return [registered_fact(language)]
    if transfer is None:
        return [Fact(_("Why now"), _("the threshold was set above the balance"))]
    then = Fact(_("Balance at that time"), subject.money(alert.posted), language.moment(alert.fired_at))
    if transfer.kind in _ARRIVALS:
        arrival = _(_ARRIVALS[Kind(transfer.kind)], amount=subject.money(transfer.amount))
        return [Fact(_("Why now"), arrival, transfer.id), then]
    return [Fact(_("What brought it down"), _cause(subject, transfer), transfer.id), then]


def _cause(subject: AlertSubject, transfer: Transfer) -> str:
    kind, _ = Kind(transfer.kind), subject.language.gettext
    amount = subject.money(transfer.amount)
    if not transfer.request_type or kind not in _REQUEST_CAUSES:
        return _(_CAUSES[kind], amount=amount)
    is_ruled = transfer.pricing is not None
    request = requested(transfer) if is_ruled else f"{transfer.quantity} x {transfer.request_type}"
    return _(_REQUEST_CAUSES[kind], amount=amount, request=request)


def _refusal(subject: AlertSubject) -> str:
    """Say when requests are refused, which a credit limit puts off."""
    limit, _ = subject.account.credit_limit, subject.language.gettext
    if subject.spendable == 0:
        return _(REFUSED)
    if limit == 0:
        return _("When nothing is available any more, requests are refused until you top up.")
    return _(
        "When your balance and your credit limit of %(amount)s are used up, requests are refused until you top up.",
        amount=subject.money(limit),
    )
