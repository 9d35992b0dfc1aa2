"""The ways in which proxies ask, and what each can hand on of an answer.

Each has a path of its own and reads the headers that its proxy sets, no others: a header that a client made up is then
never taken for the proxy's.
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from starlette.types import Scope

from farebox.service.gate.errors import Misconfigured
from farebox.service.gate.tokens import GateRefusal, GateSigner
from farebox.web.envelope import RETRY_AFTER, ApiError, Headers, error_body, error_headers

REQUEST_ID_CHARS_MIN: Final = 16
REQUEST_ID_CHARS_MAX: Final = 120

SECRET_HEADER: Final = b"x-gate-secret"
KEY_HEADER: Final = b"x-api-key"
REFUSAL_HEADER: Final = b"x-farebox-refusal"
ENVOY_PREFIX: Final = b"/gate/envoy"
REFUSED_PATH: Final = b"/gate/refused"

_REQUEST_ID: Final = re.compile(rf"[!-~]{{{REQUEST_ID_CHARS_MIN},{REQUEST_ID_CHARS_MAX}}}", re.ASCII)


class Asked(Struct, frozen=True, gc=False):
    """A client's request, as its proxy tells of it."""

    method: str
    target: str
    """Its characters are bytes (Latin-1)."""
    request_id: str | None
    """The proxy's own name of it; None from proxies that have none."""


class Reply(Struct, frozen=True, gc=False):
    """An answer to the proxy: its status, body and headers."""

    status: int
    body: bytes
    headers: Headers


def error_reply(error: ApiError) -> Reply:
    """Write an error as the API answers it."""
    body = error_body(error.status, error.message)
    return Reply(error.status, body, error_headers(error, body, []))


class Told:
    """The headers of one ask, by name, as far as any dialect reads them."""

    def __init__(self, scope: Scope) -> None:
        """Take those of a request."""
        self._values: dict[bytes, bytes] = {}
        self._repeated: set[bytes] = set()
        for name, value in scope["headers"]:
            if name in _READ:
                if name in self._values:
                    self._repeated.add(name)
                self._values[name] = value

    def only(self, name: bytes) -> bytes | None:
        """Return a header that is there once; None if it is not there, or there again."""
        return None if name in self._repeated else self._values.get(name)

    def required(self, name: bytes) -> str:
        """Return a header that must be there once.

        Raises:
            Misconfigured: it is not.
        """
        value = self.only(name)
        if value is None:
            word = "more than once" if name in self._repeated else "without"
            raise Misconfigured(f"it asks {word} {_written(name)}")
        return value.decode("latin-1")


class Dialect:
    """How one kind of proxy asks by headers; answers are told by status, headers and body."""

    def __init__(self, method: bytes, target: bytes, request_id: bytes | None) -> None:
        """Name the headers; without one for the request's id there is none."""
        self._method = method
        self._target = target
        self._request_id = request_id

    def asked(self, scope: Scope, told: Told) -> Asked:
        """Read what is asked for.

        Raises:
            Misconfigured: the proxy does not tell it as it has to.
        """
        return Asked(told.required(self._method), told.required(self._target), self._id(told))

    def refusal(self, error: ApiError, signer: GateSigner) -> Reply:
        """Write a refusal as this proxy hands it on."""
        return error_reply(error)

    def _id(self, told: Told) -> str | None:
        if self._request_id is None:
            return None
        text = told.required(self._request_id)
        if not _REQUEST_ID.fullmatch(text):
            raise Misconfigured(
                f"its {_written(self._request_id)} is not {REQUEST_ID_CHARS_MIN} to {REQUEST_ID_CHARS_MAX} visible "
                "ASCII characters"
            )
        return text


class NginxDialect(Dialect):
    """nginx knows two refusals, 401 and 403, and no headers or bodies of them but by name."""

    def refusal(self, error: ApiError, signer: GateSigner) -> Reply:
        """Sign the refusal, for nginx to hand it back."""
        headers = tuple((name.decode(), value.decode()) for name, value in error.headers)
        signed = signer.refusal(GateRefusal(error.status, error.code, error.message, headers))
        return Reply(
            401 if error.status == 401 else 403,
            b"",
            [(b"content-length", b"0"), (b"cache-control", b"no-store"), (REFUSAL_HEADER, signed.encode())],
        )


class EnvoyDialect(Dialect):
    """Envoy asks with the client's own method and path, and makes 403 of every status from 500 on."""

    def asked(self, scope: Scope, told: Told) -> Asked:
        """Read what is asked for."""
        raw_path: bytes = scope["raw_path"]
        return Asked(scope["method"], raw_path[len(ENVOY_PREFIX) :].decode("latin-1"), self._id(told))

    def refusal(self, error: ApiError, signer: GateSigner) -> Reply:
        """Say what is over soon as 429."""
        if error.status >= 500:
            is_lasting = error.code == Misconfigured.code
            headers = [] if is_lasting else [RETRY_AFTER]
            error = ApiError(403 if is_lasting else 429, error.code, error.message, headers)
        return super().refusal(error, signer)


_ORIGINAL: Final = (b"x-original-method", b"x-original-uri")
_FORWARDED: Final = (b"x-forwarded-method", b"x-forwarded-uri")
_ID: Final = b"x-request-id"
_READ: Final = frozenset({SECRET_HEADER, KEY_HEADER, REFUSAL_HEADER, _ID, *_ORIGINAL, *_FORWARDED})

ENVOY: Final = EnvoyDialect(b"", b"", _ID)
DIALECTS: Final[Mapping[bytes, Dialect]] = {
    b"/gate/nginx": NginxDialect(*_ORIGINAL, _ID),
    b"/gate/forwarded": Dialect(*_FORWARDED, _ID),
    b"/gate/forwarded/hold": Dialect(*_FORWARDED, None),
    b"/gate/plain": Dialect(*_ORIGINAL, _ID),
}
"""By the path at which each is asked; Envoy's path has the client's behind it."""


def _written(name: bytes) -> str:
    return "-".join(word.capitalize() for word in name.decode().split("-"))
