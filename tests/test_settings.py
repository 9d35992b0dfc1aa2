"""Settings come from the environment and farebox.toml, and the reference names each with its default."""

from pathlib import Path
from typing import get_type_hints

import pytest

from farebox.config import Settings, SettingsError

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "farebox.toml").write_text('mail_from = "file@acme.example"\nsupport_contact = "file"\n')
    settings = Settings.load({"FAREBOX_MAIL_FROM": "env@acme.example"}, tmp_path)
    assert ("env@acme.example", "file") == (settings.mail_from, settings.support_contact)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAREBOX_DATABASE_URL", "mysql://x"),
        ("FAREBOX_DATABASE_URL", "sqlite:///"),
        ("FAREBOX_SMTP_URL", "http://mail.example"),
        ("FAREBOX_PUBLIC_URL", "farebox.example"),
        ("FAREBOX_MAIL_FROM", "nobody"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.load({name: value}, tmp_path)


def test_a_password_is_struck_out_of_errors(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.load({"FAREBOX_DATABASE_URL": "mysql://me:hush@db/x"}, tmp_path)
    assert "hush" not in str(raised.value)


def test_origins_are_a_list() -> None:
    settings = Settings(cors_origins=" https://a.example/, https://b.example ,")
    assert ("https://a.example", "https://b.example") == settings.cors_origin_list


def test_the_reference_names_every_setting_with_its_default() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    defaults = Settings()
    for name in get_type_hints(Settings):
        default = getattr(defaults, name)
        assert f"| `FAREBOX_{name.upper()}` | {f'`{default}` ' if default else ''}|" in text
