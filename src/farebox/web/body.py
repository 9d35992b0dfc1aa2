"""How a request's body is received: no larger than it may be, and of the type that it says."""

from typing import Final

from starlette.types import Receive, Scope

from farebox.web.envelope import ApiError

BODY_BYTES_MAX: Final = 64 * 1024

_LENGTH_DIGITS_MAX: Final = 19


def media_type(content_type: bytes) -> bytes:
    """Return a Content-Type header's type, without its parameters."""
    return content_type.split(b";", 1)[0].strip().lower()


async def read_body(scope: Scope, receive: Receive, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Read a JSON request's body.

    Raises:
        ApiError: 415 for another content type, 413 for more than `bytes_max`, 400 if the caller went away.
    """
    for name, value in scope["headers"]:
        if name == b"content-type" and media_type(value) != b"application/json":
            raise ApiError(415, "unsupported_media_type", "Send the body as Content-Type: application/json")
        if (
            name == b"content-length"
            and value.isdigit()
            and (len(value) > _LENGTH_DIGITS_MAX or int(value) > bytes_max)
        ):
            raise _too_large(bytes_max)
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ApiError(400, "malformed_request", "The body ended early")
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


def _too_large(bytes_max: int) -> ApiError:
    return ApiError(413, "payload_too_large", f"The body may have {bytes_max} bytes at most")
