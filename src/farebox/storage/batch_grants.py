"""The grants that a batch meets: at first those that most batches need, and more if `decide` asks for them."""

from collections.abc import Iterable
from typing import Final

from farebox.core.credit.grants import GRANTS_LOADED_MAX, Grant
from farebox.core.invariants import InvariantViolation
from farebox.core.state import BatchState, GrantsWanted, MoreGrantsNeeded, ReadSet

FIRST: Final = "first"
"""Tags a grant that is one of the first of its merchant in the order of spending."""


def put_grants(state: BatchState, wanted: GrantsWanted, found: Iterable[tuple[str, Grant]]) -> None:
    """Put grants into a batch's state, each with the tag of why it was read."""
    grants: dict[tuple[int, int], Grant] = {}
    first: dict[int, list[Grant]] = {merchant_id: [] for merchant_id in wanted.first}
    for tag, grant in found:
        grants[grant.merchant_id, grant.number] = grant
        if tag == FIRST:
            first[grant.merchant_id].append(grant)
    state.grants = grants
    state.grants_complete = frozenset(wanted.complete)
    state.last_grants = {
        merchant_id: max(theirs, key=lambda grant: grant.order) if len(theirs) == GRANTS_LOADED_MAX else None
        for merchant_id, theirs in first.items()
    }


def more_merchants(error: MoreGrantsNeeded, more: frozenset[int], reads: ReadSet) -> frozenset[int]:
    """Tell of which merchants all grants are read now: of the one that `decide` named, and then of all.

    Raises:
        InvariantViolation: all were there.
    """
    everyone = frozenset(reads.merchant_ids)
    if more == everyone:
        raise InvariantViolation(str(error))
    return everyone if more else frozenset({error.merchant_id})
