"""One run of the settler: its parts put together, and the signals that end it."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct

from farebox.service.gate.tokens import GateSigner
from farebox.settle.applying import SettlingStopped
from farebox.settle.followed_log import DRAIN_SECONDS, FollowedLog
from farebox.settle.positions import Positions
from farebox.settle.rejects import Rejects
from farebox.settle.settler import Settler, SettlerOptions
from farebox.settle.streams import Datagrams, LineStream, Spool, StandardInput
from farebox.settle.tally import Tally
from farebox_client import AsyncFarebox, FareboxError, InvalidValue
from farebox_client.retries import may_be_asked_again

STANDARD_INPUT: Final = Path("-")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ATTEMPTS: Final = 2
_TIMEOUT_SECONDS: Final = 10.0


class MissingLog(Exception):
    """There is no such file to be read to its end."""


class SettleSettings(Struct, frozen=True, kw_only=True):
    """Which logs are settled, and how."""

    logs: tuple[Path, ...]
    """Files to follow, and `STANDARD_INPUT`."""
    udp: tuple[str, ...] = ()
    unix: tuple[Path, ...] = ()
    unix_mode: int = 0o660
    is_once: bool = False
    state: Path
    rejects: Path
    url: str
    key: str
    secrets: tuple[str, ...]
    options: SettlerOptions
    drain_seconds: float = DRAIN_SECONDS


async def run(settings: SettleSettings, tell: Callable[[Tally], None], warn: Callable[[str], None]) -> Tally:
    """Settle until all is settled that there will be, or a signal ends it; return the counts.

    Args:
        settings: what is settled, and how.
        tell: is given the counts now and then.
        warn: is told what people should know.

    Raises:
        MissingLog: there is no log to be read once.
        PositionsError: the settler's own file can't be used.
        StreamError: a socket can't be listened on.
        SettlingStopped: nothing can be applied until somebody acts.
    """
    with ExitStack() as closing:
        positions = Positions(settings.state)
        closing.callback(positions.close)
        spool = Spool(positions)
        logs = _logs(settings, positions, warn)
        async with AsyncFarebox(
            settings.url, key=settings.key, timeout=_TIMEOUT_SECONDS, attempts=_ATTEMPTS
        ) as farebox:
            await _check_key(farebox)
            settler = Settler(
                farebox,
                GateSigner(*settings.secrets),
                positions,
                Rejects(settings.rejects),
                settings.options,
                logs=logs,
                spool=spool,
                streams=_streams(settings, spool),
                tell=tell,
                warn=warn,
            )
            loop = asyncio.get_running_loop()
            for number in _SIGNALS:
                loop.add_signal_handler(number, settler.stop)
            await settler.run()
            return settler.tally


def _logs(settings: SettleSettings, positions: Positions, warn: Callable[[str], None]) -> list[FollowedLog]:
    paths = list(dict.fromkeys(path.absolute() for path in settings.logs if path != STANDARD_INPUT))
    logs = []
    for path in paths:
        log = FollowedLog(
            path,
            positions,
            warn,
            others=frozenset(map(str, paths)) - {str(path)},
            drain_seconds=settings.drain_seconds,
            is_once=settings.is_once,
        )
        if log.is_missing:
            if settings.is_once:
                raise MissingLog(f"{path} is not there")
            warn(f"{path} is not there yet")
        logs.append(log)
    return logs


def _streams(settings: SettleSettings, spool: Spool) -> list[LineStream]:
    streams: list[LineStream] = [Datagrams.over_udp(address, spool) for address in settings.udp]
    streams += [Datagrams.over_unix(path, spool, settings.unix_mode) for path in settings.unix]
    if STANDARD_INPUT in settings.logs:
        streams.append(StandardInput(spool))
    return streams


async def _check_key(farebox: AsyncFarebox) -> None:
    """See that the key is a service's, if the server can be asked: a service has to name whose holds it wants."""
    try:
        await farebox.hold_page(limit=1)
    except InvalidValue:
        return
    except FareboxError as error:
        if may_be_asked_again(error):
            return
        raise SettlingStopped(f"FAREBOX_API_KEY is not good for it: {error}") from error
    raise SettlingStopped("FAREBOX_API_KEY is a merchant's key; it has to be a service's")
