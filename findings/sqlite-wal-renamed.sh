#!/usr/bin/env bash
# SQLite in WAL mode goes on committing after its database file was renamed, and what it commits is in neither database.
#
# Guess:     SQLite has an error for this (SQLITE_READONLY_DBMOVED), and refuses to write to a database that was moved
#            away, whatever its journal mode.
# Behaviour: with a rollback journal it does refuse: "attempt to write a readonly database". In WAL mode the file is not
#            looked at: COMMIT succeeds, a new -wal file is made under the old name, and the file under the new name does
#            not have the row. A service that keeps money in it answers "done" for what nobody can read again.
# Versions:  apsw 3.54.1.0 with its own SQLite 3.54.1
# Source:    SQLite's pager (databaseIsUnmoved, asked before a rollback journal is begun); "How to corrupt an SQLite
#            database file", section 4.2
# Seen:
#   delete: ReadOnlyError, rows in the renamed file: 1
#   wal: committed, rows in the renamed file: 1
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet apsw==3.54.1.0

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import shutil
import sys
from pathlib import Path

import apsw

seen = {}
for mode in ("delete", "wal"):
    place = Path(sys.argv[1], mode)
    place.mkdir()
    connection = apsw.Connection(str(place / "ledger.db"))
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("CREATE TABLE transfer (amount INTEGER)")
    connection.execute("INSERT INTO transfer VALUES (1)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (place / "ledger.db").rename(place / "renamed.db")
    try:
        connection.execute("INSERT INTO transfer VALUES (2)")
        outcome = "committed"
    except apsw.Error as error:
        outcome = type(error).__name__
    # Read from a copy, so that nothing of the first connection is in the way.
    shutil.copy(place / "renamed.db", place / "copy.db")
    count = apsw.Connection(str(place / "copy.db")).execute("SELECT count(*) FROM transfer").get
    print(f"{mode}: {outcome}, rows in the renamed file: {count}")
    seen[mode] = outcome, count
assert seen["delete"] == ("ReadOnlyError", 1), "a rollback journal no longer refuses"
assert seen["wal"] == ("committed", 1), "WAL mode notices the renamed file now"
PYTHON
