"""What the simulation is given and what it gives: costs, assumptions, and the figures of one installation."""

from typing import Final

from msgspec import Struct

from benchmarks.workload import MERCHANTS_DEFAULT

CLIENTS_PER_SERVER: Final = 256

_SATURATED: Final = 0.9


class Assumptions(Struct, frozen=True):
    """Figures that one machine can't measure. `shard_cores` are a database server's; times are microseconds."""

    shard_cores: int = 16
    round_trip_us: float = 200.0
    clients_per_server: int = CLIENTS_PER_SERVER
    merchants: int = MERCHANTS_DEFAULT
    groups: int = 0
    """Into how many groups Citus divides merchants, over all its workers; none: one for each database."""
    seconds: float = 0.5


class Costs(Struct, frozen=True):
    """Measured costs, in microseconds of processor time, and of one write to the disk.

    A request costs the server `request_us` beside its batch; a batch costs each side a fixed part and one per row.
    Where Citus spreads the ledger, all go through one coordinator, and the databases are its workers.
    """

    request_us: float
    server_batch_us: float
    server_row_us: float
    database_batch_us: float
    database_row_us: float
    sync_us: float
    coordinator_batch_us: float = 0.0
    coordinator_row_us: float = 0.0

    @property
    def has_coordinator(self) -> bool:
        """Whether batches go through a coordinator."""
        return self.coordinator_batch_us > 0


class SpreadCost(Struct, frozen=True):
    """What a charge came to on one PostgreSQL, or on Citus with so many workers, in batches of such a size.

    Times are microseconds of processor time: the program's own, that of the server that it is connected to, and that of
    the workers behind it. `share` is how many charges a second there were, as a share of one PostgreSQL's in the same
    rounds: the median, and the least and the greatest.
    """

    case: str
    variant: str
    workers: int
    per_second: float
    share: tuple[float, float, float]
    mean_batch: float
    program_us: float
    first_us: float
    workers_us: float


class Simulated(Struct, frozen=True):
    """What so many servers did over so many shards. Shares tell how busy the busiest of each kind was; 1 is always.

    `is_routed` tells that requests went to servers by merchant, so that no two servers share one.
    """

    servers: int
    shards: int
    is_routed: bool
    per_second: float
    mean_batch: float
    p50_ms: float
    server_share: float
    database_share: float
    disk_share: float
    lock_share: float
    coordinator_share: float = 0.0

    @property
    def first_limit(self) -> str:
        """The resource that is exhausted first; a lock, held while others work, is named only if none of them is."""
        shares = {"server processor": self.server_share, "database processor": self.database_share}
        shares["database disk"] = self.disk_share
        shares["coordinator processor"] = self.coordinator_share
        name, share = max(shares.items(), key=lambda item: item[1])
        if share >= _SATURATED:
            return name
        return "lock of one account" if self.lock_share >= _SATURATED else "none: too few clients"
