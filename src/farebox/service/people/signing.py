"""Values derived from secrets: digests of sessions, tokens of mailed links and forms, seeds of one-time codes.

All of it is BLAKE2b keyed with the operator's secret key (RFC 7693, section 2.9), one personalization for each purpose.
So a person who reads the database, or even writes to it, can make none of these without that key. Without one, the
database alone guards them.

Where the operator has changed the key, what was made with one before is still known as long as that is named.
"""

import secrets
from base64 import b32decode, b32encode
from enum import Enum
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

SEED_BYTES: Final = 32
_CHECK_BYTES: Final = 4
_NONCE_BYTES: Final = 8
TOKEN_BYTES: Final = 32
_LINK_BYTES: Final = 20
_CODE_BYTES: Final = 20
"""As long as the SHA-1 digests of RFC 6238's codes."""


class _Use(Enum):
    SESSION = b"farebox session"
    LINK = b"farebox link"
    FORM = b"farebox form"
    CODE = b"farebox code"
    CODE_STREAM = b"farebox stream"
    CODE_CHECK = b"farebox check"
    UNSUBSCRIBE = b"farebox unsub"


class Signer:
    """Derives what only the holder of the operator's secret key can."""

    def __init__(self, secret_key: str, *keys_before: str) -> None:
        """Key it; an empty key is none. The keys before it know their own still."""
        self._keys = [
            blake2b(key.encode(), digest_size=32).digest() if key else b"" for key in (secret_key, *keys_before)
        ]

    def new_session_token(self) -> str:
        """Make a session's token, 256 random bits, for the browser alone."""
        return secrets.token_urlsafe(TOKEN_BYTES)

    def session_digest(self, token: str) -> bytes:
        """Digest a session's token, as it is stored."""
        return self._derive(_Use.SESSION, token.encode(), 32)[0]

    def session_digests(self, token: str) -> list[bytes]:
        """Digest a session's token as it may be stored: with each key, the one in use first."""
        return self._derive(_Use.SESSION, token.encode(), 32)

    def csrf_token(self, token: str) -> str:
        """Make the token that forms of a session carry: who can't read its pages can't know it (CSRF)."""
        return self._form_tokens(token)[0]

    def is_csrf_token(self, token: str, form_token: str) -> bool:
        """Tell whether a form's token is that of the session, in constant time."""
        return _is_any(self._form_tokens(token), form_token)

    def new_seed(self) -> bytes:
        """Make the random seed of a link or of one-time codes."""
        return secrets.token_bytes(SEED_BYTES)

    def link_token(self, seed: bytes) -> str:
        """Make a mailed link's token, 160 bits, of its seed: 32 characters."""
        return self._link_tokens(seed)[0]

    def is_link_token(self, seed: bytes, token: str) -> bool:
        """Tell whether a token is that of the seed, in constant time."""
        return _is_any(self._link_tokens(seed), token)

    def unsubscribe_token(self, seed: bytes, subscription: str) -> str:
        """Make the token of a link that ends one reader's mails of one kind, 160 bits: 32 characters."""
        return self._unsubscribe_tokens(seed, subscription)[0]

    def is_unsubscribe_token(self, seed: bytes, subscription: str, token: str) -> bool:
        """Tell whether a token is that of the subscription, in constant time."""
        return _is_any(self._unsubscribe_tokens(seed, subscription), token)

    def new_code_seed(self) -> bytes:
        """Make the seed of new one-time codes: their secret, wrapped."""
        return self._wrap(secrets.token_bytes(_CODE_BYTES))

    def code_secret(self, seed: bytes) -> str:
        """Read the secret of one-time codes, in base32, as authenticator programs read it."""
        return self.code_secrets(seed)[0]

    def code_secrets(self, seed: bytes) -> list[str]:
        """Read what the secret may be: it is one where it was wrapped, and else was derived with one of the keys."""
        wrapped = self._opened(seed)
        raw = self._derive(_Use.CODE, seed, _CODE_BYTES) if wrapped is None else [wrapped]
        return [b32encode(secret).decode() for secret in raw]

    def is_code_seed_current(self, seed: bytes) -> bool:
        """Tell whether a seed of one-time codes is wrapped with the key in use."""
        return compare_digest(self._checks(seed)[0], seed[-_CHECK_BYTES:])

    def wrapped_code_seed(self, secret: str) -> bytes:
        """Wrap a secret of one-time codes, in base32, with the key in use."""
        return self._wrap(b32decode(secret))

    def _wrap(self, secret: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        seed = nonce + _xor(secret, self._derive(_Use.CODE_STREAM, nonce, _CODE_BYTES)[0])
        return seed + self._derive(_Use.CODE_CHECK, seed, _CHECK_BYTES)[0]

    def _opened(self, seed: bytes) -> bytes | None:
        """Read a wrapped secret; None if it is wrapped with none of the keys."""
        nonce, hidden = seed[:_NONCE_BYTES], seed[_NONCE_BYTES:-_CHECK_BYTES]
        streams = self._derive(_Use.CODE_STREAM, nonce, _CODE_BYTES)
        for check, stream in zip(self._checks(seed), streams, strict=True):
            if compare_digest(check, seed[-_CHECK_BYTES:]):
                return _xor(hidden, stream)
        return None

    def _checks(self, seed: bytes) -> list[bytes]:
        return self._derive(_Use.CODE_CHECK, seed[:-_CHECK_BYTES], _CHECK_BYTES)

    def _form_tokens(self, token: str) -> list[str]:
        return [derived.hex() for derived in self._derive(_Use.FORM, token.encode(), 18)]

    def _link_tokens(self, seed: bytes) -> list[str]:
        return [b32encode(derived).decode() for derived in self._derive(_Use.LINK, seed, _LINK_BYTES)]

    def _unsubscribe_tokens(self, seed: bytes, subscription: str) -> list[str]:
        data = seed + subscription.encode()
        return [b32encode(derived).decode() for derived in self._derive(_Use.UNSUBSCRIBE, data, _LINK_BYTES)]

    def _derive(self, use: _Use, data: bytes, size: int) -> list[bytes]:
        """Derive with each key, the one in use first."""
        return [blake2b(data, key=key, digest_size=size, person=use.value).digest() for key in self._keys]


def _is_any(tokens: list[str], text: str) -> bool:
    """Tell whether a text is one of the tokens; how long it takes tells nothing of any."""
    return any(compare_digest(token.encode(), text.encode()) for token in tokens)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
