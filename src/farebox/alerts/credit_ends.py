"""The words of the mail that tells that given credit ends soon."""

from farebox.alerts.alert_words import AlertSubject, AlertWords, Fact, balance_facts
from farebox.alerts.email_address import one_line
from farebox.core.credit.grants import Grant


def credit_ends_words(subject: AlertSubject, grant: Grant) -> AlertWords:
    """Say how much of a grant is left, and when it ends."""
    language, _ = subject.language, subject.language.gettext
    left, end = subject.money(grant.left), language.moment(grant.expires_at or 0)
    remark = _("of %(amount)s, %(reason)s", amount=subject.money(grant.amount), reason=one_line(grant.reason))
    facts = [Fact(_("Given credit left"), left, remark), Fact(_("Ends"), end)]
    if grant.types is not None:
        facts.append(Fact(_("Pays only for"), language.listed(grant.types.split(" "))))
    return AlertWords(
        subject=_("%(amount)s of given credit ends on %(time)s", amount=left, time=end),
        headline=_("You have %(amount)s of given credit that ends on %(time)s", amount=left, time=end),
        facts=(*facts, *balance_facts(subject)),
        advice=_("What is left of it then can't be spent any more. Paid money does not end."),
        is_over=True,
        again=_("You are told once of each credit that ends."),
    )
