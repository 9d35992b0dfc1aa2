"""Charges that share requests: however requests fail, each charge is settled once, truly, and harms no other."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox_client.answers import Charge
from farebox_client.batching.queue import Batch, BatchLimits, ChargeQueue, Outcomes, Waiting, body_of, charge_text
from farebox_client.errors import (
    FareboxError,
    InsufficientBalance,
    InternalError,
    InvalidValue,
    Overloaded,
    Unreachable,
)
from farebox_client.messages import ChargeFields
from farebox_client.retries import Retries
from farebox_client.transport import Answer

GOOD: Final = "good"
REFUSED: Final = "refused"
SPOILING: Final = "spoiling"
"""Its request is refused as a whole."""
CRASHING: Final = "crashing"
"""Its request ends with an error that nobody foresaw."""
KINDS: Final = (GOOD, REFUSED, SPOILING, CRASHING)

WHOLE: Final = "whole"
LOST_BEFORE: Final = "lost before"
LOST_AFTER: Final = "lost after"
NO_CONNECTION: Final = "no connection"
OVERLOADED: Final = "overloaded"
RATE_LIMITED: Final = "rate limited"
SINGLY: Final = "singly"
"""Some of its charges are told to come again."""
FATES: Final = (WHOLE, LOST_BEFORE, LOST_AFTER, NO_CONNECTION, OVERLOADED, RATE_LIMITED, SINGLY)


@dataclass
class Server:
    """What a server does, in the simplest way: a set of keys, and a request that it answers or not."""

    made: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)

    def answer(self, body: bytes, fate: str) -> Answer:
        charges = json.loads(body)["charges"]
        self.sizes.append(len(charges))
        if fate == NO_CONNECTION:
            raise Unreachable("refused", is_known=True)
        if fate == LOST_BEFORE:
            raise Unreachable("lost", is_known=False)
        if fate == OVERLOADED:
            return failure(503, "overloaded")
        if fate == RATE_LIMITED:
            return failure(429, "rate_limited", {"retry-after": "2"})
        types = {charge["type"] for charge in charges}
        if SPOILING in types:
            return failure(422, "invalid_value")
        outcomes = [
            self._outcome(charge, is_put_off=fate == SINGLY and number % 2 == 0)
            for number, charge in enumerate(charges)
        ]
        if fate == LOST_AFTER:
            raise Unreachable("lost", is_known=False)
        if CRASHING in types:
            return failure(500, "internal_error")
        return Answer(200, {}, envelope(200, data={"outcomes": outcomes}))

    def _outcome(self, charge: dict[str, Any], *, is_put_off: bool) -> dict[str, Any]:
        key = charge["idempotencyKey"]
        if is_put_off:
            return outcome(503, "unavailable")
        if charge["type"] == REFUSED:
            return outcome(402, "insufficient_balance")
        if charge["type"] == CRASHING:
            return outcome(500, "internal_error")
        is_replay = key in self.made
        if not is_replay:
            self.made[key] += 1
        return outcome(200, None, data={"transferId": f"x-{key}", "cost": "1", "balance": "1", "available": "1"}) | {
            "isReplay": is_replay
        }


def outcome(status: int, code: str | None, data: Any = None) -> dict[str, Any]:
    words = {"errorCode": code, "errorMessage": code, "isReplay": False, "data": data}
    return {"isSuccess": status == 200, "statusCode": status, **words}


def envelope(status: int, *, code: str | None = None, data: Any = None) -> bytes:
    return json.dumps({"isSuccess": status == 200, "statusCode": status, "errorMessage": code, "data": data}).encode()


def failure(status: int, code: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"x-error-code": code, **(headers or {})}, envelope(status, code=code))


class Run:
    """Drives a queue over a server in a time of its own, until all charges are settled."""

    def __init__(self, limits: BatchLimits, retries: Retries, *, is_patient: bool = False) -> None:
        self.server = Server()
        self.limits = limits
        self.retries = retries
        self.queue: ChargeQueue[str] = ChargeQueue(retries, limits, is_patient=is_patient, chance=lambda: 0.5)
        self.now = 0.0
        self.settled: dict[str, Charge | FareboxError] = {}
        self.kinds: dict[str, str] = {}
        self.under_way: list[Batch[str]] = []

    def put(self, kind: str) -> None:
        key = f"k{len(self.kinds)}"
        self.kinds[key] = kind
        text = charge_text("mer_1", kind, None, None, None, None, None, None, key)
        try:
            self.queue.put(Waiting(key, text, key, self.now + self.retries.give_up_after))
        except FareboxError as error:
            self.settled[key] = error

    def send(self) -> None:
        while batch := self.queue.take(self.now):
            assert len(batch) <= self.limits.charges_max
            assert len(body_of(batch)) <= self.limits.bytes_max or len(batch) == 1
            self.under_way.append(batch)
            assert len(self.under_way) <= self.limits.requests_max

    def end(self, fate: str) -> None:
        batch = self.under_way.pop(0)
        try:
            answer = self.server.answer(body_of(batch), fate)
        except FareboxError as error:
            told = self.queue.failed(batch, error, self.now)
        else:
            told = self.queue.answered(batch, answer, self.now)
        self.note(told)

    def note(self, told: Outcomes[str]) -> None:
        for waiting, result in told:
            assert waiting.caller not in self.settled, "settled twice"
            self.settled[waiting.caller] = result

    def wait(self) -> None:
        due = self.queue.due(self.now)
        assert due is not None, "charges wait, and nothing will ever send them"
        self.now = max(self.now, due)

    def end_all(self, fates: Sequence[str]) -> None:
        left = list(fates)
        for _ in range(10_000):
            self.send()
            if self.under_way:
                self.end(left.pop(0) if left else WHOLE)
            elif self.queue.unsettled:
                self.wait()
            else:
                return
        raise AssertionError("it never ends")


steps = st.lists(st.one_of(st.sampled_from(KINDS), st.just("send"), st.sampled_from(FATES)), max_size=80)
limits = st.builds(
    BatchLimits,
    charges_max=st.integers(1, 8),
    bytes_max=st.sampled_from([100, 300, 900_000]),
    requests_max=st.integers(1, 3),
)


def act(run: Run, script: Sequence[str]) -> None:
    for step in script:
        if step in KINDS:
            run.put(step)
        elif step == "send":
            run.send()
        elif run.under_way:
            run.end(step)


def play(run: Run, script: Sequence[str], last: Sequence[str]) -> None:
    act(run, script)
    run.end_all(last)
    assert 0 == run.queue.unsettled == run.queue.requests_under_way
    assert set(run.kinds) == set(run.settled)
    assert all(count == 1 for count in run.server.made.values())


@given(script=steps, last=st.lists(st.sampled_from(FATES), max_size=20), limits=limits)
def test_whatever_fails_for_a_time_each_charge_comes_to_what_it_would_alone(
    script: list[str], last: list[str], limits: BatchLimits
) -> None:
    run = Run(limits, Retries(attempts=10_000, give_up_after=1e9))
    play(run, script, last)
    expected = {GOOD: Charge, REFUSED: InsufficientBalance, SPOILING: InvalidValue, CRASHING: InternalError}
    assert {key: expected[kind] for key, kind in run.kinds.items()} == {
        key: type(told) for key, told in run.settled.items()
    }
    assert all(told.key == key for key, told in run.settled.items())
    assert {key for key, kind in run.kinds.items() if kind == GOOD} == set(run.server.made)


@given(
    script=steps,
    last=st.lists(st.sampled_from(FATES), max_size=40),
    limits=limits,
    attempts=st.integers(1, 3),
    give_up_after=st.sampled_from([0.05, 1.0, 60.0]),
)
def test_a_charge_that_is_given_up_is_never_said_to_be_known_if_it_was_made(
    script: list[str], last: list[str], limits: BatchLimits, attempts: int, give_up_after: float
) -> None:
    run = Run(limits, Retries(attempts=attempts, give_up_after=give_up_after))
    play(run, script, last)
    for key, told in run.settled.items():
        if isinstance(told, FareboxError) and told.is_known:
            assert key not in run.server.made
        if isinstance(told, Charge):
            assert key in run.server.made


@given(script=steps, last=st.lists(st.sampled_from(FATES), max_size=20), limits=limits)
def test_of_a_queue_that_waits_outages_out_nothing_but_a_refusal_settles_a_charge(
    script: list[str], last: list[str], limits: BatchLimits
) -> None:
    run = Run(limits, Retries(attempts=10**9, give_up_after=float("inf")), is_patient=True)
    play(run, [step for step in script if step != CRASHING], last)
    expected = {GOOD: Charge, REFUSED: InsufficientBalance, SPOILING: InvalidValue}
    assert {key: expected[kind] for key, kind in run.kinds.items()} == {
        key: type(told) for key, told in run.settled.items()
    }


@given(
    script=steps,
    last=st.lists(st.sampled_from(FATES), min_size=3, max_size=3),
    limits=limits,
    is_patient=st.booleans(),
    after=st.lists(st.sampled_from((GOOD, REFUSED, SPOILING)), max_size=3),
)
def test_a_queue_that_is_given_up_asks_for_nothing_again(
    script: list[str], last: list[str], limits: BatchLimits, is_patient: bool, after: list[str]
) -> None:
    run = Run(limits, Retries(attempts=10**9, give_up_after=float("inf")), is_patient=is_patient)
    act(run, script)
    run.note(run.queue.give_up(Unreachable("closed", is_known=True)))
    for fate in last:
        if run.under_way:
            run.end(fate)
    assert (0, None, None) == (run.queue.unsettled, run.queue.take(1e9), run.queue.due(1e9))
    for key, told in run.settled.items():
        if isinstance(told, Charge):
            assert key in run.server.made
        elif 400 <= told.status < 500:
            assert run.kinds[key] in (REFUSED, SPOILING)
        elif told.is_known:
            assert key not in run.server.made
    for kind in after:
        run.put(kind)
    run.end_all([])
    assert set(run.kinds) == set(run.settled)


def test_a_charge_that_crashes_the_server_holds_up_no_other_of_a_patient_queue() -> None:
    run = Run(BatchLimits(), Retries(attempts=10**9, give_up_after=float("inf")), is_patient=True)
    for kind in (GOOD, CRASHING, *[GOOD] * 20):
        run.put(kind)
    while len(run.settled) < 21:
        run.send()
        if run.under_way:
            run.end(WHOLE)
        else:
            run.wait()
    assert 1 == run.queue.unsettled
    assert run.now < 1
    for _ in range(20):
        while run.under_way:
            run.end(WHOLE)
        run.wait()
        run.send()
    run.put(GOOD)
    run.send()
    while run.under_way:
        run.end(WHOLE)
    assert {"k1"} == set(run.kinds) - set(run.settled)


def test_a_bad_key_fails_each_charge_with_an_error_of_its_own_or_is_waited_out() -> None:
    refused = failure(401, "invalid_api_key")
    run = Run(BatchLimits(), Retries())
    run.put(GOOD)
    run.put(GOOD)
    run.send()
    told = run.queue.answered(run.under_way.pop(), refused, 0)
    errors = [error for _, error in told if isinstance(error, FareboxError)]
    assert ["k0", "k1"] == [error.key for error in errors]
    assert errors[0] is not errors[1]
    patient = Run(BatchLimits(), Retries(), is_patient=True)
    patient.put(GOOD)
    patient.send()
    assert [] == patient.queue.answered(patient.under_way.pop(), refused, 0)
    assert 1 == patient.queue.unsettled


def test_a_request_pauses_all_for_as_long_as_the_server_asks() -> None:
    run = Run(BatchLimits(), Retries(pause=0.0))
    run.put(GOOD)
    run.send()
    run.end(RATE_LIMITED)
    run.put(GOOD)
    run.send()
    assert [] == run.under_way
    run.wait()
    assert 2.0 == run.now
    run.send()
    assert [2] == [len(batch) for batch in run.under_way]


def test_charges_that_can_not_wait_for_the_end_of_a_pause_fail_at_once() -> None:
    run = Run(BatchLimits(), Retries(give_up_after=1.0))
    run.put(GOOD)
    run.send()
    run.put(GOOD)
    run.end(RATE_LIMITED)
    run.put(GOOD)
    assert ["rate_limited"] * 3 == [told.code for told in run.settled.values() if isinstance(told, FareboxError)]
    assert 0 == run.queue.unsettled


def test_no_more_charges_wait_than_may() -> None:
    run = Run(BatchLimits(waiting_max=2), Retries())
    for _ in range(3):
        run.put(GOOD)
    assert isinstance(run.settled["k2"], Overloaded)
    run.end_all([])
    run.put(GOOD)
    run.end_all([])
    assert ["k0", "k1", "k3"] == sorted(run.server.made)


def test_what_is_no_answer_of_farebox_parts_a_batch_and_is_told_as_unknown() -> None:
    run = Run(BatchLimits(), Retries())
    for _ in range(2):
        run.put(GOOD)
    run.send()
    assert [] == run.queue.answered(run.under_way.pop(), Answer(200, {}, envelope(200, data={"outcomes": [{}]})), 0)
    run.send()
    told = [run.queue.answered(batch, Answer(200, {}, b"<html>"), 0)[0][1] for batch in run.under_way]
    assert [False, False] == [error.is_known for error in told if isinstance(error, FareboxError)]


def test_limits_are_above_zero() -> None:
    with pytest.raises(ValueError, match="above zero"):
        BatchLimits(requests_max=0)


@given(
    merchant=st.text(max_size=20),
    kind=st.text(max_size=20),
    key=st.text(max_size=20),
    quantity=st.none() | st.integers(-(10**30), 10**30) | st.booleans(),
    reference=st.none() | st.text(max_size=20),
)
def test_a_charge_is_written_as_its_members_are(
    merchant: str, kind: str, key: str, quantity: int | None, reference: str | None
) -> None:
    """Most charges are written in a shorter way, which has to come to the same text."""
    charge = ChargeFields(merchant, kind, quantity, reference=reference, key=key)
    assert json.dumps(charge.body, separators=(",", ":")) == charge_text(*astuple(charge))
