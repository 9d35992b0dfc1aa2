"""Charges of one process that share requests: which go out together, which are asked again, who gets which outcome.

Charges that gather while requests are under way go out next; nothing waits for a batch to fill. Each charge keeps its
own idempotency key over all attempts, and has its own outcome: one that spoils a whole request is parted from the
others by halves. Nothing here sends, waits or locks: `aio` and `threads` do, as suits their clients.
"""

import copy
import heapq
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Generic, Literal, TypeGuard, TypeVar

from farebox_client.answers import Charge
from farebox_client.errors import UNCERTAIN_CODES, FareboxError, Overloaded, UnexpectedAnswer, Unreachable, error_of
from farebox_client.messages import BATCH_PATH, Amount, Call, ChargeFields
from farebox_client.retries import Retries, as_known, draw_chance, may_be_asked_again
from farebox_client.tracing import present_trace, shared_trace
from farebox_client.transport import Answer

C = TypeVar("C")

CLOSED: Final = "the client was closed before the charge was sent"
BROKEN_OFF: Final = "the request was broken off"
NOT_AGAIN: Final = "the client was closed before the charge could be asked for again"

_HEAD: Final = '{"charges":['
_TAIL: Final = "]}"

_ABOUT_THE_CLIENT: Final = frozenset({401, 403, 404, 405, 415})
"""What these say of a whole request holds for each charge in it. All else that is final may be the fault of one."""

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True)
class BatchLimits:
    """How charges share requests.

    Attributes:
        charges_max: How many charges a request has at most: as many as a server commits at once.
        bytes_max: How long its body is at most. A server takes 16 MiB, many a proxy 1 MiB.
        requests_max: How many requests are under way at most.
        waiting_max: How many charges may be without an outcome; one more is refused as `Overloaded`.
    """

    charges_max: int = 1_000
    bytes_max: int = 900_000
    requests_max: int = 2
    waiting_max: int = 100_000

    def __post_init__(self) -> None:
        if min(self.charges_max, self.bytes_max, self.requests_max, self.waiting_max) < 1:
            raise ValueError("limits are above zero")


class Waiting(Generic[C]):
    """A charge that has no outcome yet, and who is told of it."""

    __slots__ = ("attempts", "caller", "ends_at", "is_uncertain", "key", "text", "trace")

    def __init__(self, key: str, text: str, caller: C, ends_at: float) -> None:
        """Take a charge as JSON, of ASCII alone; no attempt begins after `ends_at`."""
        self.key = key
        self.text = text
        self.caller = caller
        self.ends_at = ends_at
        self.attempts = 0
        self.is_uncertain = False
        self.trace = present_trace()


Batch = list[Waiting[C]]
Outcomes = list[tuple[Waiting[C], Charge | FareboxError]]


class ChargeQueue(Generic[C]):
    """The charges of one process that have no outcome yet. Times are seconds of any clock that does not go back."""

    def __init__(
        self,
        retries: Retries,
        limits: BatchLimits,
        *,
        is_patient: bool = False,
        chance: Callable[[], float] = draw_chance,
    ) -> None:
        """Begin empty.

        Args:
            retries: How often, and for how long, a charge is asked for.
            limits: How charges share requests.
            is_patient: Whether a charge is settled by nothing but its own success or refusal: what says nothing of the
                charge itself, such as a key of the client that was revoked, is waited out like an outage.
            chance: Draws from 0 to 1.
        """
        self._retries = retries
        self._is_patient = is_patient
        self._limits = limits
        self._chance = chance
        self._waiting: deque[Waiting[C]] = deque()
        self._alone: deque[Batch[C]] = deque()
        self._later: list[tuple[float, int, Batch[C], bool]] = []
        self._numbers = 0
        self._failures_in_a_row = 0
        self._resume_at = 0.0
        self._failure: FareboxError | None = None
        self._is_given_up = False
        self.requests_under_way = 0
        self.unsettled = 0
        """How many charges have no outcome yet, those under way included."""

    @property
    def has_room(self) -> bool:
        """Whether one more request may be under way."""
        return self.requests_under_way < self._limits.requests_max

    @property
    def timeout(self) -> float:
        """How many seconds a request may last."""
        return min(self._retries.timeout, self._retries.give_up_after)

    def put(self, waiting: Waiting[C]) -> None:
        """Let a charge wait for the next request.

        Raises:
            FareboxError: too many wait, or requests pause for longer than the charge may wait. Nothing moved.
        """
        if self._failure is not None and waiting.ends_at <= self._resume_at:
            raise _own(self._failure, waiting, is_known=True)
        if self.unsettled >= self._limits.waiting_max:
            raise Overloaded(f"{self.unsettled:,} charges of this process wait already", key=waiting.key)
        self._is_given_up = False
        self.unsettled += 1
        self._waiting.append(waiting)

    def take(self, now: float) -> "Batch[C] | None":
        """Take the charges of the next request, which is under way from now on; None if there is nothing to send."""
        if not self.has_room or now < self._resume_at:
            return None
        while self._later and self._later[0][0] <= now:
            _, _, batch, is_alone = heapq.heappop(self._later)
            if is_alone:
                self._alone.append(batch)
            else:
                self._waiting.extendleft(reversed(batch))
        if not self._alone and not self._waiting:
            return None
        self.requests_under_way += 1
        return self._alone.popleft() if self._alone else self._next_batch()

    def due(self, now: float) -> float | None:
        """Tell when `take` has something to send, if no request ends before; None if only a new charge brings it."""
        if not self.has_room:
            return None
        times = [now] if self._waiting or self._alone else [entry[0] for entry in self._later[:1]]
        return max(times[0], self._resume_at) if times else None

    def answered(self, batch: "Batch[C]", answer: Answer, now: float) -> "Outcomes[C]":
        """Read the answer to a request, and return the outcomes that are settled by it."""
        try:
            outcomes = _CALL.read(answer)
            read = [(waiting, _outcome(outcome, waiting.key)) for waiting, outcome in zip(batch, outcomes, strict=True)]
        except FareboxError as failure:
            return self.failed(batch, failure, now)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            text = f"these are no outcomes of charges: {error!r}"
            return self.failed(batch, UnexpectedAnswer(text, status=answer.status, is_known=False), now)
        self.requests_under_way -= 1
        self._failures_in_a_row = 0
        self._failure = None
        return self._settle(self._finals(read, now))

    def failed(self, batch: "Batch[C]", failure: FareboxError, now: float) -> "Outcomes[C]":
        """Note that a whole request failed, and return the outcomes that are settled by that."""
        self.requests_under_way -= 1
        is_about_client = failure.status in _ABOUT_THE_CLIENT
        if may_be_asked_again(failure) or (is_about_client and self._is_patient):
            return self._pause(batch, failure, now)
        if is_about_client:
            return self._settle(_each(batch, failure))
        if len(batch) == 1:
            return self._settle(self._finals(_each(batch, failure), now))
        if self._is_given_up:
            return self._settle(_each(batch, _not_again(failure)))
        for waiting in batch:
            waiting.is_uncertain |= not failure.is_known
        self._alone.extend(_halves(batch))
        return []

    def break_off(self, batch: "Batch[C]", failure: FareboxError) -> "Outcomes[C]":
        """Settle the charges of a request that nobody waits for any more."""
        self.requests_under_way -= 1
        return self._settle(_each(batch, failure))

    def give_up(self, failure: FareboxError) -> "Outcomes[C]":
        """Take out all that is not under way, each with this failure; what was not sent has moved nothing.

        Charges under way are not asked for again either: they have the outcome of this attempt, or are `Unreachable`.
        """
        self._is_given_up = True
        return self._take_out(failure, lambda waiting: True)

    def _next_batch(self) -> "Batch[C]":
        waiting, room = self._waiting, self._limits.bytes_max - len(_HEAD) - len(_TAIL)
        batch: Batch[C] = []
        for _ in range(min(len(waiting), self._limits.charges_max)):
            room -= len(waiting[0].text) + 1
            if room < 0 and batch:
                break
            batch.append(waiting.popleft())
        return batch

    def _finals(self, outcomes: "Outcomes[C]", now: float) -> "Outcomes[C]":
        """Tell which charges, answered by themselves, are settled; the others are asked again when they are due."""
        if self._is_given_up:
            return [
                (waiting, _not_again(outcome) if self._may_come_again(outcome) else outcome)
                for waiting, outcome in outcomes
            ]
        return [
            (waiting, outcome)
            for waiting, outcome in outcomes
            if not (self._may_come_again(outcome) and self._is_asked_again(waiting, outcome, now))
        ]

    def _may_come_again(self, outcome: Charge | FareboxError) -> TypeGuard[FareboxError]:
        if isinstance(outcome, Charge):
            return False
        is_refused = outcome.is_known and 400 <= outcome.status < 500
        return may_be_asked_again(outcome) or (self._is_patient and not is_refused)

    def _is_asked_again(self, waiting: Waiting[C], outcome: FareboxError, now: float) -> bool:
        """Tell whether there is time for another attempt; note when it is due if so."""
        waiting.attempts += 1
        due = now + self._pause_seconds(waiting.attempts)
        if not self._may_wait(waiting, due):
            return False
        waiting.is_uncertain |= not outcome.is_known
        self._put_later(due, [waiting], is_alone=not outcome.is_known)
        return True

    def _pause(self, batch: "Batch[C]", failure: FareboxError, now: float) -> "Outcomes[C]":
        """Let all requests pause. A batch whose fate is unknown comes again in halves, lest one charge spoils it."""
        if self._is_given_up:
            return self._settle(_each(batch, _not_again(failure)))
        self._failures_in_a_row += 1
        self._failure = failure
        wanted = failure.retry_after or 0.0
        self._resume_at = max(self._resume_at, now + wanted + self._pause_seconds(self._failures_in_a_row))
        settled: Outcomes[C] = []
        again: Batch[C] = []
        for waiting in batch:
            waiting.attempts += 1
            if self._may_wait(waiting, self._resume_at):
                waiting.is_uncertain |= not failure.is_known
                again.append(waiting)
            else:
                settled.append((waiting, _own(failure, waiting, is_known=failure.is_known)))
        if failure.is_known:
            self._put_later(self._resume_at, again, is_alone=False)
        elif len(again) == 1:
            # It may be the one that spoils its requests: it comes ever more rarely.
            due = max(self._resume_at, now + self._pause_seconds(again[0].attempts))
            self._put_later(due, again, is_alone=True)
        else:
            for half in _halves(again):
                self._put_later(self._resume_at, half, is_alone=True)
        late = self._take_out(failure, lambda waiting: waiting.ends_at <= self._resume_at)
        return [*self._settle(settled), *late]

    def _take_out(self, failure: FareboxError, is_out: Callable[[Waiting[C]], bool]) -> "Outcomes[C]":
        """Take out those that are not under way and meet a condition, each with a failure."""
        groups = [self._waiting, *self._alone, *(entry[2] for entry in self._later)]
        out = [waiting for group in groups for waiting in group if is_out(waiting)]
        if out:
            self._waiting = deque(waiting for waiting in self._waiting if not is_out(waiting))
            for batch in (*self._alone, *(entry[2] for entry in self._later)):
                batch[:] = [waiting for waiting in batch if not is_out(waiting)]
            self._alone = deque(batch for batch in self._alone if batch)
            self._later = [entry for entry in self._later if entry[2]]
            heapq.heapify(self._later)
        return self._settle([(waiting, _own(failure, waiting, is_known=True)) for waiting in out])

    def _settle(self, outcomes: "Outcomes[C]") -> "Outcomes[C]":
        """Count outcomes as settled; where an earlier attempt may have charged, say no more than is known."""
        self.unsettled -= len(outcomes)
        for place, (waiting, outcome) in enumerate(outcomes):
            if waiting.is_uncertain and isinstance(outcome, FareboxError):
                outcomes[place] = (waiting, as_known(outcome, is_uncertain=True))
        return outcomes

    def _may_wait(self, waiting: Waiting[C], due: float) -> bool:
        return waiting.attempts < self._retries.attempts and due < waiting.ends_at

    def _put_later(self, due: float, batch: "Batch[C]", *, is_alone: bool) -> None:
        if batch:
            self._numbers += 1
            heapq.heappush(self._later, (due, self._numbers, batch, is_alone))

    def _pause_seconds(self, failures: int) -> float:
        return self._retries.pause_seconds(failures, self._chance)


def charge_text(
    merchant: str,
    request_type: str,
    quantity: int | None,
    quantities: Mapping[str, int] | None,
    amount: Amount | None,
    reference: str | None,
    above: Literal["refuse", "uncollected"] | None,
    requested_at: datetime | None,
    key: str,
) -> str:
    """Write a charge as JSON, as a batch has it; its fields are those of `ChargeFields`, in their order.

    Raises:
        TypeError, ValueError: a field has what can't be written.
    """
    is_plain = quantities is None and amount is None and reference is None and above is None and requested_at is None
    if not is_plain or not (quantity is None or type(quantity) is int):
        fields = ChargeFields(merchant, request_type, quantity, quantities, amount, reference, above, requested_at, key)
        return _encode(fields.body)
    # The same in a fifth of the time: most charges are such.
    end = "" if quantity is None else f',"quantity":{quantity}'
    return f'{{"merchant":{_encode(merchant)},"type":{_encode(request_type)},"idempotencyKey":{_encode(key)}{end}}}'


def trace_of(batch: "Batch[C]") -> Mapping[str, str]:
    """Return the headers of the trace that a request belongs to: that of one of its charges."""
    return shared_trace(waiting.trace for waiting in batch)


def body_of(batch: Sequence[Waiting[Any]]) -> bytes:
    """Write the body of a request."""
    return (_HEAD + ",".join([waiting.text for waiting in batch]) + _TAIL).encode("ascii")


def failure_of(error: Exception) -> FareboxError:
    """Say that a request was not answered, if the transport says so by an exception of its own."""
    if isinstance(error, FareboxError):
        return error
    failure = Unreachable(f"{BROKEN_OFF}: {error!r}", is_known=False)
    failure.__cause__ = error
    return failure


def _halves(batch: "Batch[C]") -> "list[Batch[C]]":
    middle = len(batch) // 2
    return [half for half in (batch[:middle], batch[middle:]) if half]


def _each(batch: "Batch[C]", failure: FareboxError) -> "Outcomes[C]":
    return [(waiting, _own(failure, waiting, is_known=failure.is_known)) for waiting in batch]


def _not_again(failure: FareboxError) -> FareboxError:
    """Say that there is no other attempt after one that settles nothing: a status would pass for a refusal."""
    unreachable = Unreachable(f"{NOT_AGAIN}: {failure}", key=failure.key, is_known=failure.is_known)
    unreachable.__cause__ = failure
    return unreachable


def _own(failure: FareboxError, waiting: Waiting[Any], *, is_known: bool) -> FareboxError:
    """Make a charge's own copy of what befell many: an error that is raised in many places gathers all their traces."""
    own = copy.copy(failure)
    own.key = waiting.key
    own.is_known = is_known
    own.__cause__ = failure.__cause__
    return own


def _outcomes_of(data: Any, _: bool) -> list[Any]:
    outcomes: list[Any] = data["outcomes"]
    return outcomes


_CALL: Final = Call("POST", BATCH_PATH, _outcomes_of)


def _outcome(outcome: Any, key: str) -> Charge | FareboxError:
    """Read what one charge came to."""
    if outcome["isSuccess"]:
        data = outcome["data"]
        missing = data.get("uncollected")
        return Charge(
            data["transferId"],
            Decimal(data["cost"]),
            Decimal(data["balance"]),
            Decimal(data["available"]),
            None if missing is None else Decimal(missing),
            outcome["isReplay"],
            key,
        )
    code, message = outcome["errorCode"], outcome["errorMessage"]
    return error_of(code, message, status=outcome["statusCode"], key=key, is_known=code not in UNCERTAIN_CODES)
