"""The licences that what Farebox installs may have, each with the reason; any other one, or none, fails the release."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.release.running import run

_NOTICE: Final = "permissive: asks that its notice is kept"
_PATENTS: Final = "permissive, with a grant of patents: asks that its notice is kept"
_NOTHING: Final = "asks for nothing"

ALLOWED: Final = {
    "3-Clause BSD License": _NOTICE,
    "Apache Software License": _PATENTS,
    "Apache-2.0": _PATENTS,
    "BSD License": _NOTICE,
    "BSD-2-Clause": _NOTICE,
    "BSD-3-Clause": _NOTICE,
    "ISC": _NOTICE,
    "MIT": _NOTICE,
    "MIT License": _NOTICE,
    "MIT-0": _NOTHING,
    "Mozilla Public License 2.0 (MPL 2.0)": "copyleft for its own files alone, which are installed as they are",
    "PSF-2.0": _NOTICE,
    "Public Domain": _NOTHING,
    "The Unlicense (Unlicense)": _NOTHING,
    "Zero-Clause BSD (0BSD)": _NOTHING,
    "any-OSI": "any licence that the Open Source Initiative approved, so MIT as well",
}
"""Licences as packages name them, in words or by SPDX's short names."""

_SEPARATORS: Final = ("; ", " AND ", " OR ")


def licences(python: Path, release: Path, folder: Path) -> dict[str, str]:
    """Return the licence of each package that an environment has, by the package's name and version."""
    listed = json.loads(run([release / "pip-licenses", f"--python={python}", "--format=json"], folder=folder))
    return {f"{package['Name']} {package['Version']}": package["License"] for package in listed}


def licence_faults(found: dict[str, str]) -> Iterator[str]:
    """Yield each package whose licence is not allowed, and each licence that is allowed for nothing.

    Where a package names several, each has to be allowed: whether one can choose is for a person to tell.
    """
    used = set()
    for package, licence in sorted(found.items()):
        for part in _parts(licence):
            used.add(part)
            if part not in ALLOWED:
                yield f"{package} has the licence {part!r}, which is not allowed: see {Path(__file__).name}"
    yield from (f"No package has the licence {licence!r} any more" for licence in ALLOWED if licence not in used)


def _parts(licence: str) -> list[str]:
    parts = [licence]
    for separator in _SEPARATORS:
        parts = [piece for part in parts for piece in part.split(separator)]
    return parts
