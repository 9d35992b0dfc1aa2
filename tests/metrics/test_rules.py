"""Rules and dashboard: promtool reads them, each alert fires and is silent as told, and every query finds something."""

import re
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from farebox.metrics.definitions import METRICS, Type
from tests.metrics.prometheus import DASHBOARD, RULES, ask, observed, panels, promtool
from tests.support.server import free_port

UNITS: Final = sorted(Path(__file__).parent.glob("*_test.yml"))
RUNBOOK: Final = Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md"
OF_POSTGRESQL: Final = {"Replication lag", "Replication lag in bytes"}
"""A file has no standbys; tests/storage/test_hosts.py reads a real one's lag."""


def _alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def test_promtool_accepts_the_rules_and_their_own_tests_hold() -> None:
    for command in (["check", "rules", *map(str, sorted(RULES.glob("*.yml")))], ["test", "rules", *map(str, UNITS)]):
        done = subprocess.run([promtool(), *command], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_has_a_test_of_its_own_and_a_section_that_says_what_to_do() -> None:
    tested = {
        case["alertname"]
        for unit in UNITS
        for test in yaml.safe_load(unit.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    names = [alert["alert"] for alert in _alerts()]
    assert set(names) == tested
    sections = {heading.lower() for heading in re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)}
    links = [alert["annotations"]["runbook"] for alert in _alerts()]
    assert [f"docs/how-to/monitor.md#{name.lower()}" for name in names] == links
    assert {name.lower() for name in names} == sections


def test_rules_and_dashboard_name_no_metric_that_there_is_not() -> None:
    known = {
        name
        for metric in METRICS
        for name in (
            (f"{metric.name}_bucket", f"{metric.name}_sum", f"{metric.name}_count")
            if metric.type is Type.HISTOGRAM
            else (metric.shown_name,)
        )
    }
    for path in (*RULES.glob("*.yml"), DASHBOARD):
        assert set(re.findall(r"\bfarebox_[a-z_]+", path.read_text())) <= known, path


def test_a_real_prometheus_answers_every_query_of_the_dashboard_for_a_server_under_load(tmp_path: Path) -> None:
    with observed(tmp_path, free_port(), free_port(), seconds=8) as url:
        # A round over all merchants rests for ten seconds at first.
        deadline = time.monotonic() + 40
        while not ask(url, "query", query="farebox_merchants") and time.monotonic() < deadline:
            time.sleep(0.5)
        empty = {
            panel.title
            for panel in panels()
            for query, _ in panel.queries
            if not ask(url, "query_range", query=query, start=time.time() - 60, end=time.time(), step=1)
        }
        assert OF_POSTGRESQL == empty
        (up,) = ask(url, "query", query='up{job="farebox"}')
        assert "1" == up["value"][1]
        rules = [rule for group in ask(url, "rules") for rule in group["rules"]]
        # Those whose turn has not come yet are unknown.
        assert {"ok", "unknown"} >= {rule["health"] for rule in rules}, rules
