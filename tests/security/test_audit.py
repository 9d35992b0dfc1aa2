"""`make audit` takes nothing for harmless that it could not look up; no test asks, since that needs a network."""

import json
from typing import Any

import pytest

from tests.security.audit import Findings, read, told, verdict

CLEAN: dict[str, Any] = {"name": "msgspec", "version": "0.20.0", "vulns": []}
SKIPPED: dict[str, Any] = {"name": "apsw", "skip_reason": "Dependency not found on PyPI and could not be audited: apsw"}
VULNERABLE: dict[str, Any] = {
    "name": "jinja2",
    "version": "2.4.1",
    "vulns": [{"id": "PYSEC-2021-66", "fix_versions": ["2.11.3"], "aliases": [], "description": "..."}],
}


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        ([CLEAN, CLEAN], 0, "no known vulnerability in 2 packages"),
        ([CLEAN, SKIPPED], 2, "NOT LOOKED UP: 1 of 2 packages"),
        ([SKIPPED, SKIPPED], 2, "NOT LOOKED UP: 2 of 2 packages"),
        ([CLEAN, VULNERABLE, SKIPPED], 1, "VULNERABLE: jinja2 2.4.1: PYSEC-2021-66"),
    ],
)
def test_each_lock_has_a_status_and_words_of_its_own(packages: list[dict[str, Any]], status: int, words: str) -> None:
    findings = read(json.dumps({"dependencies": packages, "fixes": []}), "No known vulnerabilities found")
    assert status == findings.status
    assert f"requirements/runtime.lock: {words}" in told("runtime", findings)


@pytest.mark.parametrize("answer", ["", "{}", "<html>", '{"dependencies": []}'])
def test_what_is_no_answer_is_none(answer: str) -> None:
    findings = read(answer, "a line\nConnectionError: no route\n")
    assert 2 == findings.status
    assert "requirements/runtime.lock: NOT LOOKED UP: " in told("runtime", findings)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([], 2),
        ([Findings(clean=("a",)), Findings(clean=("b",))], 0),
        ([Findings(clean=("a",)), Findings(trouble="no network")], 2),
        ([Findings(unknown=("a",)), Findings(vulnerable=("b 1: X",)), Findings(clean=("c",))], 1),
    ],
)
def test_the_worst_of_all_locks_counts(found: list[Findings], status: int) -> None:
    assert status == verdict(found)
