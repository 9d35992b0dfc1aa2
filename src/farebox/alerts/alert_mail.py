"""Alert mails: what tells one user of a merchant's balance, put together for a mail server."""

from email.message import EmailMessage

from farebox.alerts.alert_words import AlertSubject, AlertWords
from farebox.alerts.credit_ends import credit_ends_words
from farebox.alerts.email_address import mailbox, one_line
from farebox.alerts.event_words import EVENT_WORDS
from farebox.alerts.low_balance import low_balance_words
from farebox.alerts.mail import Headers, MailSettings, compose_mail
from farebox.alerts.runway_short import runway_short_words
from farebox.alerts.unusual_spending import unusual_spending_words
from farebox.alerts.used_up import used_up_words
from farebox.core import ids
from farebox.core.alerts import AlertKind
from farebox.storage.records import Delivery


def alert_mail_name(mail: Delivery) -> str:
    """Name a mail by its alert, for people and for its Message-ID."""
    return mail.alert.id


def message_id(mail: Delivery, settings: MailSettings) -> str:
    """Name a mail: the same for every attempt to send it, so that a second copy is known as one."""
    return f"<{alert_mail_name(mail)}.{ids.public_id(ids.USER, mail.recipient_id)}@{settings.sender.domain}>"


def alert_message(subject: AlertSubject, settings: MailSettings, unsubscribe_url: str | None = None) -> EmailMessage:
    """Write the mail that tells one user of an alert, as things stand now; its reader ends such mails by the URL.

    Raises:
        InvalidAddress: the user's address is not one; no mail can ever go there.
    """
    alert, account, language = subject.mail.alert, subject.account, subject.language
    recipient = mailbox(subject.mail.email)
    name = one_line(subject.merchant.name)
    told = _words(subject)
    account_url = f"{settings.public_url.rstrip('/')}/accounts/{ids.public_id(ids.MERCHANT, alert.merchant_id)}"
    words = {
        "merchant": language.isolated(name),
        "headline": told.headline,
        "balance": language.amount(account.posted, account.currency),
        "currency": account.currency,
        "facts": told.facts,
        "advice": told.advice,
        "is_over": told.is_over,
        "again": told.again,
        "account_url": account_url,
        "action_label": None if told.action is None else told.action.label,
        "action_url": None if told.action is None else f"{account_url}{told.action.path}",
    }
    title = language.gettext("%(merchant)s: %(news)s", merchant=name, news=told.subject)
    headers = Headers(title, at=alert.fired_at, message_id=message_id(subject.mail, settings))
    return compose_mail(
        settings, recipient, headers, template="alert", words=words, language=language, unsubscribe_url=unsubscribe_url
    )


def _words(subject: AlertSubject) -> AlertWords:
    if subject.grant is not None:
        return credit_ends_words(subject, subject.grant)
    alert = subject.mail.alert
    if alert.kind == AlertKind.RUNWAY_SHORT:
        return runway_short_words(subject)
    if alert.kind == AlertKind.UNUSUAL_SPENDING:
        return unusual_spending_words(subject)
    words = EVENT_WORDS.get(alert.kind)
    if words is not None:
        return words(subject, alert.read_facts)
    threshold = alert.threshold
    return used_up_words(subject) if threshold is None else low_balance_words(subject, threshold)
