"""The languages that people are spoken to in: their messages, and how each writes amounts, numbers and times.

Messages stand in the code and the templates in English, which needs no catalogue; those of the others are in
`farebox/locales/LANGUAGE.po`, read when the language is first used. The API, files and the command line speak English.
"""

import gettext
import io
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import cache, cached_property
from importlib.resources import files
from typing import Final, Literal

from farebox.core.currencies import decimals_of, format_money
from farebox.core.money import MICROS_PER_UNIT
from farebox.service.date_words import DAY_NAMES, date_and_time, day_words, month_words, short_month

LANGUAGE_NAMES: Final = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "pt": "Português"}
"""The languages by code, each called as its speakers do."""

HEADER_CHARS_MAX: Final = 400
"""So much of what a browser says of its reader's languages is read."""

_RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur"})
_RIGHT_TO_LEFT_CLASSES: Final = frozenset({"R", "AL"})
_DIRECTING: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_DIRECTION_MARKS: Final = frozenset("\u200e\u200f\u061c")
"""What turns the direction of all text after it: nothing that somebody typed may do that to a sentence of ours."""

_ISOLATED: Final = "\u2068{}\u2069"
"""First strong isolate, and its end (Unicode's UAX 9): the text inside does not mix with the sentence around it."""

_MICROS_PER_SECOND: Final = 1_000_000


class Language:
    """One language. Its messages are whole sentences or labels: `%(name)s` stands for a value, `%%` for a percent sign.

    A value that is written from right to left is isolated from the sentence it is put into.
    """

    def __init__(self, code: str, translations: Callable[[], gettext.NullTranslations]) -> None:
        """Name it by its code, such as "de"; its messages are read when the first is asked for."""
        self.code = code
        self._read = translations

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        """Which way it is written, as HTML says it."""
        return "rtl" if self.code in _RIGHT_TO_LEFT else "ltr"

    @cached_property
    def translations(self) -> gettext.NullTranslations:
        """Its catalogue."""
        return self._read()

    def gettext(self, message: str, **values: object) -> str:
        """Say a message in this language."""
        return self._filled(self.translations.gettext(message), values)

    def known(self, text: str) -> str:
        """Say a text that may be a message, and holds no place for a value; others stay as they are."""
        return self.translations.gettext(text) if text else text

    def ngettext(self, one: str, many: str, count: int, **values: object) -> str:
        """Say a message that depends on a count, which is `%(count)s` in it."""
        return self._filled(self.translations.ngettext(one, many, count), {"count": self.number(count), **values})

    def _filled(self, message: str, values: dict[str, object]) -> str:
        return message % {name: self.isolated(str(value)) for name, value in values.items()}

    def isolated(self, text: str) -> str:
        """Write what somebody named so that its direction leaves the text around it as it is."""
        plain = "".join(
            char for char in text if char not in _DIRECTION_MARKS and unicodedata.bidirectional(char) not in _DIRECTING
        )
        is_other_way = self.direction == "rtl" or any(
            unicodedata.bidirectional(char) in _RIGHT_TO_LEFT_CLASSES for char in plain
        )
        return _ISOLATED.format(plain) if is_other_way and plain else plain

    def amount(self, micros: int, currency: str) -> str:
        """Write an amount, exactly, without its currency: 1.250,75."""
        if self.code == "en":
            return format_money(micros, currency)
        from decimal import Decimal  # noqa: PLC0415 - English, which every command speaks, does without.

        from babel.numbers import format_decimal

        zeros = decimals_of(currency)
        decimals = f"{'0' * zeros}{'#' * (6 - zeros)}"
        return format_decimal(Decimal(micros) / MICROS_PER_UNIT, format=f"#,##0.{decimals}", locale=self.code)

    def money(self, micros: int, currency: str) -> str:
        """Write an amount, exactly, with its currency: 1.250,75 USD."""
        return f"{self.amount(micros, currency)} {currency}"

    def number(self, value: int) -> str:
        """Write a whole number, its thousands apart."""
        if self.code == "en":
            return f"{value:,}"
        from babel.numbers import format_decimal

        return format_decimal(value, locale=self.code)

    def percent(self, value: int) -> str:
        """Write a whole number of percent: 12%, or 12 %."""
        if self.code == "en":
            return f"{value}%"
        from decimal import Decimal  # noqa: PLC0415 - as above.

        from babel.numbers import format_percent

        return format_percent(Decimal(value) / 100, locale=self.code)

    def digits(self, text: str) -> str:
        """Write a number that was written in English, such as 1,250.75, with the signs of this language: 1.250,75."""
        return text.translate(self._signs)

    @cached_property
    def decimal_sign(self) -> str:
        """What parts decimals from whole units."""
        return "." if self.code == "en" else self._signs[ord(".")]

    @cached_property
    def group_sign(self) -> str:
        """What parts thousands."""
        return "," if self.code == "en" else self._signs[ord(",")]

    @cached_property
    def _signs(self) -> dict[int, str]:
        if self.code == "en":
            return {}
        from babel.numbers import get_decimal_symbol, get_group_symbol

        return {ord("."): get_decimal_symbol(self.code), ord(","): get_group_symbol(self.code)}

    def date_and_time(self, time: datetime) -> str:
        """Write a date and a time of day: 1. Dezember 2026, 00:00."""
        if self.code == "en":
            return date_and_time(time)
        from babel.dates import format_date

        return f"{format_date(time, 'long', locale=self.code)}, {time:%H:%M}"

    def day(self, day: date) -> str:
        """Write a day: 1. Dezember 2026."""
        if self.code == "en":
            return day_words(day)
        from babel.dates import format_date

        return format_date(day, "long", locale=self.code)

    def month(self, day: date) -> str:
        """Write the month of a day: Dezember 2026."""
        if self.code == "en":
            return month_words(day)
        from babel.dates import format_skeleton

        return format_skeleton("yMMMM", day, locale=self.code)

    def short_day(self, time: date, *, is_year_shown: bool) -> str:
        """Write a day in short: 27 Nov, or 27 Nov 2026."""
        if self.code == ENGLISH.code:
            return f"{time.day} {short_month(time)}{f' {time.year}' if is_year_shown else ''}"
        from babel.dates import format_skeleton

        return format_skeleton("yMMMd" if is_year_shown else "MMMd", time, locale=self.code)

    def weekday(self, time: date, *, is_year_shown: bool = False) -> str:
        """Write a day in short with its weekday: Fri 27 Nov, or Fri 27 Nov 2026."""
        if self.code == ENGLISH.code:
            return f"{DAY_NAMES[time.weekday()][:3]} {self.short_day(time, is_year_shown=is_year_shown)}"
        from babel.dates import format_skeleton

        return format_skeleton("yMMMEd" if is_year_shown else "MMMEd", time, locale=self.code)

    def weekday_name(self, number: int) -> str:
        """Name a day of the week, Monday being 0."""
        if self.code == "en":
            return DAY_NAMES[number]
        from babel.dates import get_day_names

        return str(get_day_names("wide", "stand-alone", locale=self.code)[number])

    def moment(self, micros: int) -> str:
        """Write microseconds since 1970 as people do, in UTC."""
        return f"{self.date_and_time(datetime.fromtimestamp(micros // _MICROS_PER_SECOND, UTC))} UTC"

    def listed(self, names: Sequence[str]) -> str:
        """Write names one after the other: Ann, Ben and Carla."""
        if len(names) < 2:
            return "".join(names)
        return self.gettext("%(names)s and %(last)s", names=", ".join(names[:-1]), last=names[-1])


def gettext_noop(message: str) -> str:
    """Mark a constant as a message: it is said in some language later, by `Language.gettext`."""
    return message


def ngettext_noop(one: str, many: str) -> tuple[str, str]:
    """Mark constants as a message that depends on a count: it is said later, by `Language.ngettext`."""
    return one, many


@cache
def language(code: str) -> Language:
    """Return a language by its code; English for one that is not known."""
    if code not in LANGUAGE_NAMES or code == ENGLISH.code:
        return ENGLISH
    return Language(code, lambda: _catalogue(code))


def language_for(header: str, default: str) -> str:
    """Choose a language by what a browser says of its reader's (Accept-Language, RFC 9110).

    Args:
        header: such as `de-AT,de;q=0.9,en;q=0.5`; what can't be read of it is passed over.
        default: the code to return if none of those is spoken here.
    """
    best, weight = default, 0.0
    for item in header[:HEADER_CHARS_MAX].split(","):
        tag, *options = (part.strip().lower() for part in item.split(";"))
        code = tag.partition("-")[0]
        value = _weight(options)
        if code in LANGUAGE_NAMES and value > weight:
            best, weight = code, value
    return best


def _weight(options: list[str]) -> float:
    text = next((option.removeprefix("q=") for option in options if option.startswith("q=")), "1")
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def _catalogue(code: str) -> gettext.NullTranslations:
    """Read a language's messages. A file of some hundred takes a few milliseconds, so that none is compiled before."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = io.BytesIO()
    with (files("farebox") / "locales" / f"{code}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


ENGLISH: Final = Language("en", gettext.NullTranslations)
