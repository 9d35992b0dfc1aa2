"""The words of the mail that tells that requests are refused for lack of money."""

from farebox.alerts.alert_words import REFUSED, AlertSubject, AlertWords, Fact, balance_facts, registered_fact


def used_up_words(subject: AlertSubject) -> AlertWords:
    """Say that nothing is left to spend; or, if something is, that a request asked for more."""
    _ = subject.language.gettext
    line, headline = _title(subject)
    advice = _(REFUSED)
    if subject.spendable:
        left = subject.money(subject.spendable)
        advice = _("Requests that cost more than %(amount)s are refused until you top up.", amount=left)
    return AlertWords(
        subject=line,
        headline=headline,
        facts=(*balance_facts(subject), _cause_fact(subject)),
        advice=advice,
        is_over=False,
        again=_("You are told again when a request is refused after money has arrived."),
    )


def _title(subject: AlertSubject) -> tuple[str, str]:
    """Say what happened, in the mail's subject and at its head."""
    account, _ = subject.account, subject.language.gettext
    if subject.spendable:
        left = subject.money(subject.spendable)
        return (
            _("a request was refused, %(amount)s can be spent", amount=left),
            _("Your balance did not cover a request, which was refused"),
        )
    if account.seq == 0:
        return (
            _("never topped up, requests are refused"),
            _("Your balance was never topped up: requests are refused"),
        )
    if account.owed:
        return _("money is owed, requests are refused"), _("Your balance can't be spent while money is owed")
    if account.credit_limit:
        return (
            _("balance and credit used up, requests are refused"),
            _("Your balance and your credit limit are used up: requests are refused"),
        )
    return _("balance used up, requests are refused"), _("Your balance is used up: requests are refused")


def _cause_fact(subject: AlertSubject) -> Fact:
    alert, language = subject.mail.alert, subject.language
    if alert.refused is None:
        return registered_fact(language)
    return Fact(
        language.gettext("What was not covered"),
        language.gettext("a request for %(amount)s", amount=subject.money(alert.refused)),
        language.moment(alert.fired_at),
    )
