"""What PostgreSQL says of itself, by SQLSTATE: what it means to a store, and how a caller of the API is answered."""

from typing import Final

import asyncpg
import pytest

from farebox.service.errors import translated
from farebox.storage.interface import (
    AlreadyExists,
    CommitUnknown,
    LedgerMoved,
    NotFound,
    StorageError,
    StoreFaulty,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from farebox.storage.postgres import PostgresConnector
from farebox.storage.postgres.errors import BY_STATE, LostRace, translation
from farebox.web.envelope import api_error

UNAVAILABLE: Final = (503, "unavailable")
INTERNAL: Final = (500, "internal_error")

# PostgreSQL's own names for them stand in its manual, appendix A.
STATES: Final[list[tuple[str, type[StorageError], tuple[int, str]]]] = [
    ("08000", StoreUnavailable, UNAVAILABLE),
    ("08006", StoreUnavailable, UNAVAILABLE),
    ("08007", StoreUnavailable, UNAVAILABLE),
    ("08P01", StoreUnavailable, UNAVAILABLE),
    ("22012", StorageError, INTERNAL),
    ("22P02", StorageError, INTERNAL),
    ("23503", NotFound, (404, "merchant_not_found")),
    ("23505", AlreadyExists, (409, "conflict")),
    ("23514", StorageError, INTERNAL),
    ("25006", StoreReadOnly, UNAVAILABLE),
    ("25P02", StorageError, INTERNAL),
    ("25P03", StoreUnavailable, UNAVAILABLE),
    ("25P04", StoreUnavailable, UNAVAILABLE),
    ("28000", StoreUnavailable, UNAVAILABLE),
    ("28P01", StoreUnavailable, UNAVAILABLE),
    ("3D000", StoreUnavailable, UNAVAILABLE),
    ("40000", LostRace, UNAVAILABLE),
    ("40001", LostRace, UNAVAILABLE),
    ("40002", LostRace, UNAVAILABLE),
    ("40003", LostRace, UNAVAILABLE),
    ("40P01", LostRace, UNAVAILABLE),
    ("42501", StoreFaulty, UNAVAILABLE),
    ("42601", StorageError, INTERNAL),
    ("42703", StorageError, INTERNAL),
    ("42P01", StorageError, INTERNAL),
    ("53000", StoreUnavailable, UNAVAILABLE),
    ("53100", StoreFull, UNAVAILABLE),
    ("53200", StoreUnavailable, UNAVAILABLE),
    ("53300", StoreUnavailable, UNAVAILABLE),
    ("53400", StoreUnavailable, UNAVAILABLE),
    ("54000", StoreFaulty, UNAVAILABLE),
    ("55006", StoreUnavailable, UNAVAILABLE),
    ("55P03", StoreUnavailable, UNAVAILABLE),
    ("57000", StoreUnavailable, UNAVAILABLE),
    ("57014", StoreUnavailable, UNAVAILABLE),
    ("57P01", StoreUnavailable, UNAVAILABLE),
    ("57P02", StoreUnavailable, UNAVAILABLE),
    ("57P03", StoreUnavailable, UNAVAILABLE),
    ("57P04", StoreUnavailable, UNAVAILABLE),
    ("57P05", StoreUnavailable, UNAVAILABLE),
    ("58000", StoreFaulty, UNAVAILABLE),
    ("58030", StoreFaulty, UNAVAILABLE),
    ("58P01", StoreFaulty, UNAVAILABLE),
    ("58P02", StoreFaulty, UNAVAILABLE),
    ("72000", LostRace, UNAVAILABLE),
    ("F0000", StoreUnavailable, UNAVAILABLE),
    ("F0001", StoreUnavailable, UNAVAILABLE),
    ("FB001", LedgerMoved, (503, "database_replaced")),
    ("P0001", StorageError, INTERNAL),
    ("XX000", StoreFaulty, UNAVAILABLE),
    ("XX001", StoreFaulty, UNAVAILABLE),
    ("XX002", StoreFaulty, UNAVAILABLE),
]


def _answer(error: StorageError) -> tuple[int, str]:
    """Tell what a caller of the API is answered."""
    try:
        with translated():
            raise error
    except Exception as told:
        answer = api_error(told)
    return answer.status, answer.code


async def test_each_state_has_its_error_and_its_answer(postgres_url: str) -> None:
    """The server raises each, so that the driver makes of it what it makes of real ones."""
    connector = PostgresConnector(postgres_url)
    await connector.migrate(1)
    await connector.open()
    try:
        for state, kind, answer in STATES:
            statement = f"DO $$BEGIN RAISE EXCEPTION 'something happened' USING ERRCODE = '{state}'; END$$"
            with pytest.raises(StorageError, match=r"something happened|no such merchant|there already") as raised:
                await connector.fetch(statement)
            assert (state, kind) == (state, raised.type)
            assert (state, answer) == (state, _answer(raised.value))
    finally:
        await connector.close()


def test_every_line_of_the_table_is_tried() -> None:
    tried = {state for state, *_ in STATES}
    assert set(BY_STATE) <= tried | {state[:2] for state in tried}


def test_an_unknown_fate_is_told_as_one() -> None:
    """An error while COMMIT runs is none of the above, whatever its state."""
    assert (500, "outcome_unknown") == _answer(CommitUnknown("PostgreSQL failed during COMMIT"))


def test_a_cached_plan_that_no_longer_fits_is_a_lost_race() -> None:
    """Its state is that of what PostgreSQL can't do at all."""
    assert LostRace is type(translation(asyncpg.InvalidCachedStatementError("cached plan must not change result type")))
