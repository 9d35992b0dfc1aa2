"""The answer to a client of your API whose request Farebox refuses, or can't be asked about: in Farebox's envelope.

A refusal that is about the client's key or money is handed on as Farebox words it. The client can do nothing about
faults between your service and Farebox: they are never told as a fault of its key.
"""

import json
import logging
import math
import re
from dataclasses import dataclass
from typing import Final

from farebox_client.errors import FareboxError, InvalidApiKey

_log = logging.getLogger("farebox_client.middleware")

_MERCHANT_KEY: Final = re.compile(r"fbm_[0-9A-HJKMNP-TV-Z]{39}")
_ABOUT_THE_CLIENT: Final = frozenset(
    {"insufficient_balance", "key_budget_exceeded", "money_owed", "merchant_frozen", "merchant_closed", "rate_limited"}
)
OPERATORS_FAULT: Final = frozenset({"invalid_api_key", "forbidden"})
"""Refusals of the service's own key."""

_RETRY_AFTER_S: Final = 1
_TIMEOUT: Final = 408
_SERVER_ERROR: Final = 500


@dataclass(frozen=True)
class Refusal:
    """An answer in place of the handler's."""

    status: int
    code: str
    message: str
    retry_after: int | None = None

    @property
    def body(self) -> bytes:
        """The envelope, byte for byte as Farebox writes it."""
        return json.dumps(
            {"isSuccess": False, "statusCode": self.status, "errorMessage": self.message, "data": None},
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers that go with it."""
        headers = [
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-length", str(len(self.body))),
            ("x-error-code", self.code),
        ]
        return headers if self.retry_after is None else [*headers, ("retry-after", str(self.retry_after))]


class Refused(Exception):
    """The request is refused, as its `refusal` says."""

    def __init__(self, refusal: Refusal) -> None:
        """Refuse it."""
        super().__init__(refusal.message)
        self.refusal = refusal


class CannotAsk(Exception):
    """Farebox can't be asked now: whether the request would be refused is not known."""

    def __init__(self, cause: FareboxError) -> None:
        """Keep what was wrong."""
        super().__init__(str(cause))
        self.refusal = Refusal(503, "unavailable", "Charges can't be made now; try again", _wait(cause))


BAD_KEY: Final = Refusal(401, InvalidApiKey.default_code, "Invalid API key")
AMBIGUOUS_PATH: Final = Refusal(400, "malformed_request", "The path has segments . or ..")
UNLISTED: Final = Refusal(404, "not_found", "Not Found")
_WRONG_SETUP: Final = Refusal(500, "internal_error", "Internal server error")


def checked_key(values: list[str]) -> str:
    """Return the API key that a request names in its header.

    A merchant's id is none: it is no secret, though Farebox takes it from services in a key's place.

    Raises:
        Refused: there is no well-formed merchant's key, or there are several.
    """
    if len(values) != 1 or not _MERCHANT_KEY.fullmatch(values[0]):
        raise Refused(BAD_KEY)
    return values[0]


def raise_refusal(error: FareboxError) -> None:
    """Turn what Farebox answered into what the client is answered.

    Raises:
        Refused: the client is refused, or the service is set up wrongly.
        CannotAsk: nobody knows.
    """
    if error.code == "merchant_not_found":
        raise Refused(BAD_KEY) from error
    if error.code in _ABOUT_THE_CLIENT:
        wait = None if error.retry_after is None else math.ceil(error.retry_after)
        raise Refused(Refusal(error.status, error.code, error.message, wait)) from error
    if is_outage(error):
        raise CannotAsk(error) from error
    # Its own key, or a price that is not there: the operator has to see to it, and nothing is free meanwhile.
    _log.error("a request could not be charged, which its service has to be set up for: %s", error)
    raise Refused(CannotAsk(error).refusal if error.code in OPERATORS_FAULT else _WRONG_SETUP) from error


def is_outage(error: FareboxError) -> bool:
    """Tell whether Farebox could not be asked, or could not answer: the same may go through later."""
    return error.status == 0 or error.status >= _SERVER_ERROR or error.status in (_TIMEOUT, 429) or not error.code


def _wait(error: FareboxError) -> int:
    return max(_RETRY_AFTER_S, math.ceil(error.retry_after or 0))
