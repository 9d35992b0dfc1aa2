"""Secrets of destinations: what signs webhooks, and chats' URLs, kept so that the database alone gives none away.

They are encrypted by AES-256-GCM with a key that is derived from the operator's secret key, and bound to the number of
their destination: a secret that is copied to another row can't be read there. Without a secret key of the operator, the
database alone guards them, as it guards sessions.
"""

import base64
import binascii
import re
import secrets
from hashlib import blake2b
from typing import Final

from farebox.service.errors import InvalidInput, ServiceError
from farebox.storage.destination_records import Destination

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what such a secret begins with.
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
"""How long secrets may be by the Standard Webhooks."""

_SECRET_BYTES: Final = 32
_KEY_PERSON: Final = b"farebox target"
_NONCE_BYTES: Final = 12
_ID_BYTES: Final = 8
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


class SecretUnreadable(ServiceError):
    """The secret can't be read: FAREBOX_SECRET_KEY is another than when it was saved. Save a new one."""


class DestinationSecrets:
    """Encrypts and reads what destinations keep secret."""

    def __init__(self, secret_key: str, *keys_before: str) -> None:
        """Derive the keys from the operator's secret key, which may be empty, and from those before it."""
        self._keys = [
            blake2b(key.encode(), digest_size=32, person=_KEY_PERSON).digest() for key in (secret_key, *keys_before)
        ]

    def encrypt(self, destination_id: int, text: str) -> bytes:
        """Write a destination's secret as it is stored."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._keys[0]).encrypt(nonce, text.encode(), _bound_to(destination_id))

    def decrypt(self, destination_id: int, stored: bytes) -> str:
        """Read a destination's secret.

        Raises:
            SecretUnreadable: it was written with a key that is not named, or for another destination.
        """
        for key in self._keys:
            text = _decrypted(key, destination_id, stored)
            if text is not None:
                return text
        raise SecretUnreadable

    def rewritten(self, destination_id: int, stored: bytes) -> bytes | None:
        """Write a secret anew with the key in use; None if it is written with that already.

        Raises:
            SecretUnreadable: it was written with a key that is not named, or for another destination.
        """
        if _decrypted(self._keys[0], destination_id, stored) is not None:
            return None
        return self.encrypt(destination_id, self.decrypt(destination_id, stored))

    def signing_secrets(self, destination: Destination, now: int) -> list[str]:
        """Return what signs a webhook's messages now: its secret, then the one before while both are good.

        Raises:
            SecretUnreadable: one of them can't be read.
        """
        stored = [destination.secret]
        if destination.secret_before is not None and now < (destination.secret_before_until or 0):
            stored.append(destination.secret_before)
        return [self.decrypt(destination.destination_id, secret) for secret in stored]

    def chat_url(self, destination: Destination) -> str:
        """Return where a chat's messages go.

        Raises:
            SecretUnreadable: it can't be read.
        """
        return self.decrypt(destination.destination_id, destination.secret)


def new_signing_secret() -> str:
    """Make a secret, 256 random bits, as the Standard Webhooks write it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def checked_signing_secret(field: str, text: str) -> str:
    """Check a secret that somebody brings along; the message tells nothing of it.

    Raises:
        InvalidInput: it is none that libraries of the Standard Webhooks could verify with, or too short to be safe.
    """
    advice = (
        f"a secret is {SECRET_PREFIX} and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes in base64; leave it "
        "empty to have one made"
    )
    key = text.removeprefix(SECRET_PREFIX)
    if key == text:
        raise InvalidInput(field, f"this does not begin with {SECRET_PREFIX}: {advice}")
    try:
        if not _BASE64.fullmatch(key):
            raise ValueError(key)
        raw = base64.b64decode(key, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(field, f"what stands behind {SECRET_PREFIX} is not base64: {advice}") from error
    if not SECRET_BYTES_MIN <= len(raw) <= SECRET_BYTES_MAX:
        raise InvalidInput(field, f"this has {len(raw)} bytes: {advice}")
    if len(set(raw)) < SECRET_BYTES_MIN // 2:
        raise InvalidInput(field, f"this repeats itself, and can be guessed: {advice}")
    return text


def _decrypted(key: bytes, destination_id: int, stored: bytes) -> str | None:
    """Read a secret with one key; None if it was written with another."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], _bound_to(destination_id)).decode()
    except (InvalidTag, ValueError):
        return None


def _bound_to(destination_id: int) -> bytes:
    return destination_id.to_bytes(_ID_BYTES, "big")
