"""Why requests were refused, in words: lists, pages and mails all ask here."""

from typing import Final

from farebox.core.outcomes import Code

_REASON_WORDS: Final[dict[str, str]] = {
    Code.INSUFFICIENT_BALANCE: "lack of money",
    Code.MONEY_OWED: "money was owed for a top-up that was taken back",
    Code.MERCHANT_CLOSED: "the account was closed",
    Code.MERCHANT_FROZEN: "the account was frozen",
    Code.UNKNOWN_TYPE: "no such request type",
    Code.TYPE_RETIRED: "the request type is retired",
    Code.IDEMPOTENCY_CONFLICT: "the idempotency key was used for another request",
    Code.CLOCK_BEHIND: "a server's clock was behind",
}
"""The reasons that people meet; others are told by their names."""


def reason_words(reason: str) -> str:
    """Say why requests were refused."""
    return _REASON_WORDS.get(reason) or reason.replace("_", " ")
