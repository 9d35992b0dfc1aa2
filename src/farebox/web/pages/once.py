"""Once-tokens: a form that makes something carries one, so that sent twice it makes one thing, and shows that again.

The token is made when the form is shown, another for each form of a page. What the form makes is written down under its
token, in the transaction that makes it; so a double click, a reload, and a browser that sends again because no answer
came are all told from a new wish.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

import msgspec

from farebox.core.outcomes import Code
from farebox.service.errors import Conflict, Refused
from farebox.service.repeats import FORMS, KEPT_DAYS, RequestKey
from farebox.web.envelope import ApiError
from farebox.web.pages.csrf import CSRF_FIELD
from farebox.web.pages.forms import Form

ONCE_FIELD: Final = "once"
"""The field by which a form carries its token."""

_TOKEN: Final = re.compile(r"([0-9a-f]{1,12})-[0-9a-f]{32}", re.ASCII)
_RANDOM_BYTES: Final = 16
_FINGERPRINT_BYTES: Final = 16
_MICROS_PER_SECOND: Final = 1_000_000
_KEPT_SECONDS: Final = KEPT_DAYS * 86_400


def new_once_token(now: int) -> str:
    """Make a form's token; it tells when the form was shown, `now`, since a repeat is not known as one for ever."""
    return f"{now // _MICROS_PER_SECOND:x}-{secrets.token_hex(_RANDOM_BYTES)}"


def check_once_token(form: Form) -> None:
    """Refuse a form without a token.

    Raises:
        ApiError: 400.
    """
    if not _TOKEN.fullmatch(form.raw(ONCE_FIELD)):
        raise ApiError(400, "malformed", "This form is not as the page has it now. Load the page again and repeat")


def form_key(form: Form, *, path: str, login_id: int, now: int) -> RequestKey:
    """Name what somebody asks for by a form whose token was checked.

    Raises:
        Conflict: the form was shown so long ago that nobody knows whether it was sent before.
    """
    token = form.raw(ONCE_FIELD)
    shown_at = int(token.partition("-")[0], 16)
    if now // _MICROS_PER_SECOND - shown_at > _KEPT_SECONDS:
        raise Conflict(
            f"this page was open for more than {KEPT_DAYS} days; see that all is as you know it, and send it"
        )
    fields = {name: form.each(name) for name in sorted(form) if name not in (CSRF_FIELD, ONCE_FIELD)}
    asked = msgspec.json.encode((login_id, path, fields))
    return RequestKey(FORMS, f"form-{token}", blake2b(asked, digest_size=_FINGERPRINT_BYTES).digest())


@contextmanager
def sent_once() -> Iterator[None]:
    """Say of a form that was sent before with other words that it was.

    Raises:
        Conflict: it was.
    """
    try:
        yield
    except Refused as error:
        if error.outcome.code != Code.IDEMPOTENCY_CONFLICT:
            raise
        raise Conflict(
            "this form was sent before, with other words in it, and what it asked for then is done; send it again if "
            "this is to be done as well"
        ) from error
