"""How many lines came to what, for the summary."""

import time
from collections import Counter
from typing import Any

from farebox.settle.applying import Done


class Tally:
    """Counts since the settler was started."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.done: Counter[Done] = Counter()
        self.without_token = 0
        """Lines of requests that were free, refused or none of the gate's."""
        self.rejected = 0
        """Lines that can't be read, or whose token is not the gate's."""
        self.refused = 0
        """Lines that the ledger refuses."""
        self.behind_seconds = 0.0

    @property
    def applied(self) -> int:
        """How many lines were applied, which includes those that came to nothing new."""
        return self.done.total()

    def set_behind(self, at: float | None) -> None:
        """Note of when the line is that was read last; None if all lines were applied."""
        self.behind_seconds = 0.0 if at is None else max(0.0, time.time() - at)

    def fields(self) -> dict[str, Any]:
        """Return the counts as JSON has them."""
        return {
            "applied": self.applied,
            **{done.value: self.done[done] for done in Done},
            "withoutToken": self.without_token,
            "rejected": self.rejected,
            "refused": self.refused,
            "behindSeconds": round(self.behind_seconds, 1),
        }

    def words(self) -> str:
        """Write the counts as a line."""
        done = ", ".join(f"{done.value} {self.done[done]:,}" for done in Done)
        return (
            f"applied {self.applied:,} ({done}); without token {self.without_token:,}, rejected {self.rejected:,}, "
            f"refused {self.refused:,}; behind by {self.behind_seconds:.1f} s"
        )
