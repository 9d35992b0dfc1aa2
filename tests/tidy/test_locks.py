"""The locks pin every package by version and hash, agree with one another, and leave open where packages come from."""

import re
import tomllib

import pytest

from tests.tidy.files import ROOT

LOCKS = ("build", "runtime", "image", "dev", "release", "price-lists", "traffic", "backtest")
PINNED = re.compile(r"([a-z0-9-]+)==(\S+) (?:; .* )?\\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
REGISTRY = re.compile(r"://|pypi\.|pythonhosted|--(?:extra-)?index-url|--find-links|--trusted-host|(?<=\s)@(?=\s)")


def _lines(lock: str) -> list[str]:
    lines = (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines()
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def _versions(lock: str) -> dict[str, str]:
    return {found[1]: found[2] for line in _lines(lock) if (found := PINNED.fullmatch(line))}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_version_or_a_hash(lock: str) -> None:
    assert [] == [line for line in _lines(lock) if not PINNED.fullmatch(line) and not HASH.fullmatch(line)]


@pytest.mark.parametrize(
    "path", [*(f"requirements/{lock}.lock" for lock in LOCKS), "pyproject.toml", "Makefile", ".ci/run"]
)
def test_no_registry_is_named(path: str) -> None:
    lines = (ROOT / path).read_text().splitlines()
    assert [] == [line for line in lines if REGISTRY.search(line)]


def test_dev_lock_holds_the_other_two() -> None:
    assert _versions("dev").items() >= _versions("build").items() | _versions("runtime").items()


def test_what_the_image_runs_was_tested() -> None:
    assert _versions("runtime").items() <= _versions("image").items() <= _versions("dev").items()


def _others(requirements: list[str]) -> list[str]:
    """Leave out the client, which is installed from this repository."""
    return [requirement for requirement in requirements if not requirement.startswith("farebox-client")]


def _written(group: list[str | dict[str, str]]) -> list[str]:
    """Leave out the groups that a group includes."""
    return [requirement for requirement in group if isinstance(requirement, str)]


def test_what_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    client = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = {
        "build": [*groups["build"], *project["build-system"]["requires"]],
        "runtime": [*_others(project["project"]["dependencies"]), *client["project"]["dependencies"]],
        "image": [line for lines in project["project"]["optional-dependencies"].values() for line in lines],
        **{name: _written(groups[name]) for name in ("dev", "release", "price-lists", "traffic", "backtest")},
    }
    for lock, requirements in asked.items():
        names = {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in requirements}
        assert set() == names - _versions(lock).keys()
