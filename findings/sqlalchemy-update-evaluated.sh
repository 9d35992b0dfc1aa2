#!/usr/bin/env bash
# SQLAlchemy works an UPDATE out a second time, in Python from what it had loaded before, and tells that in place of the row.
#
# Guess:     update(...).where(balance >= 60).values(balance = balance - 60) is done by the database, as its row may have changed since
#            it was read; what the session has afterwards, and what .returning(Account) brings, is the row as it is now.
# Behaviour: an object that the session has already is not read anew: the condition and the new value are worked out in Python,
#            from the old attributes. A debit that was refused (no row matched) still lowers the balance of the object, and
#            after one that was done, the object that RETURNING brought has 90 where the row that came back says 40. Nothing
#            warns. A program that tells the customer, or goes on to compute, has a balance that never was.
#            returning(Account.balance) and populate_existing bring the row.
# Versions:  SQLAlchemy 2.1.9, with Python's own SQLite
# Source:    orm/bulk_persistence.py, _do_post_synchronize_evaluate and _apply_update_set_values_to_objects; the documentation, "Selecting a
#            Synchronization Strategy", says that attributes are refreshed with the new value, and that "auto" asks the
#            database where it has RETURNING
# Seen:
#   loaded 100, meanwhile 50 in the database
#   60 are spent where balance >= 60: 0 rows, the object has 40, the database 50
#   10 are spent, returning(Account): the object has 90, the database 40
#   10 are spent, returning(Account.balance): 40, the database 40
#   10 are spent, returning(Account) with populate_existing: the object has 40, the database 40
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet sqlalchemy==2.1.9

"$folder/venv/bin/python" - "$folder/ledger.sqlite" <<'PYTHON'
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


engine = create_engine(f"sqlite:///{sys.argv[1]}")
Base.metadata.create_all(engine)
with Session(engine) as session, session.begin():
    session.add(Account(id=1, balance=0))


def put(balance: int) -> None:
    with Session(engine) as other, other.begin():
        other.execute(update(Account).values(balance=balance))


@contextmanager
def overtaken() -> Iterator[tuple[Session, Account]]:
    """Have a session that loaded a balance of 100, which another one then made 50."""
    put(100)
    with Session(engine) as late:
        account = late.get_one(Account, 1)
        put(50)
        yield late, account


def spend(amount: int):
    return update(Account).where(Account.id == 1).values(balance=Account.balance - amount)


def stored(late: Session) -> int:
    return late.scalars(select(Account.balance)).one()


print("loaded 100, meanwhile 50 in the database")
with overtaken() as (late, account):
    rows = late.execute(spend(60).where(Account.balance >= 60)).rowcount
    refused = (rows, account.balance, stored(late))
    print("60 are spent where balance >= 60: {} rows, the object has {}, the database {}".format(*refused))
with overtaken() as (late, account):
    returned = late.scalars(spend(10).returning(Account)).one()
    done = (returned.balance, stored(late))
    print("10 are spent, returning(Account): the object has {}, the database {}".format(*done))
with overtaken() as (late, account):
    column = (late.scalars(spend(10).returning(Account.balance)).one(), stored(late))
    print("10 are spent, returning(Account.balance): {}, the database {}".format(*column))
with overtaken() as (late, account):
    statement = spend(10).returning(Account).execution_options(populate_existing=True)
    anew = (late.scalars(statement).one().balance, stored(late))
    print("10 are spent, returning(Account) with populate_existing: the object has {}, the database {}".format(*anew))
assert refused == (0, 40, 50), "an update that matches no row leaves the object alone now"
assert done == (90, 40), "the object is read from the row now"
assert column == anew == (40, 40), "the ways around do otherwise"
PYTHON
