"""Cross-site request forgery: a form is taken only from a page of ours, and with its session's token."""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from farebox.service.people.sign_in import SignedIn, SignIn
from farebox.web.envelope import ApiError
from farebox.web.pages.forms import Form

CSRF_FIELD: Final = "csrf_token"
"""The field by which a form carries its session's token."""


def check_csrf_token(sign_in: SignIn, signed_in: SignedIn, form: Form) -> None:
    """Refuse a form of another session than the browser's.

    Raises:
        ApiError: 403.
    """
    if not sign_in.is_csrf_token(signed_in, form.raw(CSRF_FIELD)):
        raise ApiError(403, "forbidden", "This form is from another session. Load the page again and repeat")


def check_origin(request: Request) -> None:
    """Refuse a form that came from a page elsewhere; browsers say so themselves.

    Raises:
        ApiError: 403.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    is_elsewhere = site not in ("same-origin", "none") if site is not None else False
    if site is None and origin is not None:
        host = _host(origin)
        is_elsewhere = host is None or host != request.headers.get("host")
    if is_elsewhere:
        raise ApiError(403, "forbidden", "This form was sent from another site's page")


def _host(origin: str) -> str | None:
    """Return whose page an Origin header names; None if it names none, as of pages that hide where they are from."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
