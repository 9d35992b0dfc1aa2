"""What a check found: where, how bad it is, and what to do about it; and what all checks are given."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from farebox.config import Settings
from farebox.service.clock import Clock

_SHOWN_INSTEAD: Final = "***"
_SECRET_CHARS_MIN: Final = 3
"""A password that is shorter is no word that a finding could repeat by chance."""

GIB: Final = 1 << 30
MIB: Final = 1 << 20


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"


class Finding(Struct, frozen=True, omit_defaults=True):
    """What a check found."""

    check: str
    """Which check it was, such as `database.schema`."""
    level: Level
    found: str
    where: str
    """The setting, file or server that it is about."""
    advice: str = ""
    """What to do; empty if there is nothing to do."""


class DoctorLimits(Struct, frozen=True):
    """From when on something is worth a word. A test may set others."""

    free_bytes_low: int = 2 * GIB
    free_bytes_min: int = 256 * MIB
    fsync_micros_min: float = 15.0
    """A disk that says sooner that it has written can't have: the fastest take longer for the way there."""
    log_bytes_max: int = 4 * GIB
    sqlite_log_bytes_max: int = 512 * MIB
    slot_bytes_max: int = GIB
    dead_rows_min: int = 50_000
    """So many dead rows of a table are no matter, whatever share of it they are."""
    clock_skew_micros: int = 1_000_000
    owed_seconds_max: int = 15 * 60
    verified_days_max: int = 35
    check_seconds_max: int = 30
    """How long SQLite's own check of its file may take."""
    answer_seconds_max: float = 5.0
    """How long a server that is asked may take."""


LIMITS: Final = DoctorLimits()


class CheckContext(Struct, frozen=True):
    """All that the checks look at: the settings, where a server would run with them, and how."""

    settings: Settings
    unread: frozenset[str]
    """The settings that make no sense; what depends on them can't be told."""
    folder: Path
    host: str
    port: int
    workers: int
    clock: Clock
    limits: DoctorLimits = LIMITS


def ok(check: str, where: str, found: str) -> Finding:
    """Find nothing wrong."""
    return Finding(check, Level.OK, found, where)


def warn(check: str, where: str, found: str, advice: str) -> Finding:
    """Find something that may do harm."""
    return Finding(check, Level.WARN, found, where, advice)


def error(check: str, where: str, found: str, advice: str) -> Finding:
    """Find something that does harm, or keeps a server from its work."""
    return Finding(check, Level.ERROR, found, where, advice)


def worst(findings: Iterable[Finding]) -> Level:
    """Return how bad the worst of these is."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.ERROR, Level.WARN) if level in levels), Level.OK)


def without_secrets(findings: Iterable[Finding], settings: Settings) -> list[Finding]:
    """Put asterisks in place of every secret that the settings hold, wherever an outside program repeated it."""
    secrets: set[str] = {*settings.secret_key.keys, *settings.gate_secret.keys, *settings.metrics_token.keys}
    for url in (settings.database_url, settings.smtp_url):
        password = urlsplit(url).password or ""
        secrets |= {password, unquote(password)}
    # The longest first: one may be a part of another.
    hidden = sorted((text for text in secrets if len(text) >= _SECRET_CHARS_MIN), key=len, reverse=True)

    def cleaned(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, _SHOWN_INSTEAD)
        return text

    return [
        replace(finding, found=cleaned(finding.found), where=cleaned(finding.where), advice=cleaned(finding.advice))
        for finding in findings
    ]
