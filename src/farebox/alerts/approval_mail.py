"""Mails that tell one of the staff what waits for them: requests for approval, and accounts to be confirmed."""

from collections.abc import Mapping
from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from farebox.alerts.email_address import mailbox, one_line
from farebox.alerts.mail import Headers, MailSettings, compose_mail
from farebox.core.accounts import Account
from farebox.core.approvals import REQUEST_NAMES, Approval
from farebox.core.currencies import format_money_with_code
from farebox.service.operator.approvals import WaitingFor
from farebox.storage.records import AccountMail, Merchant
from farebox.storage.stores import Stores

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


def approval_message(subject: ApprovalMailSubject, settings: MailSettings, message_id: str) -> EmailMessage:
    """Write the mail.

    Raises:
        InvalidAddress: the address is not one; no mail can ever go there.
    """
    mail, waiting = subject.account_mail, subject.waiting
    words = {
        "requests": [_request(subject, approval) for approval in waiting.approvals[:LISTED_MAX]],
        "accounts": [f"{one_line(login.name)} ({login.email})" for login in waiting.accounts[:LISTED_MAX]],
        "more": max(len(waiting.approvals) - LISTED_MAX, 0) + max(len(waiting.accounts) - LISTED_MAX, 0),
        "url": f"{settings.public_url}/support/approvals",
    }
    count = len(waiting)
    title = "1 request waits for your approval" if count == 1 else f"{count} requests wait for your approval"
    headers = Headers(title, at=mail.created_at, message_id=message_id)
    return compose_mail(settings, mailbox(mail.email), headers, template="approvals", words=words)


def _request(subject: ApprovalMailSubject, approval: Approval) -> str:
    """Tell of a request in a line."""
    merchant, account = subject.merchants[approval.merchant_id]
    kind = REQUEST_NAMES[approval.kind].capitalize()
    what = f"{kind} of {format_money_with_code(approval.signed_amount, account.currency)}"
    reference = f", {approval.reference}" if approval.reference else ""
    return one_line(f"{what} for {merchant.name}{reference}; {approval.requested_by} asked for it")
