"""What Farebox tells about itself: one line of log per event, on stderr."""

import logging
import sys


def configure_logging(level: int = logging.INFO) -> None:
    """Send log lines of this process to stderr, each with its time, level and room."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("farebox")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
