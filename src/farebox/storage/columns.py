"""The columns of every table, told once: SELECT lists, placeholders, casts and NULL lists are generated from them.

A table's columns are the fields of the record that it keeps, in their order. Where a released column has another name,
or PostgreSQL another type than the field's own, the table below says so. Migrations alone write columns out by hand.
"""

from collections.abc import Mapping
from functools import cached_property
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from msgspec import Struct

from farebox.core.accounts import Account
from farebox.core.alerting.runway_thresholds import RunwayEpisode
from farebox.core.alerts import Alert
from farebox.core.approvals import Approval, LoneMove
from farebox.core.audit_log import AuditEntry
from farebox.core.credit.budgets import Budget
from farebox.core.credit.grants import Grant, GrantLot
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.transfers import Transfer
from farebox.storage.destination_records import DeliveryAttempt, Destination
from farebox.storage.records import (
    AccountMail,
    ApiKey,
    Delivery,
    Login,
    MailServerPause,
    Merchant,
    MerchantNote,
    RefusalCount,
    Repeat,
    RunwaySnapshot,
    Session,
    UnusualSpending,
    User,
    Verification,
)
from farebox.storage.report_records import ReportChoice, ReportMail

_POSTGRES_TYPES: Final[Mapping[Any, str]] = {int: "bigint", bool: "boolean", str: "text", bytes: "bytea"}


class Column(Struct, frozen=True):
    """A column: the record's field that it keeps, its own name, and its type in PostgreSQL.

    `expression` is what a SELECT names for a field that no INSERT writes: most often the table has no such column.
    """

    field: str
    name: str
    postgres_type: str
    expression: str | None = None


class Table(Struct, frozen=True, dict=True):
    """The columns of a table, in the order of its record's fields, and how many of them are its key."""

    columns: tuple[Column, ...]
    key_width: int = 1

    @cached_property
    def stored(self) -> tuple[Column, ...]:
        """The columns that an INSERT writes."""
        return tuple(column for column in self.columns if column.expression is None)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that an INSERT writes."""
        return tuple(column.name for column in self.stored)

    def row_of(self, record: Struct) -> tuple[Any, ...]:
        """Write a record as an INSERT takes it."""
        return tuple(getattr(record, column.field) for column in self.stored)

    def selected(self, alias: str = "") -> str:
        """List what a SELECT reads to make a record, of a table that goes by `alias`."""
        prefix = f"{alias}." if alias else ""
        return ", ".join(column.expression or f"{prefix}{column.name}" for column in self.columns)

    def part(self, name: str, first: int) -> str:
        """Write one of the lists that statements are made of.

        Args:
            name: "stored" names the columns that an INSERT writes, "values" numbers their parameters, "unnest" does so
                for columns given as arrays, "arrays" numbers these alone, "nulls" stands for a row that is not there,
                "excluded" sets all but the key from a row that was to be inserted, "assigned" from parameters, "next"
                numbers the parameter after the row's, "numbers" names the whole numbers.
            first: the number of the first parameter.
        """
        numbered = list(enumerate(self.stored, start=first))
        rest = numbered[self.key_width :]
        match name:
            case "stored":
                parts = list(self.names)
            case "values":
                parts = [f"${number}" for number, _ in numbered]
            case "unnest":
                parts = [f"unnest(${number}::{column.postgres_type}[])" for number, column in numbered]
            case "arrays":
                parts = [f"${number}::{column.postgres_type}[]" for number, column in numbered]
            case "nulls":
                parts = ["NULL"] * len(self.stored)
            case "excluded":
                parts = [f"{column.name} = excluded.{column.name}" for _, column in rest]
            case "assigned":
                parts = [f"{column.name} = ${number}" for number, column in rest]
            case "next":
                parts = [f"${first + len(numbered)}"]
            case "numbers":
                parts = [column.name for column in self.stored if column.postgres_type in ("bigint", "smallint")]
            case _:
                raise ValueError(f"a table has no {name}")
        return ", ".join(parts)


def table(
    record: type[Struct],
    *,
    key_width: int = 1,
    names: Mapping[str, str] | None = None,
    postgres_types: Mapping[str, str] | None = None,
    expressions: Mapping[str, str] | None = None,
    without: frozenset[str] = frozenset(),
) -> Table:
    """Make a table of a record's fields.

    Args:
        record: what a row of it is.
        key_width: how many of the first columns are the primary key.
        names: columns that were released under another name than their field's.
        postgres_types: columns whose type in PostgreSQL does not follow from the field's.
        expressions: fields that no INSERT writes, and what a SELECT names for them.
        without: fields that another table keeps.
    """
    names, postgres_types, expressions = names or {}, postgres_types or {}, expressions or {}
    hints = get_type_hints(record)
    return Table(
        tuple(
            Column(
                field,
                names.get(field, field),
                postgres_types.get(field) or _postgres_type(hints[field]),
                expressions.get(field),
            )
            for field in record.__struct_fields__
            if field not in without
        ),
        key_width,
    )


def _postgres_type(hint: Any) -> str:
    """Tell the type in which PostgreSQL keeps a field, None or not."""
    (kind,) = set(get_args(hint) or (hint,)) - {NoneType}
    return _POSTGRES_TYPES[kind]


ACCOUNT: Final = table(Account, postgres_types={"thresholds": "text"})
SPENDING: Final = ("merchant_id", "wallet", "held", "revenue", "seq", "last_hash", "last_at", "given")
ACCOUNT_SPENDING: Final = table(Account, without=frozenset(Account.__struct_fields__).difference(SPENDING))
"""What most charges and holds change of an account: an UPDATE of these alone takes a third of the time of all."""
TRANSFER: Final = table(Transfer, key_width=2, names={"fingerprint": "content"}, postgres_types={"kind": "smallint"})
HOLD: Final = table(Hold, key_width=2, postgres_types={"state": "smallint"})
ALERT: Final = table(Alert, key_width=2, postgres_types={"kind": "smallint"})
DELIVERY: Final = table(
    Delivery, without=frozenset({"alert"}), postgres_types={"channel": "smallint", "state": "smallint"}
)
"""But for the alert's own columns, which name the delivery's merchant and alert."""
APPROVAL: Final = table(Approval, key_width=2, names={"approval_id": "number", "fingerprint": "content"})
GRANT: Final = table(Grant, key_width=2, names={"left": "remaining"}, postgres_types={"state": "smallint"})
LOT: Final = table(GrantLot, names={"left": "remaining"})
"""What a charge reads of a grant."""
LONE_MOVE: Final = table(LoneMove, key_width=3)
AUDIT_LOG: Final = table(AuditEntry, names={"actor": "person"})
MERCHANT: Final = table(Merchant)
MERCHANT_NOTE: Final = table(MerchantNote, key_width=2)
USER: Final = table(User, key_width=2)
MERCHANT_KEY: Final = table(
    ApiKey,
    expressions={
        "kind": "{KeyKind.MERCHANT}",
        "used_at": "used_at",
        "roles": "0",
        "people": "'0'",
        "suspended_at": "suspended_at",
    },
)
STAFF_KEY: Final = table(
    ApiKey,
    expressions={"merchant_id": "NULL", "used_at": "used_at", "budget_id": "NULL", "suspended_at": "NULL"},
)
"""A key that is made has not been used."""
DEFAULT_PRICE: Final = table(Price, expressions={"merchant_id": "NULL"}, postgres_types={"rule": "text"})
MERCHANT_PRICE: Final = table(Price, postgres_types={"rule": "text"})
PERIOD_COUNT: Final = table(PeriodCount, key_width=5)
SHORTFALL: Final = table(Shortfall, key_width=2)
BUDGET: Final = table(Budget, key_width=3, postgres_types={"unit": "smallint"})
LOGIN: Final = table(Login)
SESSION: Final = table(Session)
ACCOUNT_MAIL: Final = table(AccountMail, names={"account_mail_id": "letter_id"})
DESTINATION: Final = table(Destination)
DELIVERY_ATTEMPT: Final = table(DeliveryAttempt, key_width=5)
MAIL_SERVER: Final = table(MailServerPause)
RUNWAY_SNAPSHOT: Final = table(RunwaySnapshot)
VERIFICATION: Final = table(Verification)
REPEAT: Final = table(Repeat, key_width=2)
RUNWAY_EPISODE: Final = table(RunwayEpisode, key_width=2)
UNUSUAL_SPENDING: Final = table(UnusualSpending)
REFUSAL: Final = table(RefusalCount, key_width=4)

TABLES: Final[dict[str, Table]] = {
    "account": ACCOUNT,
    "account_spending": ACCOUNT_SPENDING,
    "transfer": TRANSFER,
    "hold": HOLD,
    "alert": ALERT,
    "delivery": DELIVERY,
    "approval": APPROVAL,
    "grant": GRANT,
    "lot": LOT,
    "lone_move": LONE_MOVE,
    "audit_entry": AUDIT_LOG,
    "merchant": MERCHANT,
    "merchant_note": MERCHANT_NOTE,
    "user": USER,
    "merchant_key": MERCHANT_KEY,
    "staff_key": STAFF_KEY,
    "default_price": DEFAULT_PRICE,
    "merchant_price": MERCHANT_PRICE,
    "period_count": PERIOD_COUNT,
    "shortfall": SHORTFALL,
    "budget": BUDGET,
    "login": LOGIN,
    "session": SESSION,
    "account_mail": ACCOUNT_MAIL,
    "destination": DESTINATION,
    "delivery_attempt": DELIVERY_ATTEMPT,
    "report": table(ReportMail, names={"account_mail_id": "letter_id"}),
    "report_choice": table(ReportChoice, key_width=3),
    "mail_server": MAIL_SERVER,
    "runway_snapshot": RUNWAY_SNAPSHOT,
    "verification": VERIFICATION,
    "repeat": REPEAT,
    "runway_episode": RUNWAY_EPISODE,
    "unusual_spending": UNUSUAL_SPENDING,
    "refusal": REFUSAL,
}
"""Each by the name under which statements speak of it."""
