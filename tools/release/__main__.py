"""The steps of `make release-check`, one line each."""

import shutil
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from tools.release.distributions import ROOT, Distribution, build_both, faults
from tools.release.licences import licence_faults, licences
from tools.release.locks import needed
from tools.release.running import ReleaseFailed, run
from tools.release.smoke import Installed, try_demo, try_ledger

DIST: Final = ROOT / "dist"
RELEASE: Final = Path(sys.executable).parent
"""The programs of the release's own environment."""


Made = TypeVar("Made")


def _step(what: str, do: Callable[[], tuple[Made, str]]) -> Made:
    """Take a step, and print what came of it and how long it took."""
    started = time.monotonic()
    made, told = do()
    print(f"ok  {what}: {told} ({time.monotonic() - started:.1f} s)", flush=True)
    return made


def _none(wrong: Iterable[str]) -> None:
    """Hold that nothing is wrong."""
    if lines := list(wrong):
        raise ReleaseFailed("\n".join(lines))


def _build(folder: Path) -> tuple[list[Distribution], str]:
    shutil.rmtree(DIST, ignore_errors=True)
    built = build_both(
        sys.executable, folder, lambda target, out: ["-m", "build", "--no-isolation", f"--{target}", "--outdir", out]
    )
    return built, ", ".join(f"{one.wheel.name} {one.wheel.stat().st_size // 1024} KiB" for one in built)


def _environment(folder: Path, wheels: list[Path], requirements: str) -> tuple[Installed, str]:
    """Make an environment of these wheels and what the lock has for them, and nothing else: no pip either."""
    venv.create(folder, with_pip=False)
    lock = folder / "requirements.lock"
    lock.write_text(requirements)
    pip: list[str | Path] = [RELEASE / "pip", "--disable-pip-version-check", "--python", folder / "bin" / "python"]
    installing: list[str | Path] = [*pip, "install", "--quiet"]
    run([*installing, "--require-hashes", "--requirement", lock], folder=folder, is_quiet=False)
    run([*installing, "--no-index", "--no-deps", *wheels], folder=folder)
    run([*pip, "check"], folder=folder)
    working = folder / "working"
    working.mkdir()
    return Installed(
        folder / "bin", working
    ), f"{requirements.count('==')} locked packages, all that they need is there"


def _write_sbom(python: Path, version: str, folder: Path) -> tuple[None, str]:
    """Write what an environment has in it as CycloneDX, which its own tool validates."""
    path = DIST / f"farebox-{version}.cdx.json"
    asking: list[str | Path] = [
        "environment",
        "--pyproject",
        ROOT / "pyproject.toml",
        "--output-reproducible",
        "--validate",
    ]
    run([RELEASE / "cyclonedx-py", *asking, "--output-file", path, python], folder=folder, is_quiet=False)
    return None, f"{path.relative_to(ROOT)}, valid CycloneDX"


def check(folder: Path) -> None:
    """Take every step, in a folder that is thrown away.

    Raises:
        ReleaseFailed: A step failed.
    """
    built = _step("built twice, from source and sdist, alike to the byte", lambda: _build(folder / "dist"))
    for distribution in built:
        _none(faults(distribution))
    farebox, client_only = built
    print("ok  they hold the source, the licence and a page without links to files, and nothing else")
    image_lock = (ROOT / "requirements" / "image.lock").read_text()
    client_lock = needed(ROOT / "requirements" / "runtime.lock", "farebox-client")
    client = _step(
        "installed the client alone", lambda: _environment(folder / "client", [client_only.wheel], client_lock)
    )
    server = _step(
        "installed the server with its extras",
        lambda: _environment(folder / "server", [farebox.wheel, client_only.wheel], image_lock),
    )
    _step("kept a ledger", lambda: (None, try_ledger(server, client, folder / "server" / "working")))
    _step("ran the demo", lambda: (None, try_demo(server, folder / "server" / "working")))
    found = licences(server.bin_folder / "python", RELEASE, folder)
    _none(licence_faults(found))
    print(f"ok  licences: those of {len(found)} packages are allowed")
    DIST.mkdir()
    version = farebox.wheel.name.split("-")[1]
    _step("bill of materials", lambda: _write_sbom(server.bin_folder / "python", version, folder))
    for distribution in built:
        shutil.copy(distribution.wheel, DIST)
        shutil.copy(distribution.sdist, DIST)
    print("dist/ has what may be released:")
    for path in sorted(DIST.iterdir()):
        print(f"  {path.name}")


def main() -> None:
    """Check a release, and end with 1 if it is not fit."""
    with tempfile.TemporaryDirectory(prefix="farebox-release-") as name:
        try:
            check(Path(name))
        except ReleaseFailed as failure:
            print(f"FAILED  {failure}", file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    main()
