"""Cookies: a session's token, which scripts can't read, and the reader's time zone and theme, which scripts write."""

from typing import Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.people.users import Realm
from farebox.services import Services

_SESSION_COOKIES: Final = {Realm.MERCHANT: "farebox", Realm.SUPPORT: "farebox-support"}
_ZONE_COOKIE: Final = "farebox-zone"
_THEME_COOKIE: Final = "farebox-theme"
_THEMES: Final = ("light", "dark")
_UTC: Final = ZoneInfo("UTC")


def session_token(request: Request, services: Services, realm: Realm) -> str:
    """Return the token of the browser's session in a realm; empty if it has none."""
    return request.cookies.get(_session_cookie(services, realm), "")


def set_session_token(response: Response, services: Services, realm: Realm, token: str) -> None:
    """Give the browser a session's token, or take it away with an empty one."""
    response.set_cookie(
        _session_cookie(services, realm),
        token,
        max_age=None if token else 0,
        path="/",
        secure=services.operator.is_secure,
        httponly=True,
        samesite="lax",
    )


def time_zone(request: Request) -> ZoneInfo:
    """Return the reader's time zone, as their browser says; UTC if it says none."""
    text = request.cookies.get(_ZONE_COOKIE, "")
    try:
        return inputs.time_zone("zone", text.replace("%2F", "/")) if text else _UTC
    except InvalidInput:
        return _UTC


def theme(request: Request) -> str:
    """Return the theme that the reader chose; empty for the browser's own."""
    chosen = request.cookies.get(_THEME_COOKIE, "")
    return chosen if chosen in _THEMES else ""


def _session_cookie(services: Services, realm: Realm) -> str:
    """Name a realm's cookie; by TLS one that no other host, path or plain connection can set."""
    name = _SESSION_COOKIES[realm]
    return f"__Host-{name}" if services.operator.is_secure else name
