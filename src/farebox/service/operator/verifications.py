"""Verifications of the whole ledger: each writes down how far it is, and the console can start one.

What verifies is a process of its own, `farebox verify`, so that a server goes on answering meanwhile. A run whose
process died is told by its row, which nobody has touched for a while.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from farebox.core import ids
from farebox.core.audit_log import Action, audit_entry
from farebox.core.permissions import Operation
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, translated
from farebox.service.id_generator import IdGenerator
from farebox.service.operator.verifier import LedgerFault, Verifier
from farebox.service.people.api_keys import Principal
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.interface import StorageError
from farebox.storage.records import Verification
from farebox.storage.stores import Stores
from farebox.storage.verifications import UnderWay

__all__ = ["Run", "Verification", "Verifications"]

PROGRESS_MICROS: Final = 1_000_000
"""How often a run writes down how far it is."""

LOST_MICROS: Final = 30_000_000
"""How long a run may be silent before its process is taken for dead."""

_log = logging.getLogger("farebox.verifying")


class Verifications:
    """The runs over one ledger, as the console tells of them."""

    def __init__(self, stores: Stores, clock: Clock, environment: Mapping[str, str]) -> None:
        """Verify this database; processes are started in this environment."""
        self._stores = stores
        self._clock = clock
        self._environment = environment
        self._id_generator = IdGenerator(clock)
        self._process: asyncio.subprocess.Process | None = None

    async def latest(self, limit: int) -> Sequence[Verification]:
        """List the latest runs, newest first.

        Raises:
            Unavailable: the database can't be read.
        """
        with translated():
            return await self._stores.verifications.list(limit)

    def is_under_way(self, run: Verification) -> bool:
        """Tell whether a run is at work still: it has not ended, and was heard of lately."""
        return run.finished_at is None and self._clock.now() - run.seen_at <= LOST_MICROS

    def run(
        self,
        started_by: str,
        verification_id: int | None = None,
        *,
        progress_micros: int = PROGRESS_MICROS,
        on_progress: Callable[[], Awaitable[None]] | None = None,
    ) -> "Run":
        """Prepare a run of this actor's, or the one of a row that `start` wrote.

        As it goes on, `on_progress` is called; its `audit` tells how far it is.
        """
        now = self._clock.now()
        number = self._id_generator.next() if verification_id is None else verification_id
        row = Verification(number, started_by, now, now)
        return Run(
            self._stores,
            self._clock,
            row,
            is_begun=verification_id is not None,
            progress_micros=progress_micros,
            on_progress=on_progress,
        )

    async def start(self, *, principal: Principal, request_key: RequestKey | None = None) -> None:
        """Start a process that verifies the whole ledger.

        Raises:
            Forbidden: this principal only reads.
            Conflict: one is at work already.
            Unavailable: the database can't be written.
        """
        principal.ensure_may(Operation.RUN_SERVER)
        now = self._clock.now()
        row = Verification(self._id_generator.next(), principal.name, now, now)
        entry = audit_entry(principal.actor(), merchant_id=None, at=now, action=Action.VERIFY)
        with translated():
            try:
                await self._stores.verifications.begin_alone(
                    row,
                    heard_since=now - LOST_MICROS,
                    audit_entry=entry,
                    repeat=repeat_of(request_key, row.verification_id, now),
                )
            except UnderWay as error:
                raise Conflict("a verification is under way already") from error
        await self.close()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "farebox", "verify", "--run", str(row.verification_id)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env=dict(self._environment),
        )

    async def close(self) -> None:
        """End the process that was started last, if it still runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()


class Run:
    """One verification; its row is a courtesy, so a database that takes no writes does not keep it from verifying."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        row: Verification,
        *,
        is_begun: bool,
        progress_micros: int = PROGRESS_MICROS,
        on_progress: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Verify this database; `is_begun` if the row is there already."""
        self._verifications = stores.verifications
        self._clock = clock
        self._row = row
        self._is_begun = is_begun
        self._progress_micros = progress_micros
        self._on_progress = on_progress
        self.audit = Verifier(stores.connector, on_progress=self._progress)

    async def faults(self) -> AsyncIterator[LedgerFault]:
        """Replay every book and yield each fault."""
        await self._write()
        async for fault in self.audit.faults(None):
            first = f"{ids.public_id(ids.MERCHANT, fault.merchant_id)}: {fault.text}"
            self._row = msgspec.structs.replace(
                self._row, problems=self._row.problems + 1, first_problem=self._row.first_problem or first
            )
            yield fault
        self._row = msgspec.structs.replace(self._row, finished_at=self._clock.now())
        await self._write()

    async def _progress(self) -> None:
        if self._on_progress is not None:
            await self._on_progress()
        if self._clock.now() - self._row.seen_at >= self._progress_micros:
            await self._write()

    async def _write(self) -> None:
        self._row = msgspec.structs.replace(
            self._row,
            seen_at=self._clock.now(),
            merchants=self.audit.merchants_total,
            merchants_done=self.audit.merchants_count,
            transfers_done=self.audit.transfers_count,
        )
        try:
            if self._is_begun:
                await self._verifications.update(self._row)
            else:
                await self._verifications.begin(self._row)
                self._is_begun = True
        except StorageError as error:
            _log.warning("the verification goes on, but how far it is can't be written down: %s", error)
