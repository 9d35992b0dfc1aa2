"""What Apprise says of its work: kept for who asked for it, and never logged, as it may quote tokens."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = ("apprise", "urllib3", "requests")
_heard: Final = threading.local()


class _Ear(logging.Handler):
    """Hands what is said in a thread to who listens there, and drops all else."""

    def emit(self, record: logging.LogRecord) -> None:
        heard = getattr(_heard, "messages", None)
        if heard is not None and record.levelno >= logging.WARNING:
            heard.append(record.getMessage())


_EAR: Final = _Ear()


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect the warnings of this thread; nothing that is said meanwhile, or elsewhere, reaches a log."""
    for name in _LOGGERS:
        # Each time, as others may have set them up anew.
        logger = logging.getLogger(name)
        logger.handlers[:] = [_EAR]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    messages: list[str] = []
    _heard.messages = messages
    try:
        yield messages
    finally:
        _heard.messages = None
