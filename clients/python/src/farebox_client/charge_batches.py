"""A batch of charges on its way: which have their outcome, and which are asked again."""

import copy
from collections.abc import Iterator, Sequence

from farebox_client.answers import Charge
from farebox_client.errors import FareboxError
from farebox_client.messages import BATCH_CHARGES_MAX, Call, ChargeFields, charge_batch
from farebox_client.retries import as_known, may_be_asked_again


class ChargeBatch:
    """Charges that share requests; each has its own outcome, and its own idempotency key over all attempts."""

    def __init__(self, charges: Sequence[ChargeFields]) -> None:
        """Begin with all of them waiting; `BATCH_CHARGES_MAX` at most."""
        self._charges = charges
        self._outcomes: list[Charge | FareboxError | None] = [None] * len(charges)
        self._waiting = list(range(len(charges)))
        self._uncertain: set[int] = set()

    @property
    def call(self) -> Call[Sequence[Charge | FareboxError]]:
        """What to send for those that wait."""
        return charge_batch([self._charges[place] for place in self._waiting])

    @property
    def outcomes(self) -> list[Charge | FareboxError]:
        """What each came to, in their order."""
        return [outcome for outcome in self._outcomes if outcome is not None]

    def take(self, outcomes: Sequence[Charge | FareboxError]) -> FareboxError | None:
        """Note what those that waited came to; return why some of them still wait, None if none does."""
        reason: FareboxError | None = None
        waiting = []
        for place, told in zip(self._waiting, outcomes, strict=True):
            outcome = told
            if isinstance(told, FareboxError):
                outcome = as_known(told, is_uncertain=place in self._uncertain)
                if may_be_asked_again(outcome):
                    waiting.append(place)
                    reason = outcome
                if not outcome.is_known:
                    self._uncertain.add(place)
            self._outcomes[place] = outcome
        self._waiting = waiting
        return reason

    def take_failure(self, failure: FareboxError) -> FareboxError | None:
        """Note that the whole request failed; return why all still wait, None if asking again is of no use."""
        return self.take([_of_one(failure, self._charges[place].key) for place in self._waiting])


def chunks(charges: Sequence[ChargeFields]) -> Iterator[Sequence[ChargeFields]]:
    """Cut charges into batches that a server takes."""
    for start in range(0, len(charges), BATCH_CHARGES_MAX):
        yield charges[start : start + BATCH_CHARGES_MAX]


def _of_one(failure: FareboxError, key: str) -> FareboxError:
    own = copy.copy(failure)
    own.key = key
    own.__cause__ = failure
    return own
