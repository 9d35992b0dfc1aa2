"""The words of the mail that tells that the money lasts for fewer days than a threshold in days left."""

from farebox.alerts.alert_words import AlertSubject, AlertWords, Fact, balance_facts


def runway_short_words(subject: AlertSubject) -> AlertWords:
    """Say how long the money is likely to last, and by what that is told."""
    language, _ = subject.language, subject.language.gettext
    facts = subject.mail.alert.read_facts
    days = facts["days"]
    return AlertWords(
        subject=language.ngettext("less than %(count)s day left", "less than %(count)s days left", days),
        headline=language.ngettext(
            "Your balance is likely to last for less than %(count)s day",
            "Your balance is likely to last for less than %(count)s days",
            days,
        ),
        facts=(*balance_facts(subject), Fact(_("Spent on a usual day"), subject.money(facts["burn_per_day"]))),
        advice=_("This is a forecast by what was spent in the last weeks: the money may last longer, or not so long."),
        is_over=False,
        again=_("You are told again once money has arrived, or the forecast was well beyond it, and it is short anew."),
    )
