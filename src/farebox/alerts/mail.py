"""What all mails share: who they are from, their headers, their templates, and how they say times and contacts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from msgspec import Struct

from farebox.alerts.email_address import header_text, named_mailbox, needs_smtputf8, one_line
from farebox.service.date_words import date_and_time

SENDER_NAME: Final = "Farebox"
"""Who a mail is from, if the operator's address carries no name of its own."""

_MICROS_PER_SECOND: Final = 1_000_000
_ADDRESS: Final = re.compile(r"[^\s@<>,;:]+@[^\s@<>,;:]+")
_PAGE: Final = re.compile(r"https?://\S+", re.IGNORECASE)


class MailSettings(Struct, frozen=True):
    """What every mail needs of the operator's settings.

    `mail_from` is an address, with a name if it is to have one: `Northwind <alerts@example.com>`. `public_url` is where
    people reach the dashboard, without a slash at its end. `support_contact` is how they reach support: an address, a
    number, a page; may be empty.
    """

    mail_from: str
    public_url: str
    support_contact: str

    @property
    def sender(self) -> Address:
        """Whom mails come from."""
        return named_mailbox(self.mail_from, default_name=SENDER_NAME)


class Headers(Struct, frozen=True):
    """What a mail's headers say, beside who it is from and goes to; `at` is microseconds since 1970."""

    subject: str
    at: int
    message_id: str


def compose_mail(
    settings: MailSettings, recipient: Address, headers: Headers, *, template: str, words: Mapping[str, Any]
) -> EmailMessage:
    """Put a mail together, its content in plain text and in HTML by the two templates of this name.

    Beside its own words each says how to reach support.
    """
    sender, contact = settings.sender, one_line(settings.support_contact)
    told = {**words, "contact": contact, "contact_url": contact_link(contact)}
    # With SMTPUTF8 headers are written as they are, which only servers that know it take; so only where it must be.
    message = EmailMessage(policy=SMTPUTF8 if needs_smtputf8(sender, recipient) else SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = header_text(headers.subject)
    message["Date"] = format_datetime(_time_of(headers.at))
    message["Message-ID"] = headers.message_id
    message["Auto-Submitted"] = "auto-generated"
    text, html = (_TEMPLATES.get_template(f"{template}.{form}").render(told) for form in ("txt", "html"))
    # Quoted-printable is ASCII with short lines: no server needs to change it on its way.
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def contact_link(contact: str) -> str | None:
    """Make a link of a contact that is an address or a page; a telephone number or a sentence stays text."""
    if _ADDRESS.fullmatch(contact):
        return f"mailto:{contact}"
    return contact if _PAGE.fullmatch(contact) else None


def time_in_words(micros: int) -> str:
    """Write microseconds since 1970 as people do, in UTC."""
    return f"{date_and_time(_time_of(micros))} UTC"


def _time_of(micros: int) -> datetime:
    """Turn microseconds since 1970 into a time, rounded down to the second."""
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, UTC)


def _source(name: str) -> str:
    return (resources.files("farebox.alerts") / "templates" / name).read_text(encoding="utf-8")


_TEMPLATES: Final = Environment(
    loader=FunctionLoader(_source),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""A template is read and compiled when the first mail of its kind is written."""
