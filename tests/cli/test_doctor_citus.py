"""What `farebox doctor` says of a ledger that Citus spreads; tests/citus asks a real one."""

import pytest
from msgspec.structs import replace

from farebox.cli.doctor.citus_checks import check_citus
from farebox.cli.doctor.findings import Level
from farebox.storage.examination import CitusFacts, Worker

ASKED = {"max_prepared_transactions": "100", "fsync": "on", "full_page_writes": "on"}
ONE, OTHER = (Worker(f"worker{number}:5432", "", "13.2-1", ASKED, 16) for number in (1, 2))
GOOD = CitusFacts("13.2-1", "13.2-1", is_coordinator_known=True, workers=[ONE, OTHER], unspread=[])


def findings_of(facts: CitusFacts, *, has_schema: bool = True) -> list[tuple[str, str, str]]:
    found = check_citus(facts, "coordinator", has_schema=has_schema)
    assert all(one.advice for one in found if one.level is not Level.OK)
    return [(one.level.value, one.where, one.found) for one in found]


def test_nothing_is_wrong() -> None:
    text = "Citus 13.2-1; shards: worker1:5432 has 16, worker2:5432 has 16"
    assert [("ok", "coordinator", text)] == findings_of(GOOD)
    alone = replace(GOOD, workers=[], is_coordinator_known=False)
    assert [("ok", "coordinator", "Citus 13.2-1; shards: all on this server")] == findings_of(alone)


@pytest.mark.parametrize(
    ("facts", "level", "where", "text"),
    [
        (replace(GOOD, version="12.1-1"), "error", "coordinator", "Citus 13 or newer is needed; this is 12.1-1"),
        (replace(GOOD, installed_version="14.0-1"), "error", "coordinator", "programs are 14.0-1"),
        (replace(GOOD, is_coordinator_known=False), "error", "coordinator", "no address of this coordinator"),
        (replace(GOOD, unspread=["transfer", "login"]), "error", "coordinator", "transfer, login"),
        (
            replace(GOOD, workers=[ONE, Worker("worker2:5432", "connection refused", "", {}, 16)]),
            *("error", "worker2:5432", "connection refused"),
        ),
        (replace(GOOD, workers=[ONE, replace(OTHER, version="13.0-1")]), "error", OTHER.name, "its Citus is 13.0-1"),
        (replace(GOOD, workers=[ONE, replace(OTHER, version="")]), "error", OTHER.name, "its Citus is not there"),
        (replace(GOOD, workers=[ONE, replace(OTHER, shards=0)]), "warn", OTHER.name, "it has no shards"),
        *(
            (
                replace(GOOD, workers=[ONE, replace(OTHER, settings={**ASKED, name: value})]),
                "error",
                OTHER.name,
                name,
            )
            for name, value in (("max_prepared_transactions", "0"), ("fsync", "off"), ("full_page_writes", "off"))
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_server_that_it_is_about(
    facts: CitusFacts, level: str, where: str, text: str
) -> None:
    assert (level, where) in {found[:2] for found in findings_of(facts)}
    assert any(text in found for *_, found in findings_of(facts))


def test_a_database_without_a_schema_is_not_spread_yet() -> None:
    assert ["ok"] == [level for level, *_ in findings_of(replace(GOOD, unspread=[]), has_schema=False)]
    no_shards = [replace(worker, shards=0) for worker in (ONE, OTHER)]
    assert ["ok"] == [level for level, *_ in findings_of(replace(GOOD, workers=no_shards), has_schema=False)]
