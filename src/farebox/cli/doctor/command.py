"""`farebox doctor`: all checks, one after the other, as text or JSON, and the exit status of the worst finding."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from farebox.cli.context import add_json_option, answer, counted, guarded
from farebox.cli.doctor.database_checks import check_database
from farebox.cli.doctor.findings import (
    LIMITS,
    CheckContext,
    DoctorLimits,
    Finding,
    Level,
    without_secrets,
    worst,
)
from farebox.cli.doctor.host_checks import check_clock, check_disk, check_files, check_port, clock_is_synchronised
from farebox.cli.doctor.ledger_checks import check_ledger
from farebox.cli.doctor.mail_checks import check_mail
from farebox.cli.doctor.settings_checks import check_readable, check_settings
from farebox.config import examine_settings
from farebox.service.clock import Clock, SystemClock

_STATUS: Final = {Level.OK: 0, Level.WARN: 1, Level.ERROR: 2}
_PORT_MAX: Final = 65_535


async def examine_all(
    folder: Path,
    environment: Mapping[str, str],
    *,
    host: str,
    port: int,
    workers: int,
    clock: Clock | None = None,
    limits: DoctorLimits = LIMITS,
) -> list[Finding]:
    """Make every check, for a server that is started in a folder with an environment's settings."""
    examined = examine_settings(environment, folder)
    context = CheckContext(
        settings=examined.settings,
        unread=examined.unread,
        folder=folder,
        host=host,
        port=port,
        workers=workers,
        clock=clock or SystemClock(),
        limits=limits,
    )
    database = await check_database(context)
    findings = [
        *check_readable(examined),
        *check_settings(context),
        *database,
        *await check_ledger(context, database),
        *check_disk(context),
        *check_clock(clock_is_synchronised()),
        *check_files(),
        *await check_mail(context),
        *await check_port(context),
    ]
    return without_secrets(findings, examined.settings)


@click.command("doctor")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address that the server listens on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, _PORT_MAX))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="How many processes it has.")
def doctor(*, host: str, port: int, workers: int, is_json: bool) -> None:
    """Look at settings, database, disk, clock, mail and proxies, and say what is wrong and what to do.

    No server needs to run. Exits with 1 if something may do harm, with 2 if something does.
    """
    findings = guarded(
        lambda: asyncio.run(examine_all(Path.cwd(), os.environ, host=host, port=port, workers=workers)), is_json=is_json
    )
    level = worst(findings)
    answer({"level": level, "findings": findings}, _lines(findings), is_json=is_json)
    raise SystemExit(_STATUS[level])


def _lines(findings: Sequence[Finding]) -> list[str]:
    """Write findings for people: what is wrong last, where they look first."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for level in Level:
        for finding in findings:
            if finding.level is level:
                lines.append(f"{level:5}  {finding.check:{width}}  {finding.where}: {finding.found}")
                lines += [f"{'':{width + 9}}-> {finding.advice}"] if finding.advice else []
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    errors, warnings = counted(counts[Level.ERROR], "error"), counted(counts[Level.WARN], "warning")
    return [*lines, "", f"{errors}, {warnings}; {counted(counts[Level.OK], 'check')} found nothing wrong."]


add_json_option(doctor)
