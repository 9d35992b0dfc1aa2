"""The words of the mail that tells that far more is spent than is usual, as a leaked key makes an account do."""

from farebox.alerts.alert_words import AlertSubject, AlertWords, Fact, MailAction, balance_facts
from farebox.alerts.email_address import one_line
from farebox.core import ids


def unusual_spending_words(subject: AlertSubject) -> AlertWords:
    """Say what was spent, by which API key if one spent the most of it, and how that is stopped."""
    language, _ = subject.language, subject.language.gettext
    alert, key = subject.mail.alert, subject.key
    told = alert.read_facts
    spent, highest = subject.money(told["spent"]), subject.money(told["highest"])
    facts = [
        Fact(_("Spent in five minutes"), spent, _("until %(time)s", time=language.moment(alert.fired_at))),
        Fact(_("At most before"), highest, _("in any five minutes of the weeks before")),
    ]
    if key is None:
        news = _("far more is spent than is usual")
        advice = _("No single key spent most of it. If it is not yours, contact support, who can freeze the account.")
    else:
        name = f"{key.hint} ({language.isolated(one_line(key.name))})" if key.name else key.hint
        by_key = _("spent %(amount)s of it", amount=subject.money(told["key_spent"]))
        facts.append(Fact(_("API key"), name, _("is suspended now") if key.suspended_at is not None else by_key))
        news = _("the key %(key)s spends far more than is usual", key=key.hint)
        advice = _(
            "If it is not yours, suspend the key: it opens nothing, at once, until it is resumed. "
            "An owner of the account can do that."
        )
    return AlertWords(
        subject=news,
        headline=_("Your account spent %(amount)s in five minutes, far more than is usual", amount=spent),
        facts=(*facts, *balance_facts(subject)),
        advice=advice,
        is_over=True,
        again=_("You are told again if it comes again after some hours of quiet."),
        action=None
        if key is None
        else MailAction(_("Suspend this key"), f"/keys/{ids.public_id(ids.KEY, key.key_id)}/suspend"),
    )
