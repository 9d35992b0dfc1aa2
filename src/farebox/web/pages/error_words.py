"""What error pages say: a heading and words for a person, out of what the API would be told."""

from typing import Final

from msgspec import Struct

from farebox.service.errors import InvalidInput, Missing
from farebox.web.envelope import ApiError
from farebox.web.pages.forms import sentence

_SERVER_FAULT: Final = 500
_HEADINGS: Final = {
    403: "This is not for you",
    404: "There is nothing here",
    405: "This page can't be opened like that",
    409: "That can't be done now",
    413: "That is too much at once",
    422: "This address can't be read",
    429: "Too many tries",
    503: "Not available just now",
}
_NOT_FOUND: Final = "The address may be mistyped or old, or lead to something of another account."
_METHOD: Final = "Only a page's own button leads here. Go back to the page, and press it again."
_OURS: Final = (
    "The fault is ours, and it has been written down. If you had sent a form, see what became of it before you repeat."
)


class ErrorWords(Struct, frozen=True):
    """What an error page says."""

    heading: str
    words: str


def error_words(cause: ApiError, error: Exception) -> ErrorWords:
    """Write what a page says of an error that was raised, and of the answer that it became."""
    heading = _HEADINGS.get(
        cause.status, "Something went wrong" if cause.status >= _SERVER_FAULT else "That did not work"
    )
    return ErrorWords(heading, _words(cause, error))


def _words(cause: ApiError, error: Exception) -> str:
    if isinstance(error, Missing):
        return f"{_full(cause.message)} {_NOT_FOUND}"
    if isinstance(error, InvalidInput):
        # The name of a field is the API's; people see its label, if anything.
        return f"{_full(cause.message.removeprefix(f'{error.field}: '))} Go back, or begin again at the start."
    match cause.code:
        case "not_found":
            return _NOT_FOUND
        case "method_not_allowed":
            return _METHOD
        case "internal_error":
            return _OURS
        case _:
            return _full(cause.message)


def _full(message: str) -> str:
    return f"{sentence(message).rstrip('.')}."
