"""What an alert's mail says, in plain text and HTML, and the headers that let mail systems drop a twin."""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from importlib import resources
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import KIND_WORDS
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.storage.rows import Merchant, OutboxMail

_MICROS_PER_SECOND: Final = 1_000_000


class MailSettings(Struct, frozen=True):
    """What every mail needs of the operator's settings."""

    mail_from: str
    public_url: str
    support_contact: str


class LowBalance(Struct, frozen=True):
    """What a mail tells: the alert it is about, the merchant, what fired it, and how long the balance lasts now."""

    mail: OutboxMail
    merchant: Merchant
    currency: str
    available: int
    transfer: Transfer | None
    runway: str | None


def message_id(mail: OutboxMail, settings: MailSettings) -> str:
    """Name a mail: the same for every attempt to send it, so that a twin is known as one."""
    alert = ids.book_id(ids.ALERT, merchant_id=mail.alert.merchant_id, seq=mail.alert.number)
    user = ids.public_id(ids.USER, mail.user_id)
    return f"<{alert}.{user}@{Address(addr_spec=settings.mail_from).domain}>"


def low_balance_message(subject: LowBalance, settings: MailSettings) -> EmailMessage:
    """Write the mail that tells one user that a balance fell below a threshold."""
    alert = subject.mail.alert
    # One line, whatever a name may hold: a header must never be continued by it.
    name = " ".join(subject.merchant.name.split())
    words = {
        "merchant": name,
        "currency": subject.currency,
        "threshold": format_amount(alert.threshold),
        "posted": format_amount(alert.posted),
        "available": format_amount(subject.available),
        "runway": subject.runway,
        "cause": _cause(subject),
        "support_contact": settings.support_contact,
        "dashboard_url": settings.public_url.rstrip("/") + "/",
    }
    message = EmailMessage(policy=SMTP)
    message["From"] = Address("Farebox", addr_spec=settings.mail_from)
    message["To"] = Address(addr_spec=subject.mail.email)
    message["Subject"] = f"{name}: balance below {words['threshold']} {subject.currency}"
    message["Date"] = format_datetime(datetime.fromtimestamp(alert.fired_at // _MICROS_PER_SECOND, UTC))
    message["Message-ID"] = message_id(subject.mail, settings)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_TEXT.render(words))
    message.add_alternative(_HTML.render(words), subtype="html")
    return message


def _cause(subject: LowBalance) -> str:
    transfer = subject.transfer
    if transfer is None:
        return "the threshold was set above the balance"
    word = KIND_WORDS[transfer.kind].replace("_", " ")
    kind = f"{word} for {transfer.quantity} x {transfer.request_type}" if transfer.request_type else word
    return f"{kind}, {format_amount(transfer.amount)} {subject.currency} ({transfer.id})"


def _template(name: str) -> str:
    return (resources.files("farebox.alerts") / "templates" / name).read_text(encoding="utf-8")


_ENVIRONMENT: Final = Environment(
    loader=FunctionLoader(_template),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEXT: Final = _ENVIRONMENT.get_template("low_balance.txt")
_HTML: Final = _ENVIRONMENT.get_template("low_balance.html")
