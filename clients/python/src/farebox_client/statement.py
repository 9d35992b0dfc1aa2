"""Check a statement offline: that nothing in it was changed, and that each amount is what its price comes to.

    python -m farebox_client.statement all.jsonl

It takes the standard library alone, and nothing of this package: a copy of the file runs by itself, as
`python statement.py all.jsonl`.
"""

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from typing import Any


def micros(amount: str) -> int:
    """Read an amount, exactly: 1.25 is 1250000 micros."""
    numerator, denominator = (Decimal(amount) * 1_000_000).as_integer_ratio()
    if denominator != 1:
        raise ValueError(f"{amount} has more than six decimals")
    return numerator


def moment(time: str) -> int:
    """Read a time, as microseconds since 1970. Python 3.10 reads no Z."""
    passed = datetime.fromisoformat(time.replace("Z", "+00:00")) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return passed // timedelta(microseconds=1)


def canonical_bytes(merchant: str, t: dict[str, Any]) -> bytes:
    """Write the bytes that a transfer's hash covers: its fields, a line each; what is absent is an empty line."""
    at = moment(t["committedAt"])
    encoding, more = ("farebox-transfer-2", [t["pricing"]]) if "pricing" in t else ("farebox-transfer-1", [])
    if {"given", "uncollected", "keyId"} & t.keys():
        uncollected = micros(t["uncollected"]) if "uncollected" in t else None
        encoding, more = "farebox-transfer-3", [t.get("pricing"), t.get("given"), uncollected, t.get("keyId")]
    fields = [
        encoding,
        merchant,
        t["seq"],
        at,
        t["kind"],
        t["debit"],
        t["credit"],
        micros(t["amount"]),
    ]
    fields += [micros(t["availableAfter"]), micros(t["heldAfter"]), t["type"], t["quantity"]]
    fields += [None if t["unitPrice"] is None else micros(t["unitPrice"]), t["priceId"], *more, t["idempotencyKey"]]
    fields += [t["fingerprint"], t["refersTo"], t["reference"], t["note"]]
    return "\n".join("" if field is None else str(field) for field in fields).encode()


def numbers(text: str, between: str) -> dict[str, int]:
    """Read input=1200,output=350."""
    return {name: int(number) for name, number in (part.split(between) for part in text.split(",") if part)}


def line_cost(line: dict[str, Any], quantity: int, before: int) -> Fraction:
    """Compute what one line of a rule comes to, in micros; `before` are the units of its period that came before."""
    if quantity == 0:
        return Fraction(0)
    block = line.get("block", 1)
    units = -(-max(quantity, line.get("atLeast", 0)) // block) * block
    steps = line.get("graduated") or [{"from": 1, "amount": line["amount"], "per": line.get("per", 1)}]
    total = Fraction(0)
    for number, step in enumerate(steps, 1):
        first = max(step["from"], before + 1, line.get("included", 0) + 1)
        last = before + units if number == len(steps) else min(before + units, steps[number]["from"] - 1)
        total += Fraction(max(last - first + 1, 0) * micros(step["amount"]), step.get("per", 1))
    return total


def cost(rule: dict[str, Any], pricing: str) -> int:
    """Compute what a request comes to by a rule, in micros: one fraction over all lines, rounded once."""
    quantities, *parts = pricing.split(";")
    stated = dict(part.split("=", 1) for part in parts)
    used, before = numbers(quantities, "="), numbers(stated.get("before", ""), ":")
    if "held" in stated:
        # Above a hold it is the cost of all of it, less that of what was held. The tier is that of all of it.
        held = numbers(stated.pop("held"), ":")
        for name, number in held.items():
            used[name] = used.get(name, 0) + number
        return cost_of(rule, used, before, stated) - cost_of(rule, held, before, {**stated, "tier": None})
    return cost_of(rule, used, before, stated)


def cost_of(rule: dict[str, Any], used: dict[str, int], before: dict[str, int], stated: dict[str, Any]) -> int:
    """Compute what quantities come to; the tier that is stated has to be theirs, unless it is None."""
    rates = {0: rule, **dict(enumerate(rule.get("windows", {}).get("windows", []), 1))}[int(stated.get("window", 0))]
    lines, tier, tiers = rates["lines"], None, rates.get("tiers", {"by": [], "from": []})
    for number, candidate in enumerate(tiers["from"], 1):
        if sum(used.get(name, 0) for name in tiers["by"]) >= candidate["from"]:
            lines, tier = candidate["lines"], str(number)
    if stated.get("tier", "") is not None and stated.get("tier") != tier:
        raise ValueError(f"tier {stated.get('tier')} was applied, but the quantities reach {tier}")
    total = sum(
        (line_cost(line, used.get(line["name"], 0), before.get(line["name"], 0)) for line in lines), Fraction(0)
    )
    total = max(total + micros(rates.get("base", "0")), Fraction(micros(rates.get("minimum", "0"))))
    rounding = rule.get("rounding", {"step": "0.000001", "direction": "up"})
    steps = total / micros(rounding["step"])
    rounded = {"up": -(-steps // 1), "half_up": (steps + Fraction(1, 2)) // 1, "down": steps // 1}
    return rounded[rounding["direction"]] * micros(rounding["step"])


def check_amount(t: dict[str, Any], rules: dict[tuple[str, str], Any]) -> None:
    """Compute a transfer's amount again, by its unit price or by the rule that stands in the statement before it."""
    expected = amount = micros(t["amount"]) + micros(t.get("uncollected", "0"))
    if t.get("pricing") is not None:
        if (t["priceId"], t["type"]) not in rules:
            raise ValueError(f"seq {t['seq']}: its price is not in the statement before it")
        expected = cost(rules[t["priceId"], t["type"]], t["pricing"])
    elif t["unitPrice"] is not None:
        expected = micros(t["unitPrice"]) * t["quantity"]
    if amount != expected:
        raise ValueError(f"seq {t['seq']}: it was due {amount} micros, but its price comes to {expected}")


Parts = list[tuple[int, int]]
"""Micros by the number of a grant, in the order of spending; paid money has the number 0."""


def first(parts: Parts, amount: int) -> tuple[Parts, Parts]:
    """Take an amount from parts, the first one first; return what it takes, and what is left of them."""
    taken, rest = [], []
    for number, part in parts:
        now = min(part, amount)
        amount -= now
        taken.append((number, now))
        rest.append((number, part - now))
    return [part for part in taken if part[1]], [part for part in rest if part[1]]


class Grants:
    """Keeps what is left of each grant, from the first transfer on, and so knows what each transfer has to say."""

    def __init__(self) -> None:
        """Start at the empty book."""
        self.terms: dict[int, dict[str, str]] = {}
        self.left: dict[int, int] = {}
        self.over: set[int] = set()
        self.kept: dict[str, Parts] = {}
        """What open holds have, and what is left to refund, of those that took of grants; by their transfers."""

    def check(self, t: dict[str, Any]) -> None:
        """Go on to a transfer, and compare what it says of grants with what the order of spending comes to."""
        at = moment(t["committedAt"])
        kind, amount, origin, own = t["kind"], micros(t["amount"]), t["refersTo"], t["transferId"]
        first_part, *terms = t.get("given", "").split(";")
        given = [
            (int(number), int(part)) for number, part in (pair.split(":") for pair in first_part.split(",") if pair)
        ]
        if kind == "grant":
            (number, _), *_ = given
            self.terms[number], self.left[number] = dict(term.split("=") for term in terms), 0
        elif kind != "grant_expiry":
            self.check_ends(t["seq"], at)
        expected, sign = given, {"grant": 1, "charge": -1, "hold": -1, "capture": 0, "grant_expiry": -1}.get(kind, 1)
        if kind == "grant_expiry":
            (number, _), *_ = given
            self.over.add(number)
            is_due = t["note"] is not None or at >= int(self.terms[number].get("expires", at + 1))
            expected = (
                [(number, amount)] if amount == self.left[number] and (is_due or "after" in t["idempotencyKey"]) else []
            )
        elif kind in ("charge", "hold"):
            expected = self.kept[own] = self.takes(t["type"], amount, micros(t["availableBefore"]))
        elif kind in ("capture", "release", "expire"):
            expected, self.kept[origin] = first(self.kept.get(origin, [(0, amount)]), amount)
            self.kept[own] = expected if kind == "capture" else []
        elif kind == "refund":
            back, rest = first(self.kept.get(origin, [(0, amount)])[::-1], amount)
            expected, self.kept[origin] = back[::-1], rest[::-1]
        elif kind != "grant":
            expected = []
        for name in {own, origin} & self.kept.keys():
            if not any(number for number, _ in self.kept[name]):
                del self.kept[name]
        if [part for part in expected if part[0]] != given:
            raise ValueError(f"seq {t['seq']}: it names {given} of grants, the order of spending comes to {expected}")
        for number, part in given:
            self.left[number] += sign * part

    def check_ends(self, seq: int | None, at: int) -> None:
        """Check that nothing is left of the grants whose time is over."""
        for number, left in self.left.items():
            if left and (number in self.over or at >= int(self.terms[number].get("expires", at + 1))):
                raise ValueError(f"seq {seq}: grant {number} was over before it, and {left} micros were not ended")

    def takes(self, request_type: str, amount: int, wallet: int) -> Parts:
        """Tell what a charge or hold takes: by priority, the soonest end, given before paid, and age."""
        lots = [
            (int(terms.get("priority", 0)), int(terms.get("expires", 2**63)), 0, number)
            for number, terms in self.terms.items()
            if number not in self.over and request_type in terms.get("types", request_type).split(" ")
        ]
        order = [number for *_, number in sorted([*lots, (0, 2**63, 1, 0)])]
        paid = wallet - sum(self.left.values())
        taken, _ = first([(number, self.left[number] if number else max(paid, 0)) for number in order], amount)
        of_grants = {number: part for number, part in taken if number}
        # What no grant covers is paid money, or beyond that the credit limit; both stand where paid money does.
        return [(n, part) for n in order if (part := of_grants.get(n, 0) if n else amount - sum(of_grants.values()))]


class NotClean(ValueError):
    """A file is no statement, or something in it was changed; the message says what and where."""


def verify(path: str) -> str:
    """Check the statement in a file, and tell in a line where it ends.

    Raises:
        NotClean: it is no statement, or not as it was written.
        OSError: the file can't be read.
    """
    try:
        return _verify(path)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        StopIteration,
        TypeError,
        ValueError,
    ) as error:
        raise NotClean(str(error) or "this is no statement") from error


def _verify(path: str) -> str:
    with open(path, encoding="utf-8") as lines:
        header = json.loads(next(lines))
        if (header["format"], header["version"]) != ("farebox-statement", 1):
            raise ValueError("this is no statement of version 1")
        merchant, seq, last_hash = header["merchantId"], header["firstSeq"] - 1, header["previousHash"]
        balances = {"wallet": micros(header["available"]), "held": micros(header["held"])}
        rules: dict[tuple[str, str], Any] = {}
        # Of a book that began before the statement, the grants are not known.
        grants = Grants() if seq == 0 else None
        for line in lines:
            data = json.loads(line)
            if "lastHash" in data:
                break
            if "rule" in data:
                rules[data["priceId"], data["type"]] = data["rule"]
                continue
            seq += 1
            if data["seq"] != seq:
                raise ValueError(f"seq {data['seq']} stands where seq {seq} belongs")
            for account, name in (("wallet", "available"), ("held", "held")):
                before = balances[account]
                sign = (data["credit"] == account) - (data["debit"] == account)
                balances[account] += sign * micros(data["amount"])
                if (before, balances[account]) != (micros(data[f"{name}Before"]), micros(data[f"{name}After"])):
                    raise ValueError(f"seq {seq}: {name} does not follow from the amount")
            check_amount(data, rules)
            if grants is not None:
                grants.check(data)
            last_hash = blake2b(bytes.fromhex(last_hash) + canonical_bytes(merchant, data), digest_size=32).hexdigest()
            if data["hash"] != last_hash:
                raise ValueError(f"seq {seq}: it was changed, or what stands before it")
        else:
            raise ValueError(f"it was cut off after seq {seq}")
        claim = (data["merchantId"], data["currency"], data["lastSeq"], data["lastHash"], data["count"])
        if claim != (merchant, header["currency"], seq, last_hash, seq - header["firstSeq"] + 1) or next(lines, None):
            raise ValueError("it does not end where it claims to")
        if (micros(data["available"]), micros(data["held"])) != (balances["wallet"], balances["held"]):
            raise ValueError("it does not end at the balance that it claims")
        if grants is not None:
            grants.check_ends(seq, 0)
    return f"Clean: {data['count']} transfers, ends at {data['available']} {data['currency']} available"


def main(arguments: Sequence[str]) -> None:
    """Check the file that the only argument names, and exit with 1 if it is not clean, with 2 if it can't be read."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m farebox_client.statement STATEMENT.jsonl\n")
        sys.exit(2)
    (path,) = arguments
    try:
        sys.stdout.write(f"{verify(path)}\n")
    except NotClean as fault:
        sys.exit(f"{path}: {fault}")
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror or error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
