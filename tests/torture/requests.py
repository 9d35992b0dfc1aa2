"""What clients ask for and what they are told: the record that the ledger is held against afterwards."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Step, Tier, Tiers
from farebox.service.operator.key_budgets import UNITS
from tests.support.server import Seeds

RULES: Final = {
    "tokens": Rule(
        Rates(
            (Line("input", 150_000, 1_000_000), Line("output", 600_000, 1_000_000)),
            base=10_000,
            tiers=Tiers(
                ("input",), (Tier(20_001, (Line("input", 300_000, 1_000_000), Line("output", 900_000, 1_000_000))),)
            ),
        )
    ),
    "calls": Rule(
        Rates((Line("calls", 0, steps=(Step(1, 0), Step(501, 10_000), Step(2_001, 4_000))),)),
        period=Period(PeriodUnit.MONTH, "UTC", refunds_give_back=True),
    ),
    "ping": Rule(Rates((Line("requests", 0),))),
}
"""The request types beside images: several quantities at once, units counted over a month, and one for nothing."""

_QUANTITIES_MAX: Final = {"input": 40_000, "output": 9_000, "calls": 50, "requests": 5}
IMAGE_MICROS: Final = 10_000
"""What an `image` costs."""

HOLD_SECONDS_MAX: Final = 3
"""Holds are short, so that many expire while servers die."""

GRANT_SECONDS_MAX: Final = 5
"""Grants are short, too: they start and end while servers die and while holds have taken from them."""

GRANT_TYPES: Final = (None, None, ["image"], ["image", "tokens"], ["calls", "ping"])

ZONES: Final = ("UTC", "Asia/Tokyo", "America/Los_Angeles")
"""Whose days, weeks and months budgets are for."""

SHARE_ABOVE: Final = 0.2
"""How many charges and captures say what becomes of what they come to above what is there."""

REFUSALS: Final = {
    "money_owed",
    "reversal_exceeds_top_up",
    "grant_times_out_of_bounds",
    "insufficient_balance",
    "key_budget_exceeded",
    "hold_already_captured",
    "hold_already_released",
    "hold_expired",
    "capture_exceeds_hold",
    "refund_exceeds_transfer",
    "balance_limit_exceeded",
}
TROUBLES: Final = {"unavailable", "database_replaced", "overloaded", "outcome_unknown"}


MOVING_NOTHING: Final = ("extend", "budget")
"""What clients ask for that makes no transfer."""

CHANGING_FIELDS: Final = {"grant": {"state", "left", "endedAt", "transferId"}, "hold": {"expiresAt"}}
"""What an answer tells of a thing that may be another the next time."""


class Contradiction(AssertionError):
    """Clients were told two things that can't both be true."""


@dataclass
class Request:
    """One thing asked for under one idempotency key, again and again until there is an answer."""

    kind: str
    seeds: Seeds
    name: str
    """The idempotency key or reference."""
    path: str
    content: dict[str, Any]
    key: str
    """The API key that asks."""
    state: str = "unknown"
    data: dict[str, Any] = field(default_factory=dict)
    code: str | None = None
    is_on_its_way: bool = False
    may_be_done: bool = False
    """Whether an attempt got no answer, or one that said that nobody knows: the next one may find it done."""
    asked_at: int = 0
    """When it was first asked for, in microseconds since 1970."""
    sent_at: int = 0
    """When that attempt began that came to what became of it."""
    answered_at: int = 0
    """When that attempt was answered."""

    @property
    def body(self) -> bytes:
        """The request's body."""
        return json.dumps(self.content).encode()

    def hear_at(self, times: tuple[int, int], status: int, headers: dict[str, str], body: bytes) -> bool:
        """Take down an answer to what was sent and answered at these times, as `hear` does.

        A request that was done once stays done at its first time.
        """
        was_done = self.state == "done"
        is_settled = self.hear(status, headers, body)
        if not was_done:
            self.sent_at, self.answered_at = times
        return is_settled

    def hear(self, status: int, headers: dict[str, str], body: bytes) -> bool:
        """Take an answer down and tell whether it settles the matter.

        Raises:
            Contradiction: it says something else than an answer before it.
        """
        envelope = json.loads(body)
        if status == 200 and self.kind in CHANGING_FIELDS:
            # A repetition tells what has become of it meanwhile.
            told = envelope["data"]
            envelope["data"] = {name: told[name] for name in told if name not in CHANGING_FIELDS[self.kind]}
        code = headers.get("x-error-code")
        if status >= 500:
            if code not in TROUBLES:
                raise Contradiction(f"{self.kind} {self.name}: an answer that nobody should get: {body!r}")
            self.may_be_done |= code == "outcome_unknown"
            return False
        if self.kind == "extend" and (status == 200 or code in REFUSALS):
            # Meanwhile the hold may have ended, or last longer than is asked for.
            if status == 200:
                self.state, self.data, self.code = "done", envelope["data"], None
            elif self.state != "done":
                self.state, self.code = "refused", code
            return True
        if status == 200:
            if self.state == "done" and envelope["data"] != self.data:
                raise Contradiction(f"{self.kind} {self.name} came to {self.data}, and now to {envelope['data']}")
            if self.state == "done" and headers.get("idempotent-replay") != "true":
                raise Contradiction(f"{self.kind} {self.name} was done twice")
            if self.state != "done" and headers.get("idempotent-replay") == "true" and not self.may_be_done:
                raise Contradiction(f"{self.kind} {self.name} was done, and yet told that nothing was changed")
            self.state, self.data, self.code = "done", envelope["data"], None
            return True
        if self.state == "done" or code not in REFUSALS:
            raise Contradiction(f"{self.kind} {self.name}, {self.state}: refused as {code}: {body!r}")
        self.state, self.code = "refused", code
        return True


class Script:
    """Makes requests up from a seed and keeps them all."""

    def __init__(self, merchants: list[Seeds], seed: int) -> None:
        self._random = Random(seed)
        self._merchants = merchants
        self.requests: list[Request] = []
        self.answers: Counter[str] = Counter()

    def next(self) -> Request:
        """Choose what to ask for next: something new, or something that was asked for before."""
        random = self._random
        if self.requests and random.random() < 0.05:
            # A client that retries although it was answered. A budget would be set anew.
            request = random.choice(self.requests[-200:])
            if request.kind != "budget":
                return request
        seeds = random.choice(self._merchants)
        if random.random() < 0.03 and not self._is_budget_unsettled(seeds):
            self.requests.append(self._budget(seeds, f"budget-{len(self.requests)}"))
            return self.requests[-1]
        kind = random.choices(
            ("charge", "hold", "capture", "release", "extend", "refund", "top_up", "adjust", "grant", "reverse"),
            (55, 14, 9, 4, 4, 9, 3, 3, 6, 2),
        )[0]
        name = f"{kind}-{len(self.requests)}"
        request = self._spend(kind, seeds, name) if kind in ("charge", "hold") else self._other(kind, seeds, name)
        self.requests.append(request)
        return request

    def unsettled(self) -> list[Request]:
        """List what nobody knows the outcome of."""
        return [request for request in self.requests if request.state == "unknown" and not request.is_on_its_way]

    def _spend(self, kind: str, seeds: Seeds, name: str) -> Request:
        content: dict[str, Any] = {
            "merchant": self._random.choice([seeds.merchant, seeds.merchant_key]),
            "type": self._random.choice(("image", "image", "image", *RULES)),
            "idempotencyKey": name,
        }
        if content["type"] in RULES:
            names = RULES[content["type"]].names
            content["quantities"] = {name: self._random.randint(0, _QUANTITIES_MAX[name]) for name in names}
        else:
            content["quantity"] = self._random.randint(1, 50)
        if kind == "hold":
            content["ttlSeconds"] = self._random.randint(1, HOLD_SECONDS_MAX)
        elif self._random.random() < SHARE_ABOVE:
            content["above"] = "uncollected"
        return Request(kind, seeds, name, f"/api/{kind}s", content, seeds.service_key)

    def _other(self, kind: str, seeds: Seeds, name: str) -> Request:
        random = self._random
        if kind == "grant":
            return self._grant(seeds, name)
        if kind in ("top_up", "adjust"):
            noun = "topups" if kind == "top_up" else "adjustments"
            amount = f"{random.randint(1, 400) / 100:.2f}"
            content: dict[str, Any] = {"amount": amount, "reference": name}
            if kind == "adjust":
                content["amount"] = random.choice(["", "-"]) + amount
                content["reason"] = "torture"
            return Request(
                kind, seeds, name, f"/api/admin/merchants/{seeds.merchant}/{noun}", content, seeds.support_key
            )
        wanted = {
            "capture": "hold",
            "release": "hold",
            "extend": "hold",
            "refund": random.choice(["charge", "capture"]),
            "reverse": "top_up",
        }[kind]
        recent = [request for request in self.requests[-400:] if (request.kind, request.state) == (wanted, "done")]
        if not recent:
            return self._spend("charge", seeds, name)
        about = random.choice(recent)
        content = {"idempotencyKey": name}
        if kind == "reverse":
            return self._reverse(about, name)
        if kind == "capture":
            content |= self._captured(about.content)
        elif kind == "refund":
            if random.random() < 0.5:
                content["amount"] = "0.01"
            content["transferId"] = about.data["transferId"]
            return Request(kind, about.seeds, name, "/api/refunds", content, seeds.service_key)
        if kind == "extend":
            end = datetime.now(UTC) + timedelta(seconds=random.uniform(1, HOLD_SECONDS_MAX))
            content = {"expiresAt": end.isoformat()}
        path = f"/api/holds/{about.data['holdId']}/{kind}"
        return Request(kind, about.seeds, name, path, content, seeds.service_key)

    def _captured(self, held: dict[str, Any]) -> dict[str, Any]:
        """Say what work came to: all that was held, less, or more, and what becomes of that."""
        random = self._random
        times = 1.0
        captured: dict[str, Any] = {}
        if random.random() < SHARE_ABOVE:
            times, captured["above"] = 2.5, random.choice(("charge", "uncollected"))
        if "quantities" in held and random.random() < 0.7:
            captured["quantities"] = {
                name: random.randint(0, min(int(number * times), _QUANTITIES_MAX[name]))
                for name, number in held["quantities"].items()
            }
        elif "quantity" in held and times > 1:
            captured["quantity"] = random.randint(1, int(held["quantity"] * times))
        elif random.random() < 0.5:
            captured["amount"] = "0.01"
        return captured

    def _reverse(self, about: Request, name: str) -> Request:
        """Take a top-up back, or a part of it; most of them even if it was spent already."""
        content: dict[str, Any] = {
            "transferId": about.data["transferId"],
            "reference": name,
            "reason": "torture",
            "owed": self._random.random() < 0.7,
        }
        if self._random.random() < 0.3:
            content["amount"] = "0.01"
        path = f"/api/admin/merchants/{about.seeds.merchant}/reversals"
        return Request("reverse", about.seeds, name, path, content, about.seeds.support_key)

    def _is_budget_unsettled(self, seeds: Seeds) -> bool:
        """Tell whether a budget of a merchant's key is still to be set: they are set one after the other."""
        return any(
            request.kind == "budget" and request.seeds is seeds and request.state == "unknown"
            for request in reversed(self.requests)
        )

    def _budget(self, seeds: Seeds, name: str) -> Request:
        """Set the budget of a merchant's key, about as much as it may have spent by now, or take it away."""
        random = self._random
        content: dict[str, Any] = {"timeZone": random.choice(ZONES)}
        for unit in random.sample(sorted(UNITS), random.choice((0, 1, 1, 2, 4))):
            content[unit] = f"{random.uniform(0, 0.02) * len(self.requests):.2f}"
        return Request(
            "budget", seeds, name, f"/api/admin/keys/{seeds.merchant_key_id}/budget", content, seeds.support_key
        )

    def _grant(self, seeds: Seeds, name: str) -> Request:
        """Give a little credit: it starts at once or soon, and most of it ends soon after."""
        random = self._random
        content: dict[str, Any] = {
            "amount": f"{random.randint(1, 200) / 100:.2f}",
            "reference": name,
            "reason": "torture",
            "priority": random.choice((0, 0, 0, 1, 9)),
        }
        now = datetime.now(UTC)
        starts_at = now
        if random.random() < 0.3:
            starts_at += timedelta(seconds=random.uniform(0, GRANT_SECONDS_MAX))
            content["startsAt"] = starts_at.isoformat()
        if random.random() < 0.8:
            content["expiresAt"] = (starts_at + timedelta(seconds=random.uniform(0.5, GRANT_SECONDS_MAX))).isoformat()
        types = random.choice(GRANT_TYPES)
        if types is not None:
            content["types"] = types
        path = f"/api/admin/merchants/{seeds.merchant}/grants"
        return Request("grant", seeds, name, path, content, seeds.support_key)
