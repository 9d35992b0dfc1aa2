"""What both clients have in common beside messages: headers, and methods that are made of functions of `messages`."""

import inspect
from collections.abc import Callable
from functools import update_wrapper
from importlib.metadata import version
from typing import Any, Final, get_args

from farebox_client.messages import Call


def checked_key(key: str) -> str:
    """Return an API key as it is sent.

    Raises:
        ValueError: it can't be one; what it was is not told again, as messages end up in logs.
    """
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key is an API key of Farebox: visible ASCII characters alone")
    return key


def request_headers(key: str, call: Call[Any]) -> dict[str, str]:
    """Compose the headers of a request."""
    headers = _common_headers(key) if call.body is None else batch_headers(key)
    return {**headers, **call.headers}


def batch_headers(key: str) -> dict[str, str]:
    """Compose the headers of a request that charges share."""
    return {**_common_headers(key), "content-type": "application/json"}


def _common_headers(key: str) -> dict[str, str]:
    return {"x-api-key": key, "accept": "application/json", "user-agent": USER_AGENT}


def as_method(method: Any, build: Callable[..., Any]) -> Any:
    """Let a method have the name, words and arguments of the function that builds what it asks."""
    update_wrapper(method, build)
    signature = inspect.signature(build)
    client = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    (answer,) = get_args(signature.return_annotation)
    method.__signature__ = signature.replace(
        parameters=[client, *signature.parameters.values()], return_annotation=answer
    )
    return method


USER_AGENT: Final = f"farebox-client/{version('farebox-client')}"
