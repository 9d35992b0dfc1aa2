"""What error pages say: a heading and words for a person, out of what the API would be told."""

from typing import Final

from msgspec import Struct

from farebox.service.errors import InvalidInput, Missing
from farebox.service.languages import Language, gettext_noop
from farebox.web.envelope import ApiError
from farebox.web.pages.form_messages import in_language
from farebox.web.pages.forms import sentence

_SERVER_FAULT: Final = 500
_HEADINGS: Final = {
    403: gettext_noop("This is not for you"),
    404: gettext_noop("There is nothing here"),
    405: gettext_noop("This page can't be opened like that"),
    409: gettext_noop("That can't be done now"),
    413: gettext_noop("That is too much at once"),
    422: gettext_noop("This address can't be read"),
    429: gettext_noop("Too many tries"),
    503: gettext_noop("Not available just now"),
}
_WRONG: Final = gettext_noop("Something went wrong")
_FAILED: Final = gettext_noop("That did not work")
_NOT_FOUND: Final = gettext_noop("The address may be mistyped or old, or lead to something of another account.")
_METHOD: Final = gettext_noop("Only a page's own button leads here. Go back to the page, and press it again.")
_OURS: Final = gettext_noop(
    "The fault is ours, and it has been written down. If you had sent a form, see what became of it before you repeat."
)


class ErrorWords(Struct, frozen=True):
    """What an error page says."""

    heading: str
    words: str


def error_words(cause: ApiError, error: Exception, spoken: Language) -> ErrorWords:
    """Write what a page says of an error that was raised, and of the answer that it became."""
    heading = _HEADINGS.get(cause.status, _WRONG if cause.status >= _SERVER_FAULT else _FAILED)
    return ErrorWords(spoken.gettext(heading), _words(cause, error, spoken))


def _words(cause: ApiError, error: Exception, spoken: Language) -> str:
    if isinstance(error, Missing):
        return f"{_full(cause.message, spoken)} {spoken.gettext(_NOT_FOUND)}"
    if isinstance(error, InvalidInput):
        # The name of a field is the API's; people see its label, if anything.
        wrong = _full(cause.message.removeprefix(f"{error.field}: "), spoken)
        advice = spoken.gettext("Go back, or begin again at the start.")
        return f"{wrong} {advice}"
    match cause.code:
        case "not_found":
            return spoken.gettext(_NOT_FOUND)
        case "method_not_allowed":
            return spoken.gettext(_METHOD)
        case "internal_error":
            return spoken.gettext(_OURS)
        case _:
            return _full(cause.message, spoken)


def _full(message: str, spoken: Language) -> str:
    return f"{in_language(sentence(message), spoken).rstrip('.')}."
