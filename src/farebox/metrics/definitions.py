"""Every metric by name: what it tells, by which labels. No label has a merchant, a key, an id or a request's path."""

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Type(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True):
    """One metric; a counter's name ends with `_total` where it is read, and is written without it here."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """The upper bounds of a histogram's buckets."""

    @property
    def shown_name(self) -> str:
        """The name as queries have it; those of a histogram go on with `_bucket`, `_sum` and `_count`."""
        return f"{self.name}_total" if self.type is Type.COUNTER else self.name


_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STEP_SECONDS: Final = (0.00025, 0.0005, *_SECONDS)
_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0)

REQUESTS: Final = Metric(
    "farebox_requests",
    Type.COUNTER,
    "Requests that were answered, by what they came to: `ok`, or the stable name of the error.",
    ("route", "method", "status", "outcome"),
)
REQUEST_SECONDS: Final = Metric(
    "farebox_request_seconds", Type.HISTOGRAM, "How long requests took until their answers' end.", ("route",), _SECONDS
)
CHARGES: Final = Metric(
    "farebox_charges",
    Type.COUNTER,
    "Charges that were decided, by their outcome; `replayed` for one that had been made before.",
    ("outcome",),
)
COMMANDS: Final = Metric(
    "farebox_commands",
    Type.COUNTER,
    "Commands other than charges that were decided, by their kind and outcome.",
    ("command", "outcome"),
)
REFUSALS: Final = Metric(
    "farebox_refusals",
    Type.COUNTER,
    "Charges and holds of merchants that were refused, by reason, as the console and the merchants see them counted.",
    ("reason",),
)
BATCH_COMMANDS: Final = Metric(
    "farebox_batch_commands", Type.HISTOGRAM, "How many commands a committed batch had.", (), _SIZES
)
BATCH_STEP_SECONDS: Final = Metric(
    "farebox_batch_step_seconds",
    Type.HISTOGRAM,
    "How long the steps of committed batches took: `lock`, `load`, `decide`, `apply`, `commit`.",
    ("step",),
    _STEP_SECONDS,
)
QUEUE_COMMANDS: Final = Metric("farebox_queue_commands", Type.GAUGE, "Commands that wait for a batch.")
QUEUE_COMMANDS_MAX: Final = Metric(
    "farebox_queue_commands_max", Type.GAUGE, "How many commands may wait before further ones are refused."
)
LIVE_STREAMS: Final = Metric("farebox_live_streams", Type.GAUGE, "Pages that follow their account by an open stream.")
PROCESSES: Final = Metric("farebox_processes", Type.GAUGE, "Processes of this server that are alive.")
BUILD: Final = Metric(
    "farebox_build_info", Type.GAUGE, "Always 1; the labels tell the version and the database.", ("version", "engine")
)
DATABASE_UP: Final = Metric(
    "farebox_database_up",
    Type.GAUGE,
    "1 if the ledger's figures could be read, or else 0: those that are read from the database are then left out.",
)
DATABASE_READ_SECONDS: Final = Metric(
    "farebox_database_read_seconds", Type.GAUGE, "How long the reading of the ledger's figures took."
)
OLDEST_UNDELIVERED: Final = Metric(
    "farebox_oldest_undelivered_seconds",
    Type.GAUGE,
    "How old the oldest event is that waits to be delivered by a channel; 0 if none waits.",
    ("channel",),
)
UNDELIVERED: Final = Metric(
    "farebox_undelivered", Type.GAUGE, "Deliveries that wait, counted to 10,000 by channel.", ("channel",)
)
OPEN_HOLDS: Final = Metric("farebox_open_holds", Type.GAUGE, "Holds that are open, counted to 100,000.")
OLDEST_HOLD: Final = Metric(
    "farebox_oldest_hold_seconds", Type.GAUGE, "How old the oldest open hold is; 0 if there is none."
)
OVERDUE_HOLD: Final = Metric(
    "farebox_overdue_hold_seconds",
    Type.GAUGE,
    "For how long the hold that ended first should have been expired; 0 if none is due.",
)
BALANCES_AT_RISK: Final = Metric(
    "farebox_balances_at_risk",
    Type.GAUGE,
    "Merchants that are not closed and whose money is below a threshold of theirs (`below_threshold`), or has run out "
    "(`exhausted`).",
    ("state",),
)
MERCHANTS: Final = Metric("farebox_merchants", Type.GAUGE, "Merchants that are not closed.")
LAST_VERIFY_TIMESTAMP: Final = Metric(
    "farebox_last_verify_timestamp_seconds",
    Type.GAUGE,
    "When the last verification of the whole ledger ended, seconds since 1970; absent if none has.",
)
LAST_VERIFY_PROBLEMS: Final = Metric(
    "farebox_last_verify_problems", Type.GAUGE, "How many problems that verification found; 0 is as it should be."
)
WAL_BYTES: Final = Metric("farebox_wal_bytes", Type.GAUGE, "How large the log beside the SQLite file is.")
DISK_FREE_BYTES: Final = Metric(
    "farebox_disk_free_bytes", Type.GAUGE, "How much room the disk of the SQLite file has left."
)
REPLICATION_LAG_SECONDS: Final = Metric(
    "farebox_replication_lag_seconds",
    Type.GAUGE,
    "How far a standby of the PostgreSQL server is behind; 0 for one that has all there is.",
    ("standby",),
)
REPLICATION_LAG_BYTES: Final = Metric(
    "farebox_replication_lag_bytes",
    Type.GAUGE,
    "How much of the PostgreSQL server's log a standby has not replayed.",
    ("standby",),
)

METRICS: Final = (
    REQUESTS,
    REQUEST_SECONDS,
    CHARGES,
    COMMANDS,
    REFUSALS,
    BATCH_COMMANDS,
    BATCH_STEP_SECONDS,
    QUEUE_COMMANDS,
    QUEUE_COMMANDS_MAX,
    LIVE_STREAMS,
    PROCESSES,
    BUILD,
    DATABASE_UP,
    DATABASE_READ_SECONDS,
    OLDEST_UNDELIVERED,
    UNDELIVERED,
    OPEN_HOLDS,
    OLDEST_HOLD,
    OVERDUE_HOLD,
    BALANCES_AT_RISK,
    MERCHANTS,
    LAST_VERIFY_TIMESTAMP,
    LAST_VERIFY_PROBLEMS,
    WAL_BYTES,
    DISK_FREE_BYTES,
    REPLICATION_LAG_SECONDS,
    REPLICATION_LAG_BYTES,
)
