"""Mails that warn the operator's staff, owed in the transaction of what they tell of.

A mail holds nothing but whom it goes to and why: what it says is read when it is sent, so it is true then.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from msgspec.structs import astuple

from farebox.core import ids
from farebox.core.alerting.staff_warnings import WARNED_ROLES
from farebox.core.alerts import AlertKind
from farebox.storage.interface import Fetch
from farebox.storage.records import AccountMail, DeliveryState, Purpose
from farebox.storage.sql import NamedStatements

_MAIL_MICROS = 3 * 86_400_000_000
"""For how long a warning is news."""

WARNED_KINDS: Final[Mapping[int, AlertKind]] = {
    Purpose.UNUSUAL_SPENDING: AlertKind.UNUSUAL_SPENDING,
    Purpose.DESTINATION_DISABLED: AlertKind.DESTINATION_DISABLED,
}
"""Which kind of alert each of these mails warns of."""


async def owe_staff(
    fetch: Fetch, statements: NamedStatements, purpose: Purpose, *, about: int, merchant_id: int | None, now: int
) -> None:
    """Owe a warning to each of the staff who may act on it and wants it; `about` numbers what it is about."""
    kind = WARNED_KINDS[purpose]
    for login_id, email in await fetch(statements["warned_staff"], WARNED_ROLES[kind], 1 << kind):
        digest = blake2b(f"{purpose} {about} {login_id}".encode(), digest_size=8).digest()
        # It has no link, so its seed is no secret.
        mail = AccountMail(
            account_mail_id=ids.new_number(now // 1000, int.from_bytes(digest, "big") % (1 << ids.RANDOM_BITS)),
            purpose=purpose,
            login_id=login_id,
            merchant_id=merchant_id,
            email=email,
            seed=bytes(32),
            created_at=now,
            expires_at=now + _MAIL_MICROS,
            used_at=None,
            state=DeliveryState.WAITING,
            attempts=0,
            next_attempt_at=now,
        )
        await fetch(statements["insert_staff_mail"], *astuple(mail))
