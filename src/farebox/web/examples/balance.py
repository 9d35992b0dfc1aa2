"""Reads the balance and says whether it is low. Needs Python and nothing else."""

import json
import os
import urllib.error
import urllib.request
from decimal import Decimal

URL = os.environ.get("FAREBOX_URL", "http://127.0.0.1:8000")
THRESHOLD = Decimal(100)


def read_balance() -> Decimal:
    """Return the balance, exactly; an answer that is no success raises."""
    request = urllib.request.Request(f"{URL}/api/balance", headers={"x-api-key": os.environ["FAREBOX_API_KEY"]})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            envelope = json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"Farebox answered {error.code}: {json.load(error)['errorMessage']}") from None
    return Decimal(envelope["data"].replace(",", ""))


balance = read_balance()
print(f"Balance: {balance}")
if balance < THRESHOLD:
    print(f"Below {THRESHOLD}: top up.")
