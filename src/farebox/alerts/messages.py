"""What an alert's mail says, in plain text and HTML, and the headers that let mail systems drop a twin."""

import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from importlib import resources
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template, select_autoescape
from msgspec import Struct

from farebox.alerts.email_address import InvalidAddress, header_text, mailbox, named_mailbox, needs_smtputf8, one_line
from farebox.core import ids
from farebox.core.accounts import Account, Kind
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.storage.rows import Merchant, OutboxMail

SENDER_NAME: Final = "Farebox"
"""Who a mail is from, if the operator's address carries no name of its own."""

_MICROS_PER_SECOND: Final = 1_000_000
_CAUSES: Final = {
    Kind.CHARGE: "a charge",
    Kind.CAPTURE: "a captured hold",
    Kind.ADJUSTMENT_DEBIT: "an adjustment by support",
    Kind.TOP_UP_REVERSAL: "a reversed top-up",
}
"""The kinds of transfer that bring a balance down, in a merchant's words."""

_ADDRESS: Final = re.compile(r"[^\s@<>,;:]+@[^\s@<>,;:]+")
_PAGE: Final = re.compile(r"https?://\S+", re.IGNORECASE)


class InvalidSender(InvalidAddress):
    """The address that mails come from (FAREBOX_MAIL_FROM) is not one."""


class MailSettings(Struct, frozen=True):
    """What every mail needs of the operator's settings.

    `mail_from` is an address, with a name if it is to have one: `Northwind <alerts@example.com>`. `public_url` is where
    people reach the dashboard. `support_contact` is how they reach support: an address, a number, a page; may be empty.
    """

    mail_from: str
    public_url: str
    support_contact: str

    @property
    def sender(self) -> Address:
        """Whom mails come from.

        Raises:
            InvalidSender: `mail_from` is not an address.
        """
        try:
            return named_mailbox(self.mail_from, default_name=SENDER_NAME)
        except InvalidAddress as error:
            raise InvalidSender(f"FAREBOX_MAIL_FROM: {error}") from error


class LowBalance(Struct, frozen=True):
    """What a mail tells: the alert and whom it goes to, whose balance it is, how that stands now, and what fired it.

    `transfer` is None if no transfer fired it but a threshold set above the balance. `runway` says in words how long
    the available balance lasts now; None if nothing is being spent.
    """

    mail: OutboxMail
    merchant: Merchant
    account: Account
    transfer: Transfer | None
    runway: str | None


class Headers(Struct, frozen=True):
    """What a mail's headers say, beside who it is from and goes to; `at` is microseconds since 1970."""

    subject: str
    at: int
    message_id: str


class Fact(Struct, frozen=True):
    """One line of what a mail tells: a label, its value, and a remark that may be empty."""

    label: str
    value: str
    remark: str = ""


def message_id(mail: OutboxMail, settings: MailSettings) -> str:
    """Name a mail: the same for every attempt to send it, so that a twin is known as one.

    Raises:
        InvalidSender: `settings.mail_from` is not an address.
    """
    alert = ids.book_id(ids.ALERT, merchant_id=mail.alert.merchant_id, seq=mail.alert.number)
    return f"<{alert}.{ids.public_id(ids.USER, mail.user_id)}@{settings.sender.domain}>"


def low_balance_message(subject: LowBalance, settings: MailSettings) -> EmailMessage:
    """Write the mail that tells one user that a balance fell below a threshold.

    Raises:
        InvalidAddress: the user's address is not one; no mail can ever go there.
        InvalidSender: `settings.mail_from` is not an address.
    """
    alert, account = subject.mail.alert, subject.account
    sender = settings.sender
    recipient = mailbox(subject.mail.email)
    name = one_line(subject.merchant.name)
    threshold = _money(alert.threshold, account)
    contact = one_line(settings.support_contact)
    words = {
        "merchant": name,
        "threshold": threshold,
        "balance": format_amount(alert.posted),
        "currency": account.currency,
        "fell": _fell(subject),
        "balance_label": "Balance when it fell" if subject.transfer else "Your balance",
        "fell_at": time_in_words(alert.fired_at),
        "facts": _facts(subject),
        "is_back": account.posted >= alert.threshold,
        "balance_now": _money(account.posted, account),
        "refusal": _refusal(account),
        "contact": contact,
        "contact_url": contact_link(contact),
        "dashboard_url": f"{settings.public_url.rstrip('/')}/accounts/{ids.public_id(ids.MERCHANT, alert.merchant_id)}",
    }
    return compose_mail(
        sender,
        recipient,
        Headers(f"{name}: balance below {threshold}", at=alert.fired_at, message_id=message_id(subject.mail, settings)),
        text=_TEXT.render(words),
        html=_HTML.render(words),
    )


def compose_mail(sender: Address, recipient: Address, headers: Headers, *, text: str, html: str) -> EmailMessage:
    """Put a mail together, its content in plain text and in HTML."""
    # With SMTPUTF8 headers are written as they are, which only servers that know it take; so only where it must be.
    message = EmailMessage(policy=SMTPUTF8 if needs_smtputf8(sender, recipient) else SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = header_text(headers.subject)
    message["Date"] = format_datetime(time_of(headers.at))
    message["Message-ID"] = headers.message_id
    message["Auto-Submitted"] = "auto-generated"
    # Quoted-printable is ASCII, whatever it says and however long its lines: no server needs to change it on its way.
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def _fell(subject: LowBalance) -> str:
    """Say how the balance came to be below the threshold: a balance that a threshold was set above did not fall."""
    if subject.transfer is not None:
        return "fell below"
    return "was below" if subject.account.posted >= subject.mail.alert.threshold else "is below"


def _facts(subject: LowBalance) -> list[Fact]:
    """List what the mail tells beside the headline, in the order of a reader's questions."""
    alert, account, transfer = subject.mail.alert, subject.account, subject.transfer
    facts = []
    if transfer is not None and transfer.held_after > 0:
        held = f"{_money(transfer.held_after, account)} is held for requests in progress"
        facts.append(Fact("Of that available", _money(transfer.wallet_after, account), held))
    facts.append(Fact("Available now", _money(account.available, account)))
    if account.available <= 0:
        facts.append(Fact("Lasts", "it is used up"))
    elif subject.runway is not None:
        facts.append(Fact("Lasts", subject.runway))
    facts.append(Fact("Your threshold", _money(alert.threshold, account)))
    if transfer is None:
        facts.append(Fact("Why now", "the threshold was set above your balance"))
    else:
        facts.append(Fact("What brought it down", _cause(transfer, account), transfer.id))
    return facts


def _cause(transfer: Transfer, account: Account) -> str:
    cause = f"{_CAUSES[Kind(transfer.kind)]} of {_money(transfer.amount, account)}"
    return f"{cause} for {transfer.quantity} x {transfer.request_type}" if transfer.request_type else cause


def _refusal(account: Account) -> str:
    """Say when requests are refused, which a credit limit puts off."""
    if account.available + account.credit_limit <= 0:
        return "Requests are refused until you top up."
    if account.credit_limit == 0:
        return "When nothing is available any more, requests are refused until you top up."
    limit = _money(account.credit_limit, account)
    return f"When your balance and your credit limit of {limit} are used up, requests are refused until you top up."


def contact_link(contact: str) -> str | None:
    """Make a link of a contact that is an address or a page; a telephone number or a sentence stays text."""
    if _ADDRESS.fullmatch(contact):
        return f"mailto:{contact}"
    return contact if _PAGE.fullmatch(contact) else None


def _money(micros: int, account: Account) -> str:
    return f"{format_amount(micros)} {account.currency}"


def time_of(micros: int) -> datetime:
    """Turn microseconds since 1970 into a time, rounded down to the second."""
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, UTC)


def time_in_words(micros: int) -> str:
    """Write microseconds since 1970 as people do, in UTC."""
    time = time_of(micros)
    return f"{time.day} {_MONTHS[time.month - 1]} {time:%Y, %H:%M} UTC"


_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""The mail is in English, whatever the machine's locale."""


def _source(name: str) -> str:
    return (resources.files("farebox.alerts") / "templates" / name).read_text(encoding="utf-8")


_ENVIRONMENT: Final = Environment(
    loader=FunctionLoader(_source),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def template(name: str) -> Template:
    """Load a mail's template."""
    return _ENVIRONMENT.get_template(name)


_TEXT: Final = template("low_balance.txt")
_HTML: Final = template("low_balance.html")
