#!/usr/bin/env bash
# Beancount takes transactions whose postings don't add up to zero, so a book of "balanced" ones need not balance.
#
# Guess:     double entry: bean-check refuses a transaction whose postings don't add up to exactly zero.
# Behaviour: each currency has a tolerance, half of the last digit of the coarsest amount written in the transaction. Beside 10.00 a posting
#            of -9.995 passes, and 2,000 of these leave the sum of all accounts 10.00 above zero, with no error. Amounts
#            finer than a currency's minor unit, as prices per request make them, are checked to the minor unit alone. To
#            get exact books out of an exporter, write every amount of a transaction with the same number of decimals, or set the option
#            tolerance_multiplier to 0.
# Versions:  beancount 3.2.3
# Source:    Beancount's "Precision & Tolerances"; beancount.core.interpolate.infer_tolerances
# Seen:
#   10.00 and -9.995: accepted
#   10.000 and -9.995: Transaction does not balance: (0.005 USD)
#   2,000 such sales: accepted, all accounts add up to 10.000 USD
#   with the multiplier at 0: Transaction does not balance: (0.005 USD)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet beancount==3.2.3

"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

from beancount import loader
from beancount.core.data import Transaction

OPENED = "2026-01-01 open Assets:Bank USD\n2026-01-01 open Income:Sales USD\n"


def sale(bank: str) -> str:
    return f'2026-01-02 * "sale"\n  Assets:Bank  {bank} USD\n  Income:Sales  -9.995 USD\n'


def check(text: str) -> tuple[str, Decimal]:
    """Tell the first error, and what all accounts add up to."""
    entries, errors, _ = loader.load_string(text)
    total = sum(
        (posting.units.number for entry in entries if isinstance(entry, Transaction) for posting in entry.postings),
        Decimal(0),
    )
    return (errors[0].message if errors else "accepted"), total


loose, _ = check(OPENED + sale("10.00"))
print(f"10.00 and -9.995: {loose}")
even, _ = check(OPENED + sale("10.000"))
print(f"10.000 and -9.995: {even}")
many, total = check(OPENED + 2_000 * sale("10.00"))
print(f"2,000 such sales: {many}, all accounts add up to {total} USD")
exact, _ = check('option "tolerance_multiplier" "0"\n' + OPENED + sale("10.00"))
print(f"with the multiplier at 0: {exact}")
assert (loose, many, total) == ("accepted", "accepted", Decimal("10.000")), "transactions have to be exact now"
assert even.startswith("Transaction does not balance")
assert exact.startswith("Transaction does not balance")
PYTHON
