#!/usr/bin/env bash
# A product of two decimals in Polars keeps the larger number of decimals of the two, so a small price times a small rate is 0.
#
# Guess:     decimals are there for money: 0.0015 * 0.01 is 0.000015 as in Python, DuckDB and Arrow, where a product has the decimals
#            of both together. There is room for it, as each decimal in Polars has 38 digits.
# Behaviour: the product is rounded to the decimals of the factor that has more of them: 0.0000, with no warning, and half to even, so
#            0.0015 * 0.30 is 0.0004 and 0.0025 * 0.30 is 0.0008. A fee of 1 % on 1,000 requests of 0.0015 each is 0 if it is
#            taken from each, and 0.0150 from their sum. df.sql() of the same two columns adds the decimals up, so the
#            answer depends on how one asks. A cast to more decimals before the product helps.
# Versions:  polars 2.1.0, duckdb 2.0.1, pyarrow 26.0.1
# Source:    LazyFrame.collect_schema() tells Decimal(38, 4) of the product; the reference of polars.Decimal tells of precision and
#            scale, and not of what a product has
# Seen:
#   0.0015 * 0.01: Polars 0.0000, Polars in SQL 0.000015, DuckDB 0.000015, Arrow 0.000015
#   0.0015 * 0.30 is 0.0004, 0.0025 * 0.30 is 0.0008
#   1 % of 1,000 requests of 0.0015: of each 0.0000, of their sum 0.0150, of each after a cast 0.01500000
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1

"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc


def product(price: str, rate: str) -> str:
    frame = pl.DataFrame({"price": [Decimal(price)], "rate": [Decimal(rate)]})
    return str(frame.select(pl.col("price") * pl.col("rate")).item())


frame = pl.DataFrame({"price": [Decimal("0.0015")], "rate": [Decimal("0.01")]})
plain = product("0.0015", "0.01")
others = {
    "Polars in SQL": frame.sql("SELECT price * rate FROM self").item(),
    "DuckDB": duckdb.sql("SELECT 0.0015::DECIMAL(8, 4) * 0.01::DECIMAL(8, 2)").fetchall()[0][0],
    "Arrow": pc.multiply(pa.scalar(Decimal("0.0015")), pa.scalar(Decimal("0.01"))).as_py(),
}
print(f"0.0015 * 0.01: Polars {plain}, " + ", ".join(f"{name} {found:f}" for name, found in others.items()))
halves = product("0.0015", "0.30"), product("0.0025", "0.30")
print("0.0015 * 0.30 is {}, 0.0025 * 0.30 is {}".format(*halves))
fee, price = pl.lit(Decimal("0.01")), pl.col("price")
requests = pl.DataFrame({"price": [Decimal("0.0015")] * 1_000}).select(
    each=(price * fee).sum(), total=price.sum() * fee, cast=(price.cast(pl.Decimal(38, 8)) * fee).sum()
)
fees = [str(found) for found in requests.row(0)]
print("1 % of 1,000 requests of 0.0015: of each {}, of their sum {}, of each after a cast {}".format(*fees))
assert plain == "0.0000", "a product keeps more decimals now"
assert set(others.values()) == {Decimal("0.000015")}, "others do otherwise"
assert halves == ("0.0004", "0.0008"), "it is rounded otherwise now"
assert fees == ["0.0000", "0.0150", "0.01500000"], "fees are rounded otherwise now"
PYTHON
