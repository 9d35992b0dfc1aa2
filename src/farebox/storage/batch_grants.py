"""The grants that a batch meets: at first those that most batches need, and more if `decide` asks for them."""

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain

from farebox.core.credit.grants import FirstGrants, Grant
from farebox.core.invariants import InvariantViolation
from farebox.core.state import BatchState, GrantsWanted, MoreGrantsNeeded, ReadSet


def put_grants(
    state: BatchState,
    wanted: GrantsWanted,
    first: Mapping[int, Sequence[Grant]],
    has_more: Container[int],
    others: Iterable[Grant] = (),
) -> None:
    """Put grants into a batch's state.

    Args:
        state: is given them.
        wanted: what was to be read.
        first: of the merchants of whom the first ones are wanted: these, in the order of spending.
        has_more: those of whom there may be more than the first ones that were read.
        others: what else was read.
    """
    found = chain(chain.from_iterable(first.values()), others)
    state.grants = {(grant.merchant_id, grant.number): grant for grant in found}
    state.grants_complete = frozenset(wanted.complete)
    state.first_grants = {
        merchant_id: FirstGrants(grants, merchant_id not in has_more) for merchant_id, grants in first.items()
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
