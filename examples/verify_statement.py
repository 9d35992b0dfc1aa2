"""Check a Farebox statement with Python's standard library alone: python verify_statement.py STATEMENT.jsonl."""

import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any


def micros(amount: str) -> int:
    """Read an amount, exactly: 1.25 is 1250000 micros."""
    numerator, denominator = (Decimal(amount) * 1_000_000).as_integer_ratio()
    if denominator != 1:
        raise ValueError(f"{amount} has more than six decimals")
    return numerator


def canonical_bytes(merchant: str, t: dict[str, Any]) -> bytes:
    """Write the bytes that a transfer's hash covers: its fields, a line each; what is absent is an empty line."""
    at = (datetime.fromisoformat(t["committedAt"]) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    pricing = [t["pricing"]] if "pricing" in t else []
    fields = [
        "farebox-transfer-2" if pricing else "farebox-transfer-1",
        merchant,
        t["seq"],
        at,
        t["kind"],
        t["debit"],
        t["credit"],
        micros(t["amount"]),
    ]
    fields += [micros(t["availableAfter"]), micros(t["heldAfter"]), t["type"], t["quantity"]]
    fields += [None if t["unitPrice"] is None else micros(t["unitPrice"]), t["priceId"], *pricing, t["idempotencyKey"]]
    fields += [t["fingerprint"], t["refersTo"], t["reference"], t["note"]]
    return "\n".join("" if field is None else str(field) for field in fields).encode()


def verify(path: str) -> str:
    """Check the statement in a file; return where it ends, or raise what is wrong with it."""
    with open(path, encoding="utf-8") as lines:
        header = json.loads(next(lines))
        if (header["format"], header["version"]) != ("farebox-statement", 1):
            raise ValueError("this is no statement of version 1")
        merchant, seq, last_hash = header["merchantId"], header["firstSeq"] - 1, header["previousHash"]
        balances = {"wallet": micros(header["available"]), "held": micros(header["held"])}
        for line in lines:
            data = json.loads(line)
            if "lastHash" in data:
                break
            seq += 1
            if data["seq"] != seq:
                raise ValueError(f"seq {data['seq']} stands where seq {seq} belongs")
            for account, name in (("wallet", "available"), ("held", "held")):
                before = balances[account]
                sign = (data["credit"] == account) - (data["debit"] == account)
                balances[account] += sign * micros(data["amount"])
                if (before, balances[account]) != (micros(data[f"{name}Before"]), micros(data[f"{name}After"])):
                    raise ValueError(f"seq {seq}: {name} does not follow from the amount")
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
    return f"Clean: {data['count']} transfers, ends at {data['available']} {data['currency']} available"


if __name__ == "__main__":
    try:
        print(verify(sys.argv[1]))
    except (ArithmeticError, LookupError, OSError, StopIteration, TypeError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {str(error) or 'this is no statement'}")
