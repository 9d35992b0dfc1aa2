#!/usr/bin/env bash
# Babel writes thirteen currencies without the minor units that ISO 4217 gives them.
#
# Guess:     format_currency() and get_currency_precision() follow ISO 4217's minor units, so half a lek is "0.50".
# Behaviour: they follow CLDR, which counts the coins in use. For AFN, ALL, IQD, IRR, KPW, LAK, LBP, MGA, MMK, RSD, SOS,
#            SYP and YER that is none, where ISO 4217 says two (three for IQD): 0.50 ALL is written as 0, and
#            12.345 IQD as 12, rounded without a word. A ledger that shows balances this way hides money it holds, and
#            one that takes its number of decimals from here refuses amounts that a bank transfers.
# Versions:  Babel 2.18.0 with the CLDR data it ships, iso4217 1.16.20260101 (the maintenance agency's list of 2026-01-01)
# Source:    CLDR's supplemental/supplementalData.xml, currencyData/fractions; ISO 4217, list one, CcyMnrUnts
# Seen:
#   13 of 165 differ: AFN ALL IQD IRR KPW LAK LBP MGA MMK RSD SOS SYP YER
#   0.50 ALL -> ALL 0
#   12.345 IQD -> IQD 12
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet Babel==2.18.0 iso4217==1.16.20260101

"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

from babel.numbers import format_currency, get_currency_precision
from iso4217 import Currency

money = [currency for currency in Currency if currency.exponent is not None]
differing = sorted(item.code for item in money if get_currency_precision(item.code) != item.exponent)
print(f"{len(differing)} of {len(money)} differ: {' '.join(differing)}")
assert len(money) >= 160
assert differing == "AFN ALL IQD IRR KPW LAK LBP MGA MMK RSD SOS SYP YER".split(), "the list has changed"
for amount, code, seen in ((Decimal("0.50"), "ALL", "ALL 0"), (Decimal("12.345"), "IQD", "IQD 12")):
    written = format_currency(amount, code, locale="en").replace("\N{NO-BREAK SPACE}", " ")
    written = written if " " in written else f"{written[:3]} {written[3:]}"
    print(f"{amount} {code} -> {written}")
    assert written == seen, "the minor units are written now"
PYTHON
