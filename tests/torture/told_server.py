"""A server that waits for less before it delivers again: `python -m tests.torture.told_server serve ...`."""

from typing import Final

from starlette.types import ASGIApp

from farebox import server
from farebox.background import DeliveryLimits
from farebox.cli.main import cli
from farebox.cli.serving.serve import make_command
from farebox.webhooks.dispatcher import DeliveryTimes

LIMITS: Final = DeliveryLimits(
    mail_seconds_max=1.0,
    message_seconds_max=1.0,
    message_times=DeliveryTimes(
        backoff_seconds=(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0),
        backoff_seconds_max=5.0,
        pause_seconds_min=0.5,
        pause_seconds_max=2.0,
        lease_seconds=6,
    ),
)


def web_app() -> ASGIApp:
    """Make the application with these limits."""
    return server.web_app(delivery_limits=LIMITS)


def main() -> None:
    """Serve this application in place of Farebox's own."""
    cli.add_command(make_command(application="tests.torture.told_server:web_app"))
    cli()


if __name__ == "__main__":
    main()
