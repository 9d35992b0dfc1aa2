"""What Farebox tells about itself: one line of log per event, on stderr, as text or as JSON, without any secret."""

import json
import logging
import re
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The id of the request that is being answered; empty outside of requests."""

FIELDS: Final = "fields"
"""What a line's `extra` has further fields under."""

MASK: Final = "***"
_SECRET_CHARS_MIN: Final = 8
"""A shorter secret would be found in words that have nothing to do with it."""

_MASKED: Final = (
    # API keys of all kinds.
    (re.compile(r"fb[msu]_[0-9A-Z]{20,}", re.IGNORECASE), MASK),
    # The password of a URL, up to the last @ of its host.
    (re.compile(r"(://[^\s/:@]*:)[^\s/]*@"), rf"\1{MASK}@"),
    # What stands behind the name of a secret: a header, a field of a form or a parameter of a URL.
    (
        re.compile(
            r"""(?ix) \b ( (?:proxy-)?authorization | (?:set-)?cookie | x-api-key | api[_-]?key | password | passwd
            | secret | token | csrf[_-]?token ) ( ["']? \s* [:=] \s* ["']? ) ( (?:bearer|basic) \s+ )? [^\s"',;&]+""",
        ),
        rf"\1\2\3{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}"), rf"\1\2{MASK}"),
)


class _Masking(logging.Formatter):
    """Takes out of every line what must not stand in a log."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        long_enough = {secret for secret in secrets if len(secret) >= _SECRET_CHARS_MIN}
        self._secrets = sorted(long_enough, key=len, reverse=True)

    def masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for pattern, shown in _MASKED:
            text = pattern.sub(shown, text)
        return text


class TextFormatter(_Masking):
    """Writes a line for people: its time, level and room, the id of the request if there is one, and the message."""

    def format(self, record: logging.LogRecord) -> str:
        text = self.masked(super().format(record))
        request_id = REQUEST_ID.get()
        return f"{text} [{request_id}]" if request_id else text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name.
        # A message is one line, whatever it repeats of what came from outside.
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


class JsonFormatter(_Masking):
    """Writes a line for programs: a JSON object of the same, with the fields of the event as fields of the object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.masked(record.getMessage()),
        }
        request_id = REQUEST_ID.get()
        if request_id:
            line["requestId"] = request_id
        for name, value in getattr(record, FIELDS, {}).items():
            line[name] = self.masked(value) if isinstance(value, str) else value
        if record.exc_info:
            line["error"] = self.masked(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: int = logging.INFO, *, is_json: bool = False, secrets: Iterable[str] = ()) -> None:
    """Send log lines of this process to stderr.

    Args:
        level: from which on lines are written.
        is_json: whether each is a JSON object.
        secrets: texts that stand in no line, as the settings have them.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(secrets) if is_json else TextFormatter(secrets))
    root = logging.getLogger("farebox")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
