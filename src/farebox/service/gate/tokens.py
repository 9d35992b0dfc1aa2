"""What the gate signs: the token that a proxy logs, and a refusal that a proxy hands back to be rendered.

Both are a version, a payload and a code over the two, with full stops between: `g1.PAYLOAD.CODE`. The payload is a JSON
array in base64url without padding, so a token has no character that any log format would quote. The code is HMAC-SHA256
with the gate's secret, cut to 16 bytes. A version has one use: a refusal is never taken for a token.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

NOTHING: Final = "-"
"""What stands in a header that has nothing to tell: some proxies hand on what a missing header is called."""

TOKEN_SECONDS_MAX: Final = 30 * 24 * 3600
"""How long a token is believed: no log that is older is settled."""

FUTURE_SECONDS_MAX: Final = 300
"""How far ahead of the reader's clock the gate's may be."""

TEXT_CHARS_MAX: Final = 8_192
"""How long a token or refusal may be; one with every quantity that a price can have is shorter."""

_CHARGED_VERSION: Final = "g1"
_REFUSED_VERSION: Final = "r1"
_CODE_BYTES: Final = 16

_Signed = TypeVar("_Signed", bound=Struct)


class Mode(StrEnum):
    """When a request is paid for."""

    CHARGE = "charge"
    """At the gate; what failed is refunded."""

    HOLD = "hold"
    """Its cost is set aside at the gate, and captured once the API answered."""


class GateToken(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the gate did for one request, as the proxy's log line carries it."""

    mode: Mode
    merchant: str
    """The merchant's id."""
    subject: str
    """The id of the transfer that charged, or of the hold."""
    issued_at: int
    """When it was made, in seconds since 1970; the same each time that the gate is asked about one request."""
    request_type: str
    quantity: int
    quantities: Mapping[str, int] | None
    """By the lines of a price, where it was charged by these."""
    amount: str | None
    """The amount that the route names, where its type is a variable one."""


class GateRefusal(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a proxy that can't hand on an answer hands back, so that `/gate/refused` writes it."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[str, str], ...]


class BadToken(ValueError):
    """The text is no token that this gate signed; the message says why."""


class GateSigner:
    """Signs with the gate's secret, and reads with that and the ones before it."""

    def __init__(self, secret: str, *secrets_before: str) -> None:
        """Key it; a person who knows one of the secrets can make tokens."""
        self._keys = [text.encode() for text in (secret, *secrets_before)]

    def is_secret(self, text: bytes) -> bool:
        """Tell whether a text is one of the secrets, in constant time."""
        return any(hmac.compare_digest(key, text) for key in self._keys)

    def token(self, token: GateToken) -> str:
        """Sign a token."""
        return self._sign(_CHARGED_VERSION, token)

    def refusal(self, refusal: GateRefusal) -> str:
        """Sign a refusal."""
        return self._sign(_REFUSED_VERSION, refusal)

    def read_token(self, text: str, now: int) -> GateToken:
        """Read a token; `now` is in seconds since 1970.

        Raises:
            BadToken: it was not signed with this secret, or is too old.
        """
        token = self._read(_CHARGED_VERSION, text, GateToken)
        if token.issued_at < now - TOKEN_SECONDS_MAX:
            raise BadToken(f"the token is older than {TOKEN_SECONDS_MAX // 86_400} days")
        if token.issued_at > now + FUTURE_SECONDS_MAX:
            raise BadToken("the token is of a time to come: one of the clocks is wrong")
        return token

    def read_refusal(self, text: str) -> GateRefusal:
        """Read a refusal.

        Raises:
            BadToken: it was not signed with this secret.
        """
        return self._read(_REFUSED_VERSION, text, GateRefusal)

    def _sign(self, version: str, value: Struct) -> str:
        signed = f"{version}.{_write_base64(msgspec.json.encode(value))}"
        return f"{signed}.{_write_base64(_code(self._keys[0], signed))}"

    def _read(self, version: str, text: str, kind: type[_Signed]) -> _Signed:
        signed, _, code = text.rpartition(".")
        if len(text) > TEXT_CHARS_MAX or not text.isascii() or not signed.startswith(f"{version}."):
            raise BadToken("this is no token of a gate")
        if not any(hmac.compare_digest(_write_base64(_code(key, signed)), code) for key in self._keys):
            raise BadToken("the token was not signed with this secret")
        try:
            payload = signed.removeprefix(f"{version}.")
            return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=kind)
        except (ValueError, msgspec.MsgspecError) as error:
            raise BadToken("this is no token of a gate of this version") from error


def _code(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), "sha256")[:_CODE_BYTES]


def _write_base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
