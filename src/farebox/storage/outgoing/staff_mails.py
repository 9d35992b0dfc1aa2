"""Mails that warn the operator's staff, owed in the transaction of what they tell of.

A mail holds nothing but whom it goes to and why: what it says is read when it is sent, so it is true then.
"""

from hashlib import blake2b

from msgspec.structs import astuple

from farebox.core import ids
from farebox.core.permissions import ALLOWED_ROLES, Operation
from farebox.storage.interface import Fetch
from farebox.storage.records import AccountMail, DeliveryState, Purpose
from farebox.storage.sql import NamedStatements

_MAIL_MICROS = 3 * 86_400_000_000
"""For how long a warning is news."""

_MAY_ACT = {
    Purpose.UNUSUAL_SPENDING: ALLOWED_ROLES[Operation.SUSPEND_MERCHANT_KEY],
    Purpose.DESTINATION_DISABLED: ALLOWED_ROLES[Operation.MANAGE_DESTINATIONS],
}
"""The roles that are warned of each: those who may do something about it."""


async def owe_staff(
    fetch: Fetch, statements: NamedStatements, purpose: Purpose, *, about: int, merchant_id: int | None, now: int
) -> None:
    """Owe a warning to each of the staff who may act on it; `about` numbers what it is about."""
    for login_id, email, _ in await fetch(statements["open_staff"], _MAY_ACT[purpose]):
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
