"""A program that a benchmark starts does not outlive it, however that ends."""

import os
import signal
import threading


def stop_with_parent() -> None:
    """Stop this process, by SIGTERM, when its standard input closes."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    # Not through sys.stdin: a worker is forked, and would wait for ever for the lock that a reader of it holds.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
