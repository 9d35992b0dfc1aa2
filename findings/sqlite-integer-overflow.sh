#!/usr/bin/env bash
# SQLite's + and * turn to floating point beyond 64 bits without a word, though its sum() raises an error.
#
# Guess:     integer arithmetic that overflows is one thing in SQLite: either all of it raises "integer overflow", as
#            sum() does, or none of it.
# Behaviour: sum() raises. `+` and `*` answer with a REAL instead, and an UPDATE stores that in a column declared INTEGER:
#            from then on the balance is a float, typeof() says so, and small amounts added to it vanish. A STRICT table
#            refuses to store it. So a product such as unit price x quantity can't be held to 64 bits by SQL alone.
# Versions:  apsw 3.54.1.0 with its own SQLite 3.54.1
# Source:    "Built-in aggregate functions", sum(): "will throw an integer overflow exception"; the opcodes OP_Add and
#            OP_Multiply of vdbe.c, which fall back to doubles
# Seen:
#   sum(): integer overflow
#   3037000500 * 3037000500: real
#   INTEGER column after + 1: real, and after + 1000 more still 9223372036854775808
#   STRICT: cannot store REAL value in INTEGER column account.balance
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet apsw==3.54.1.0

"$folder/venv/bin/python" - <<'PYTHON'
import apsw

LARGEST = 2**63 - 1


def refusal(connection: apsw.Connection, statement: str) -> str | None:
    try:
        connection.execute(statement).fetchall()
    except apsw.Error as error:
        return str(error)
    return None


connection = apsw.Connection(":memory:")
summed = refusal(connection, f"SELECT sum(x) FROM (SELECT {LARGEST} AS x UNION ALL SELECT 1)")
print(f"sum(): {summed}")
assert summed == "integer overflow"

kind = connection.execute("SELECT typeof(3037000500 * 3037000500)").get
print(f"3037000500 * 3037000500: {kind}")
assert kind == "real", "a product that overflows is refused now"

connection.execute("CREATE TABLE account (balance INTEGER)")
connection.execute("INSERT INTO account VALUES (?)", (LARGEST,))
connection.execute("UPDATE account SET balance = balance + 1")
kind = connection.execute("SELECT typeof(balance) FROM account").get
connection.execute("UPDATE account SET balance = balance + 1000")
value = connection.execute("SELECT balance FROM account").get
print(f"INTEGER column after + 1: {kind}, and after + 1000 more still {value:.0f}")
assert (kind, value) == ("real", float(2**63)), "an INTEGER column keeps to integers now"

connection.execute("DROP TABLE account")
connection.execute("CREATE TABLE account (balance INTEGER) STRICT")
connection.execute("INSERT INTO account VALUES (?)", (LARGEST,))
strict = refusal(connection, "UPDATE account SET balance = balance + 1")
print(f"STRICT: {strict}")
assert strict is not None, "a STRICT table takes a REAL into an INTEGER column now"
PYTHON
