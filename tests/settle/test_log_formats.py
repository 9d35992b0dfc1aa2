"""What lines tell that real proxies wrote: of requests that went well, failed, hung, or whose client left."""

import json
from typing import Any, Final

import pytest

from farebox.settle.lines import LogLine, UnreadableLine, is_served
from farebox.settle.log_formats import Proxy, read_line

TOKEN: Final = "g1.WyJob2xkIl0.c2lnbmVk"

NGINX: Final = {"proxy": "nginx", "time": "1795967570.346", "request_id": "9203f831467bc2c1", "gate_token": TOKEN}
CADDY: Final = {
    "level": "info",
    "ts": 1795967581.643981,
    "logger": "http.log.access.log0",
    "msg": "handled request",
    "request": {"uri": "/ok"},
    "gate_token": TOKEN,
}
TRAEFIK: Final = {
    "ServiceAddr": "127.0.0.1:19801",
    "StartUTC": "2026-11-29T15:53:10.161794682Z",
    "request_X-Gate-Token": TOKEN,
    "time": "2026-11-29T15:53:10Z",
}
ENVOY: Final = {"proxy": "envoy", "time": "1795967601.995", "gate_token": TOKEN, "request_id": "6f1c"}
HAPROXY: Final = {"proxy": "haproxy", "time": "1795967656.702", "gate_token": TOKEN}
APACHE: Final = {"proxy": "apache", "time": "1795967619.123", "gate_token": TOKEN}

# As the programs wrote them: nginx 1.29, Caddy 2.11, Traefik 3.6, Envoy 1.36, HAProxy 2.6, Apache 2.4.
WELL: Final[list[dict[str, Any]]] = [
    {**NGINX, "status": "200", "upstream_status": "200", "upstream_bytes": "81"},
    {**NGINX, "status": "404", "upstream_status": "404", "upstream_bytes": "86"},
    {**NGINX, "status": "200", "upstream_status": "502, 200", "upstream_bytes": "0, 86"},
    {**CADDY, "status": 200, "upstream_status": 200},
    {**CADDY, "status": 404, "upstream_status": 404},
    {**CADDY, "status": 200},
    {**TRAEFIK, "DownstreamStatus": 200, "OriginStatus": 200},
    {**TRAEFIK, "DownstreamStatus": 200, "OriginStatus": 0, "OriginDuration": 0},
    {**ENVOY, "status": 200, "details": "via_upstream", "flags": "-", "upstream_bytes": 222},
    {**ENVOY, "status": 200, "details": "downstream_remote_disconnect", "flags": "DC", "upstream_bytes": 231},
    {**HAPROXY, "status": 200, "connect_ms": 0, "response_ms": 2, "termination": "--"},
    {**HAPROXY, "status": 200, "connect_ms": 0, "response_ms": 0, "termination": "CD"},
    {**APACHE, "status": "200", "upstream_port": "44038"},
]
LEFT: Final[list[dict[str, Any]]] = [
    {**NGINX, "status": "499", "upstream_status": "-", "upstream_bytes": "88"},
    {**NGINX, "status": "499", "upstream_status": "499", "upstream_bytes": "88"},
    {**CADDY, "status": 499, "upstream_status": None},
    {**CADDY, "status": 499},
    {**TRAEFIK, "DownstreamStatus": 499, "OriginStatus": 499},
    {**ENVOY, "status": 0, "details": "downstream_remote_disconnect", "flags": "DC", "upstream_bytes": 229},
    {**HAPROXY, "status": 400, "connect_ms": 0, "response_ms": -1, "termination": "CH"},
]
FAILED: Final[list[dict[str, Any]]] = [
    {**NGINX, "status": "500", "upstream_status": "500", "upstream_bytes": "83"},
    {**NGINX, "status": "502", "upstream_status": "502", "upstream_bytes": "0"},
    {**NGINX, "status": "200", "upstream_status": "502 : 200", "upstream_bytes": "82 : 82"},
    {**NGINX, "status": "499", "upstream_status": "504 : -", "upstream_bytes": "91 : 91"},
    {**NGINX, "status": "499", "upstream_status": "-", "upstream_bytes": "0"},
    {**NGINX, "status": "413", "upstream_status": "", "upstream_bytes": ""},
    {**CADDY, "status": 502, "upstream_status": None},
    {**CADDY, "status": 500, "upstream_status": 500},
    {**CADDY, "status": 413, "upstream_status": None},
    {**CADDY, "status": 504, "upstream_status": ""},
    {**TRAEFIK, "DownstreamStatus": 502, "OriginStatus": 502},
    {**TRAEFIK, "DownstreamStatus": 504, "OriginStatus": 504},
    {"request_X-Gate-Token": TOKEN, "DownstreamStatus": 429, "OriginStatus": 0},
    {**ENVOY, "status": 503, "details": "upstream_reset_before_response_started", "flags": "UC", "upstream_bytes": 223},
    {**ENVOY, "status": 503, "details": "upstream_reset_before_...", "flags": "UF", "upstream_bytes": 0},
    {**ENVOY, "status": 504, "details": "response_timeout", "flags": "UT", "upstream_bytes": 232},
    {**ENVOY, "status": 404, "details": "route_not_found", "flags": "NR", "upstream_bytes": 0},
    {**ENVOY, "status": 0, "details": "downstream_remote_disconnect", "flags": "DC", "upstream_bytes": 0},
    {**HAPROXY, "status": 502, "connect_ms": 0, "response_ms": -1, "termination": "SH"},
    {**HAPROXY, "status": 503, "connect_ms": -1, "response_ms": -1, "termination": "SC"},
    {**HAPROXY, "status": 504, "connect_ms": 0, "response_ms": -1, "termination": "sH"},
    {**HAPROXY, "status": 400, "connect_ms": -1, "response_ms": -1, "termination": "CC"},
    {**APACHE, "status": "502", "upstream_port": "44060"},
    {**APACHE, "status": "503", "upstream_port": "-"},
    {**APACHE, "status": "404", "upstream_port": "-"},
]


def _read(fields: dict[str, Any], proxy: Proxy = Proxy.AUTO) -> LogLine:
    line = read_line(json.dumps(fields).encode(), proxy)
    assert line is not None
    assert TOKEN == line.token
    return line


@pytest.mark.parametrize("fields", WELL)
def test_what_was_answered_is_paid_whether_or_not_clients_that_left_are(fields: dict[str, Any]) -> None:
    assert (True, True) == tuple(is_served(_read(fields), is_leaving_charged=charged) for charged in (True, False))


@pytest.mark.parametrize("fields", LEFT)
def test_a_client_that_left_pays_if_those_do(fields: dict[str, Any]) -> None:
    assert (True, False) == tuple(is_served(_read(fields), is_leaving_charged=charged) for charged in (True, False))


@pytest.mark.parametrize("fields", FAILED)
def test_what_failed_is_not_paid(fields: dict[str, Any]) -> None:
    assert (False, False) == tuple(is_served(_read(fields), is_leaving_charged=charged) for charged in (True, False))


@pytest.mark.parametrize("fields", [NGINX, CADDY, TRAEFIK, ENVOY, HAPROXY, APACHE])
@pytest.mark.parametrize("token", ["-", "", None, "{http.vars.gate_token}", "%REQ(X)%", 5])
def test_a_line_without_a_token_is_nobodys(fields: dict[str, Any], token: object) -> None:
    replaced = {name: token if value == TOKEN else value for name, value in fields.items()}
    proxy = Proxy(fields.get("proxy") or ("caddy" if "logger" in fields else "traefik"))
    assert read_line(json.dumps(replaced).encode(), proxy) is None


@pytest.mark.parametrize("fields", [NGINX, CADDY, ENVOY, HAPROXY, APACHE])
def test_a_line_that_lacks_what_decides_can_not_be_read(fields: dict[str, Any]) -> None:
    with pytest.raises(UnreadableLine):
        read_line(json.dumps(fields).encode(), Proxy.AUTO)


@pytest.mark.parametrize("fields", [WELL[0], WELL[3], WELL[6], WELL[8], WELL[10]])
def test_the_time_is_told_in_seconds_however_it_is_written(fields: dict[str, Any]) -> None:
    at = _read(fields).at
    assert at is not None
    assert abs(at - 1795967600) < 100
    for name in ("time", "ts", "StartUTC"):
        if name in fields:
            for written in (at, f"{at:.3f}", int(at * 1_000), int(at * 1_000_000), "2026-11-29T15:53:10+00:00"):
                again = _read({**fields, name: written}).at
                assert again is not None
                assert abs(again - at) < 100


def test_a_request_id_is_the_reference_and_nothing_else_is() -> None:
    assert "9203f831467bc2c1" == _read(WELL[0]).reference
    for request_id in ("x" * 129, "a b", "", "-", "é", 5):
        assert _read({**WELL[0], "request_id": request_id}).reference is None
