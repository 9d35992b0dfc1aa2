#!/usr/bin/env bash
# beangulp, which imports statements for Beancount, takes a refund for a duplicate of the payment that it gives back.
#
# Guess:     a new entry is a duplicate if it looks like one that the ledger has: near in time, between the same accounts, and of
#            nearly the same amount. Money that goes the other way is something else.
# Behaviour: amounts are compared by the absolute value of their quotient, so -10.00 is as good as 10.00. A full refund
#            (or a payment that bounced, or a top-up that was charged back) within two days of the payment is written as a comment, the
#            program ends with 0, and the book goes on without it: the bank has 0.00, the ledger 10.00. Its
#            deduplicate() is what every importer has unless it brings its own.
# Versions:  beangulp 0.2.0, beancount 3.2.3
# Source:    beangulp/similar.py, heuristic_comparator: abs(number1 / number2); beangulp/extract.py, print_extracted_entries
# Seen:
#   refund of 10.00 after a day: written as a comment, exit status 0, Assets:Bank 10.00 USD
#   refund of 9.00 after a day: written, exit status 0, Assets:Bank 1.00 USD
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet beangulp==0.2.0 beancount==3.2.3

cat > "$folder/importer.py" <<'PYTHON'
import csv
import datetime
from pathlib import Path

import beangulp
from beancount.core import data
from beancount.core.amount import Amount
from beancount.core.number import D


class Statement(beangulp.Importer):
    def identify(self, filepath):
        return filepath.endswith(".csv")

    def account(self, filepath):
        return "Assets:Bank"

    def extract(self, filepath, existing):
        entries = []
        for line, (date, text, amount) in enumerate(csv.reader(Path(filepath).open())):
            number = D(amount)
            postings = [
                data.Posting("Assets:Bank", Amount(number, "USD"), None, None, None, None),
                data.Posting("Income:Sales", Amount(-number, "USD"), None, None, None, None),
            ]
            entries.append(
                data.Transaction(
                    data.new_metadata(filepath, line), datetime.date.fromisoformat(date), "*", None, text,
                    data.EMPTY_SET, data.EMPTY_SET, postings,
                )
            )
        return entries


beangulp.Ingest([Statement()])()
PYTHON

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
from pathlib import Path

from beancount import loader
from beancount.core import data, inventory

FOLDER = Path(sys.argv[1])
LEDGER = """
2026-01-01 open Assets:Bank USD
2026-01-01 open Income:Sales USD

2026-03-02 * "Sale"
  Assets:Bank    10.00 USD
  Income:Sales  -10.00 USD
"""


def after_refund(amount: str) -> tuple[bool, int, str]:
    """Import a statement with one refund, and tell whether it became a comment, the exit status and the bank's balance."""
    (FOLDER / "main.beancount").write_text(LEDGER)
    (FOLDER / "statement.csv").write_text(f"2026-03-03,Refund,{amount}\n")
    extracted = subprocess.run(
        [sys.executable, FOLDER / "importer.py", "extract", FOLDER / "statement.csv", "--existing", FOLDER / "main.beancount"],
        capture_output=True, text=True, check=False,
    )
    entries, errors, _ = loader.load_string(LEDGER + extracted.stdout)
    assert errors == [], errors
    assert "Refund" in extracted.stdout, extracted.stderr
    bank = inventory.Inventory()
    for entry in data.filter_txns(entries):
        for posting in entry.postings:
            if posting.account == "Assets:Bank":
                bank.add_position(posting)
    comment = len(list(data.filter_txns(entries))) == 1
    how = "written as a comment" if comment else "written"
    balance = bank.to_string(parens=False)
    print(f"refund of {amount.removeprefix('-')} after a day: {how}, exit status {extracted.returncode}, Assets:Bank {balance}")
    return comment, extracted.returncode, balance


assert after_refund("-10.00") == (True, 0, "10.00 USD"), "a refund is no duplicate any more"
assert after_refund("-9.00") == (False, 0, "1.00 USD"), "a part that is given back is a duplicate, too"
PYTHON
