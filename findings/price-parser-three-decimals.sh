#!/usr/bin/env bash
# price-parser reads "$0.003" as three dollars: three digits behind the point are thousands, behind a zero as well.
#
# Guess:     "1.250" may be read both ways, and a parser has to choose. "0.003" can be read one way only, as no thousands
#            are written behind a leading zero, so a price for a request is safe.
# Behaviour: the digits behind the last point or comma are counted, and nothing in front of them is looked at. One, two, four or more are
#            decimals, exactly three are thousands: "$0.0025" is a quarter of a cent, "$0.003" is three dollars, "$0.150"
#            is 150. Prices for a request or for a thousand tokens are written so; in one list some of them become a
#            thousand times too dear, with no warning. decimal_separator="." reads all of them rightly.
# Versions:  price-parser 0.5.1
# Source:    price_parser.parser.get_decimal_separator: "3 digits is likely to be a thousand separator"
# Seen:
#   $0.03: 0.03
#   $0.003: 3
#   $0.0030: 0.0030
#   $0.150: 150
#   with decimal_separator=".": 0.03 0.003 0.0030 0.150
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet price-parser==0.5.1

"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

from price_parser import Price

WRITTEN = ["$0.03", "$0.003", "$0.0030", "$0.150"]
read = [Price.fromstring(text).amount for text in WRITTEN]
for text, amount in zip(WRITTEN, read, strict=True):
    print(f"{text}: {amount}")
told = [Price.fromstring(text, decimal_separator=".").amount for text in WRITTEN]
print('with decimal_separator=".":', *told)
assert read == [Decimal("0.03"), Decimal(3), Decimal("0.003"), Decimal(150)], "three decimals are read otherwise now"
assert told == [Decimal(text.removeprefix("$")) for text in WRITTEN], "the separator does not decide"
PYTHON
