"""The grants that a batch meets: at first those that most batches need, and more if `decide` asks for them."""

from collections.abc import Container, Iterable, Mapping

from farebox.core.credit.grants import FirstGrants, Grant, GrantLot
from farebox.core.invariants import InvariantViolation
from farebox.core.state import BatchState, GrantsWanted, MoreGrantsNeeded, ReadSet


def put_grants(
    state: BatchState,
    wanted: GrantsWanted,
    first: Mapping[int, Mapping[int, GrantLot]],
    has_more: Container[int],
    whole: Iterable[Grant] = (),
) -> None:
    """Put grants into a batch's state.

    Args:
        state: is given them.
        wanted: what was to be read.
        first: of the merchants of whom the first ones are wanted: these, by number, in the order of spending.
        has_more: those of whom there may be more than the first ones that were read.
        whole: what was read as a whole.
    """
    state.grants = {(grant.merchant_id, grant.number): grant for grant in whole}
    state.grants_complete = frozenset(wanted.complete)
    state.first_grants = {
        merchant_id: FirstGrants(lots, merchant_id not in has_more) for merchant_id, lots in first.items()
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
