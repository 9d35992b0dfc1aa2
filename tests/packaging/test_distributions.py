"""Wheels and sdists hold what they should, are built alike from either, and import without the source beside them."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.release.distributions import MADE_FROM, ROOT, Distribution, build_both, faults
from tools.release.licences import ALLOWED, licence_faults
from tools.release.locks import needed

pytestmark = pytest.mark.timeout(300)

# Modules are imported one by one: what an import needs and the wheel lacks is named. The examples are programs, and
# the modules called `__main__` would run.
IMPORT_ALL = """\
import importlib
import pkgutil
import sys

where = sys.argv[1]
for name in ("farebox", "farebox_client"):
    package = importlib.import_module(name)
    assert package.__file__.startswith(where), package.__file__
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__") and ".examples." not in module.name:
            assert importlib.import_module(module.name).__file__.startswith(where)
            print(module.name)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Distribution]:
    return build_both(
        sys.executable,
        tmp_path_factory.mktemp("dist"),
        lambda target, folder: ["-m", "hatchling", "build", "--target", target, "--directory", folder],
    )


def test_distributions_hold_the_source_the_licence_and_a_page_and_nothing_else(built: list[Distribution]) -> None:
    assert list(MADE_FROM) == [distribution.package for distribution in built]
    assert [] == [fault for distribution in built for fault in faults(distribution)]


def test_what_should_not_be_in_a_wheel_is_named(built: list[Distribution], tmp_path: Path) -> None:
    client = built[1]
    wheel = tmp_path / client.wheel.name
    with zipfile.ZipFile(client.wheel) as whole, zipfile.ZipFile(wheel, "w") as spoilt:
        for name in whole.namelist():
            if not name.endswith("/py.typed"):
                spoilt.writestr(name, whole.read(name))
        spoilt.writestr("tests/test_money.py", "")
    expected = ["farebox_client/py.typed is missing in the wheel", "tests/test_money.py has no place in the wheel"]
    assert expected == list(faults(client._replace(wheel=wheel)))


def test_every_module_of_the_wheels_imports_without_the_source(built: list[Distribution], tmp_path: Path) -> None:
    for distribution in built:
        with zipfile.ZipFile(distribution.wheel) as wheel:
            wheel.extractall(tmp_path)
    # Folders that PYTHONPATH names go before the clone that this environment was installed from.
    imported = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ).stdout.split()
    source = [
        module
        for package, project in MADE_FROM.items()
        for module in (project / "src" / package).rglob("*.py")
        if module.name not in {"__init__.py", "__main__.py"} and module.parent.name != "examples"
    ]
    assert len(imported) >= len(source)


def test_a_lock_is_cut_to_what_a_distribution_needs() -> None:
    cut = needed(ROOT / "requirements" / "runtime.lock", "farebox-client")
    names = {line.partition("==")[0] for line in cut.splitlines() if "==" in line}
    assert names >= {"anyio", "h11", "httpcore2", "httpx2", "idna"}
    assert not names & {"apsw", "httptools", "starlette", "uvloop"}
    assert "--hash=sha256:" in cut


def test_a_licence_that_nobody_allowed_fails_a_release() -> None:
    found = {f"package-{number} 1.0": licence for number, licence in enumerate(ALLOWED)}
    assert [] == list(licence_faults(found))
    for licence in ("AGPL-3.0-only", "UNKNOWN", "MIT AND LGPL-3.0-or-later", ""):
        (fault,) = licence_faults({**found, "other 2.0": licence})
        assert fault.startswith("other 2.0 has the licence ")
    (fault,) = licence_faults(dict(list(found.items())[1:]))
    assert fault.endswith(" any more")
