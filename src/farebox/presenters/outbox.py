"""A mail that is owed or was, an alert's or one about signing in: to whom, what became of it, and why."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.alerts import AlertKind
from farebox.presenters.fields import (
    AMOUNT_OUT,
    BOOK_ID_CHARS,
    Email,
    MerchantId,
    Time,
    TransferId,
    amount_or_none,
    id_or_none,
    id_schema,
    time_or_none,
)
from farebox.service import inputs
from farebox.service.operator.console import AccountMail, Delivery, DeliveryState, MailServerPause, Purpose

StateWord = Literal["waiting", "sent", "given up", "withdrawn"]
KindWord = Literal[
    "low_balance",
    "used_up",
    "credit_ends",
    "recovered",
    "top_up",
    "credit_ended",
    "hold_expired",
    "budget_reached",
    "frozen",
    "unfrozen",
    "runway_short",
    "unusual_spending",
    "destination_disabled",
    "invitation",
    "password_reset",
    "test",
    "approvals",
    "report",
]

STATE_WORDS: Final[dict[int, StateWord]] = {
    DeliveryState.WAITING: "waiting",
    DeliveryState.SENT: "sent",
    DeliveryState.GIVEN_UP: "given up",
    DeliveryState.WITHDRAWN: "withdrawn",
}
_ALERT_WORDS: Final[dict[int, KindWord]] = {
    AlertKind.LOW_BALANCE: "low_balance",
    AlertKind.USED_UP: "used_up",
    AlertKind.CREDIT_ENDS: "credit_ends",
    AlertKind.RECOVERED: "recovered",
    AlertKind.TOP_UP: "top_up",
    AlertKind.CREDIT_ENDED: "credit_ended",
    AlertKind.HOLD_EXPIRED: "hold_expired",
    AlertKind.BUDGET_REACHED: "budget_reached",
    AlertKind.FROZEN: "frozen",
    AlertKind.UNFROZEN: "unfrozen",
    AlertKind.RUNWAY_SHORT: "runway_short",
    AlertKind.UNUSUAL_SPENDING: "unusual_spending",
    AlertKind.DESTINATION_DISABLED: "destination_disabled",
}
_PURPOSE_WORDS: Final[dict[int, KindWord]] = {
    Purpose.INVITATION: "invitation",
    Purpose.RESET: "password_reset",
    Purpose.TEST: "test",
    Purpose.APPROVAL: "approvals",
    Purpose.REPORT: "report",
    Purpose.UNUSUAL_SPENDING: "unusual_spending",
    Purpose.DESTINATION_DISABLED: "destination_disabled",
}


class MailData(Struct, frozen=True, rename="camel"):
    """A mail that is owed to one person, or was."""

    kind: Annotated[
        KindWord, Meta(description="Used up: a request was refused for lack of money.", examples=["low_balance"])
    ]
    alert_id: Annotated[
        str | None,
        Meta(
            description="The alert that it tells of.",
            examples=["alert_01K9ABCDEFGHJ00000001"],
            extra_json_schema=id_schema("alert_", BOOK_ID_CHARS),
        ),
    ]
    merchant_id: MerchantId | None
    email: Email
    state: Annotated[
        StateWord, Meta(description="Withdrawn: nobody is to get it any more; `lastError` says why.", examples=["sent"])
    ]
    attempts: Annotated[int, Meta(examples=[1])]
    threshold: Annotated[
        str | None, Meta(description="The threshold that posted is below.", extra_json_schema=AMOUNT_OUT)
    ]
    refused: Annotated[
        str | None, Meta(description="What the refused request would have taken.", extra_json_schema=AMOUNT_OUT)
    ]
    posted: Annotated[
        str | None, Meta(description="The posted balance when it was owed.", extra_json_schema=AMOUNT_OUT)
    ]
    fired_at: Annotated[Time, Meta(description="Since when it is owed.")]
    transfer_id: TransferId | None
    next_attempt_at: Time | None
    mail_server_paused_until: Annotated[
        Time | None, Meta(description="Until when the mail server is given up, which takes no mails.")
    ]
    sent_at: Time | None
    last_error: Annotated[
        str | None, Meta(description="Why it is not sent yet, was given up or is withdrawn.", examples=[None])
    ]


def mail_data(mail: Delivery | AccountMail, pause: MailServerPause | None) -> MailData:
    """Tell of a mail, and of the mail server if that is given up for a while."""
    is_waiting = mail.state == DeliveryState.WAITING
    alert = mail.alert if isinstance(mail, Delivery) else None
    merchant_id = mail.merchant_id if isinstance(mail, AccountMail) else mail.alert.merchant_id
    threshold, refused, posted = (None, None, None) if alert is None else (alert.threshold, alert.refused, alert.posted)
    return MailData(
        kind=mail_kind(mail),
        alert_id=None if alert is None else alert.id,
        merchant_id=id_or_none(ids.MERCHANT, merchant_id),
        email=mail.email,
        state=STATE_WORDS[mail.state],
        attempts=mail.attempts,
        threshold=amount_or_none(threshold),
        refused=amount_or_none(refused),
        posted=amount_or_none(posted),
        fired_at=inputs.format_time(owed_since(mail)),
        transfer_id=None if alert is None else alert.transfer_id,
        next_attempt_at=time_or_none(mail.next_attempt_at if is_waiting else None),
        mail_server_paused_until=time_or_none(pause.paused_until if pause and is_waiting else None),
        sent_at=time_or_none(mail.sent_at),
        last_error=mail.last_error,
    )


def mail_kind(mail: Delivery | AccountMail) -> KindWord:
    """Name what a mail is about."""
    return _PURPOSE_WORDS[mail.purpose] if isinstance(mail, AccountMail) else _ALERT_WORDS[mail.alert.kind]


def owed_since(mail: Delivery | AccountMail) -> int:
    """Tell when a mail came to be owed, in microseconds since 1970."""
    return mail.created_at if isinstance(mail, AccountMail) else mail.alert.fired_at
