"""HTTP without TLS to servers of this machine: a client of httpx reads the machine's certificates, 25 ms each time."""

import ssl
from functools import partial
from typing import Any, Final

import httpx

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody's certificate."""

request = partial(httpx.request, trust_env=False, verify=_NO_TLS)
get = partial(httpx.get, trust_env=False, verify=_NO_TLS)
post = partial(httpx.post, trust_env=False, verify=_NO_TLS)


def client(**options: Any) -> httpx.Client:
    """Return a client with what httpx takes for one."""
    return httpx.Client(trust_env=False, verify=_NO_TLS, **options)


def async_client(**options: Any) -> httpx.AsyncClient:
    """Return a client for coroutines with what httpx takes for one."""
    return httpx.AsyncClient(trust_env=False, verify=_NO_TLS, **options)
