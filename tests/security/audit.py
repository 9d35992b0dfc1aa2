"""Ask whether the locked packages have known vulnerabilities: `make audit`.

It needs a network. The exit status is 0 if all were looked up and none has any, 1 if one has, and 2 if it could not be
looked up for all of them: pip-audit by itself takes what it can't look up for harmless.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from msgspec import Struct

PIP_AUDIT: Final = "pip-audit==2.10.1"
SERVICES: Final = ("pypi", "osv")
"""The services that are asked, in this order."""

LOCKS: Final = ("runtime", "build", "dev")
TIMEOUT_S: Final = 600

_ROOT: Final = Path(__file__).parents[2]
_FOUND, _UNKNOWN = 1, 2


class Findings(Struct, frozen=True):
    """The answers about the packages of one lock."""

    clean: tuple[str, ...] = ()
    vulnerable: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    trouble: str = ""
    """Why nothing was learnt at all."""

    @property
    def status(self) -> int:
        """The exit status that these findings alone would have."""
        if self.vulnerable:
            return _FOUND
        return _UNKNOWN if self.unknown or self.trouble or not self.clean else 0


def read(answer: str, words: str) -> Findings:
    """Read what pip-audit answered on stdout and, if it failed, in its last words on stderr."""
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return Findings(trouble=(words.strip().splitlines() or ["it said nothing"])[-1])
    clean, vulnerable, unknown = [], [], []
    for package in packages:
        if "skip_reason" in package:
            unknown.append(package["name"])
        elif package["vulns"]:
            names = ", ".join(found["id"] for found in package["vulns"])
            vulnerable.append(f"{package['name']} {package['version']}: {names}")
        else:
            clean.append(package["name"])
    return Findings(tuple(clean), tuple(vulnerable), tuple(unknown))


def look_up(lock: str) -> Findings:
    """Look a lock's packages up, until one service knows them all or one of them is known to be vulnerable."""
    best = Findings(trouble="nobody was asked")
    for service in SERVICES:
        command = [
            *(str(Path(sys.executable).parent / "uv"), "tool", "run", "--quiet", "--from", PIP_AUDIT, "pip-audit"),
            *("--vulnerability-service", service, "--disable-pip", "--require-hashes", "--progress-spinner", "off"),
            *("--format", "json", "--requirement", str(_ROOT / "requirements" / f"{lock}.lock")),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
        findings = read(done.stdout, done.stderr)
        if findings.status != _UNKNOWN:
            return findings
        if len(findings.clean) >= len(best.clean):
            best = findings
    return best


def told(lock: str, findings: Findings) -> str:
    """Say what was learnt of a lock, in one line for each thing that matters."""
    name = f"requirements/{lock}.lock"
    lines = [f"{name}: VULNERABLE: {package}" for package in findings.vulnerable]
    total = len(findings.clean) + len(findings.vulnerable) + len(findings.unknown)
    if findings.trouble or not total:
        lines.append(f"{name}: NOT LOOKED UP: {findings.trouble or 'no packages'}")
    elif findings.unknown:
        lines.append(f"{name}: NOT LOOKED UP: {len(findings.unknown)} of {total} packages")
    elif not findings.vulnerable:
        lines.append(f"{name}: no known vulnerability in {len(findings.clean)} packages")
    return "\n".join(lines)


def verdict(found: Sequence[Findings]) -> int:
    """Compose the exit status: what was found comes before what could not be looked up."""
    statuses = {findings.status for findings in found}
    return _FOUND if _FOUND in statuses else max(statuses, default=_UNKNOWN)


def main() -> int:
    """Look all locks up and tell of each."""
    found = []
    for lock in LOCKS:
        findings = look_up(lock)
        click.echo(told(lock, findings))
        found.append(findings)
    status = verdict(found)
    if status == _UNKNOWN:
        click.echo("Of packages that were not looked up nothing is known, good or bad: ask where there is a network.")
    return status


if __name__ == "__main__":
    sys.exit(main())
