#!/usr/bin/env bash
# Packages of ISO 4217 forget a currency on the day it is withdrawn, so books that were valid can't be read after an update.
#
# Guess:     a currency library keeps withdrawn codes, marked as such: ISO 4217 has a list of them (list three), amounts in them stand in
#            books and statements for ever, and the same packages keep former countries.
# Behaviour: iso4217 and pycountry know today's list one alone. Bulgaria's lev left it on 2026-01-01, with the release of that
#            day: from then on the code of an invoice of 2025 raises. pycountry has historic_countries, but nothing like
#            it for currencies. Babel and py-moneyed still know them, but not one of the four tells when a code ended.
# Versions:  iso4217 1.16.20260101, pycountry 26.2.16, Babel 2.18.0, py-moneyed 3.0
# Source:    ISO 4217, lists one and three (SIX, the maintenance agency); pycountry's databases/iso4217.json
# Seen:
#   iso4217: knows none of BGN HRK ANG SLL ZWL
#   pycountry: knows none of BGN HRK ANG SLL ZWL
#   Babel: knows BGN HRK ANG SLL ZWL
#   py-moneyed: knows BGN HRK ANG SLL ZWL
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet \
    iso4217==1.16.20260101 pycountry==26.2.16 Babel==2.18.0 py-moneyed==3.0

"$folder/venv/bin/python" - <<'PYTHON'
import moneyed
import pycountry
from babel import Locale
from iso4217 import Currency

WITHDRAWN = ["BGN", "HRK", "ANG", "SLL", "ZWL"]
known = {
    "iso4217": {currency.code for currency in Currency},
    "pycountry": {currency.alpha_3 for currency in pycountry.currencies},
    "Babel": set(Locale("en").currencies),
    "py-moneyed": set(moneyed.CURRENCIES),
}
assert all("EUR" in codes for codes in known.values())
kept = {name: [code for code in WITHDRAWN if code in codes] for name, codes in known.items()}
for name, codes in kept.items():
    print(f"{name}: knows {' '.join(codes) or 'none of ' + ' '.join(WITHDRAWN)}")
assert len(list(pycountry.historic_countries)) > 0
assert kept["iso4217"] == kept["pycountry"] == [], "withdrawn codes are kept now"
assert kept["Babel"] == kept["py-moneyed"] == WITHDRAWN, "withdrawn codes were dropped"
PYTHON
