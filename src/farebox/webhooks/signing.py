"""A webhook's headers by Standard Webhooks: its id, when it was sent, and a signature by each secret that holds."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

_MICROS_PER_SECOND: Final = 1_000_000


def signed_headers(secrets: Sequence[str], *, webhook_id: str, body: str, now: int) -> dict[str, str]:
    """Sign a body as of now.

    Args:
        secrets: those that hold, as `whsec_...`: one, or two while one takes the other's place.
        webhook_id: the same at each attempt, by which receivers tell a message that they had.
        body: what is sent, to the letter.
        now: the time, in microseconds since 1970; receivers refuse what is minutes old.
    """
    seconds = now // _MICROS_PER_SECOND
    time = datetime.fromtimestamp(seconds, UTC)
    signatures = [Webhook(secret).sign(webhook_id, time, body) for secret in secrets]
    return {ID_HEADER: webhook_id, TIMESTAMP_HEADER: str(seconds), SIGNATURE_HEADER: " ".join(signatures)}
