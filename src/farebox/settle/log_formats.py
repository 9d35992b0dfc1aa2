"""The JSON that proxies write into their access logs, read as log lines: a dialect for each proxy.

A dialect takes the fields that docs/how-to/settle-from-access-logs.md names, as numbers or as texts, and ignores all
others.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from farebox.settle.lines import LogLine, UnreadableLine

CLIENT_LEFT: Final = 499
"""The status that nginx, Caddy and Traefik write where a client left before there was an answer."""

_NOTHING: Final = frozenset({"", "-", "<no value>", "null"})
"""What proxies write for a value that there is not."""

_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}|%[A-Z0-9_]+(\(.*\))?%")
"""A variable that a proxy wrote by its name, as it knew no value."""

_REFERENCE: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,9})?", re.ASCII)

_EPOCH_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on a time since 1970 is in nanoseconds, microseconds, milliseconds; below it is in seconds."""

Fields = Mapping[str, Any]


class Proxy(StrEnum):
    """Whose log it is."""

    AUTO = "auto"
    NGINX = "nginx"
    CADDY = "caddy"
    TRAEFIK = "traefik"
    ENVOY = "envoy"
    HAPROXY = "haproxy"
    APACHE = "apache"


_decoder: Final = msgspec.json.Decoder()


def read_line(text: bytes, proxy: Proxy) -> LogLine | None:
    """Read a line; None if it tells of a request that the gate let pass for nothing, or refused.

    Raises:
        UnreadableLine: it is no JSON object, or has not what the proxy's dialect needs.
    """
    try:
        fields = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableLine(f"no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UnreadableLine("no JSON object")
    if proxy is Proxy.AUTO:
        proxy = _proxy_of(fields)
    token = _token(fields, _TOKEN_FIELDS.get(proxy, "gate_token"))
    return None if token is None else _DIALECTS[proxy](fields, token)


def _proxy_of(fields: Fields) -> Proxy:
    """Tell whose line it is: most say so; Traefik's and Caddy's own can be told by a field that no other has."""
    name = fields.get("proxy")
    for proxy in _DIALECTS:
        if name == proxy:
            return proxy
    for sign, proxy in _SIGNS.items():
        if name is None and sign in fields:
            return proxy
    raise UnreadableLine('no access log that is known: it has no "proxy" that names one')


def _nginx(fields: Fields, token: str) -> LogLine:
    """Read nginx's. Where several servers were tried, or an error page was fetched, a variable has a list.

    `502, 200 : 404` is two tries of the API, of which the last one counts, and then a page fetched in its place.
    """
    status = _status(fields, "status")
    answered = _number(_last_try(fields, "upstream_status"))
    sent = _number(_last_try(fields, "upstream_bytes"))
    has_answered = answered is not None and answered != CLIENT_LEFT
    return LogLine(
        token=token,
        is_reached=has_answered or (sent or 0) > 0,
        answered=int(answered) if answered is not None and has_answered else None,
        has_client_left=not has_answered and CLIENT_LEFT in (answered, status),
        at=_time(fields.get("time")),
        reference=_reference(fields),
    )


def _caddy(fields: Fields, token: str) -> LogLine:
    """Read Caddy's own, with fields that its configuration appends.

    Where a client left while the answer came, `upstream_status` is missing, as all that is appended last: then the
    status that the client was sent is the API's. Where it is there and empty, the API has not answered.
    """
    status = _status(fields, "status")
    of_api = _number(fields.get("upstream_status"))
    if "upstream_status" not in fields:
        of_api = None if status in (0, CLIENT_LEFT) else status
    return LogLine(
        token=token,
        is_reached=of_api is not None or status in (0, CLIENT_LEFT),
        answered=None if of_api is None else int(of_api),
        has_client_left=of_api is None and status in (0, CLIENT_LEFT),
        at=_time(fields.get("ts")),
        reference=_reference(fields),
    )


def _traefik(fields: Fields, token: str) -> LogLine:
    """Read Traefik's own. Where a client left while the answer came, there is no status of the API, but its address."""
    of_api = _number(fields.get("OriginStatus")) or 0
    status = int(of_api) or _status(fields, "DownstreamStatus")
    return LogLine(
        token=token,
        is_reached=bool(of_api) or _text(fields.get("ServiceAddr")) is not None,
        answered=None if status in (0, CLIENT_LEFT) else status,
        has_client_left=status in (0, CLIENT_LEFT),
        at=_time(fields.get("StartUTC")) or _time(fields.get("time")),
        reference=_reference(fields),
    )


def _envoy(fields: Fields, token: str) -> LogLine:
    """Read Envoy's. Status 0 is no answer; what was sent to the API tells whether it was reached."""
    status = _status(fields, "status")
    is_of_api = (_text(fields.get("details")) or "").startswith("via_upstream")
    has_left = "DC" in (_text(fields.get("flags")) or "").split(",")
    return LogLine(
        token=token,
        is_reached=is_of_api or (_number(fields.get("upstream_bytes")) or 0) > 0,
        answered=status or None,
        has_client_left=status == 0 and has_left,
        at=_time(fields.get("time")),
        reference=_reference(fields),
    )


def _haproxy(fields: Fields, token: str) -> LogLine:
    """Read HAProxy's. The status is the API's only if its answer's head came: it took a time, of 0 ms or more."""
    status = _status(fields, "status")
    connect = _number(fields.get("connect_ms"))
    response = _number(fields.get("response_ms"))
    if connect is None or response is None:
        raise UnreadableLine("connect_ms or response_ms is no number")
    has_answered = response >= 0
    has_left = (_text(fields.get("termination")) or "").startswith("C")
    return LogLine(
        token=token,
        is_reached=connect >= 0,
        answered=status if has_answered or not has_left else None,
        has_client_left=has_left and not has_answered,
        at=_time(fields.get("time")),
        reference=_reference(fields),
    )


def _apache(fields: Fields, token: str) -> LogLine:
    """Read Apache's. It does not notice that a client left before the API has answered, or timed out."""
    return LogLine(
        token=token,
        is_reached=_number(fields.get("upstream_port")) is not None,
        answered=_status(fields, "status"),
        at=_time(fields.get("time")),
        reference=_reference(fields),
    )


_DIALECTS: Final[Mapping[Proxy, Callable[[Fields, str], LogLine]]] = {
    Proxy.NGINX: _nginx,
    Proxy.CADDY: _caddy,
    Proxy.TRAEFIK: _traefik,
    Proxy.ENVOY: _envoy,
    Proxy.HAPROXY: _haproxy,
    Proxy.APACHE: _apache,
}

_TOKEN_FIELDS: Final = {Proxy.TRAEFIK: "request_X-Gate-Token"}
"""What the field of the token is called where a proxy names its fields itself."""

_SIGNS: Final = {"DownstreamStatus": Proxy.TRAEFIK, "logger": Proxy.CADDY}


def _token(fields: Fields, name: str) -> str | None:
    """Return the token, or None where the gate sent none."""
    token = _text(fields.get(name))
    return None if token is None or _PLACEHOLDER.fullmatch(token) else token


def _reference(fields: Fields) -> str | None:
    """Return the proxy's id of the request, as the statement of a merchant may have it."""
    text = _text(fields.get("request_id"))
    return text if text is not None and _REFERENCE.fullmatch(text) else None


def _text(value: object) -> str | None:
    """Return a field's text; None if there is none."""
    return value if isinstance(value, str) and value not in _NOTHING else None


def _number(value: object) -> float | None:
    """Return a number, which may be written as a text; None if there is none."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _status(fields: Fields, name: str) -> int:
    """Return a status; 0 is none.

    Raises:
        UnreadableLine: there is no such field, or it is no status.
    """
    value = fields.get(name)
    number = 0 if isinstance(value, str) and value in _NOTHING else _number(value)
    if number is None or not (-1 <= number < 1_000):
        raise UnreadableLine(f"{name} is no status")
    return max(int(number), 0)


def _last_try(fields: Fields, name: str) -> str | None:
    """Return nginx's value of the last try of the API.

    Raises:
        UnreadableLine: there is no such field.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        raise UnreadableLine(f"{name} is missing")
    return _text(value.split(" : ")[0].split(", ")[-1].strip())


def _time(value: object) -> float | None:
    """Return a time in seconds since 1970, written so or as RFC 3339; None if there is none."""
    number = _number(value)
    if number is not None:
        return next((number / unit for least, unit in _EPOCH_UNITS if number >= least), number)
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None
