"""The mail that tells one user that a merchant's balance fell below a threshold."""

from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from farebox.alerts.email_address import mailbox, one_line
from farebox.alerts.mail import Headers, MailSettings, compose_mail, contact_link, time_in_words
from farebox.core import ids
from farebox.core.accounts import Account, Kind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.transfers import Transfer
from farebox.storage.records import Merchant, OutboxMail

_CAUSES: Final = {
    Kind.CHARGE: "a charge",
    Kind.CAPTURE: "a captured hold",
    Kind.ADJUSTMENT_DEBIT: "an adjustment by support",
    Kind.TOP_UP_REVERSAL: "a reversed top-up",
}
"""The kinds of transfer that bring a balance down, in a merchant's words."""


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


class Fact(Struct, frozen=True):
    """One line of what a mail tells: a label, its value, and a remark that may be empty."""

    label: str
    value: str
    remark: str = ""


def message_id(mail: OutboxMail, settings: MailSettings) -> str:
    """Name a mail: the same for every attempt to send it, so that a second copy is known as one."""
    alert = ids.book_id(ids.ALERT, merchant_id=mail.alert.merchant_id, seq=mail.alert.number)
    return f"<{alert}.{ids.public_id(ids.USER, mail.user_id)}@{settings.sender.domain}>"


def low_balance_message(subject: LowBalance, settings: MailSettings) -> EmailMessage:
    """Write the mail that tells one user that a balance fell below a threshold.

    Raises:
        InvalidAddress: the user's address is not one; no mail can ever go there.
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
        "balance": format_money(alert.posted, account.currency),
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
        template="low_balance",
        words=words,
    )


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


def _money(micros: int, account: Account) -> str:
    return format_money_with_code(micros, account.currency)
