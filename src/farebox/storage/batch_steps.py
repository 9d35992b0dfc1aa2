"""When the steps of a batch were done: what measures batches reads it, and an engine's `transact` writes it."""

from msgspec import Struct


class BatchSteps(Struct, gc=False):
    """The times, as `time.monotonic_ns()` tells them, at which each step of a batch was done; 0 for one not come to.

    Of a batch that lost a race and was tried again, those of the last attempt.
    """

    begun: int = 0
    """When the committer gave the batch to the engine."""

    locked: int = 0
    """When the transaction had begun and its locks were held: those of the accounts, or that of the file. The same as
    `begun` if the batch was decided without a lock."""

    loaded: int = 0
    decided: int = 0
    applied: int = 0
    """When all rows were written, ahead of COMMIT. The same as `decided` if they are written and committed in one."""

    committed: int = 0
