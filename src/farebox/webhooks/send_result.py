"""The result of one attempt to send, by whichever channel; it knows nothing of HTTP libraries, which are large."""

from typing import Final

from msgspec import Struct

SEND_SECONDS_MAX: Final = 15.0
"""How long one attempt at a webhook may take in all, from the lookup of the name to the end of the answer."""

ANSWER_CHARS_MAX: Final = 1_024
"""So much of an answer is kept."""

_GONE: Final = 410
_OF_SERVER: Final = frozenset({429, 502, 503, 504})
"""Said by a proxy in front of a receiver, or by one that is asked too much, whatever the message."""


class SendResult(Struct, frozen=True):
    """The outcome of one attempt."""

    status: int | None
    """The HTTP status; None if there was no answer."""
    text: str
    """The beginning of the answer, or why there was none: one line."""
    took: int
    """Microseconds."""
    retry_after_seconds: int | None = None
    """How long the receiver asks to be left alone."""

    @property
    def words(self) -> str:
        """The status and the text, such as "503 busy"; the text alone if there was no answer."""
        return f"{self.status or ''} {self.text}".strip()

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver says that it wants no more messages, ever."""
        return self.status == _GONE

    @property
    def is_of_server(self) -> bool:
        """Whether it would have come of any other message, too: there is no answer, or none by the receiver itself."""
        return self.status is None or self.status in _OF_SERVER
