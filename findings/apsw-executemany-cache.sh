#!/usr/bin/env bash
# apsw's executemany() puts one entry per row into the statement cache and pushes every other statement out of it.
#
# Guess:     a cache of 100 statements keeps a program's ten statements compiled for ever; executemany() with many rows
#            is one statement, so it takes one place.
# Behaviour: the cache is a ring, and each row that executemany() binds takes another place in it. As soon as one call has
#            as many rows as the ring has places, all other statements are thrown out and compiled anew at their next use.
#            The cache's size has to be chosen by
#            rows per batch, not by statements.
# Versions:  apsw 3.54.1.0
# Source:    apsw's statementcache.c; Connection.cache_stats() counts it
# Seen:
#   99 rows a call: 0 of 50 look-ups compiled anew
#   100 rows a call: 50 of 50 look-ups compiled anew
#   100 rows a call, 1000 places: 0 of 50 look-ups compiled anew
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet apsw==3.54.1.0

"$folder/venv/bin/python" - <<'PYTHON'
import apsw

INSERT, LOOK_UP, CALLS = "INSERT INTO item VALUES (?, ?)", "SELECT a FROM item WHERE b = ?", 50


def compiled_anew(rows: int, places: int) -> int:
    connection = apsw.Connection(":memory:", statementcachesize=places)
    connection.execute("CREATE TABLE item (a, b)")
    connection.executemany(INSERT, [(0, 0)])
    connection.execute(LOOK_UP, (1,)).fetchall()
    before = connection.cache_stats()["misses"]
    for _ in range(CALLS):
        connection.executemany(INSERT, [(number, number) for number in range(rows)])
        connection.execute(LOOK_UP, (1,)).fetchall()
    return connection.cache_stats()["misses"] - before


for rows, places, seen in ((99, 100, 0), (100, 100, CALLS), (100, 1000, 0)):
    found = compiled_anew(rows, places)
    print(f"{rows} rows a call{'' if places == 100 else f', {places} places'}: {found} of {CALLS} look-ups compiled anew")
    assert found == seen, f"{seen} were seen"
PYTHON
