"""Builds the distributions, and tells what is wrong with what they hold."""

import email
import email.policy
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from tools.release.running import ReleaseFailed, run

ROOT: Final = Path(__file__).parents[2]

MADE_FROM: Final = {"farebox": ROOT, "farebox_client": ROOT / "clients" / "python"}
"""The packages that are released, and where the project of each is."""

_LINK: Final = re.compile(r"\]\((?!https?://)[^)]*\)")
_BESIDE_THE_SOURCE: Final = {"PKG-INFO", "README.md", "LICENSE", "pyproject.toml", ".gitignore"}


Command = Callable[[str, Path], list[str | Path]]
"""What builds a target, `sdist` or `wheel`, into a folder: the arguments of an interpreter."""


class Distribution(NamedTuple):
    """A project's wheel and sdist."""

    package: str
    wheel: Path
    sdist: Path


def build_both(python: Path | str, folder: Path, command: Command) -> list[Distribution]:
    """Build each project's sdist and, from that, its wheel; then the wheel from the source itself, and compare.

    Args:
        python: The interpreter that has the build backend.
        folder: Where sdists and wheels are put; it has none of before.
        command: What builds.

    Raises:
        ReleaseFailed: A build failed, or the two wheels differ in a single byte.
    """
    made = []
    for package, project in MADE_FROM.items():
        sdist = _built(python, command, "sdist", project, folder)
        unpacked = folder / "unpacked"
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (inside,) = unpacked.glob(f"{package}-*")
        wheel = _built(python, command, "wheel", inside, folder)
        again = _built(python, command, "wheel", project, folder / "again")
        if wheel.read_bytes() != again.read_bytes():
            raise ReleaseFailed(f"{wheel.name} differs, built from the sdist and from the source")
        made.append(Distribution(package, wheel, sdist))
    return made


def _built(python: Path | str, command: Command, target: str, project: Path, folder: Path) -> Path:
    before = set(folder.glob("*"))
    run([python, *command(target, folder)], folder=project, is_quiet=False)
    (path,) = set(folder.glob("*.whl" if target == "wheel" else "*.tar.gz")) - before
    return path


def faults(distribution: Distribution) -> Iterator[str]:
    """Yield what is wrong with what a distribution holds; nothing, if it may be released."""
    source = MADE_FROM[distribution.package] / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / distribution.package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(distribution.wheel) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        yield from _description_faults(distribution.package, wheel.read(metadata).decode())
    yield from _differences("wheel", wanted, {name for name in names if ".dist-info/" not in name})
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        yield f"{distribution.package}: the wheel has no LICENSE"
    with tarfile.open(distribution.sdist) as sdist:
        paths = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in sdist.getnames()]
    kept = {f"src/{name}" for name in wanted} | _BESIDE_THE_SOURCE
    yield from _differences("sdist", kept - {".gitignore"}, {str(path) for path in paths} - {".gitignore"})


def _differences(what: str, wanted: set[str], held: set[str]) -> Iterator[str]:
    yield from (f"{name} is missing in the {what}" for name in sorted(wanted - held))
    yield from (f"{name} has no place in the {what}" for name in sorted(held - wanted))


def _description_faults(package: str, metadata: str) -> Iterator[str]:
    """Yield what is wrong with a package's page: it is read where no file of the repository is beside it."""
    message = email.message_from_string(metadata, policy=email.policy.compat32)
    for field in ("Summary", "License-Expression", "Requires-Python", "Classifier"):
        if not message[field]:
            yield f"{package}: there is no {field}"
    description = message.get_payload()
    if not isinstance(description, str) or not description.strip().startswith("# "):
        yield f"{package}: there is no description"
    else:
        yield from (f"{package}: the description links to a file: {link}" for link in _LINK.findall(description))
