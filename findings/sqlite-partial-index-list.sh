#!/usr/bin/env bash
# A partial index whose condition has a list makes SQLite build a table for every row that is inserted.
#
# Guess:     CREATE INDEX ... WHERE kind IN (1, 2, 9, 10) costs an INSERT of another kind nothing but a comparison or
#            four, as WHERE kind = 1 OR kind = 2 OR kind = 9 OR kind = 10 does: the list is constant.
# Behaviour: the program of the INSERT opens an ephemeral table, and puts the list's values into it, each time that it is
#            run, that is, for each row of executemany. A list of one or two values is compared. Written with OR, the
#            same index is used by the same queries (if they are written with OR, too), and the INSERT opens no table.
# Versions:  apsw 3.54.1.0 with SQLite 3.54.1
# Source:    "Partial Indexes" says what a condition may be, not what it costs; EXPLAIN tells
# Seen:
#   IN (1, 2, 9, 10): 1 ephemeral table, 4 values put into it for each row
#   IN (1, 2): 0 ephemeral tables, 0 values put into it for each row
#   OR: 0 ephemeral tables, 0 values put into it for each row
#   both are used: SEARCH transfer USING INDEX funding (merchant=? AND seq>?)
#   (a row of a ledger's transfers took a third longer with the list)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet apsw==3.54.1.0

"$folder/venv/bin/python" - <<'PYTHON'
import apsw

LIST = "kind IN (1, 2, 9, 10)"
ORS = "(kind = 1 OR kind = 2 OR kind = 9 OR kind = 10)"


def look(condition: str) -> tuple[int, int, str]:
    """Return how many ephemeral tables an INSERT opens, how many values it puts there, and how a query goes."""
    ledger = apsw.Connection(":memory:")
    ledger.execute("CREATE TABLE transfer (merchant INTEGER, seq INTEGER, kind INTEGER)")
    bare = list(ledger.execute("EXPLAIN INSERT INTO transfer VALUES (5, 8, 3)"))
    ledger.execute(f"CREATE INDEX funding ON transfer (merchant, seq) WHERE {condition}")
    program = list(ledger.execute("EXPLAIN INSERT INTO transfer VALUES (5, 8, 3)"))
    query = f"EXPLAIN QUERY PLAN SELECT * FROM transfer WHERE merchant = 5 AND seq > 7 AND {condition}"
    (plan,) = [row[3] for row in ledger.execute(query)]
    opened = sum(step[1] == "OpenEphemeral" for step in program)
    # One IdxInsert is that of the index itself.
    values = sum(step[1] == "IdxInsert" for step in program) - 1
    assert not any(step[1] == "OpenEphemeral" for step in bare)
    return opened, values, plan


words = {LIST: "IN (1, 2, 9, 10)", "kind IN (1, 2)": "IN (1, 2)", ORS: "OR"}
seen = {condition: look(condition) for condition in words}
for condition, (opened, values, _) in seen.items():
    tables = "1 ephemeral table" if opened == 1 else f"{opened} ephemeral tables"
    print(f"{words[condition]}: {tables}, {values} values put into it for each row")
plans = {seen[LIST][2], seen[ORS][2]}
print("both are used:", *plans)
assert seen[LIST][:2] == (1, 4), "the list is no table any more"
assert seen[ORS][:2] == (0, 0)
assert len(plans) == 1, "one of the two is not used"
PYTHON
