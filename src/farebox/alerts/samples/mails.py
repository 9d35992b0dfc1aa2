"""Sample mails, one of each kind, written as real ones are."""

from collections.abc import Iterator
from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from farebox.alerts.account_mail import AccountMailSubject, account_mail_message, message_id
from farebox.alerts.alert_mail import alert_message
from farebox.alerts.approval_mail import LISTED_MAX, ApprovalMailSubject, approval_message
from farebox.alerts.mail import MailSettings
from farebox.alerts.samples.alerts import ACCOUNT, EMAIL, MERCHANT, NOW, UNIT, alert_subject, sample_name
from farebox.alerts.samples.reports import report_samples
from farebox.alerts.staff_warnings import WarningMail, disabled_destinations_warning, unusual_spending_warning
from farebox.core.alerts import FOR_THE_OPERATOR, AlertKind
from farebox.core.approvals import Approval, RequestKind
from farebox.service.languages import Language
from farebox.service.operator.approvals import WaitingFor
from farebox.service.people.unsubscribing import is_optional
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.records import AccountMail, DeliveryState, Login, Purpose, Realm, Role

_LINK_TEXT: Final = "38RRBH800HASR.SAMPLE"


class Sample(Struct, frozen=True):
    """What a sample is called, the mail, and the kind of alert that it tells of; None if it tells of none."""

    name: str
    message: EmailMessage
    kind: AlertKind | None = None


def sample_mails(settings: MailSettings, language: Language) -> Iterator[Sample]:
    """Write one mail of each kind in a language."""
    for kind in AlertKind:
        if not FOR_THE_OPERATOR >> kind & 1:
            unsubscribe_url = f"{settings.public_url}/unsubscribe/SAMPLE" if is_optional(kind, Role.OWNER) else None
            message = alert_message(alert_subject(kind, language), settings, unsubscribe_url)
            yield Sample(sample_name(kind), message, kind)
    for name, purpose, is_staff, has_password in (
        ("invitation", Purpose.INVITATION, False, False),
        ("invitation-again", Purpose.INVITATION, False, True),
        ("staff-invitation", Purpose.INVITATION, True, False),
        ("staff-invitation-again", Purpose.INVITATION, True, True),
        ("reset", Purpose.RESET, False, True),
        ("test", Purpose.TEST, False, False),
    ):
        account_mail = _account_mail(purpose, None if is_staff else MERCHANT.merchant_id)
        login = _login("Ann Lee", Realm.SUPPORT if is_staff else Realm.MERCHANT, "a hash" if has_password else None)
        told = AccountMailSubject(account_mail, login, None if is_staff else MERCHANT, _LINK_TEXT)
        yield Sample(name, account_mail_message(told, settings, language))
    yield Sample("approvals", _approvals(settings, language), AlertKind.APPROVAL_WAITING)
    for name, message in _warnings(settings, language):
        yield Sample(name, message)
    for name, message in report_samples(settings, language):
        yield Sample(name, message)


def _warnings(settings: MailSettings, language: Language) -> Iterator[tuple[str, EmailMessage]]:
    """Write both warnings to staff, each with its name."""
    owed = _account_mail(Purpose.UNUSUAL_SPENDING, MERCHANT.merchant_id)
    mail = WarningMail(owed, message_id(owed, settings), f"{settings.public_url}/unsubscribe/warnings/SAMPLE")
    yield (
        "staff-unusual-spending",
        unusual_spending_warning(mail, alert_subject(AlertKind.UNUSUAL_SPENDING, language), settings),
    )
    disabled = Destination(
        *(1, None, None, Channel.WEBHOOK, "on-call", "https://hooks.example/", 0, DestinationState.DISABLED, b""),
        secret_before=None,
        secret_before_until=None,
        created_at=NOW,
        disabled_at=NOW,
        disabled_reason="410 Gone",
    )
    yield ("staff-destination-disabled", disabled_destinations_warning(mail, [disabled], settings, language))


def _account_mail(purpose: Purpose, merchant_id: int | None) -> AccountMail:
    return AccountMail(
        account_mail_id=1,
        purpose=purpose,
        login_id=1,
        merchant_id=merchant_id,
        email=EMAIL,
        seed=b"",
        created_at=NOW,
        expires_at=NOW,
        used_at=None,
        state=DeliveryState.WAITING,
        attempts=1,
        next_attempt_at=NOW,
    )


def _login(name: str, realm: Realm, password_hash: str | None = None) -> Login:
    return Login(1, realm, EMAIL, name, NOW, password_hash)


def _approvals(settings: MailSettings, language: Language) -> EmailMessage:
    """Write of so many requests that not all are listed."""
    requests = [
        Approval(
            *(MERCHANT.merchant_id, number, RequestKind.TOP_UP, 9_000 * UNIT * number, "INV-2041", None, "sample", b""),
            requested_by="ben@farebox.example",
            requested_at=NOW,
        )
        for number in range(1, LISTED_MAX + 2)
    ]
    mail = _account_mail(Purpose.APPROVAL, None)
    waiting = WaitingFor(requests, [_login("Carla Diaz", Realm.SUPPORT)])
    subject = ApprovalMailSubject(mail, waiting, {MERCHANT.merchant_id: (MERCHANT, ACCOUNT)})
    return approval_message(subject, settings, message_id(mail, settings), language)
