"""A server with short time limits: `python -m tests.torture.short_timeouts_server serve ...`, as `farebox serve`.

They are a tenth of the usual ones. What takes a server many seconds to give up is then seen in a few.
"""

from typing import Any, Final
from unittest import mock

from starlette.types import ASGIApp

from farebox import server
from farebox.bootstrap import Farebox
from farebox.cli import serve
from farebox.cli.main import main as farebox_main
from farebox.service.ledger.committer import LIMITS, CommitterLimits
from farebox.storage import postgres

SHARE: Final = 0.1


def web_app() -> ASGIApp:
    """Make the application with its time limits cut down, and the database's."""
    for name in ("CONNECT_TIMEOUT_SECONDS", "COMMAND_TIMEOUT_SECONDS", "COMMIT_TIMEOUT_SECONDS"):
        mock.patch.object(postgres, name, vars(postgres)[name] * SHARE).start()
    settings = {name: value for name, value in postgres._SESSION.items() if name.endswith("timeout")}
    mock.patch.dict(
        postgres._SESSION, {name: str(round(int(value) * SHARE)) for name, value in settings.items()}
    ).start()
    limits = CommitterLimits(lookup_seconds_max=LIMITS.lookup_seconds_max * SHARE)
    return server.web_app(lambda settings: Farebox.build(settings, committer_limits=limits))


def main() -> None:
    """Serve this application in place of Farebox's own."""
    granian = vars(serve)["Granian"]

    def make(_: str, **options: Any) -> Any:
        return granian("tests.torture.short_timeouts_server:web_app", **options)

    with mock.patch.object(serve, "Granian", make):
        farebox_main()


if __name__ == "__main__":
    main()
