"""The templates of mails, the built-in ones or those that the operator puts in their place, rendered in a language."""

import logging
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

from farebox.service.languages import Language
from farebox.service.template_messages import message_functions

FORMS: Final = ("txt", "html")
"""What each mail is written in: plain text, and HTML beside it."""

LINE_CHARS_MAX: Final = 76
"""A line of plain text breaks before it is longer, unless it is an address."""

_LABEL_CHARS_MAX: Final = 30
_BUILT_IN: Final = files("farebox.alerts") / "templates"
_EMPTY_LINES: Final = re.compile(r"\n{3,}")
_GAP_BELOW_RULE: Final = re.compile(r"\n--\n{2,}")
_SPACES_AT_END: Final = re.compile(r"[ \t]+$", re.MULTILINE)

_log = logging.getLogger("farebox.alerts")


class MailTemplates:
    """Templates by name, such as alert.html."""

    def __init__(self, overrides: Mapping[str, str] | None = None, *, is_strict: bool = False) -> None:
        """Take the sources of the templates that stand in place of the built-in ones.

        One that fails on some mail is passed over for that mail, unless `is_strict`: then what it raises comes through.
        """
        self.overrides: Final = dict(overrides or {})
        self._is_strict = is_strict
        self._environments: dict[tuple[Language, bool], Environment] = {}

    def render(self, template: str, words: Mapping[str, Any], language: Language) -> tuple[str, str]:
        """Write a mail as plain text and as HTML."""
        try:
            return _rendered(self._environment(language, has_overrides=True), template, words)
        except Exception:
            if self._is_strict or not self.overrides:
                raise
            # The mail matters more than how it looks.
            _log.exception("the operator's templates fail on a mail (%s); it is written by the built-in ones", template)
            return _rendered(self._environment(language, has_overrides=False), template, words)

    def _environment(self, language: Language, *, has_overrides: bool) -> Environment:
        key = language, has_overrides
        if key not in self._environments:
            overrides = self.overrides if has_overrides else {}
            self._environments[key] = make_environment(language, _loader(overrides))
        return self._environments[key]


def built_in_source(name: str) -> str | None:
    """Read a built-in template; None if there is none of this name."""
    file = _BUILT_IN / name
    return file.read_text(encoding="utf-8") if name in built_in_names() else None


def built_in_names() -> Sequence[str]:
    """List the templates that there are."""
    return sorted(file.name for file in _BUILT_IN.iterdir() if file.name.endswith(FORMS))


def make_environment(
    language: Language, source: Callable[[str], tuple[str, str, Callable[[], bool]] | None]
) -> Environment:
    """Make what templates are compiled and rendered by, in a language."""
    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    is_left_first = language.direction == "ltr"
    environment.globals.update(
        language=language,
        start="left" if is_left_first else "right",
        end="right" if is_left_first else "left",
        **message_functions(language),
    )
    environment.filters.update(wrapped=_wrapped, fact_lines=_fact_lines, item=_item)
    return environment


def _loader(overrides: Mapping[str, str]) -> Callable[[str], tuple[str, str, Callable[[], bool]] | None]:
    def source(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        text = overrides.get(name) or built_in_source(name)
        # An error in a template names it by its file name.
        return None if text is None else (text, name, lambda: True)

    return source


def _rendered(environment: Environment, template: str, words: Mapping[str, Any]) -> tuple[str, str]:
    text = environment.get_template(f"{template}.txt").render(words)
    parts = environment.get_template("parts.html").module
    return _tidied(text), environment.get_template(f"{template}.html").render(words, parts=parts)


def _tidied(text: str) -> str:
    """Leave no gap where a template had nothing to say, and end with one line end."""
    shorter = _EMPTY_LINES.sub("\n\n", _SPACES_AT_END.sub("", text))
    return _GAP_BELOW_RULE.sub("\n--\n", shorter).strip("\n") + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    """Break a paragraph of plain text into lines; an address, or a link, is never broken."""
    return textwrap.fill(
        text,
        LINE_CHARS_MAX,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _item(text: str) -> str:
    """Write an item of a list in plain text."""
    return f"- {_wrapped(text, '  ').lstrip()}"


def _fact_lines(first: Iterable[tuple[str, str, str]], facts: Iterable[Any] = ()) -> str:
    """Write facts in plain text: labels in a column, values beside them, remarks below those."""
    rows = [*first, *((fact.label, fact.value, fact.remark) for fact in facts)]
    width = min(max(len(label) for label, _, _ in rows), _LABEL_CHARS_MAX) + 4
    lines = []
    for label, value, remark in rows:
        indent = " " * width
        beside = _wrapped(value, indent)[width:] if len(label) + 4 <= width else f"\n{_wrapped(value, indent)}"
        lines.append(f"  {label}".ljust(width) + beside)
        if remark:
            lines.append(_wrapped(remark, indent))
    return "\n".join(lines)
