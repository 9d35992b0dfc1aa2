"""The client is a distribution of its own: its wheel has what it needs, and runs beside httpx2 and nothing else."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).parents[2] / "clients" / "python"
SOURCE: Final = PROJECT / "src" / "farebox_client"
CHARGES: Final = """
import sys
sys.path[:0] = sys.argv[1:3]
from farebox_client import Farebox, Unreachable, statement
from farebox_client.prices import PriceRule

try:
    with Farebox("http://127.0.0.1:1", key="k", attempts=1) as farebox:
        farebox.charge(merchant="mer_1", type="image")
except Unreachable as error:
    print(type(error).__name__, error.is_known)
foreign = {name.partition(".")[0] for name in sys.modules} & {"farebox", "msgspec", "starlette", "httpx", "httptools"}
print(sorted(foreign))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=100)
    (built,) = folder.glob("*.whl")
    return built


def _closure(name: str, seen: set[str]) -> Iterator[Distribution]:
    """Yield a distribution and all that it needs and that is installed here: nothing else is for this platform."""
    seen.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return
    yield found
    for requirement in found.requires or []:
        needed = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")
        if "extra ==" not in requirement and needed not in seen:
            yield from _closure(needed, seen)


def test_the_wheel_holds_every_module_its_types_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read(next(name for name in names if name.endswith("/METADATA"))).decode())
    files = [path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.relative_to(SOURCE.parent).as_posix() for path in files} <= set(names)
    assert not [name for name in names if not name.startswith(("farebox_client/", "farebox_client-"))]
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert ("farebox-client", ">=3.10") == (metadata["Name"], metadata["Requires-Python"])
    assert ["h11>=0.16", "httpx2>=2.14"] == metadata.get_all("Requires-Dist")
    assert "## Charge" in str(metadata.get_payload())


def test_the_wheel_runs_beside_httpx2_and_what_that_needs_alone(wheel: Path, tmp_path: Path) -> None:
    installed, needed = tmp_path / "installed", tmp_path / "needed"
    needed.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    for each in _closure("httpx2", set()):
        for top in {path.parts[0] for path in each.files or [] if path.parts[0] not in ("..", "__pycache__")}:
            (needed / top).symlink_to(str(each.locate_file(top)))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", CHARGES, str(installed), str(needed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("Unreachable True\n[]\n", "") == (done.stdout, done.stderr)
