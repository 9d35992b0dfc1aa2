"""Settings come from the environment and farebox.toml, and the reference names each with its default."""

from pathlib import Path

import pytest

from farebox.bootstrap import Farebox
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
        ("FAREBOX_PUBLIC_URL", "https://["),
        ("FAREBOX_CORS_ORIGINS", "https://a.example, b.example"),
        ("FAREBOX_CORS_ORIGINS", "https://a.example/page"),
        ("FAREBOX_CORS_ORIGINS", "https://a.example\n/"),
        *(("FAREBOX_MAIL_FROM", sender) for sender in ("nobody", "@", "a@b@c", "Ann <ann>", "ann@example.com\nBcc: x")),
        ("FAREBOX_SMTP_URL", "smtp://mail.example:99999"),
        ("FAREBOX_SMTP_URL", "smtp://mail.example?startls=true"),
        *(("FAREBOX_APPROVAL_ABOVE", amount) for amount in ("many", "1e5", "-1", "0.0000001")),
        *(("FAREBOX_RATE_LIMIT", rate) for rate in ("", "-1", "1e3", "inf")),
        ("FAREBOX_TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.load({name: value}, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("FAREBOX_DATABASE_URL", f"{scheme}me:hush{rest}")
            for scheme in ("", "mysql://")
            for rest in ("@db/x", "@/")
        ),
        ("FAREBOX_DATABASE_URL", "mysql://db/x?password=hush"),
        *(
            ("FAREBOX_DATABASE_URL", f"postgresql://me:{word}@db/x")
            for word in ("hu/hush", "hush#", "?hush", "[hush", "hush /")
        ),
        *(
            ("FAREBOX_DATABASE_URL", f"postgresql://{hosts}/x?password=hush")
            for hosts in ("db:hush", "a,b:x", "[::1", "a b")
        ),
        *(
            ("FAREBOX_SMTP_URL", f"{scheme}me:hush{rest}")
            for scheme in ("", "http://", "smtp://")
            for rest in ("@:x", "@[x")
        ),
        *(("FAREBOX_SMTP_URL", f"smtps://me:{word}@mail.example") for word in ("hu/hush", "hush#", "?hush")),
        ("FAREBOX_SECRET_KEY", "hush"),
    ],
)
def test_no_secret_stands_in_an_error(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        Settings.load({name: value}, tmp_path)
    assert "hu" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "postgresql://me:h%75sh@db.example:5432/x",
            "postgresql://a,b:5433,[::1]:5432/x",
            "postgresql:///x?host=/run",
        ),
        *("postgres://me@db_1/x", "postgresql://me:p@ss@db/x"),
    ],
)
def test_a_database_url_that_makes_sense_is_taken(tmp_path: Path, url: str) -> None:
    assert url == Settings.load({"FAREBOX_DATABASE_URL": url}, tmp_path).database_url


def test_settings_that_are_shown_hold_no_secret() -> None:
    settings = Settings.of(
        database_url="postgresql://me:hush@db/x", smtp_url="smtp://me:hush@mail.example", secret_key="hush" * 8
    )
    assert "hush" not in repr(settings)
    assert "database_url=***, smtp_url=***, mail_from='farebox@localhost'" in repr(settings)
    assert "smtp_url=''" in repr(Settings())
    assert "hush" not in repr(Farebox.build(settings))


def test_origins_are_a_list() -> None:
    settings = Settings.of(cors_origins=" https://a.example/, https://b.example ,")
    assert ("https://a.example", "https://b.example") == settings.cors_origins


def test_the_reference_names_every_setting_with_its_default() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for name, default in Settings().texts.items():
        assert f"| `FAREBOX_{name.upper()}` | {f'`{default}` ' if default else ''}|" in text
