"""The settler: reads lines, applies them, and remembers how far it came."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from farebox.service.gate.tokens import BadToken, GateSigner, GateToken, Mode
from farebox.settle.applying import Done, NotApplied, SettlingStopped, apply
from farebox.settle.followed_log import FollowedLog
from farebox.settle.lines import LogLine, UnreadableLine, is_served
from farebox.settle.log_formats import Proxy, read_line
from farebox.settle.positions import Positions
from farebox.settle.rejects import Rejects
from farebox.settle.sources import RawLine, Source
from farebox.settle.streams import LineStream, Spool
from farebox.settle.tally import Tally
from farebox_client import AsyncFarebox, FareboxError, InternalError
from farebox_client.errors import UnexpectedAnswer
from farebox_client.retries import may_be_asked_again

UNDER_WAY_LINES_MAX: Final = 10_000
"""How many lines are read that are not applied yet; no further ones are read meanwhile."""

STOP_SECONDS: Final = 10.0
"""How long requests that are under way may take once the settler has to stop."""

_POLL_SECONDS: Final = 0.1
_SAVE_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 0.2
_PAUSE_SECONDS_MAX: Final = 15.0
_FAILURES_MAX: Final = 8
"""How often a line is tried that the server fails at; it is rejected then, so that it does not stop the rest."""


class SettlerOptions(Struct, frozen=True, kw_only=True):
    """How lines are read and applied."""

    proxy: Proxy = Proxy.AUTO
    is_leaving_charged: bool = True
    requests_at_once: int = 16
    report_seconds: float = 60.0
    give_up_seconds: float | None = None
    """After how long the settler ends if Farebox can't be reached; None for never."""


class _Work(Struct, frozen=True):
    raw: RawLine
    line: LogLine
    token: GateToken
    is_served: bool


class Settler:
    """Applies what the lines of logs and streams tell."""

    def __init__(
        self,
        farebox: AsyncFarebox,
        signer: GateSigner,
        positions: Positions,
        rejects: Rejects,
        options: SettlerOptions,
        *,
        logs: Sequence[FollowedLog],
        spool: Spool,
        streams: Sequence[LineStream],
        tell: Callable[[Tally], None],
        warn: Callable[[str], None],
    ) -> None:
        """Settle with this server.

        Args:
            farebox: asks the server.
            signer: reads the gate's tokens.
            positions: where it is kept how far logs were applied.
            rejects: takes lines that can't be applied.
            options: how lines are read and applied.
            logs: the logs that are followed.
            spool: what arrived over streams.
            streams: bring lines into the spool.
            tell: is given the counts now and then.
            warn: is told what people should know.
        """
        self.tally = Tally()
        self._farebox = farebox
        self._signer = signer
        self._positions = positions
        self._rejects = rejects
        self._options = options
        self._logs = logs
        self._spool = spool
        self._streams = streams
        self._sources: list[Source] = [spool, *logs]
        self._tell = tell
        self._warn = warn
        self._work: asyncio.Queue[_Work] = asyncio.Queue()
        self._under_way = 0
        self._last_at: float | None = None
        self._stopping = asyncio.Event()
        self._failure: SettlingStopped | None = None
        self._failing_since: float | None = None
        self._are_rejects_full = False

    def stop(self) -> None:
        """End soon: finish what is under way, and keep the position."""
        self._stopping.set()

    async def run(self) -> None:
        """Settle until there is nothing more to come, or it is stopped.

        Raises:
            SettlingStopped: nothing can be applied until somebody acts.
        """
        appliers = [asyncio.create_task(self._apply_all()) for _ in range(self._options.requests_at_once)]
        try:
            await self._read_all()
        finally:
            self._stopping.set()
            for stream in self._streams:
                stream.close()
            _, late = await asyncio.wait(appliers, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*appliers, return_exceptions=True)
            for stream in self._streams:
                stream.keep_arrived()
            self._save()
            for log in self._logs:
                log.close()
        if self._failure is not None:
            raise self._failure
        for task in appliers:
            if not task.cancelled():
                task.result()

    async def _read_all(self) -> None:
        next_save = next_report = time.monotonic()
        next_report += self._options.report_seconds
        while not self._stopping.is_set():
            for stream in self._streams:
                stream.keep_arrived()
            has_read = self._read_some()
            now = time.monotonic()
            if now >= next_save:
                self._save()
                next_save = now + _SAVE_SECONDS
            if now >= next_report:
                self._tell(self.tally)
                next_report = now + self._options.report_seconds
            if not has_read:
                if self._is_over():
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _POLL_SECONDS)
            else:
                await asyncio.sleep(0)

    def _read_some(self) -> bool:
        """Read lines of each source, while there is room for them; tell whether there were any."""
        has_read = False
        for source in self._sources:
            if self._under_way >= UNDER_WAY_LINES_MAX:
                break
            for raw in source.read():
                has_read = True
                self._take(raw)
        is_behind = self._under_way > 0 or not all(source.is_at_end for source in self._sources)
        self.tally.set_behind(self._last_at if is_behind else None)
        return has_read

    def _is_over(self) -> bool:
        return (
            self._under_way == 0
            and all(stream.is_over for stream in self._streams)
            and all(source.is_over for source in self._sources)
        )

    def _take(self, raw: RawLine) -> None:
        """Read a line, and put it among those that are to be applied if something is to be done."""
        if raw.text is not None and not raw.text.strip():
            raw.finish()
            return
        try:
            line = _read(raw, self._options.proxy)
            token = None if line is None else self._signer.read_token(line.token, int(time.time()))
        except (UnreadableLine, BadToken) as error:
            self.tally.rejected += 1
            if self._reject(raw, str(error)):
                raw.finish()
            return
        if line is None or token is None:
            self.tally.without_token += 1
            raw.finish()
            return
        self._last_at = time.time() if line.at is None else line.at
        served = is_served(line, is_leaving_charged=self._options.is_leaving_charged)
        if token.mode is Mode.CHARGE and served:
            self.tally.done[Done.KEPT] += 1
            raw.finish()
            return
        self._under_way += 1
        self._work.put_nowait(_Work(raw, line, token, served))

    async def _apply_all(self) -> None:
        """Apply lines, one after the other, until the settler stops."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                getting = asyncio.create_task(self._work.get())
                await asyncio.wait({getting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    return
                await self._apply_one(getting.result())
        finally:
            # One that ended by a fault lets nothing go on.
            self._stopping.set()
            stopping.cancel()

    async def _apply_one(self, work: _Work) -> None:
        failures = tries = 0
        while True:
            try:
                done = await apply(self._farebox, work.token, work.line.reference, is_served=work.is_served)
            except NotApplied as error:
                if not self._refuse(work.raw, str(error)):
                    return
                break
            except SettlingStopped as error:
                self._fail(error)
                return
            except FareboxError as error:
                is_fault = isinstance(error, InternalError | UnexpectedAnswer)
                failures += is_fault
                if failures >= _FAILURES_MAX or not (is_fault or may_be_asked_again(error)):
                    if not self._refuse(work.raw, str(error)):
                        return
                    break
                tries += 1
                if not await self._waits(tries, error):
                    return
            else:
                self._failing_since = None
                self.tally.done[done] += 1
                break
        self._under_way -= 1
        work.raw.finish()

    async def _waits(self, tries: int, error: FareboxError) -> bool:
        """Wait before a line is tried again; False if the settler stops meanwhile."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            self._warn(f"Farebox can't be asked, which is tried again: {error}")
        limit = self._options.give_up_seconds
        if limit is not None and now - self._failing_since > limit:
            self._fail(SettlingStopped(f"Farebox could not be asked for {limit:g} s: {error}"))
            return False
        longest = min(_PAUSE_SECONDS_MAX, _PAUSE_SECONDS * 2.0 ** min(tries, 16))
        pause = max(error.retry_after or 0.0, longest * random.uniform(0.5, 1.0))  # noqa: S311 - it is no secret.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause)
        return not self._stopping.is_set()

    def _fail(self, error: SettlingStopped) -> None:
        self._failure = self._failure or error
        self._stopping.set()

    def _refuse(self, raw: RawLine, reason: str) -> bool:
        self.tally.refused += 1
        return self._reject(raw, reason)

    def _reject(self, raw: RawLine, reason: str) -> bool:
        """Put a line into the file of rejects; if that can't be, nothing goes on, as nobody would know of the line."""
        try:
            is_written = self._rejects.add(raw, reason)
        except OSError as error:
            self._fail(SettlingStopped(f"{self._rejects.path} can't be written: {error.strerror or error}"))
            return False
        if not is_written and not self._are_rejects_full:
            self._warn(f"{self._rejects.path} is full: further rejects are counted alone, until it is emptied")
        self._are_rejects_full = not is_written
        return True

    def _save(self) -> None:
        """Write down how far lines were applied."""
        positions = [position for log in self._logs for position in log.changed_positions()]
        applied = self._spool.take_applied()
        if positions or applied:
            self._positions.save(positions, applied)


def _read(raw: RawLine, proxy: Proxy) -> LogLine | None:
    if raw.text is None:
        raise UnreadableLine("the line is too long")
    return read_line(raw.text, proxy)
