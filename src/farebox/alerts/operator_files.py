"""What the operator brings for mails: a logo and templates, each tried before the first mail is written by it.

A file that can't be used stops nothing: it is named with the reason, and mails are written without it.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jinja2 import TemplateError, TemplateSyntaxError
from msgspec import Struct
from msgspec.structs import replace

from farebox.alerts.mail import LOGO, MailSettings, Picture
from farebox.alerts.mail_templates import MailTemplates, built_in_names
from farebox.alerts.samples.mails import sample_mails
from farebox.service.languages import language

LOGO_BYTES_MAX: Final = 100 * 1024
"""Each mail carries it."""

TEMPLATE_BYTES_MAX: Final = 256 * 1024

_KINDS: Final = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
"""What picture files begin with."""


class OperatorFiles(Struct, frozen=True):
    """The operator's files that can be used, and a sentence about each of the others."""

    logo: Picture | None
    templates: MailTemplates
    problems: tuple[str, ...]


class _Unusable(Exception):
    """A file can't be used; the text says why."""


def load_operator_files(settings: MailSettings, *, logo_file: str, folder: str) -> OperatorFiles:
    """Read the files and try them.

    Args:
        settings: what the sample mails say of the operator.
        logo_file: the path of a picture; empty for none.
        folder: the path of a folder of templates; empty for none.
    """
    problems: list[str] = []
    logo = None
    if logo_file:
        try:
            logo = _read_logo(Path(logo_file))
        except _Unusable as error:
            problems.append(f"FAREBOX_LOGO_FILE: {logo_file} {error}; mails go without a logo")
    overrides = _read_templates(Path(folder), problems) if folder else {}
    tried = replace(settings, logo=logo)
    while overrides:
        fault = _fault(tried, overrides)
        if fault is None:
            break
        name, reason = fault
        del overrides[name]
        problems.append(f"FAREBOX_TEMPLATES: {Path(folder) / name} {reason}; the built-in one is used")
    return OperatorFiles(logo, MailTemplates(overrides), tuple(problems))


def _read_logo(path: Path) -> Picture:
    content = _content(path, LOGO_BYTES_MAX)
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    if kind is None:
        raise _Unusable("is neither a PNG nor a JPEG file")
    return Picture(LOGO, kind, content)


def _content(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise _Unusable(f"can't be read ({error.strerror})") from None
    if len(content) > bytes_max:
        raise _Unusable(f"has more than {bytes_max // 1024} KiB")
    return content


def _read_templates(folder: Path, problems: list[str]) -> dict[str, str]:
    """Read the templates of a folder; what it has besides is told of, as its name may be misspelt."""
    known, sources = built_in_names(), {}
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.append(f"FAREBOX_TEMPLATES: {folder} can't be read ({error.strerror}); the built-in ones are used")
        return {}
    for name in names:
        if name not in known:
            problems.append(f"FAREBOX_TEMPLATES: {folder / name} is no template; there are {', '.join(known)}")
            continue
        try:
            sources[name] = _content(folder / name, TEMPLATE_BYTES_MAX).decode("utf-8")
        except (_Unusable, UnicodeDecodeError) as error:
            reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            problems.append(f"FAREBOX_TEMPLATES: {folder / name} {reason}; the built-in one is used")
    return sources


def _fault(settings: MailSettings, overrides: dict[str, str]) -> tuple[str, str] | None:
    """Write every sample mail; return which of the templates fails, and why, or None if none does."""
    error = _error(settings, overrides)
    if error is None:
        return None
    place = _place(error, list(overrides))
    if place is not None:
        return place
    # A built-in one failed, since what it takes from one of the operator's is not there.
    alone = (name for name, source in overrides.items() if _error(settings, {name: source}) is not None)
    return next(alone, next(iter(overrides))), f"fails: {_reason(error)}"


def _error(settings: MailSettings, overrides: dict[str, str]) -> Exception | None:
    strict = replace(settings, templates=MailTemplates(overrides, is_strict=True))
    try:
        for _ in sample_mails(strict, language(settings.language)):
            pass
    except Exception as error:
        return error
    return None


def _place(error: Exception, names: Sequence[str]) -> tuple[str, str] | None:
    """Tell which of the operator's templates raised an error, and in which line: the innermost."""
    if isinstance(error, TemplateSyntaxError) and error.name is not None and error.name in names:
        return error.name, f"fails in line {error.lineno}: {error.message}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names]
    return (frames[-1].filename, f"fails in line {frames[-1].lineno}: {_reason(error)}") if frames else None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
