"""A server with short time limits: `python -m tests.torture.short_timeouts_server serve ...`, as `farebox serve`.

They are a tenth of the usual ones. What takes a server many seconds to give up is then seen in a few.
"""

from functools import partial
from typing import Final
from unittest import mock

import msgspec
from msgspec.structs import replace
from starlette.types import ASGIApp

from farebox import server
from farebox.bootstrap import Farebox
from farebox.cli.main import cli
from farebox.cli.serving.serve import make_command
from farebox.service.ledger.committer import LIMITS, CommitterLimits
from farebox.storage import postgres
from farebox.storage.postgres import limits

SHARE: Final = 0.1


def web_app() -> ASGIApp:
    """Make the application with its time limits cut down, and the database's."""
    short = {
        name: round(value * SHARE)
        for name, value in msgspec.structs.asdict(limits.LIMITS).items()
        if name.endswith("_timeout_ms")
    }
    limited = partial(postgres.PostgresConnector, limits=replace(limits.LIMITS, **short))
    mock.patch.object(postgres, "PostgresConnector", limited).start()
    committer_limits = CommitterLimits(lookup_seconds_max=LIMITS.lookup_seconds_max * SHARE)
    return server.web_app(lambda settings: Farebox.build(settings, committer_limits=committer_limits))


def main() -> None:
    """Serve this application in place of Farebox's own."""
    cli.add_command(make_command(application="tests.torture.short_timeouts_server:web_app"))
    cli()


if __name__ == "__main__":
    main()
