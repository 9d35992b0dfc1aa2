"""An alert mail: what is owed to whom, what became of it, and why."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.money import format_amount
from farebox.core.state import AlertKind
from farebox.presenters.fields import (
    AMOUNT_OUT,
    BOOK_ID_CHARS,
    Amount,
    Email,
    MerchantId,
    Time,
    TransferId,
    id_schema,
    time_or_none,
)
from farebox.service import inputs
from farebox.service.operator.console import MailServerPause, MailState, OutboxMail

StateWord = Literal["waiting", "sent", "given up", "withdrawn"]
KindWord = Literal["low_balance", "used_up"]

STATE_WORDS: Final[dict[int, StateWord]] = {
    MailState.WAITING: "waiting",
    MailState.SENT: "sent",
    MailState.GIVEN_UP: "given up",
    MailState.WITHDRAWN: "withdrawn",
}
KIND_WORDS: Final[dict[int, KindWord]] = {AlertKind.LOW_BALANCE: "low_balance", AlertKind.USED_UP: "used_up"}


class OutboxMailData(Struct, frozen=True, rename="camel"):
    """A mail that is owed to one user about one alert, or was."""

    alert_id: Annotated[
        str,
        Meta(
            description="The alert that it tells of.",
            examples=["alert_01K9ABCDEFGHJ00000001"],
            extra_json_schema=id_schema("alert_", BOOK_ID_CHARS),
        ),
    ]
    merchant_id: MerchantId
    email: Email
    state: Annotated[
        StateWord, Meta(description="Withdrawn: nobody is to get it any more; `lastError` says why.", examples=["sent"])
    ]
    attempts: Annotated[int, Meta(examples=[1])]
    kind: Annotated[
        KindWord,
        Meta(description="Used up: a request was refused for lack of money.", examples=["low_balance"]),
    ]
    threshold: Annotated[
        str | None, Meta(description="The threshold that posted is below.", extra_json_schema=AMOUNT_OUT)
    ]
    refused: Annotated[
        str | None, Meta(description="What the refused request would have taken.", extra_json_schema=AMOUNT_OUT)
    ]
    posted: Annotated[Amount, Meta(description="The posted balance at that time.")]
    fired_at: Time
    transfer_id: TransferId | None
    next_attempt_at: Time | None
    mail_server_paused_until: Annotated[
        Time | None, Meta(description="Until when the mail server is given up, which takes no mails.")
    ]
    sent_at: Time | None
    last_error: Annotated[
        str | None, Meta(description="Why it is not sent yet, was given up or is withdrawn.", examples=[None])
    ]


def outbox_mail_data(mail: OutboxMail, pause: MailServerPause | None) -> OutboxMailData:
    """Tell of an alert mail, and of the mail server if that is given up for a while."""
    alert, is_waiting = mail.alert, mail.state == MailState.WAITING
    return OutboxMailData(
        alert_id=ids.book_id(ids.ALERT, merchant_id=alert.merchant_id, seq=alert.number),
        merchant_id=ids.public_id(ids.MERCHANT, alert.merchant_id),
        email=mail.email,
        state=STATE_WORDS[mail.state],
        attempts=mail.attempts,
        kind=KIND_WORDS[alert.kind],
        threshold=None if alert.threshold is None else format_amount(alert.threshold),
        refused=None if alert.refused is None else format_amount(alert.refused),
        posted=format_amount(alert.posted),
        fired_at=inputs.format_time(alert.fired_at),
        transfer_id=alert.transfer_id,
        next_attempt_at=time_or_none(mail.next_attempt_at if is_waiting else None),
        mail_server_paused_until=time_or_none(pause.paused_until if pause and is_waiting else None),
        sent_at=time_or_none(mail.sent_at),
        last_error=mail.last_error,
    )
