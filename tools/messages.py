"""Extract what people are told from the code and the templates, and bring the catalogues up to date: `make messages`.

A message that is new has no translation yet, which a test tells; one that is no longer said goes.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from farebox.service.languages import ENGLISH, LANGUAGE_NAMES

SOURCES: Final = Path(__file__).parents[1] / "src" / "farebox"
CATALOGUES: Final = SOURCES / "locales"
LANGUAGES: Final = sorted(set(LANGUAGE_NAMES) - {ENGLISH.code})
_METHODS: Final = [("**.py", "python"), ("**/templates/**.html", "jinja2"), ("**/templates/**.txt", "jinja2")]
_OPTIONS: Final = {method: {"silent": "false"} for method in ("**/templates/**.html", "**/templates/**.txt")}
_KEYWORDS: Final = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_noop": (1, 2),
    "say": None,
    "pgettext": ((1, "c"), 2),
}
_LINE_CHARS_MAX: Final = 120


def extracted() -> Catalog:
    """Read every message that is said somewhere."""
    catalogue = Catalog()
    found = extract_from_dir(str(SOURCES), _METHODS, _OPTIONS, _KEYWORDS)
    for name, _, message, _, context in sorted(found, key=lambda row: (row[0], row[1])):
        catalogue.add(message, locations=[(name, 0)], context=context)
    return catalogue


def read_catalogue(language: str) -> Catalog:
    """Read a language's catalogue as it is."""
    path = CATALOGUES / f"{language}.po"
    return read_po(io.BytesIO(path.read_bytes() if path.exists() else b""), locale=language)


def messages(catalogue: Catalog) -> Iterator[Message]:
    """List a catalogue's messages, without its header."""
    return (message for message in catalogue if message.id)


def updated(language: str, template: Catalog) -> str:
    """Write a language's catalogue with the messages of the template, and the translations that it has."""
    catalogue = read_catalogue(language)
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    body = io.BytesIO()
    write_po(body, catalogue, width=_LINE_CHARS_MAX, omit_header=True, include_lineno=False)
    return _header(catalogue) + body.getvalue().decode()


def _header(catalogue: Catalog) -> str:
    """Write a header without dates, which would change the file each time."""
    lines = [
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        f"Language: {catalogue.locale_identifier}",
        f"Plural-Forms: {catalogue.plural_forms}",
    ]
    quoted = "".join(f'"{line}\\n"\n' for line in lines)
    return f'msgid ""\nmsgstr ""\n{quoted}\n'


def main() -> None:
    """Write the catalogues."""
    template = extracted()
    for language in LANGUAGES:
        (CATALOGUES / f"{language}.po").write_text(updated(language, template), encoding="utf-8")


if __name__ == "__main__":
    main()
