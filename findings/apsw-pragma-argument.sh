#!/usr/bin/env bash
# apsw's Connection.pragma() returns None, and runs nothing, for a name that carries its argument as SQL writes it.
#
# Guess:     pragma("quick_check(1)") does what PRAGMA quick_check(1) does, or raises.
# Behaviour: the name is quoted whole, SQLite knows no such pragma and says nothing, and the answer is None, for a whole
#            database and for a damaged one. The argument has to be the second parameter.
# Versions:  apsw 3.54.1.0
# Source:    https://rogerbinns.github.io/apsw/connection.html#apsw.Connection.pragma
# Seen:
#   pragma("quick_check(1)"): None
#   pragma("quick_check", 1): 'ok'
#   execute("PRAGMA quick_check(1)").get: 'ok'
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet apsw==3.54.1.0

"$folder/venv/bin/python" - <<'PYTHON'
import apsw

connection = apsw.Connection(":memory:")
connection.execute("CREATE TABLE item (a)")
named = connection.pragma("quick_check(1)")
given = connection.pragma("quick_check", 1)
executed = connection.execute("PRAGMA quick_check(1)").get
print(f'pragma("quick_check(1)"): {named!r}')
print(f'pragma("quick_check", 1): {given!r}')
print(f'execute("PRAGMA quick_check(1)").get: {executed!r}')
assert (named, given, executed) == (None, "ok", "ok")
PYTHON
