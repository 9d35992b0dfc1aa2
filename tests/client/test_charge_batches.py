"""A batch of charges: those alone are asked again that may be answered otherwise, each under its own key."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from farebox_client import (
    AsyncFarebox,
    Charge,
    ChargeFields,
    Farebox,
    FareboxError,
    InsufficientBalance,
    InvalidApiKey,
    OutcomeUnknown,
    Overloaded,
    Unreachable,
)
from farebox_client.messages import BATCH_CHARGES_MAX
from farebox_client.transport import Answer

MADE = "made"
Outcomes = Sequence[str] | FareboxError | int


class Scripted:
    """Answers batches as a script says: an outcome per charge, a status of the whole, or an error of the transport."""

    def __init__(self, *script: Outcomes) -> None:
        self._script = list(script)
        self.sent: list[list[str]] = []

    def answer(self, body: bytes | None) -> Answer:
        assert body is not None
        keys = [charge["idempotencyKey"] for charge in json.loads(body)["charges"]]
        self.sent.append(keys)
        outcomes: Outcomes = self._script.pop(0) if self._script else [MADE] * len(keys)
        if isinstance(outcomes, FareboxError):
            raise outcomes
        if isinstance(outcomes, int):
            code = {401: "invalid_api_key", 503: "overloaded"}[outcomes]
            refused = {"isSuccess": False, "statusCode": outcomes, "errorMessage": "no", "data": None}
            return Answer(outcomes, {"x-error-code": code}, json.dumps(refused).encode())
        data = {"outcomes": [_outcome(outcome, key) for outcome, key in zip(outcomes, keys, strict=True)]}
        whole = {"isSuccess": True, "statusCode": 200, "errorMessage": None, "data": data}
        return Answer(200, {}, json.dumps(whole).encode())


class AsyncScripted(Scripted):
    async def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        return self.answer(body)

    async def close(self) -> None:
        """Nothing is open."""


class BlockingScripted(Scripted):
    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float) -> Answer:
        return self.answer(body)

    def close(self) -> None:
        """Nothing is open."""


def _outcome(outcome: str, key: str) -> dict[str, Any]:
    if outcome == MADE:
        data = {"transferId": f"xfer_{key}", "cost": "0.01", "balance": "9.00", "available": "9.00"}
        return {
            "isSuccess": True,
            "statusCode": 200,
            "errorCode": None,
            "errorMessage": None,
            "isReplay": False,
            "data": data,
        }
    status = {"overloaded": 503, "outcome_unknown": 500, "insufficient_balance": 402}[outcome]
    return {
        "isSuccess": False,
        "statusCode": status,
        "errorCode": outcome,
        "errorMessage": "no",
        "isReplay": False,
        "data": None,
    }


async def charged(script: Scripted, keys: str, attempts: int = 6) -> list[Charge | FareboxError]:
    """Charge a batch by the client that the script is for; each charge has a character for its key."""
    charges = [ChargeFields("m", "image", key=key) for key in keys]
    if isinstance(script, AsyncScripted):
        async with AsyncFarebox("http://farebox.example", key="k", transport=script, attempts=attempts) as farebox:
            return await farebox.charge_batch(charges)
    assert isinstance(script, BlockingScripted)
    with Farebox("http://farebox.example", key="k", transport=script, attempts=attempts) as blocking:
        return blocking.charge_batch(charges)


both = pytest.mark.parametrize("kind", [AsyncScripted, BlockingScripted])


@both
async def test_those_alone_are_asked_again_that_may_be_answered_otherwise(kind: type[Scripted]) -> None:
    script = kind([MADE, "overloaded", "insufficient_balance", "outcome_unknown"], ["overloaded", MADE])
    one, two, three, four = await charged(script, "abcd")
    assert [["a", "b", "c", "d"], ["b", "d"], ["b"]] == script.sent
    assert ["xfer_a", "xfer_b", "xfer_d"] == [made.transfer_id for made in (one, two, four) if isinstance(made, Charge)]
    assert isinstance(three, InsufficientBalance)
    assert (True, "c") == (three.is_known, three.key)


@both
async def test_each_is_told_what_is_known_of_it(kind: type[Scripted]) -> None:
    script = kind([MADE, "overloaded", "outcome_unknown"], ["overloaded", "overloaded"])
    one, two, three = await charged(script, "abc", attempts=2)
    assert isinstance(one, Charge)
    assert isinstance(two, Overloaded)
    assert isinstance(three, OutcomeUnknown)
    assert [(True, "b"), (False, "c")] == [(each.is_known, each.key) for each in (two, three)]


@both
async def test_a_whole_that_was_lost_is_asked_again_and_nothing_of_it_is_known(kind: type[Scripted]) -> None:
    script = kind(Unreachable("lost", is_known=False), [MADE, "overloaded"], 503)
    one, two = await charged(script, "ab", attempts=3)
    assert [["a", "b"], ["a", "b"], ["b"]] == script.sent
    assert isinstance(one, Charge)
    assert isinstance(two, OutcomeUnknown)
    assert (Decimal("0.01"), "b", False) == (one.cost, two.key, two.is_known)


@both
async def test_a_whole_that_is_refused_is_every_charge_s_own_refusal(kind: type[Scripted]) -> None:
    script = kind(401)
    outcomes = await charged(script, "ab")
    assert [(InvalidApiKey, "a", True), (InvalidApiKey, "b", True)] == [
        (type(each), each.key, each.is_known) for each in outcomes if isinstance(each, FareboxError)
    ]
    assert [["a", "b"]] == script.sent


@both
async def test_more_than_a_server_takes_are_several_batches_and_none_is_no_request(kind: type[Scripted]) -> None:
    script = kind()
    outcomes = await charged(script, "x" * (BATCH_CHARGES_MAX + 1))
    assert [BATCH_CHARGES_MAX, 1] == [len(keys) for keys in script.sent]
    assert all(isinstance(each, Charge) for each in outcomes)
    nothing = kind()
    assert ([], []) == (await charged(nothing, ""), nothing.sent)
