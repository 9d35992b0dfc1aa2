"""Named SQL blocks: statements stand in .sql files, one `-- name: what it does` line before each.

What both engines run alike is written once, with PostgreSQL's parameters, a file for each subject. An engine's own file
has what a batch runs, and what the two can't say alike. Names in braces stand for what is generated:

- `{transfer}`, `{transfer of t}`: the columns that a SELECT reads, and those of a table that goes by `t`;
- `{transfer.values}`, `{account.unnest after transfer}`: a list that columns.py makes, its parameters numbered from 1,
  or after those of other tables, as in `after transfer and account`;
- `{Kind.CHARGE}`: the number that the database keeps for a name;
- `{in $1}`: equals one of a list of whole numbers, which is the first parameter; `{text in $1}`: of texts;
- `{summed in $2}`: rows of what a stretch of a book comes to by quarter, kind, type and key, of a parameter in JSON;
- `{quantities}`: the quantities that a transfer was priced by, rows of a table `named` with `key` and `value`;
- `{counted at}`: when the charge or hold was made of which a transfer `t` gives something back;
- `{given part}`: what of a transfer's amount was given credit, in micros;
- `{owed}`: by how much more is owed after a transfer, in micros: core's credit/shortfalls.py tells what pays it;
- `{owed deliveries}`: what an alert owes to whom, rows of delivery: to users by mail, and to destinations that are on;
- `{month}`: the month in which a transfer was committed, in UTC, such as 202611;
- `{not rolled up}`: the transfers `t` of a book that a row of `s` names, behind its seq;
- `{latest balance}`: the last row `e` of balance_month of an account `a`, ahead of the month that is the first value;
- `{in shard t}`: a condition that names the shard of a batch to Citus, for a table `t`; nothing on a plain PostgreSQL.

The dialect "citus" is PostgreSQL's, but for blocks of the same name in its own folder, and for what names a batch's
shard: its merchants are one parameter more, behind all others.
"""

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.alerts import AlertKind
from farebox.core.approvals import ApprovalState
from farebox.core.commands import KeyKind
from farebox.core.credit.grants import GrantState
from farebox.core.holds import HoldState
from farebox.storage.columns import TABLES
from farebox.storage.destination_records import Channel, DestinationState
from farebox.storage.records import DeliveryState, Purpose, Realm, Role

_HEADER: Final = re.compile(r"^-- (?P<name>[a-z_0-9]+): .+$", re.MULTILINE)
_PARAMETER: Final = re.compile(r"\$([0-9]+)")
_NUMBERED: Final = re.compile(r"[0-9]{4}_[a-z0-9_]+\.sql")

_SELECTED: Final = re.compile(r"\{(?P<table>[a-z_]+)(?: of (?P<alias>[a-z_]+))?\}")
_PART: Final = re.compile(r"\{(?P<table>[a-z_]+)\.(?P<part>[a-z]+)(?: after (?P<before>[a-z_]+(?: and [a-z_]+)*))?\}")
_ENUM: Final = re.compile(r"\{(?P<enum>[A-Z][A-Za-z]+)\.(?P<member>[A-Z_]+)\}")
_IN: Final = re.compile(r"\{(?P<text>text )?in (?P<parameter>\$[0-9]+)\}")
_IN_SHARD: Final = re.compile(r"\s+\{in shard (?P<alias>[a-z_]+)\}")
_UNNEST: Final = re.compile(r"SELECT \{(?P<table>[a-z_]+)\.unnest(?: after (?P<before>[a-z_]+(?: and [a-z_]+)*))?\}")
_SHARD: Final = "$shard"
"""Stands for the parameter that is a batch's merchants, until it is known how many others there are."""

_ENUMS: Final[dict[str, type[IntEnum]]] = {
    enum.__name__: enum
    for enum in (
        AlertKind,
        ApprovalState,
        Channel,
        DeliveryState,
        DestinationState,
        GrantState,
        HoldState,
        KeyKind,
        Kind,
        Purpose,
        Realm,
        Role,
    )
}


class NamedStatements:
    """The statements of one dialect, by name, with all that is generated put in."""

    def __init__(self, texts: Iterable[str], dialect: str, overrides: Iterable[str] = ()) -> None:
        """Split files at their header lines; what stands before the first one is a comment on the file.

        A block of `overrides` stands in place of one of the same name, if there is one.

        Raises:
            ValueError: two blocks share a name.
        """
        self._bodies: dict[str, str] = {}
        for name, body in _blocks(texts):
            if name in self._bodies:
                raise ValueError(f"two SQL blocks are called {name}")
            self._bodies[name] = _written_out(body, dialect)
        for name, body in _blocks(overrides):
            self._bodies[name] = _written_out(body, dialect)

    def __getitem__(self, name: str) -> str:
        """Return the statement of this name.

        Raises:
            KeyError: there is none.
        """
        return self._bodies[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._bodies)


def _blocks(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        _, *pieces = _HEADER.split(text)
        for name, body in zip(pieces[::2], pieces[1::2], strict=True):
            yield name, body.strip().rstrip(";")


_OWED: Final = """CASE
        WHEN t.kind <> {Kind.TOP_UP_REVERSAL} THEN 0
        WHEN substr(t.idempotency_key, 1, 5) = 'owed ' THEN -t.amount
        ELSE coalesce(t.uncollected, 0)
    END"""

_COUNTED_AT: Final = """(
        SELECT coalesce((
            SELECT h.committed_at FROM transfer h
            WHERE h.merchant_id = o.merchant_id AND h.seq BETWEEN o.refers_to AND o.refers_to
                AND o.kind = {Kind.CAPTURE}
            ORDER BY h.seq LIMIT 1
        ), o.committed_at)
        FROM transfer o
        WHERE o.merchant_id = t.merchant_id AND o.seq BETWEEN t.refers_to AND t.refers_to ORDER BY o.seq LIMIT 1
    )"""
"""A release names its hold; a refund a charge, or a capture, which names its hold. Why "BETWEEN x AND x ORDER BY" is
written, the statement that loads a batch says."""

_COUNTED_AT_CITUS: Final = _COUNTED_AT.replace("= o.merchant_id", "= $1").replace("= t.merchant_id", "= $1")
"""It names the merchant at each look, so that Citus sends the statement to one shard as it is, which sees one moment of
the book. It would else read each part by itself, and what is rolled up meanwhile would be counted twice."""

_OWED_DELIVERIES: Final = """SELECT a.merchant_id, a.number, {Channel.EMAIL} AS channel,
    u.user_id AS recipient_id, u.email, {DeliveryState.WAITING} AS state, 0 AS attempts, a.fired_at
FROM alert a CROSS JOIN merchant_user u
WHERE a.merchant_id = $1 AND a.number = $2 AND u.merchant_id = $1 AND a.kind <> {AlertKind.APPROVAL_WAITING}
    AND (a.user_id IS NULL OR u.user_id = a.user_id)
    AND (
        (u.mail_kinds / (1 << a.kind)) % 2 = 1
        OR (u.role = {Role.OWNER} AND a.kind IN ({AlertKind.USED_UP}, {AlertKind.DESTINATION_DISABLED}))
    )
UNION ALL
SELECT a.merchant_id, a.number, d.channel, d.destination_id, '', {DeliveryState.WAITING}, 0, a.fired_at
FROM alert a CROSS JOIN destination d
WHERE a.merchant_id = $1 AND a.number = $2 AND d.merchant_id = $1 AND a.kind <> {AlertKind.APPROVAL_WAITING}
    AND a.user_id IS NULL AND d.state = {DestinationState.ON} AND (d.kinds / (1 << a.kind)) % 2 = 1
UNION ALL
SELECT a.merchant_id, a.number, d.channel, d.destination_id, '', {DeliveryState.WAITING}, 0, a.fired_at
FROM alert a CROSS JOIN destination d
WHERE a.merchant_id = $1 AND a.number = $2 AND d.merchant_id IS NULL
    AND a.user_id IS NULL AND d.state = {DestinationState.ON} AND (d.kinds / (1 << a.kind)) % 2 = 1"""
"""The alert is number $2 of merchant $1. Of one for one user, who joined, destinations are told nothing. Owners
can not do without some kinds. That something waits for approval is the operator's own affair."""

_SUMMED_COLUMNS: Final = (
    *("quarter", "kind", "request_type", "key_id", "quantity", "amount_billions", "amount_rest"),
    *("given_billions", "given_rest", "uncollected_billions", "uncollected_rest"),
)


def _summed_in(entries: str) -> str:
    """Read rows of arrays in JSON; `entries` makes rows of them, each with its array as `value`."""
    columns = ", ".join(
        f"value ->> {place} AS {name}" if name == "request_type" else f"CAST(value ->> {place} AS BIGINT) AS {name}"
        for place, name in enumerate(_SUMMED_COLUMNS)
    )
    whole = "amount_billions * 1000000000 + amount_rest AS amount"
    return f"(SELECT s.*, {whole} FROM (SELECT {columns} FROM {entries}) s) summed"  # noqa: S608 - of this file's texts.


_FRAGMENTS: Final[dict[str, dict[str, str]]] = {
    "{quantities}": {
        "sqlite": """json_each(
        CASE WHEN pricing = '' OR pricing LIKE ';%' THEN '{}' ELSE
            '{"' || replace(replace(substr(pricing, 1, instr(pricing || ';', ';') - 1), '=', '":'), ',', ',"') || '}'
        END
    ) named""",
        "postgres": """LATERAL (
        SELECT split_part(entry, '=', 1), CAST(split_part(entry, '=', 2) AS BIGINT)
        FROM unnest(string_to_array(split_part(pricing, ';', 1), ',')) entry
    ) named (key, value)""",
    },
    "{summed in $2}": {
        "sqlite": _summed_in("json_each($2)"),
        "postgres": _summed_in("json_array_elements(CAST(CAST($2 AS TEXT) AS JSON))"),
    },
    "{counted at}": {"sqlite": _COUNTED_AT, "postgres": _COUNTED_AT, "citus": _COUNTED_AT_CITUS},
    "{given part}": {
        "sqlite": """CASE WHEN t.given IS NULL THEN 0 ELSE (
        SELECT sum(value) FROM json_each(
            '{"' || replace(replace(substr(t.given, 1, instr(t.given || ';', ';') - 1), ':', '":'), ',', ',"') || '}'
        )
    ) END""",
        "postgres": """CASE WHEN t.given IS NULL THEN 0 ELSE (
        SELECT CAST(sum(CAST(split_part(entry, ':', 2) AS BIGINT)) AS BIGINT)
        FROM unnest(string_to_array(split_part(t.given, ';', 1), ',')) entry
    ) END""",
    },
    "{owed}": {"sqlite": _OWED, "postgres": _OWED},
    "{owed deliveries}": {"sqlite": _OWED_DELIVERIES, "postgres": _OWED_DELIVERIES},
    "{month}": {
        "sqlite": "CAST(strftime('%Y%m', t.committed_at / 1000000, 'unixepoch') AS INTEGER)",
        "postgres": ("CAST(to_char(to_timestamp(t.committed_at / 1000000) AT TIME ZONE 'UTC', 'YYYYMM') AS BIGINT)"),
    },
    "{not rolled up}": {
        "sqlite": "CROSS JOIN transfer t ON t.merchant_id = s.merchant_id AND t.seq > s.seq",
        "postgres": """CROSS JOIN LATERAL (
        SELECT * FROM transfer WHERE merchant_id = s.merchant_id AND seq > s.seq OFFSET 0
    ) t""",
        # It takes no LATERAL look-up of what a query made.
        "citus": "JOIN transfer t ON t.merchant_id = s.merchant_id AND t.seq > s.seq",
    },
    "{latest balance}": {
        "sqlite": """CROSS JOIN balance_month e ON e.merchant_id = a.merchant_id AND e.month = (
            SELECT max(l.month) FROM balance_month l WHERE l.merchant_id = a.merchant_id AND l.month < $1
        )""",
        "postgres": """CROSS JOIN LATERAL (
            SELECT posted, given, owed FROM balance_month
            WHERE merchant_id = a.merchant_id AND month < $1 ORDER BY month DESC LIMIT 1
        ) e""",
    },
}
"""What each dialect says in its own way: names, values and sums of texts that core writes, and joins row by row."""


def _written_out(text: str, dialect: str) -> str:
    """Put in what names in braces stand for, and number parameters as the dialect does."""
    is_sharded = dialect == "citus"
    if is_sharded:
        dialect = "postgres"
        text = _UNNEST.sub(_sharded_rows, text)
    text = _IN_SHARD.sub(_in_shard if is_sharded else "", text)
    for name, texts in _FRAGMENTS.items():
        text = text.replace(name, texts["citus"] if is_sharded and "citus" in texts else texts[dialect])
    text = _SELECTED.sub(lambda found: TABLES[found["table"]].selected(found["alias"] or ""), text)
    text = _PART.sub(_part, text)
    text = _ENUM.sub(lambda found: str(_ENUMS[found["enum"]][found["member"]].value), text)
    if dialect == "postgres":
        return _with_shard(_IN.sub(_in_array, text))
    return in_dialect(_IN.sub(r"IN (SELECT value FROM json_each(\g<parameter>))", text), dialect)


def _in_array(found: re.Match[str]) -> str:
    return f"= ANY({found['parameter']}::{'text' if found['text'] else 'bigint'}[])"


def in_dialect(text: str, dialect: str) -> str:
    """Number a statement's parameters as the dialect does."""
    return text if dialect == "postgres" else _PARAMETER.sub(r"?\1", text)


def _part(found: re.Match[str]) -> str:
    return TABLES[found["table"]].part(found["part"], _first(found["before"]))


def _first(before: str | None) -> int:
    """Number the first parameter of a table, behind those of other tables."""
    return 1 + sum(len(TABLES[name].stored) for name in (before.split(" and ") if before else ()))


def _in_shard(found: re.Match[str]) -> str:
    return f" AND {found['alias']}.merchant_id = ANY({_SHARD})"


def _sharded_rows(found: re.Match[str]) -> str:
    """Take rows that are given as columns to the shard of their accounts, where they are put without a detour."""
    table = TABLES[found["table"]]
    merchant, *names = table.names
    arrays = table.part("arrays", _first(found["before"]))
    return (
        f"SELECT a.{merchant}, {', '.join(f'u.{name}' for name in names)}\n"
        f"FROM account a JOIN unnest({arrays}) u ({', '.join(table.names)}) ON u.{merchant} = a.{merchant}\n"
        f"WHERE a.{merchant} = ANY({_SHARD})"
    )


def _with_shard(text: str) -> str:
    return text.replace(_SHARD, f"${parameters_count(text) + 1}::bigint[]")


def parameters_count(text: str) -> int:
    """Count a statement's parameters."""
    return max(map(int, _PARAMETER.findall(text)), default=0)


def _folder(dialect: str) -> Traversable:
    return resources.files("farebox.storage") / "sql" / dialect


@cache
def statements(dialect: str) -> NamedStatements:
    """Load the statements that an engine runs; `dialect` is "sqlite", "postgres" or "citus"."""
    if dialect == "citus":
        return NamedStatements(_queries("shared", "postgres"), dialect, _queries("citus"))
    return NamedStatements(_queries("shared", dialect), dialect)


def _queries(*folders: str) -> list[str]:
    files = [item for folder in folders for item in _folder(folder).iterdir()]
    return [item.read_text(encoding="utf-8") for item in files if not _NUMBERED.fullmatch(item.name)]


def migrations(dialect: str) -> list[tuple[str, str]]:
    """Load an engine's numbered migrations, in order, each its name and SQL script.

    Those of "citus", for a ledger that is spread already, are PostgreSQL's, but for scripts of the same name in its own
    folder: they come to the same, in statements that Citus takes.
    """
    if dialect == "citus":
        return list({**dict(migrations("postgres")), **_scripts(dialect)}.items())
    return sorted(_scripts(dialect).items())


def single_statements(script: str) -> list[str]:
    """Split a script at semicolons that end a line, into what a server is sent one by one."""
    return [statement for statement in f"{script}\n".split(";\n") if statement.strip()]


def _scripts(dialect: str) -> dict[str, str]:
    files = [item for item in _folder(dialect).iterdir() if _NUMBERED.fullmatch(item.name)]
    return {item.name.removesuffix(".sql"): item.read_text(encoding="utf-8") for item in files}
