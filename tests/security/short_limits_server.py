"""A server with short limits: `python -m tests.security.short_limits_server serve ...`, as `farebox serve`.

What takes it half a minute to give up is then seen in a second or two.
"""

from unittest import mock

from farebox import processes
from farebox.cli import serve
from farebox.cli.main import main as farebox_main
from farebox.web import body_timeout

HEAD_SECONDS_MAX = 2
CONNECTIONS_MAX = 20
BODY_SECONDS_MAX = 1
PAUSE_SECONDS_MAX = 2
UNREAD_SECONDS_MAX = 2


def main() -> None:
    """Serve; the processes that do the work are forked, so they have the same limits."""
    with (
        mock.patch.object(processes, "UNREAD_SECONDS_MAX", UNREAD_SECONDS_MAX),
        mock.patch.object(serve, "HEAD_SECONDS_MAX", HEAD_SECONDS_MAX),
        mock.patch.object(serve, "CONNECTIONS_MAX", CONNECTIONS_MAX),
        mock.patch.object(body_timeout, "BODY_SECONDS_MAX", BODY_SECONDS_MAX),
        mock.patch.object(body_timeout, "PAUSE_SECONDS_MAX", PAUSE_SECONDS_MAX),
    ):
        farebox_main()


if __name__ == "__main__":
    main()
