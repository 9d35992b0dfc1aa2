#!/usr/bin/env bash
# Two SQLite libraries in one process take each other's WAL away: Python's own sqlite3, closed, deletes apsw's.
#
# Guess:     a database in WAL mode may be opened by any number of connections, and the last one that is closed cleans up;
#            each sees by the locks on the -shm file whether others are there, whichever library made them.
# Behaviour: file locks belong to the process, so a second copy of SQLite in the same process meets none of the first one's.
#            Closing its only connection, it takes itself for the last user: it writes the log into the database and
#            deletes -wal and -shm, which the first copy has open. That one goes on committing to the deleted log, and
#            whoever opens the database afterwards does not see what was committed.
# Versions:  apsw 3.54.1.0 with its own SQLite 3.54.1, beside the sqlite3 of Python 3.11 or later
# Source:    "How to corrupt an SQLite database file", section 2.2.1; both packages say that they read one format, and
#            neither says that they must not meet
# Seen:
#   before: ledger.db, ledger.db-shm, ledger.db-wal
#   after sqlite3 read and closed: ledger.db
#   apsw committed, and has 3 rows; another process finds 2
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet apsw==3.54.1.0

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import sqlite3
import subprocess
import sys

import apsw


def files() -> list[str]:
    return sorted(path.name for path in pathlib.Path().glob("ledger.db*"))


ledger = apsw.Connection("ledger.db")
ledger.execute("PRAGMA journal_mode = wal")
ledger.execute("CREATE TABLE transfer (amount INTEGER)")
ledger.execute("INSERT INTO transfer VALUES (1), (2)")
print("before:", ", ".join(files()))
report = sqlite3.connect("ledger.db")
report.execute("SELECT count(*) FROM transfer").fetchall()
report.close()
left = files()
print("after sqlite3 read and closed:", ", ".join(left))
ledger.execute("INSERT INTO transfer VALUES (3)")
own = ledger.execute("SELECT count(*) FROM transfer").get
count = "import apsw; print(apsw.Connection('ledger.db').execute('SELECT count(*) FROM transfer').get)"
other = int(subprocess.run([sys.executable, "-c", count], check=True, capture_output=True).stdout)
print(f"apsw committed, and has {own} rows; another process finds {other}")
assert left == ["ledger.db"], "the log of the other library is left alone now"
assert (own, other) == (3, 2), "what is committed is seen by others now"
PYTHON
