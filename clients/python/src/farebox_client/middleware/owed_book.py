"""The debts of a process: what it has to take for requests that were served, in memory and in a spool."""

import os
import threading
import time
from typing import Final

from farebox_client.middleware.charge_steps import log
from farebox_client.middleware.owed import Owed, owed_for
from farebox_client.middleware.owed_spool import OwedSpool
from farebox_client.middleware.request_charge import RequestCharge

OWED_MAX: Final = 100_000
"""How much may be owed at once; beyond it, nobody is let through unasked."""

WRITE_SECONDS: Final = 1.0
"""How often what a stream has come to is written down while it runs."""


class OwedBook:
    """Keeps what is owed. Threads may share it."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        """Keep a spool in this folder, if one is named; nothing is opened yet."""
        self._folder = folder
        self._spool: OwedSpool | None = None
        self._owed: dict[str, Owed] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open the spool, and take over what processes that ended have left there."""
        with self._lock:
            if self._folder is not None and self._spool is None:
                self._spool = OwedSpool(self._folder)
                self._owed.update((owed.key, owed) for owed in self._spool.waiting(OWED_MAX))

    def close(self) -> None:
        """Close the spool; what it has is taken by the next process."""
        with self._lock:
            if self._owed and self._spool is None:
                log.error("%s requests were served, and could not be charged", len(self._owed))
            if self._spool is not None:
                self._spool.close()
                self._spool = None
            self._owed.clear()

    @property
    def is_full(self) -> bool:
        """Whether no more may be owed."""
        return len(self._owed) >= OWED_MAX

    def __len__(self) -> int:
        """Count what could not be taken yet."""
        return len(self._owed)

    def some(self, limit: int) -> list[Owed]:
        """List what could not be taken yet, the oldest first."""
        with self._lock:
            return [owed for owed, _ in zip(self._owed.values(), range(limit), strict=False)]

    def expect(self, charge: RequestCharge, *, is_last: bool) -> None:
        """Write down what a request comes to with the piece that is sent next: the process may be killed then.

        What a stream has come to is written once in a while as it runs, and with its last piece.
        """
        if self._spool is None:
            return
        now = time.monotonic()
        if not is_last and charge.written_at is not None and now - charge.written_at < WRITE_SECONDS:
            return
        charge.written_at = now
        ending = charge.ending_with_piece(is_last=is_last)
        owed = None if ending is None else owed_for(charge, ending)
        if owed is not None:
            self._spool.put(owed)

    def write(self, owed: Owed) -> None:
        """Write down what a request came to, before it is taken."""
        if self._spool is not None:
            self._spool.put(owed)

    def keep(self, owed: Owed) -> None:
        """Keep what could not be taken yet."""
        with self._lock:
            self._owed[owed.key] = owed

    def settle(self, key: str, refusal: str | None = None) -> None:
        """Forget what was taken or given back; what Farebox refuses for ever stays in the spool, set aside."""
        with self._lock:
            self._owed.pop(key, None)
        if self._spool is not None:
            if refusal is None:
                self._spool.remove(key)
            else:
                self._spool.refuse(key, refusal)
