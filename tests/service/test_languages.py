"""Languages: every message is translated, with the same places for values; amounts, dates and names are right."""

import re
from datetime import UTC, datetime
from typing import Final

import pytest
from babel.messages.catalog import Catalog

from farebox.service.languages import ENGLISH, LANGUAGE_NAMES, Language, language, language_for
from tools.messages import CATALOGUES, LANGUAGES, extracted, messages, read_catalogue, updated

PLACES: Final = re.compile(r"%\(\w+\)s|%%")
THEN: Final = datetime(2026, 12, 1, 9, 5, tzinfo=UTC)
ARABIC: Final = "شركة الشمال"


def places(text: str) -> list[str]:
    return sorted(PLACES.findall(text))


def texts(value: object) -> list[str]:
    """List a message, or the forms of one that depends on a count."""
    return [value] if isinstance(value, str) else [str(form) for form in value] if isinstance(value, tuple) else []


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_message_is_translated_with_the_same_places_and_no_markup(code: str) -> None:
    for message in messages(read_catalogue(code)):
        source, translations = texts(message.id)[-1], texts(message.string)
        assert translations, source
        assert all(translations), f"{code}: {source!r} is not translated"
        assert not message.fuzzy
        for translation in translations:
            assert places(source) == places(translation), f"{code}: {source!r}"
            assert not set("<>") & set(translation), f"{code}: {source!r}"
            assert source.endswith(".") == translation.endswith("."), f"{code}: {source!r}"


@pytest.fixture(scope="module")
def template() -> Catalog:
    """Every message that is said somewhere."""
    return extracted()


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_catalogues_are_as_make_messages_writes_them(code: str, template: Catalog) -> None:
    assert updated(code, template) == (CATALOGUES / f"{code}.po").read_text(encoding="utf-8"), "run `make messages`"


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert sorted(set(LANGUAGE_NAMES) - {"en"}) == sorted(path.stem for path in CATALOGUES.glob("*.po"))


@pytest.mark.parametrize(
    ("code", "micros", "currency", "shown"),
    [
        ("en", 1_250_750_000, "USD", "1,250.75 USD"),
        ("de", 1_250_750_000, "USD", "1.250,75 USD"),
        ("fr", 1_250_750_000, "USD", "1\u202f250,75 USD"),
        ("es", 1_250_750_000, "USD", "1.250,75 USD"),
        ("pt", 1_250_750_000, "USD", "1.250,75 USD"),
        ("de", -12_345_600, "JPY", "-12,3456 JPY"),
        ("de", 1_250_000_000, "JPY", "1.250 JPY"),
        ("de", 1, "USD", "0,000001 USD"),
        ("de", 9_007_199_254_740_993_000_001, "KWD", "9.007.199.254.740.993,000001 KWD"),
    ],
)
def test_amounts_are_exact_in_every_language(code: str, micros: int, currency: str, shown: str) -> None:
    assert shown == language(code).money(micros, currency)


@pytest.mark.parametrize(
    ("code", "shown", "day"),
    [
        ("en", "1 December 2026, 09:05", "1 Dec"),
        ("de", "1. Dezember 2026, 09:05", "1. Dez."),
        ("fr", "1 décembre 2026, 09:05", "1 déc."),
        ("es", "1 de diciembre de 2026, 09:05", "1 dic"),
        ("pt", "1 de dezembro de 2026, 09:05", "1 de dez."),
    ],
)
def test_dates(code: str, shown: str, day: str) -> None:
    assert shown == language(code).date_and_time(THEN)
    assert day == language(code).short_day(THEN, is_year_shown=False)


def test_counts_have_their_plural() -> None:
    wait = "%(count)s request waits for your approval", "%(count)s requests wait for your approval"
    assert "1 Antrag wartet auf Ihre Genehmigung" == language("de").ngettext(*wait, 1)
    assert "1.200 Anträge warten auf Ihre Genehmigung" == language("de").ngettext(*wait, 1200)


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,en;q=0.5", "de"),
        ("en;q=0.3, pt-BR;q=0.8, fr;q=0.7", "pt"),
        ("ja, zh;q=0.9", "en"),
        ("ja, es;q=0.1", "es"),
        ("fr;q=0", "en"),
        ("fr;q=nan, de;q=2, es;q=x", "en"),
        (";;,,q=1;fr", "en"),
        ("*", "en"),
        ("x" * 10_000 + ",de", "en"),
    ],
)
def test_a_browsers_languages(header: str, chosen: str) -> None:
    assert chosen == language_for(header, "en")


def test_a_name_from_right_to_left_leaves_the_sentence_as_it_is() -> None:
    told = ENGLISH.gettext("%(merchant)s: %(news)s", merchant=ARABIC, news="balance below 4.00 USD")
    assert f"\u2068{ARABIC}\u2069: balance below 4.00 USD" == told
    assert "Northwind" == ENGLISH.isolated("Northwind")


def test_nobody_turns_the_text_after_a_name_around() -> None:
    """An override in a name would show the digits of an amount after it backwards."""
    assert "Northwind" == ENGLISH.isolated("North\u202ewind\u2067\u200f")


def test_a_language_from_right_to_left_isolates_every_value() -> None:
    arabic = Language("ar", lambda: ENGLISH.translations)
    assert "rtl" == arabic.direction
    assert "\u2068Ann\u2069: \u20684.00 USD\u2069" == arabic.gettext(
        "%(merchant)s: %(news)s", merchant="Ann", news="4.00 USD"
    )


def test_an_unknown_language_is_english() -> None:
    assert ENGLISH is language("xx") is language("")
