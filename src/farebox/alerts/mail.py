"""What all mails share: who they are from, their headers and pictures, their templates, and how one reaches support."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, Policy
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct

from farebox.alerts.email_address import header_text, named_mailbox, needs_smtputf8, one_line
from farebox.alerts.mail_templates import MailTemplates
from farebox.service.languages import ENGLISH, Language, language

SENDER_NAME: Final = "Farebox"
"""Who a mail is from, if neither the operator's address nor the operator has a name of its own."""

LOGO: Final = "logo"
"""What a mail's own HTML calls the operator's logo: cid:logo."""

CONTENT_MARK: Final = "+"
"""What stands in a Message-ID between the mail's name and that of its content."""

_CONTENT_CHARS: Final = 16
_MICROS_PER_SECOND: Final = 1_000_000
_ADDRESS: Final = re.compile(r"[^\s@<>,;:]+@[^\s@<>,;:]+")
_PAGE: Final = re.compile(r"https?://\S+", re.IGNORECASE)


class _LinkHeader(UnstructuredHeader, BaseHeader):
    """A header that is a link, in one line as it is; Python would encode a long one, which mail programs don't read."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS: Final = HeaderRegistry()
_HEADERS.map_to_type("List-Unsubscribe", _LinkHeader)


class Picture(Struct, frozen=True):
    """A picture that a mail carries, and shows as `cid:NAME`; `kind` is what it is, such as png."""

    name: str
    kind: str
    content: bytes


class MailSettings(Struct, frozen=True):
    """What every mail needs of the operator's settings.

    `mail_from` is an address, with a name if it is to have one: `Northwind <alerts@example.com>`. `public_url` is where
    people reach the dashboard, without a slash at its end. `support_contact` is how they reach support: an address, a
    number, a page; may be empty, as `operator`, their name, may. `language` is for those who chose none.
    """

    mail_from: str
    public_url: str
    support_contact: str
    operator: str = ""
    logo: Picture | None = None
    language: str = ENGLISH.code
    templates: MailTemplates = MailTemplates()

    @property
    def sender(self) -> Address:
        """Whom mails come from."""
        return named_mailbox(self.mail_from, default_name=self.operator or SENDER_NAME)

    def language_of(self, chosen: str) -> Language:
        """Return the language of this code, or else the operator's; '' if a reader chose none."""
        return language(chosen or self.language)


class Headers(Struct, frozen=True):
    """What a mail's headers say, beside who it is from and goes to; `at` is microseconds since 1970.

    `message_id` names the mail, the same for every attempt to send it; what its content is called by is added to it.
    """

    subject: str
    at: int
    message_id: str


def compose_mail(
    settings: MailSettings,
    recipient: Address,
    headers: Headers,
    *,
    template: str,
    words: Mapping[str, Any],
    language: Language = ENGLISH,
    unsubscribe_url: str | None = None,
    pictures: Sequence[Picture] = (),
) -> EmailMessage:
    """Put a mail together, its content in plain text and in HTML by the two templates of this name.

    Args:
        settings: the operator's.
        recipient: whom it goes to.
        headers: what it is called.
        template: the name of its templates, without their endings.
        words: what they say; each says besides how to reach support, and who the operator is.
        language: what it is written in.
        unsubscribe_url: where its reader ends such mails by one click (RFC 8058); None if it must reach them.
        pictures: what its HTML shows, beside the logo.
    """
    sender, shown = settings.sender, [*pictures, *([settings.logo] if settings.logo else [])]
    # With SMTPUTF8 headers are written as they are, which only servers that know it take; so only where it must be.
    policy = SMTPUTF8 if needs_smtputf8(sender, recipient) else SMTP
    message = EmailMessage(policy=policy.clone(header_factory=_HEADERS))
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = header_text(headers.subject)
    message["Date"] = format_datetime(_time_of(headers.at))
    message["Message-ID"] = headers.message_id
    message["Auto-Submitted"] = "auto-generated"
    if unsubscribe_url is not None:
        message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    told = {**words, **_shared_words(settings, headers, unsubscribe_url)}
    text, html = settings.templates.render(template, told, language)
    # Quoted-printable is ASCII with short lines: no server needs to change it on its way.
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = language.code
    for picture in shown:
        if f"cid:{picture.name}" in html:
            _add_picture(message, picture)
    parts = [str(sender), str(recipient), headers.subject, str(unsubscribe_url), text, html]
    parts += [sha256(picture.content).hexdigest() for picture in shown]
    message.replace_header("Message-ID", _named_by_content(headers.message_id, parts))
    return message


def name_of(message: EmailMessage) -> str:
    """Return what names a mail at every attempt to send it: what its Message-ID begins with, whatever it says."""
    return str(message["Message-ID"]).strip(" <>").partition("@")[0].partition(CONTENT_MARK)[0]


def _named_by_content(message_id: str, parts: Sequence[str]) -> str:
    """Add to a Message-ID what its content is called by: a mail that says something else is another (RFC 5322, 3.6.4).

    The same content has the same, so a mail that is sent twice is known as one.
    """
    digest = sha256("\0".join(parts).encode()).hexdigest()[:_CONTENT_CHARS]
    local, _, domain = message_id.rpartition("@")
    return f"{local}{CONTENT_MARK}{digest}@{domain}"


def _shared_words(settings: MailSettings, headers: Headers, unsubscribe_url: str | None) -> dict[str, Any]:
    contact = one_line(settings.support_contact)
    return {
        "subject": headers.subject,
        "operator": settings.operator,
        "has_logo": settings.logo is not None,
        "contact": contact,
        "contact_url": contact_link(contact),
        "unsubscribe_url": unsubscribe_url,
    }


def _add_picture(message: EmailMessage, picture: Picture) -> None:
    """Let the HTML have a picture beside it (multipart/related): nothing is fetched when it is read."""
    html = message.get_body(("related", "html"))
    if html is None:
        raise LookupError("the mail has no HTML")
    html.add_related(
        picture.content,
        maintype="image",
        subtype=picture.kind,
        cid=f"<{picture.name}>",
        filename=f"{picture.name}.{picture.kind}",
        disposition="inline",
    )


def contact_link(contact: str) -> str | None:
    """Make a link of a contact that is an address or a page; a telephone number or a sentence stays text."""
    if _ADDRESS.fullmatch(contact):
        return f"mailto:{contact}"
    return contact if _PAGE.fullmatch(contact) else None


def _time_of(micros: int) -> datetime:
    """Turn microseconds since 1970 into a time, rounded down to the second."""
    return datetime.fromtimestamp(micros // _MICROS_PER_SECOND, UTC)
