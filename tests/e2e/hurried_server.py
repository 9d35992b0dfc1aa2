"""A server for which ten seconds go by in each: `python -m tests.e2e.hurried_server serve ...`, as `farebox serve`.

It looks at spending as often as a server does by its own clock.
"""

from typing import Final

from starlette.types import ASGIApp

from farebox import server
from farebox.background import DeliveryLimits
from farebox.bootstrap import Farebox
from farebox.cli.main import cli
from farebox.cli.serving.serve import make_command
from farebox.config import Settings
from farebox.service.clock import SystemClock
from farebox.service.operator.spending_watch import LOOK_SECONDS

HURRY: Final = 10
"""How many seconds go by in one."""

LIMITS: Final = DeliveryLimits(look_seconds=LOOK_SECONDS / HURRY)


class HurriedClock(SystemClock):
    """A clock that starts with the machine's and runs away from it."""

    def __init__(self) -> None:
        self._started_at = super().now()

    def now(self) -> int:
        return self._started_at + (super().now() - self._started_at) * HURRY


def build(settings: Settings) -> Farebox:
    """Put the parts together by such a clock."""
    return Farebox.build(settings, clock=HurriedClock())


def web_app() -> ASGIApp:
    """Make the application."""
    return server.web_app(build, delivery_limits=LIMITS)


def main() -> None:
    """Serve it."""
    cli.add_command(make_command(application="tests.e2e.hurried_server:web_app"))
    cli()


if __name__ == "__main__":
    main()
