"""Mails that tell one of the staff what waits for them: requests for approval, and accounts to be confirmed."""

from collections.abc import Mapping
from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from farebox.alerts.email_address import mailbox, one_line
from farebox.alerts.mail import Headers, MailSettings, compose_mail
from farebox.core.accounts import Account
from farebox.core.approvals import Approval, RequestKind
from farebox.service.languages import Language, gettext_noop
from farebox.service.operator.approvals import WaitingFor
from farebox.storage.records import AccountMail, Merchant
from farebox.storage.stores import Stores

_REQUESTS: Final = {
    RequestKind.TOP_UP: gettext_noop("Top-up of %(amount)s for %(merchant)s, requested by %(maker)s"),
    RequestKind.REFUND: gettext_noop("Refund of %(amount)s for %(merchant)s, requested by %(maker)s"),
    RequestKind.ADJUSTMENT_CREDIT: gettext_noop("Adjustment of %(amount)s for %(merchant)s, requested by %(maker)s"),
    RequestKind.ADJUSTMENT_DEBIT: gettext_noop("Adjustment of %(amount)s for %(merchant)s, requested by %(maker)s"),
    RequestKind.CREDIT_LIMIT: gettext_noop("Credit limit of %(amount)s for %(merchant)s, requested by %(maker)s"),
    RequestKind.GRANT: gettext_noop("Given credit of %(amount)s for %(merchant)s, requested by %(maker)s"),
}
"""Requests in a line each."""

LISTED_MAX: Final = 20
"""How many requests, and how many accounts, a mail tells of; it says how many more there are."""


class ApprovalMailSubject(Struct, frozen=True):
    """What such a mail tells: what waits as of now, and of which merchants."""

    account_mail: AccountMail
    waiting: WaitingFor
    merchants: Mapping[int, tuple[Merchant, Account]]


async def approval_mail_subject(stores: Stores, mail: AccountMail, waiting: WaitingFor) -> ApprovalMailSubject:
    """Read what a mail says of the merchants."""
    numbers = sorted({approval.merchant_id for approval in waiting.approvals[:LISTED_MAX]})
    merchants = {row[0].merchant_id: (row[0], row[1]) for row in await stores.merchants.with_accounts(numbers)}
    return ApprovalMailSubject(mail, waiting, merchants)


def approval_message(
    subject: ApprovalMailSubject, settings: MailSettings, message_id: str, spoken: Language
) -> EmailMessage:
    """Write the mail, in a language.

    Raises:
        InvalidAddress: the address is not one; no mail can ever go there.
    """
    mail, waiting = subject.account_mail, subject.waiting
    words = {
        "requests": [_request(subject, approval, spoken) for approval in waiting.approvals[:LISTED_MAX]],
        "accounts": [f"{one_line(login.name)} ({login.email})" for login in waiting.accounts[:LISTED_MAX]],
        "more": max(len(waiting.approvals) - LISTED_MAX, 0) + max(len(waiting.accounts) - LISTED_MAX, 0),
        "url": f"{settings.public_url}/support/approvals",
    }
    count = len(waiting)
    title = spoken.ngettext(
        "%(count)s request waits for your approval", "%(count)s requests wait for your approval", count
    )
    headers = Headers(title, at=mail.created_at, message_id=message_id)
    return compose_mail(settings, mailbox(mail.email), headers, template="approvals", words=words, language=spoken)


def _request(subject: ApprovalMailSubject, approval: Approval, spoken: Language) -> str:
    """Tell of a request in a line."""
    merchant, account = subject.merchants[approval.merchant_id]
    line = spoken.gettext(
        _REQUESTS[RequestKind(approval.kind)],
        amount=spoken.money(approval.signed_amount, account.currency),
        merchant=one_line(merchant.name),
        maker=approval.requested_by,
    )
    return one_line(f"{line} ({approval.reference})") if approval.reference else line
