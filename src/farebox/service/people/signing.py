"""Values derived from secrets: digests of sessions, tokens of mailed links and forms, seeds of one-time codes.

All of it is BLAKE2b keyed with the operator's secret key (RFC 7693, section 2.9), one personalization for each purpose.
So whoever reads the database, or even writes to it, can make none of these without that key. Without one, the database
alone guards them.
"""

import secrets
from base64 import b32encode
from enum import Enum
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

SEED_BYTES: Final = 32
TOKEN_BYTES: Final = 32
_LINK_BYTES: Final = 20
_CODE_BYTES: Final = 20
"""As long as the SHA-1 digests of RFC 6238's codes."""


class _Use(Enum):
    SESSION = b"farebox session"
    LINK = b"farebox link"
    FORM = b"farebox form"
    CODE = b"farebox code"
    UNSUBSCRIBE = b"farebox unsub"


class Signer:
    """Derives what only the holder of the operator's secret key can."""

    def __init__(self, secret_key: str) -> None:
        """Key it; an empty key is none."""
        self._key = blake2b(secret_key.encode(), digest_size=32).digest() if secret_key else b""

    def new_session_token(self) -> str:
        """Make a session's token, 256 random bits, for the browser alone."""
        return secrets.token_urlsafe(TOKEN_BYTES)

    def session_digest(self, token: str) -> bytes:
        """Digest a session's token, as it is stored."""
        return self._derive(_Use.SESSION, token.encode(), 32)

    def csrf_token(self, token: str) -> str:
        """Make the token that forms of a session carry: who can't read its pages can't know it (CSRF)."""
        return self._derive(_Use.FORM, token.encode(), 18).hex()

    def is_csrf_token(self, token: str, form_token: str) -> bool:
        """Tell whether a form's token is that of the session, in constant time."""
        return compare_digest(self.csrf_token(token).encode(), form_token.encode())

    def new_seed(self) -> bytes:
        """Make the random seed of a link or of one-time codes."""
        return secrets.token_bytes(SEED_BYTES)

    def link_token(self, seed: bytes) -> str:
        """Make a mailed link's token, 160 bits, of its seed: 32 characters."""
        return b32encode(self._derive(_Use.LINK, seed, _LINK_BYTES)).decode()

    def is_link_token(self, seed: bytes, token: str) -> bool:
        """Tell whether a token is that of the seed, in constant time."""
        return compare_digest(self.link_token(seed).encode(), token.encode())

    def unsubscribe_token(self, seed: bytes, subscription: str) -> str:
        """Make the token of a link that ends one reader's mails of one kind, 160 bits: 32 characters."""
        return b32encode(self._derive(_Use.UNSUBSCRIBE, seed + subscription.encode(), _LINK_BYTES)).decode()

    def is_unsubscribe_token(self, seed: bytes, subscription: str, token: str) -> bool:
        """Tell whether a token is that of the subscription, in constant time."""
        return compare_digest(self.unsubscribe_token(seed, subscription).encode(), token.encode())

    def code_secret(self, seed: bytes) -> str:
        """Make the secret of one-time codes of its seed, in base32, as authenticator programs read it."""
        return b32encode(self._derive(_Use.CODE, seed, _CODE_BYTES)).decode()

    def _derive(self, use: _Use, data: bytes, size: int) -> bytes:
        return blake2b(data, key=self._key, digest_size=size, person=use.value).digest()
