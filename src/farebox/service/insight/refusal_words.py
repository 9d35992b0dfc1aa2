"""Why requests were refused, in words: lists, pages and mails all ask here."""

from typing import Final

from farebox.core.outcomes import Code
from farebox.service.languages import ENGLISH, Language, gettext_noop

_REASON_WORDS: Final[dict[str, str]] = {
    Code.INSUFFICIENT_BALANCE: gettext_noop("lack of money"),
    Code.MONEY_OWED: gettext_noop("money was owed for a top-up that was taken back"),
    Code.MERCHANT_CLOSED: gettext_noop("the account was closed"),
    Code.MERCHANT_FROZEN: gettext_noop("the account was frozen"),
    Code.UNKNOWN_TYPE: gettext_noop("no such request type"),
    Code.TYPE_RETIRED: gettext_noop("the request type is retired"),
    Code.IDEMPOTENCY_CONFLICT: gettext_noop("the idempotency key was used for another request"),
    Code.CLOCK_BEHIND: gettext_noop("a server's clock was behind"),
}
"""The reasons that people meet; others are told by their names."""


def reason_words(reason: str, language: Language = ENGLISH) -> str:
    """Say why requests were refused."""
    words = _REASON_WORDS.get(reason)
    return reason.replace("_", " ") if words is None else language.gettext(words)
