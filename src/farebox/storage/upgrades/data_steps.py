"""The parts of migrations that SQL can't do, and where in their scripts they come."""

from collections.abc import Sequence
from typing import Final

from farebox.storage.migrate import DATA_STEP_LINE, DataStep
from farebox.storage.upgrades.mailboxes import MAILBOXES

_STEPS: Final = {"0006_mailboxes": MAILBOXES}


def parts(name: str, script: str) -> Sequence[str | DataStep]:
    """Split a migration's script at its data step, if it has one."""
    step = _STEPS.get(name)
    if step is None:
        return [script]
    before, _, after = script.partition(DATA_STEP_LINE)
    return [before, step, after]
