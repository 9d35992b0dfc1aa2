"""Mails that warn the operator's staff: of a merchant that spends far more than is usual, and of disabled destinations.

Each says how things stand when it is sent.
"""

from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from msgspec import Struct

from farebox.alerts.alert_words import AlertSubject
from farebox.alerts.email_address import mailbox, one_line
from farebox.alerts.mail import Headers, MailSettings, compose_mail
from farebox.alerts.transport import Withdrawn
from farebox.alerts.unusual_spending import unusual_spending_words
from farebox.core import ids
from farebox.core.alerting.staff_warnings import WARNED_ROLES
from farebox.service.languages import Language
from farebox.service.people.warnings import WarningChoices
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.outgoing.staff_mails import WARNED_KINDS
from farebox.storage.records import AccountMail, Delivery, Login, Purpose
from farebox.storage.stores import Stores


class WarningMail(Struct, frozen=True):
    """A warning that is owed to one of the staff: its mail, the mail's name, and where its reader ends such mails."""

    owed: AccountMail
    message_id: str
    unsubscribe_url: str


class StaffWarnings:
    """The account mails that warn staff."""

    def __init__(self, stores: Stores, settings: MailSettings, choices: WarningChoices) -> None:
        """Read what they tell of from these stores; by the choices' links their readers end them."""
        self._choices = choices
        self._stores = stores
        self._settings = settings

    async def compose(self, mail: AccountMail, login: Login, message_id: str) -> EmailMessage:
        """Write the warning that a mail is, to one of the staff who may still sign in.

        Raises:
            InvalidAddress: no mail can ever go there.
            Withdrawn: there is nothing to warn of any more, or they may not act on it, or want no such warnings.
        """
        spoken, kind = self._settings.language_of(login.language), WARNED_KINDS[mail.purpose]
        if not login.roles & WARNED_ROLES[kind]:
            raise Withdrawn("they have no role any more that may act on it")
        if not login.mail_kinds >> kind & 1:
            raise Withdrawn("they want no such warnings any more")
        url = await self._choices.url(login.login_id, kind, public_url=self._settings.public_url)
        way = WarningMail(mail, message_id, url)
        if mail.purpose == Purpose.UNUSUAL_SPENDING:
            return unusual_spending_warning(way, await self._unusual_spending(mail, spoken), self._settings)
        every = await self._stores.destinations.list(None)
        disabled = [destination for destination in every if destination.state == DestinationState.DISABLED]
        if not disabled:
            raise Withdrawn("the destination was turned on again, or deleted")
        return disabled_destinations_warning(way, disabled, self._settings, spoken)

    async def _unusual_spending(self, mail: AccountMail, spoken: Language) -> AlertSubject:
        merchant_id = mail.merchant_id or 0
        merchant = await self._stores.merchants.find(merchant_id)
        account = await self._stores.accounts.find(merchant_id)
        spending = await self._stores.spending.find(merchant_id)
        if merchant is None or account is None or spending is None:
            raise LookupError(f"what is told of the merchant {merchant_id} is gone")
        if account.closed_at is not None:
            raise Withdrawn("the merchant was closed")
        alert = await self._stores.deliveries.alert(merchant_id, spending.alert_number)
        key = None if spending.key_id is None else await self._stores.api_keys.find(spending.key_id)
        delivery = Delivery(
            alert, Channel.EMAIL, mail.login_id, mail.email, *(mail.state, mail.attempts, alert.fired_at)
        )
        return AlertSubject(delivery, merchant, account, None, None, language=spoken, key=key)


def unusual_spending_warning(mail: WarningMail, subject: AlertSubject, settings: MailSettings) -> EmailMessage:
    """Write that a merchant spends far more than is usual, with the key that does it, which can be suspended."""
    spoken, _ = subject.language, subject.language.gettext
    name = one_line(subject.merchant.name)
    told = unusual_spending_words(subject)
    spent = subject.money(subject.mail.alert.read_facts["spent"])
    page = f"{settings.public_url}/support/merchants/{ids.public_id(ids.MERCHANT, subject.merchant.merchant_id)}"
    if told.action is None:
        advice = _("No single key spent most of it. Ask the merchant whether it is theirs; the account can be frozen.")
    else:
        advice = _(
            "Ask the merchant whether it is theirs. If it is not, suspend the key: it opens nothing, at once, until it "
            "is resumed."
        )
    words: dict[str, Any] = {
        "over": spoken.isolated(name),
        "headline": _("%(amount)s were spent in five minutes, far more than is usual", amount=spent),
        "balance": spoken.amount(subject.account.posted, subject.account.currency),
        "currency": subject.account.currency,
        "facts": told.facts,
        "items": [],
        "advice": advice,
        "action_label": None if told.action is None else told.action.label,
        "action_url": None if told.action is None else f"{page}{told.action.path}",
        "page_label": _("Open the merchant's page"),
        "page_url": page,
    }
    title = _("%(merchant)s: %(news)s", merchant=name, news=told.subject)
    return _warning(mail, title, words, settings, spoken)


def disabled_destinations_warning(
    mail: WarningMail, disabled: Sequence[Destination], settings: MailSettings, spoken: Language
) -> EmailMessage:
    """Write which of the operator's own destinations are disabled, and why."""
    _ = spoken.gettext
    title = spoken.ngettext(
        "%(count)s destination of the operator was disabled",
        "%(count)s destinations of the operator were disabled",
        len(disabled),
    )
    words: dict[str, Any] = {
        "over": "",
        "headline": title,
        "balance": "",
        "currency": "",
        "facts": [],
        "items": [_item(destination, spoken) for destination in disabled],
        "advice": _(
            "Deliveries failed for too long, so nothing is sent there any more. Mend what failed, turn it on again, "
            "and send anew what was missed."
        ),
        "action_label": None,
        "action_url": None,
        "page_label": _("Open webhooks and chats"),
        "page_url": f"{settings.public_url}/support/webhooks",
    }
    return _warning(mail, title, words, settings, spoken)


def _item(destination: Destination, spoken: Language) -> str:
    """Tell of a disabled destination in a line."""
    name, time = one_line(destination.name), spoken.moment(destination.disabled_at or 0)
    reason = one_line(destination.disabled_reason or "")
    return spoken.gettext("%(name)s, disabled at %(time)s: %(reason)s", name=name, time=time, reason=reason)


def _warning(
    mail: WarningMail, title: str, words: Mapping[str, Any], settings: MailSettings, spoken: Language
) -> EmailMessage:
    headers = Headers(title, at=mail.owed.created_at, message_id=mail.message_id)
    return compose_mail(
        settings,
        mailbox(mail.owed.email),
        headers,
        template="staff_warning",
        words={**words, "choices_url": f"{settings.public_url}/support/profile"},
        language=spoken,
        unsubscribe_url=mail.unsubscribe_url,
    )
