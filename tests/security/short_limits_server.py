"""A server with short limits: `python -m tests.security.short_limits_server serve ...`, as `farebox serve`.

What takes it half a minute to give up is then seen in a second or two.
"""

from typing import Final

from starlette.types import ASGIApp

from farebox import server
from farebox.cli.main import cli
from farebox.cli.serving.serve import make_command
from farebox.http.limits import HttpLimits

LIMITS: Final = HttpLimits(
    connections=20, head_seconds=2, body_seconds=1, pause_seconds=2, unwanted_seconds=1, unread_seconds=2
)


def web_app() -> ASGIApp:
    """Make the application with these limits."""
    return server.web_app(http_limits=LIMITS)


def main() -> None:
    """Serve it."""
    cli.add_command(make_command(application="tests.security.short_limits_server:web_app", limits=LIMITS))
    cli()


if __name__ == "__main__":
    main()
