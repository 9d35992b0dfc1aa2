"""`farebox settle`: captures, releases and refunds as the access logs of proxies tell."""

import asyncio
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec

from farebox.cli.context import FAILED, MISUSED, add_json_option, fail, guarded
from farebox.config import Settings
from farebox.settle.applying import SettlingStopped
from farebox.settle.log_formats import Proxy
from farebox.settle.positions import PositionsError
from farebox.settle.program import MissingLog, SettleSettings, run
from farebox.settle.settler import SettlerOptions
from farebox.settle.streams import StreamError
from farebox.settle.tally import Tally

STATE_DEFAULT: Final = Path("farebox-settle.db")
REJECTS_SUFFIX: Final = ".rejects.jsonl"
GIVE_UP_SECONDS_ONCE: Final = 900

_MODE_MAX: Final = 0o777
_FAILURES: Final[dict[type[Exception], str]] = {
    MissingLog: "log_not_found",
    PositionsError: "state_unusable",
    StreamError: "address_unavailable",
    SettlingStopped: "stopped",
}
_path: Final = click.Path(path_type=Path)


@click.command("settle")
@click.argument("logs", nargs=-1, metavar="[LOG]...", type=_path)
@click.option("--syslog-udp", multiple=True, metavar="HOST:PORT", help="Take syslog over UDP; may be repeated.")
@click.option("--syslog-unix", multiple=True, metavar="PATH", type=_path, help="Take syslog over a unix socket.")
@click.option("--syslog-mode", default="660", show_default=True, metavar="OCTAL", help="The mode of that socket.")
@click.option("--once", "is_once", is_flag=True, help="Read files to their end, and stop. Otherwise they are followed.")
@click.option(
    "--proxy",
    type=click.Choice([proxy.value for proxy in Proxy]),
    default=Proxy.AUTO.value,
    show_default=True,
    envvar="FAREBOX_SETTLE_PROXY",
    help="Whose lines they are, where they don't tell.",
)
@click.option(
    "--client-left",
    type=click.Choice(["charge", "free"]),
    default="charge",
    show_default=True,
    envvar="FAREBOX_SETTLE_CLIENT_LEFT",
    help="What a request comes to that reached the API, and whose client left before it was answered.",
)
@click.option(
    "--state",
    type=_path,
    default=STATE_DEFAULT,
    show_default=True,
    envvar="FAREBOX_SETTLE_STATE",
    help="The settler's own file: how far it came.",
)
@click.option(
    "--rejects",
    type=_path,
    envvar="FAREBOX_SETTLE_REJECTS",
    help=f"Takes lines that can't be read or applied. [default: STATE{REJECTS_SUFFIX}]",
)
@click.option(
    "--url", default="http://127.0.0.1:8000", show_default=True, envvar="FAREBOX_URL", help="Where Farebox is."
)
@click.option("--requests", default=16, show_default=True, type=click.IntRange(1, 64), help="How many run at once.")
@click.option("--report", default=60, show_default=True, type=click.IntRange(1), help="Seconds between two summaries.")
@click.option(
    "--give-up-after",
    type=click.IntRange(1),
    metavar="SECONDS",
    help=f"End if Farebox can't be reached for so long. [default: {GIVE_UP_SECONDS_ONCE} with --once, never without]",
)
def settle(
    *,
    logs: tuple[Path, ...],
    syslog_udp: tuple[str, ...],
    syslog_unix: tuple[Path, ...],
    syslog_mode: str,
    is_once: bool,
    proxy: str,
    client_left: str,
    state: Path,
    rejects: Path | None,
    url: str,
    requests: int,
    report: int,
    give_up_after: int | None,
    is_json: bool,
) -> None:
    """Capture, release and refund what the gate held and charged, as a proxy's access log tells.

    LOG is a file, which is followed over its rotations, or - for standard input. FAREBOX_API_KEY is the key of a
    service, FAREBOX_GATE_SECRET is the gate's.
    """
    secret = guarded(Settings.load, is_json=is_json).gate_secret
    key = os.environ.get("FAREBOX_API_KEY", "")
    problem = _problem(
        logs, (*syslog_udp, *syslog_unix), is_once=is_once, mode=syslog_mode, url=url, key=key, secret=secret
    )
    if problem is not None:
        fail("invalid_value", problem, MISUSED, is_json=is_json)
    give_up = give_up_after or (GIVE_UP_SECONDS_ONCE if is_once else None)
    settings = SettleSettings(
        logs=logs,
        udp=syslog_udp,
        unix=syslog_unix,
        unix_mode=int(syslog_mode, 8),
        is_once=is_once,
        state=state,
        rejects=rejects or Path(f"{state}{REJECTS_SUFFIX}"),
        url=url,
        key=key,
        secrets=secret.keys,
        options=SettlerOptions(
            proxy=Proxy(proxy),
            is_leaving_charged=client_left == "charge",
            requests_at_once=requests,
            report_seconds=report,
            give_up_seconds=give_up,
        ),
    )

    def tell(tally: Tally) -> None:
        click.echo(msgspec.json.encode(tally.fields()).decode() if is_json else tally.words())

    def warn(text: str) -> None:
        click.echo(f"farebox: warning: {text}", err=True)

    def work() -> Exception | None:
        try:
            tell(asyncio.run(run(settings, tell, warn)))
        except tuple(_FAILURES) as error:
            return error
        return None

    failure = guarded(work, is_json=is_json)
    if failure is not None:
        fail(_FAILURES[type(failure)], str(failure), FAILED, is_json=is_json)


def _problem(
    logs: tuple[Path, ...], sockets: tuple[object, ...], *, is_once: bool, mode: str, url: str, key: str, secret: str
) -> str | None:
    """Tell what is missing or wrong in what was given, before anything is opened; None if nothing is."""
    if not logs and not sockets:
        return "name a log to read, - for standard input, --syslog-udp or --syslog-unix"
    if is_once and sockets:
        return "--once reads to the end, and syslog has none: leave one of them out"
    if not mode.isascii() or not mode.isdigit() or "8" in mode or "9" in mode or int(mode, 8) > _MODE_MAX:
        return f"--syslog-mode: {mode!r} is no mode such as 660"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.path.strip("/"):
        return f"--url: {url!r} is not where a Farebox can be; write it as in http://127.0.0.1:8000, without /api"
    if not key.isascii() or not key.isprintable() or not key:
        return "FAREBOX_API_KEY has to be the key of a service: farebox key create --service NAME"
    if not secret:
        return "FAREBOX_GATE_SECRET has to be the secret of the gate whose tokens the log has"
    return None


add_json_option(settle)
