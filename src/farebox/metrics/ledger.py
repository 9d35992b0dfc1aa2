"""The ledger's figures as metrics: read when they are asked for, kept for some seconds, and none of them a scan.

Balances at risk alone are looked for beside that: merchants are walked over by stretches, so that a round over a
million of them takes some minutes and no moment of it holds anybody up.
"""

import asyncio
import time
from typing import Final

from msgspec import Struct

from farebox.metrics import definitions
from farebox.metrics.definitions import Metric
from farebox.service.clock import Clock
from farebox.storage.destination_records import Channel
from farebox.storage.figures import FigureStore
from farebox.storage.interface import Connector, StorageError

KEPT_SECONDS: Final = 5.0
"""How old figures may be that are answered with; one who asks more often has the same ones."""

READ_SECONDS_MAX: Final = 5.0
"""How long the database may take until it counts as down."""

RISK_ROWS: Final = 2_000
RISK_SECONDS: Final = 1.0
"""How soon the next stretch of merchants is looked at."""

RISK_REST_SECONDS: Final = 10.0
"""How long a round over all merchants rests before the next one."""

CHANNELS: Final = {Channel.EMAIL: "email", Channel.WEBHOOK: "webhook", Channel.CHAT: "chat"}
ACCOUNT_MAILS: Final = "account_mail"
_SECOND: Final = 1_000_000

Values = list[tuple[Metric, tuple[str, ...], float]]
"""Metrics with the values of their labels, and what each is."""


class _Round(Struct):
    """What a round over the merchants has seen so far."""

    after: int = -1
    merchants: int = 0
    below_threshold: int = 0
    exhausted: int = 0


class LedgerFigures:
    """Reads the figures of one database."""

    def __init__(self, connector: Connector, clock: Clock, *, kept_seconds: float = KEPT_SECONDS) -> None:
        """Read from this database."""
        self._connector = connector
        self._figures = FigureStore(connector)
        self._clock = clock
        self._kept_seconds = kept_seconds
        self._reading: asyncio.Task[Values] | None = None
        self._read_at = 0.0
        self._round = _Round()
        self._risks: _Round | None = None

    @property
    def engine(self) -> str:
        """The database's name and version."""
        return self._connector.engine

    async def values(self) -> Values:
        """Tell the figures, as they were a few seconds ago at most; a database that is down is told as that."""
        now = time.monotonic()
        reading = self._reading
        if reading is None or (reading.done() and now >= self._read_at + self._kept_seconds):
            reading = self._reading = asyncio.create_task(self._read())
            self._read_at = now
        return [*await asyncio.shield(reading), *self._files(), *self._at_risk()]

    async def look_for_risks(self) -> float:
        """Look at the next merchants; return the seconds until it is worth going on."""
        seen = self._round
        rows = await self._figures.risks(seen.after, RISK_ROWS)
        for row in rows:
            seen.merchants += not row.is_closed
            seen.below_threshold += row.is_below_threshold and not row.is_closed
            seen.exhausted += row.is_exhausted and not row.is_closed
        if len(rows) == RISK_ROWS:
            seen.after = rows[-1].merchant_id
            return RISK_SECONDS
        self._risks, self._round = seen, _Round()
        return RISK_REST_SECONDS

    async def _read(self) -> Values:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(READ_SECONDS_MAX):
                await self._connector.check()
                values = await self._all()
        except (StorageError, TimeoutError):
            return [(definitions.DATABASE_UP, (), 0.0)]
        took = time.monotonic() - begun
        return [(definitions.DATABASE_UP, (), 1.0), (definitions.DATABASE_READ_SECONDS, (), took), *values]

    async def _all(self) -> Values:
        now = self._clock.now()
        waiting = {name: await self._figures.waiting(channel) for channel, name in CHANNELS.items()}
        waiting[ACCOUNT_MAILS] = await self._figures.waiting_account_mails()
        holds = await self._figures.open_holds()
        verification = await self._figures.last_verification()
        lags: dict[str, tuple[int, int]] = {}
        for standby in await self._figures.standbys():
            micros, size = lags.get(standby.name, (0, 0))
            lags[standby.name] = (max(micros, standby.lag_micros), max(size, standby.lag_bytes))
        values: Values = [
            *((definitions.OLDEST_UNDELIVERED, (name,), _age(now, found.oldest_at)) for name, found in waiting.items()),
            *((definitions.UNDELIVERED, (name,), float(found.count)) for name, found in waiting.items()),
            (definitions.OPEN_HOLDS, (), float(holds.count)),
            (definitions.OLDEST_HOLD, (), _age(now, holds.oldest_at)),
            (definitions.OVERDUE_HOLD, (), _age(now, holds.first_end_at)),
            *((definitions.REPLICATION_LAG_SECONDS, (name,), micros / _SECOND) for name, (micros, _) in lags.items()),
            *((definitions.REPLICATION_LAG_BYTES, (name,), float(size)) for name, (_, size) in lags.items()),
        ]
        if verification is not None:
            values.append((definitions.LAST_VERIFY_TIMESTAMP, (), verification.finished_at / _SECOND))
            values.append((definitions.LAST_VERIFY_PROBLEMS, (), float(verification.problems)))
        return values

    def _files(self) -> Values:
        sizes = {
            definitions.WAL_BYTES: self._connector.log_bytes(),
            definitions.DISK_FREE_BYTES: self._connector.disk_free_bytes(),
        }
        return [(metric, (), float(size)) for metric, size in sizes.items() if size is not None]

    def _at_risk(self) -> Values:
        seen = self._risks
        if seen is None:
            return []
        return [
            (definitions.MERCHANTS, (), float(seen.merchants)),
            (definitions.BALANCES_AT_RISK, ("below_threshold",), float(seen.below_threshold)),
            (definitions.BALANCES_AT_RISK, ("exhausted",), float(seen.exhausted)),
        ]


def _age(now: int, at: int | None) -> float:
    return 0.0 if at is None else max(now - at, 0) / _SECOND
