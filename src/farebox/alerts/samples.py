"""Sample mails, one of each kind: by them an operator's templates are tried at the start, and seen beforehand.

They are written as real mails are, about made-up names and amounts.
"""

from collections.abc import Iterator
from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from farebox.alerts.account_mail import AccountMailSubject, account_mail_message, message_id
from farebox.alerts.alert_mail import alert_message
from farebox.alerts.alert_words import AlertSubject
from farebox.alerts.approval_mail import LISTED_MAX, ApprovalMailSubject, approval_message
from farebox.alerts.mail import MailSettings
from farebox.alerts.report_samples import report_samples
from farebox.alerts.staff_warnings import disabled_destinations_warning, unusual_spending_warning
from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert, AlertKind, written_facts
from farebox.core.approvals import Approval, RequestKind
from farebox.core.commands import KeyKind
from farebox.core.credit.grants import Grant
from farebox.core.transfers import Transfer
from farebox.service.languages import Language
from farebox.service.operator.approvals import WaitingFor
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.records import (
    AccountMail,
    ApiKey,
    Delivery,
    DeliveryState,
    Login,
    Merchant,
    Purpose,
    Realm,
)

_NOW: Final = 1_800_000_000_000_000
_UNIT: Final = 1_000_000
_USD: Final = "USD"
_EMAIL: Final = "ann@northwind.example"
_MERCHANT: Final = Merchant(3_774_873_600_000_000_007, "Northwind Imaging", _NOW)
_NUMBER: Final = _MERCHANT.merchant_id
_ACCOUNT: Final = Account(_NUMBER, _USD, wallet=389_500_000, held=10 * _UNIT, seq=2)
_LINK_TEXT: Final = "38RRBH800HASR.SAMPLE"


class Sample(Struct, frozen=True):
    """What a sample is called, and the mail."""

    name: str
    message: EmailMessage


def sample_mails(settings: MailSettings, language: Language) -> Iterator[Sample]:
    """Write one mail of each kind in a language."""
    for name, subject, is_optional in (
        ("low-balance", _low_balance(language), True),
        ("used-up", _used_up(language), False),
        ("credit-ends", _credit_ends(language), True),
        ("with-a-button", _unusual_spending(language), True),
    ):
        unsubscribe_url = f"{settings.public_url}/unsubscribe/SAMPLE" if is_optional else None
        yield Sample(name, alert_message(subject, settings, unsubscribe_url))
    for name, purpose, is_staff, has_password in (
        ("invitation", Purpose.INVITATION, False, False),
        ("invitation-again", Purpose.INVITATION, False, True),
        ("staff-invitation", Purpose.INVITATION, True, False),
        ("staff-invitation-again", Purpose.INVITATION, True, True),
        ("reset", Purpose.RESET, False, True),
        ("test", Purpose.TEST, False, False),
    ):
        account_mail = _account_mail(purpose, None if is_staff else _NUMBER)
        login = _login("Ann Lee", Realm.SUPPORT if is_staff else Realm.MERCHANT, "a hash" if has_password else None)
        told = AccountMailSubject(account_mail, login, None if is_staff else _MERCHANT, _LINK_TEXT)
        yield Sample(name, account_mail_message(told, settings, language))
    yield Sample("approvals", _approvals(settings, language))
    for name, message in _warnings(settings, language):
        yield Sample(name, message)
    for name, message in report_samples(settings, language):
        yield Sample(name, message)


def _low_balance(language: Language) -> AlertSubject:
    alert = Alert(_NUMBER, 1, 400 * _UNIT, _ACCOUNT.posted, _NOW, 2)
    charge = Transfer(
        *(_NUMBER, _ACCOUNT.seq, Kind.CHARGE, 500_000, "sample", b"", _ACCOUNT.wallet, _ACCOUNT.held, _NOW, b""),
        request_type="image",
        quantity=1,
    )
    return _alert_subject(language, alert, _ACCOUNT, transfer=charge)


def _used_up(language: Language) -> AlertSubject:
    alert = Alert(_NUMBER, 1, None, 0, _NOW, 2, AlertKind.USED_UP, refused=1_500_000)
    return _alert_subject(language, alert, Account(_NUMBER, _USD, seq=2))


def _credit_ends(language: Language) -> AlertSubject:
    grant = Grant(
        _NUMBER, 1, 50 * _UNIT, 20 * _UNIT, "INV-2041", "Welcome", "welcome", b"", expires_at=_NOW, transfer_seq=2
    )
    alert = Alert(_NUMBER, 1, None, _ACCOUNT.posted, _NOW, 2, AlertKind.CREDIT_ENDS)
    return _alert_subject(language, alert, _ACCOUNT, grant=grant)


def _unusual_spending(language: Language) -> AlertSubject:
    facts = {"spent": 90 * _UNIT, "highest": 4 * _UNIT, "key_id": 1, "key_spent": 88 * _UNIT}
    alert = Alert(
        *(_NUMBER, 1, None, _ACCOUNT.posted, _NOW, None, AlertKind.UNUSUAL_SPENDING),
        facts=written_facts(_ACCOUNT, facts),
    )
    key = ApiKey(1, KeyKind.MERCHANT, b"", "k_7Q…9Z4K", _NOW, _NUMBER)
    return _alert_subject(language, alert, _ACCOUNT, key=key)


def _warnings(settings: MailSettings, language: Language) -> Iterator[tuple[str, EmailMessage]]:
    """Write both warnings to staff, each with its name."""
    mail = _account_mail(Purpose.UNUSUAL_SPENDING, _NUMBER)
    name = message_id(mail, settings)
    yield (
        "staff-unusual-spending",
        unusual_spending_warning(mail, _unusual_spending(language), settings, name),
    )
    disabled = Destination(
        *(1, None, None, Channel.WEBHOOK, "on-call", "https://hooks.example/", 0, DestinationState.DISABLED, b""),
        secret_before=None,
        secret_before_until=None,
        created_at=_NOW,
        disabled_at=_NOW,
        disabled_reason="410 Gone",
    )
    yield ("staff-destination-disabled", disabled_destinations_warning(mail, [disabled], settings, name, language))


def _alert_subject(
    language: Language,
    alert: Alert,
    account: Account,
    *,
    transfer: Transfer | None = None,
    grant: Grant | None = None,
    key: ApiKey | None = None,
) -> AlertSubject:
    mail = Delivery(alert, Channel.EMAIL, 1, _EMAIL, DeliveryState.WAITING, 1, _NOW)
    return AlertSubject(mail, _MERCHANT, account, transfer, None, grant, language, key)


def _account_mail(purpose: Purpose, merchant_id: int | None) -> AccountMail:
    return AccountMail(
        account_mail_id=1,
        purpose=purpose,
        login_id=1,
        merchant_id=merchant_id,
        email=_EMAIL,
        seed=b"",
        created_at=_NOW,
        expires_at=_NOW,
        used_at=None,
        state=DeliveryState.WAITING,
        attempts=1,
        next_attempt_at=_NOW,
    )


def _login(name: str, realm: Realm, password_hash: str | None = None) -> Login:
    return Login(1, realm, _EMAIL, name, _NOW, password_hash)


def _approvals(settings: MailSettings, language: Language) -> EmailMessage:
    """Write of so many requests that not all are listed."""
    requests = [
        Approval(
            *(_NUMBER, number, RequestKind.TOP_UP, 9_000 * _UNIT * number, "INV-2041", None, "sample", b""),
            requested_by="ben@farebox.example",
            requested_at=_NOW,
        )
        for number in range(1, LISTED_MAX + 2)
    ]
    mail = _account_mail(Purpose.APPROVAL, None)
    waiting = WaitingFor(requests, [_login("Carla Diaz", Realm.SUPPORT)])
    subject = ApprovalMailSubject(mail, waiting, {_NUMBER: (_MERCHANT, _ACCOUNT)})
    return approval_message(subject, settings, message_id(mail, settings), language)
