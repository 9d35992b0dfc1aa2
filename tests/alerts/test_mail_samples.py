"""Every mail in every language: nothing of it stays English, and it reads well as plain text and as HTML."""

import gettext
import re
from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, EmailPolicy, default
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.alerts.mail import LOGO, MailSettings, Picture
from farebox.alerts.mail_templates import MailTemplates, built_in_names
from farebox.alerts.operator_files import LOGO_BYTES_MAX, load_operator_files
from farebox.alerts.report_words import MerchantWords
from farebox.alerts.samples.mails import sample_mails
from farebox.alerts.staff_report_words import StaffWords
from farebox.core.alerts import AlertKind
from farebox.service.languages import LANGUAGE_NAMES, Language, language
from tests.alerts.test_messages import MAIL_SETTINGS, html_of, text_of

GUIDE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "mails-and-languages.md"
PNG: Final = b"\x89PNG\r\n\x1a\n" + bytes(40)
SKYLINE: Final = replace(MAIL_SETTINGS, operator="Skyline APIs")
VALUES: Final = re.compile(
    r"https?://\S+|\S+@\S+|Skyline APIs|Northwind Imaging|Contoso Maps|Carla Diaz|410 Gone"
    r"|\b(USD|UTC|INV-2041|image|scan|accounting)\b|(xfer|key|hold)_\w+"
    r"|\d+ January \d+"
)
"""What a sample mail has that nobody translates; the month is the locale's."""
OPTIONAL: Final = {
    *("low-balance", "credit-ends", "recovered", "top-up", "credit-ended", "hold-expired", "budget-reached"),
    *("frozen", "unfrozen", "runway-short", "unusual-spending"),
}
"""The mails about alerts that owners too may do without."""
OTHER_LINKS: Final = {
    **dict.fromkeys(("report", "staff-report"), "unsubscribe/reports"),
    **dict.fromkeys(("staff-unusual-spending", "staff-destination-disabled"), "unsubscribe/warnings"),
}
"""Where the links lead by which other mails are ended."""


class Marked(gettext.NullTranslations):
    """A language of its own, in which each message stands in brackets."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"

    def pgettext(self, context: str, message: str) -> str:
        return f"⟦{message}⟧"


def samples(spoken: Language, settings: MailSettings = SKYLINE) -> dict[str, EmailMessage]:
    """Write the samples, and read them as their recipients do."""
    return {
        sample.name: message_from_bytes(sample.message.as_bytes(), policy=default)
        for sample in sample_mails(settings, spoken)
    }


def outside(text: str) -> str:
    """Leave out what stands in brackets, however deep, and the values."""
    shorter = re.sub(r"⟦[^⟦⟧]*⟧", "", text)
    return VALUES.sub("", text) if shorter == text else outside(shorter)


class Recording(MailTemplates):
    """Templates that note what they are given, by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, set[str]] = {}

    def render(self, template: str, words: Mapping[str, Any], language: Language) -> tuple[str, str]:
        self.given.setdefault(template, set()).update(words)
        return super().render(template, words, language)


def test_the_guide_names_all_that_templates_are_given_and_nothing_else() -> None:
    recording = Recording()
    list(sample_mails(replace(SKYLINE, templates=recording), language("en")))
    assert {name.partition(".")[0] for name in built_in_names()} - {"layout", "parts"} == recording.given.keys()
    rows = re.findall(r"^\| `(\w+)` \| (`[a-z].+?) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    documented: dict[str, set[str]] = {}
    for template, names in rows:
        documented.setdefault(template, set()).update(re.findall(r"`(\w+)`", names))
    shared = set.intersection(*recording.given.values())
    assert documented == {template: names - shared for template, names in recording.given.items()}
    for name in shared:
        assert f"`{name}`" in GUIDE.read_text(encoding="utf-8")


def test_the_guide_names_all_that_reports_words_have() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for kind, template in ((MerchantWords, "report"), (StaffWords, "staff_report")):
        (told,) = re.findall(rf"^\| `{template}` \| `words` \| (.+) \|$", guide, re.MULTILINE)
        assert [] == [name for name in kind.__struct_fields__ if f"`{name}`" not in told]


def test_every_word_of_every_mail_is_a_message() -> None:
    for name, message in samples(Language("en", Marked)).items():
        page = re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", html_of(message))
        for text in (str(message["Subject"]), text_of(message), page):
            assert not re.search(r"[A-Za-z]{2,}", outside(text)), (name, outside(text))


@pytest.mark.parametrize("code", LANGUAGE_NAMES)
def test_plain_text_reads_well(code: str) -> None:
    for name, message in samples(language(code)).items():
        text = text_of(message)
        assert code == message["Content-Language"]
        assert not re.search(r"\n{3}|[ \t]\n|^\n|\n\n\Z|⟦|%\(", text), (name, text)
        assert all(len(line) <= 78 or "://" in line for line in text.splitlines()), (name, text)
        assert f'<html lang="{code}" dir="ltr">' in html_of(message)


def test_each_template_has_a_sample() -> None:
    mails = {name.partition(".")[0] for name in built_in_names()} - {"layout", "parts"}

    class Noted(MailTemplates):
        def render(self, template: str, words: object, language: object) -> tuple[str, str]:
            mails.discard(template)
            return "text", "<p>html</p>"

    samples(language("en"), replace(SKYLINE, templates=Noted()))
    assert set() == mails


def test_each_kind_of_alert_has_a_sample_in_each_language() -> None:
    for code in LANGUAGE_NAMES:
        kinds = [sample.kind for sample in sample_mails(SKYLINE, language(code)) if sample.kind is not None]
        assert list(AlertKind) == sorted(kinds)


def test_no_two_samples_say_the_same() -> None:
    """One that was written by the words of another kind would."""
    messages = samples(language("en"))
    assert len(messages) == len(list(sample_mails(SKYLINE, language("en"))))
    assert len({text_of(message) for message in messages.values()}) == len(messages)


def test_who_may_end_such_mails_is_told_how_and_others_are_not() -> None:
    for name, message in samples(language("en")).items():
        part = OTHER_LINKS.get(name, "unsubscribe")
        is_optional = name in OPTIONAL or name in OTHER_LINKS
        assert is_optional == ("List-Unsubscribe" in message) == ("unsubscribe" in text_of(message)), name
        if is_optional:
            assert f"<https://pay.example/farebox/{part}/SAMPLE>" == message["List-Unsubscribe"]
            assert "List-Unsubscribe=One-Click" == message["List-Unsubscribe-Post"]


@pytest.mark.parametrize("policy", [SMTP, SMTPUTF8])
def test_the_link_that_ends_mails_stands_in_its_header_as_it_is(policy: EmailPolicy) -> None:
    host = f"https://{'farebox.' * 20}example"
    for sample in sample_mails(replace(SKYLINE, public_url=host), language("en")):
        if "List-Unsubscribe" in sample.message:
            link = str(sample.message["List-Unsubscribe"])
            assert link.startswith(f"<{host}/unsubscribe/"), sample.name
            head = sample.message.as_bytes(policy=policy).partition(b"\r\n\r\n")[0]
            assert f"List-Unsubscribe: {link}".encode() in head.split(b"\r\n"), sample.name


def test_the_html_shows_the_logo_that_it_carries() -> None:
    message = samples(language("en"), replace(SKYLINE, logo=Picture(LOGO, "png", PNG)))["used-up"]
    related = message.get_body(("related",))
    assert related is not None
    (picture,) = related.iter_attachments()
    assert ("image/png", "<logo>", PNG) == (picture.get_content_type(), picture["Content-ID"], picture.get_content())
    assert 'src="cid:logo" alt="Skyline APIs"' in html_of(message)
    assert "multipart/alternative" == message.get_content_type()


def test_the_operator_is_named_where_there_is_no_logo() -> None:
    message = samples(language("en"))["used-up"]
    assert "Skyline APIs" == message["From"].addresses[0].display_name
    assert "<bdi>Skyline APIs</bdi>" in html_of(message)
    assert "cid:" not in html_of(message)


def loaded(folder: Path, logo_file: Path | None = None) -> tuple[MailTemplates, list[str]]:
    files = load_operator_files(SKYLINE, logo_file="" if logo_file is None else str(logo_file), folder=str(folder))
    return files.templates, [problem.replace(f"{folder}/", "") for problem in files.problems]


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        (
            "alert.txt",
            "{% block content %}\n\n{{ nothing }}\n{% endblock %}",
            "fails in line 3: 'nothing' is undefined",
        ),
        ("alert.html", "<p>\n{% if %}", "fails in line 2: Expected an expression, got 'end of statement block'"),
        ("account_mail.txt", "{% extends 'frame.txt' %}", "fails in line 1: "),
        ("layout.html", "{{ 1 / 0 }}", "fails in line 1: ZeroDivisionError: division by zero"),
        ("parts.html", "{% macro button(url, words) %}{% endmacro %}", "fails: "),
        ("approvals.html", "{{ subject | shout }}", "fails in line 1: No filter named 'shout'."),
    ],
)
def test_a_template_that_fails_is_named_and_the_built_in_one_is_used(
    tmp_path: Path, name: str, source: str, fault: str
) -> None:
    (tmp_path / name).write_text(source)
    (tmp_path / "layout.txt").write_text("Skyline says:\n{% block content %}{% endblock %}")
    templates, (problem,) = loaded(tmp_path)
    assert problem.startswith(f"FAREBOX_TEMPLATES: {name} {fault}")
    assert problem.endswith("; the built-in one is used")
    for message in samples(language("de"), replace(SKYLINE, templates=templates)).values():
        assert text_of(message).startswith("Skyline says:")


def test_what_is_no_template_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "alrt.html").write_text("x")
    (tmp_path / "alert.txt").write_bytes(b"\xff")
    (tmp_path / "alert.html").mkdir()
    (tmp_path / "layout.txt").write_text("x" * 300_000)
    templates, problems = loaded(tmp_path)
    assert {} == templates.overrides
    assert 4 == len(problems)
    assert any("alrt.html is no template; there are account_mail.html" in problem for problem in problems)
    assert any("alert.txt is not UTF-8" in problem for problem in problems)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    _, (problem,) = loaded(tmp_path / "none")
    assert "can't be read (No such file or directory); the built-in ones are used" in problem


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"<svg/>", "is neither a PNG nor a JPEG file"),
        (PNG + bytes(LOGO_BYTES_MAX), "has more than 100 KiB"),
        (None, "can't be read (No such file or directory)"),
    ],
)
def test_a_logo_that_is_none(tmp_path: Path, content: bytes | None, fault: str) -> None:
    logo = tmp_path / "logo.png"
    if content is not None:
        logo.write_bytes(content)
    files = load_operator_files(SKYLINE, logo_file=str(logo), folder="")
    assert (f"FAREBOX_LOGO_FILE: {logo} {fault}; mails go without a logo",) == files.problems
    assert files.logo is None


def test_a_template_that_fails_on_one_mail_alone_stops_no_mail(caplog: pytest.LogCaptureFixture) -> None:
    """The samples can't have everything that mails will say."""
    templates = MailTemplates({"alert.txt": "{{ 1 / (merchant | length - 17) }}"})
    message = samples(language("en"), replace(SKYLINE, templates=templates))["used-up"]
    assert "Your balance is used up" in text_of(message)
    assert "it is written by the built-in ones" in caplog.text
