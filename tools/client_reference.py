"""Writes docs/reference/python-client.md, the reference of the Python client, from its code."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import farebox_client
from farebox_client import (
    BatchLimits,
    ChargeFields,
    Farebox,
    FareboxError,
    Meter,
    MeterLimits,
    RefusedCharge,
    SpoolFailed,
    SpoolFull,
    answers,
    errors,
)
from farebox_client.holds import HeldMoney

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "python-client.md"

_HEAD: Final = """\
# The Python client

`farebox-client`, written from its code by `make client-reference`. [Its README](../../clients/python/README.md) shows
how it is used.

`AsyncFarebox` and `Farebox` have the same methods: those of the first are awaited, `transfers` and `holds` gone over by
`async for`, `hold` and `meter` entered by `async with`, and `close` is `aclose`. Arguments are given by name, but for
the first one of methods that take a hold, a transfer, charges, a key or a folder.
"""

_CODE: Final = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_SECTION: Final = re.compile(r"^(Args|Attributes|Raises):$", re.MULTILINE)
_ELSEWHERE: Final = re.compile(r"arguments as `(\w+)`")
_ENTRY: Final = re.compile(r"^    (\w+): ", re.MULTILINE)
_COMMENTED: Final = re.compile(r'^    (\w+): [^\n]+\n    """(.+?)"""', re.MULTILINE | re.DOTALL)


def page() -> str:
    """Write the whole page."""
    parts = [_HEAD, "## Clients\n", *_entry("Farebox", Farebox, Farebox.__init__)]
    parts += ["## Methods\n", *_methods(Farebox)]
    parts += ["## A charge of a batch\n", *_entry("ChargeFields", ChargeFields)]
    parts += ["## A hold of a block\n", *_hold(), "## A meter\n", *_meter(), "## Limits\n"]
    for limits in (BatchLimits, MeterLimits):
        parts += _entry(limits.__name__, limits)
    parts += ["## Answers\n", *_answers(), "## Errors\n", *_errors()]
    return "\n".join(parts)


def _hold() -> Iterator[str]:
    yield "What `hold` makes, `BlockingHold` or `AsyncHold`; nothing of it is awaited.\n"
    yield from _properties(HeldMoney)
    yield from _methods(HeldMoney, "hold.")


def _meter() -> Iterator[str]:
    yield "`Farebox.meter` and `AsyncFarebox.meter` make one; the methods of the latter's are awaited.\n"
    yield from _properties(Meter)
    yield from _methods(Meter, "Meter.")
    words = inspect.getdoc(RefusedCharge)
    yield f"### `RefusedCharge`\n\n{words}\n\n| member | |\n| --- | --- |"
    comments = _comments(RefusedCharge)
    for field in dataclasses.fields(RefusedCharge):
        yield f"| `{field.name}` | {comments.get(field.name, '')} |"
    yield ""
    for kind in (SpoolFull, SpoolFailed):
        yield f"### `{kind.__name__}`\n\n{inspect.getdoc(kind)}\n"


def _methods(kind: type, prefix: str = "") -> Iterator[str]:
    for name, method in vars(kind).items():
        if inspect.isfunction(method) and not name.startswith("_") and name != "ask":
            yield from _entry(prefix + name, method)


def _properties(kind: type) -> Iterator[str]:
    properties = {name: inspect.getdoc(each) for name, each in vars(kind).items() if isinstance(each, property)}
    yield "| member | |\n| --- | --- |"
    yield from (f"| `{name}` | {words} |" for name, words in (properties | _comments(kind)).items())
    yield ""


def _entry(name: str, thing: Any, more: Any = None) -> Iterator[str]:
    parameters = [each for each in inspect.signature(thing).parameters.values() if each.name != "self"]
    yield f"### `{name}`\n"
    words = inspect.getdoc(thing) or ""
    yield _prose(words)
    told = _described(words) | _described(inspect.getdoc(more) or "")
    if elsewhere := _ELSEWHERE.search(words):
        other = ChargeFields if elsewhere[1] == "ChargeFields" else getattr(Farebox, elsewhere[1])
        told |= _described(inspect.getdoc(other) or "")
    if parameters:
        yield "| argument | default | |\n| --- | --- | --- |"
        for each in parameters:
            default = "" if each.default is inspect.Parameter.empty else f"`{_default(each.default)}`"
            yield f"| `{each.name}` | {default} | {told.get(each.name, '')} |"
        yield ""


def _default(value: object) -> str:
    return "a new key" if type(value).__name__.startswith("_HAS_DEFAULT") else repr(value)


def _prose(words: str) -> str:
    """Return what stands before the first section, with its code as blocks."""
    before = _SECTION.split(words)[0].rstrip()
    return _CODE.sub(_fenced, before + "\n")


def _fenced(code: re.Match[str]) -> str:
    lines = (line.removeprefix("    ") for line in code[0].rstrip().splitlines())
    return "\n".join(["<!-- not run: tests of the client run the like, whole -->", "```python", *lines, "```", ""])


def _described(words: str) -> dict[str, str]:
    """Read the entries of the sections of arguments."""
    told: dict[str, str] = {}
    pieces = _SECTION.split(words)
    for section, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if section == "Raises":
            continue
        entries = _ENTRY.split(text)
        told |= {name: " ".join(entry.split()) for name, entry in zip(entries[1::2], entries[2::2], strict=True)}
    return told


def _comments(kind: Any) -> dict[str, str]:
    """Read what stands below the members of a class."""
    return {member: " ".join(words.split()) for member, words in _COMMENTED.findall(inspect.getsource(kind))}


def _answers() -> Iterator[str]:
    for name, kind in inspect.getmembers(answers, dataclasses.is_dataclass):
        if name not in farebox_client.__all__:
            continue
        comments = _comments(kind)
        yield f"### `{name}`\n\n{inspect.getdoc(kind)}\n\n| member | type | |\n| --- | --- | --- |"
        for field in dataclasses.fields(kind):
            written = inspect.formatannotation(field.type).replace("farebox_client.answers.", "").replace("|", "\\|")
            written = written.replace("datetime.datetime", "datetime").replace("decimal.Decimal", "Decimal")
            yield f"| `{field.name}` | {written} | {comments.get(field.name, '')} |"
        yield ""


def _errors() -> Iterator[str]:
    words = inspect.getdoc(FareboxError) or ""
    yield _prose(words)
    yield "| attribute | |\n| --- | --- |"
    yield from (f"| `{name}` | {text} |" for name, text in _described(words).items())
    yield "\n| error | code | |\n| --- | --- | --- |"
    for code, kind in errors.BY_CODE.items():
        yield f"| `{kind.__name__}` | `{code}` | {' '.join((inspect.getdoc(kind) or '').split())} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
