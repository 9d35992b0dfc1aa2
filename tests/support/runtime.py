"""An environment as `make run` makes it: of the packages that run Farebox, where the tests' own has many more."""

import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from tests.tidy.files import ROOT
from tools.release.locks import names

OWN: Final = ("farebox", "farebox-client")


def make_runtime_environment(folder: Path) -> None:
    """Make a virtual environment of what the runtime lock names, by links to where the tests have it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in (*names(ROOT / "requirements" / "runtime.lock"), *OWN):
        try:
            _link(distribution(name), site)
        except PackageNotFoundError:
            # The lock has packages for other systems and other versions of Python too.
            continue
    command = folder / "bin" / "farebox"
    command.write_text(f"#!{folder / 'bin' / 'python'}\nfrom farebox.__main__ import main\nmain()\n")
    command.chmod(0o755)


def _link(package: Distribution, site: Path) -> None:
    for top in {file.parts[0] for file in package.files or () if file.parts[0] not in {"..", "__pycache__"}}:
        if not (site / top).exists():
            (site / top).symlink_to(str(package.locate_file(top)))
