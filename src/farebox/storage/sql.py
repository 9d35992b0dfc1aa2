"""Named SQL blocks: statements stand in .sql files, one `-- name: what it does` line before each.

The ledger's are each engine's own. What people and the console need is asked seldom and written once for both.
"""

import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from farebox.storage import rows

_HEADER: Final = re.compile(r"^-- (?P<name>[a-z_0-9]+): .+$", re.MULTILINE)
_PARAMETER: Final = re.compile(r"\$([0-9]+)")
_NUMBERED: Final = re.compile(r"[0-9]{4}_[a-z0-9_]+\.sql")


_COLUMNS: Final = {
    "{account}": rows.ACCOUNT_COLUMNS,
    "{account_a}": ", ".join(f"a.{name}" for name in rows.ACCOUNT_COLUMNS.split(", ")),
    "{account_excluded}": ", ".join(f"{name} = excluded.{name}" for name in rows.ACCOUNT_COLUMNS.split(", ")[1:]),
    "{transfer}": rows.TRANSFER_COLUMNS,
    "{no_transfer}": ", ".join("NULL" for _ in rows.TRANSFER_COLUMNS.split(", ")),
    "{hold}": rows.HOLD_COLUMNS,
    "{hold_numbers}": rows.HOLD_COLUMNS.removesuffix(", request_type"),
    "{mail}": rows.MAIL_COLUMNS,
    "{approval}": rows.APPROVAL_COLUMNS,
    "{audit_entry}": rows.AUDIT_COLUMNS,
    "{login}": rows.LOGIN_COLUMNS,
    "{session}": rows.SESSION_COLUMNS,
    "{account_mail}": rows.ACCOUNT_MAIL_COLUMNS,
    "{runway_snapshot}": rows.RUNWAY_SNAPSHOT_COLUMNS,
    "{verification}": rows.VERIFICATION_COLUMNS,
}


class Statements:
    """The statements of one file, by name, with the columns of rows.py put in for `{account}` and the like."""

    def __init__(self, text: str) -> None:
        """Split a file at its header lines.

        Raises:
            ValueError: two blocks share a name.
        """
        for placeholder, columns in _COLUMNS.items():
            text = text.replace(placeholder, columns)
        pieces = _HEADER.split(text)
        names, bodies = pieces[1::2], pieces[2::2]
        if len(set(names)) != len(names):
            raise ValueError("two SQL blocks share a name")
        self._bodies = {name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)}

    def __getitem__(self, name: str) -> str:
        """Return the statement of this name.

        Raises:
            KeyError: there is none.
        """
        return self._bodies[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._bodies)


def _folder(dialect: str) -> Traversable:
    return resources.files("farebox.storage") / "sql" / dialect


def statements(dialect: str) -> Statements:
    """Load the statements that an engine runs; `dialect` is "sqlite" or "postgres"."""
    return Statements((_folder(dialect) / "queries.sql").read_text(encoding="utf-8"))


def shared_statements(dialect: str) -> Statements:
    """Load the statements that both engines run alike; SQLite writes its parameters another way."""
    text = (resources.files("farebox.storage") / "sql" / "shared.sql").read_text(encoding="utf-8")
    return Statements(_PARAMETER.sub(r"?\1", text) if dialect == "sqlite" else text)


def migrations(dialect: str) -> list[tuple[str, str]]:
    """Load an engine's numbered migrations, in order, each its name and SQL script."""
    files = [item for item in _folder(dialect).iterdir() if _NUMBERED.fullmatch(item.name)]
    return [
        (item.name.removesuffix(".sql"), item.read_text(encoding="utf-8"))
        for item in sorted(files, key=lambda item: item.name)
    ]
