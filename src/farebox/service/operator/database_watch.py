"""The log's lines about a database that was replaced, or whose disk is nearly full: each once, and when it is over."""

import logging
from typing import Final

from farebox.storage.interface import Connector, StorageError, StoreReplaced

WATCH_SECONDS: Final = 1.0
DISK_FREE_BYTES_MIN: Final = 1 << 30
"""Below this much free room on the database's disk there is a warning. The log beside a SQLite file takes 200 MB in
everyday use, and more while a long read or a backup runs."""

_DISK_FREE_AGAIN_PERCENT: Final = 110
"""How much of that there must be before it counts as enough again: one warning for each time it runs low."""

_MEGABYTE: Final = 1 << 20
_log = logging.getLogger("farebox.database")


class DatabaseWatch:
    """Looks at the database again and again, whether or not anybody asks for anything."""

    def __init__(self, connector: Connector, *, disk_free_bytes_min: int = DISK_FREE_BYTES_MIN) -> None:
        """Take the database for as it should be, and its disk for roomy."""
        self._connector = connector
        self._disk_free_bytes_min = disk_free_bytes_min
        self._is_replaced = False
        self._is_nearly_full = False

    async def look(self) -> None:
        """Look once; to be called every WATCH_SECONDS."""
        try:
            await self._connector.check()
        except StoreReplaced as error:
            if not self._is_replaced:
                self._is_replaced = True
                _log.error("nothing is read, charged or acknowledged any more: %s", error)
        except StorageError:
            # Those who need it say so themselves.
            return
        else:
            if self._is_replaced:
                self._is_replaced = False
                _log.warning("the database is as it was again; work goes on")
            self._look_at_disk()

    def _look_at_disk(self) -> None:
        free = self._connector.disk_free_bytes()
        if free is None:
            return
        if free < self._disk_free_bytes_min and not self._is_nearly_full:
            self._is_nearly_full = True
            _log.warning(
                "the database's disk is nearly full: %d MB are free, less than %d MB; once it is full nothing can be "
                "charged",
                free // _MEGABYTE,
                self._disk_free_bytes_min // _MEGABYTE,
            )
        elif self._is_nearly_full and free * 100 >= self._disk_free_bytes_min * _DISK_FREE_AGAIN_PERCENT:
            self._is_nearly_full = False
            _log.warning("the database's disk has room again: %d MB are free", free // _MEGABYTE)
