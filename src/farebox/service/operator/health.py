"""Whether this process can do its work, for load balancers and people."""

from importlib import metadata

from msgspec import Struct

from farebox.service.ledger.committer import Committer
from farebox.storage.interface import StorageError
from farebox.storage.stores import Stores


class Health(Struct, rename="camel"):
    """This process: its version, its engine, and how much work waits."""

    status: str
    """"ok", or what keeps the process from doing its work."""
    version: str
    engine: str
    waiting_commands: int
    committed_batches: int
    committed_commands: int

    @property
    def is_ok(self) -> bool:
        """Whether the process can do its work."""
        return self.status == "ok"


class HealthCheck:
    """Asks the database and the committer how they are."""

    def __init__(self, stores: Stores, committer: Committer) -> None:
        """Ask these two."""
        self._stores = stores
        self._committer = committer

    async def check(self) -> Health:
        """Tell whether the database answers, and how much work waits."""
        try:
            await self._stores.merchants.find(0)
            status = "ok"
        except StorageError:
            status = "database unavailable"
        return Health(
            status=status,
            version=metadata.version("farebox"),
            engine=self._stores.connector.engine,
            waiting_commands=self._committer.waiting_count,
            committed_batches=self._committer.batches_count,
            committed_commands=self._committer.commands_count,
        )
