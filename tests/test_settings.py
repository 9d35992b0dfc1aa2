"""Settings come from the environment and farebox.toml, and the reference names each with its default."""

import re
from pathlib import Path
from secrets import token_hex, token_urlsafe

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
        *(("FAREBOX_DATABASE_URL", f"sqlite:///{path}") for path in (":memory:", "file::memory:", "x.db?mode=memory")),
        *(("FAREBOX_DATABASE_URL", f"sqlite:///{path}") for path in ("data/", " x.db", "x.db\n")),
        ("FAREBOX_DATABASE_URL", "postgresql://db.example/x\n"),
        *(("FAREBOX_PUBLIC_URL", url) for url in ("farebox.example", "https://[", "https://", "https:///", "http//x")),
        *(("FAREBOX_PUBLIC_URL", url) for url in ("HTTPS://x.example", "https://X.example", " https://x.example")),
        *(("FAREBOX_PUBLIC_URL", url) for url in ("https://x.example ", "https://x .example", "https://x.example\t")),
        *(("FAREBOX_PUBLIC_URL", f"https://x.example{more}") for more in ("/pay", "?a=b", "#a", ":", ":0", ":65536")),
        *(("FAREBOX_PUBLIC_URL", url) for url in ("https://me@x.example", "https://me:hush@x.example", "ftp://x")),
        ("FAREBOX_PUBLIC_URL", "https://käse.example"),
        ("FAREBOX_CORS_ORIGINS", "https://a.example, b.example"),
        ("FAREBOX_CORS_ORIGINS", "https://a.example/page"),
        ("FAREBOX_CORS_ORIGINS", "https://a.example\n/"),
        ("FAREBOX_CORS_ORIGINS", "https://a.example, *"),
        *(("FAREBOX_CORS_ORIGINS", url) for url in ("https://a.example:443", "http://a:80", "https://a:70000")),
        *(("FAREBOX_MAIL_FROM", sender) for sender in ("ann@-x", "ann@x..example", "ann@x.example.", "ann@[::1]")),
        *(("FAREBOX_SUPPORT_CONTACT", contact) for contact in ("x" * 201, "call us\nnow")),
        ("FAREBOX_SMTP_URL", "smtp://mail.example "),
        *(("FAREBOX_MAIL_FROM", sender) for sender in ("nobody", "@", "a@b@c", "Ann <ann>", "ann@example.com\nBcc: x")),
        ("FAREBOX_SMTP_URL", "smtp://mail.example:99999"),
        ("FAREBOX_SMTP_URL", "smtp://mail.example?startls=true"),
        *(("FAREBOX_APPROVAL_ABOVE", amount) for amount in ("many", "1e5", "-1", "0.0000001")),
        *(("FAREBOX_RATE_LIMIT", rate) for rate in ("", "-1", "1e3", "inf")),
        ("FAREBOX_TRUSTED_PROXIES", "10.0.0.1/8"),
        *(
            ("FAREBOX_METRICS_ADDRESS", text)
            for text in ("9464", "tcp://10.0.0.1:9464", "localhost:", "a:0", "a:65536")
        ),
        ("FAREBOX_METRICS_TOKEN", "short"),
        ("FAREBOX_METRICS_TOKEN", f"{'0123456789abcdef' * 2} short"),
        *(("FAREBOX_LOG_FORMAT", text) for text in ("JSON", "xml")),
        *(("FAREBOX_ACCESS_LOG", text) for text in ("yes", "1", "On")),
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
        ("FAREBOX_PUBLIC_URL", "https://me:hush@pay.example"),
        *(
            ("FAREBOX_SECRET_KEY", key)
            for key in ("h" * 32, "hush" * 8, "hu" + "01" * 20, "husbackground-key-example-of-38-char")
        ),
        *(
            ("FAREBOX_SECRET_KEY", key)
            for key in ("abcdefghijklmnopqrstuvwxyz-hu-xyz", "hu-change-me-3f09c5e71d2b8463a1f0")
        ),
        *(
            ("FAREBOX_SECRET_KEY", key)
            for key in ("hu3f09c5e71d2b8463a1f0e9d7c5b2846\n", " hu3f09c5e71d2b8463a1f0e9d7c5b2846")
        ),
        ("FAREBOX_SECRET_KYE", "hu3f09c5e71d2b8463a1f0e9d7c5b2846"),
    ],
)
def test_no_secret_stands_in_an_error(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        Settings.load({name: value}, tmp_path)
    assert "hu" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("FAREBOX_SECRET_KYE", "did you mean FAREBOX_SECRET_KEY?"),
        ("FAREBOX_SECRETKEY", "did you mean FAREBOX_SECRET_KEY?"),
        ("farebox_secret_key", "did you mean FAREBOX_SECRET_KEY?"),
        ("Farebox_Mail_From", "did you mean FAREBOX_MAIL_FROM?"),
        ("FAREBOX_PORT", "did you mean `farebox serve --port`?"),
        ("FAREBOX_COLOUR", "there are database_url, smtp_url,"),
        ("FAREBOX_", "there are database_url, smtp_url,"),
    ],
)
def test_a_name_that_is_no_setting_is_refused_with_the_one_that_may_be_meant(
    tmp_path: Path, name: str, advice: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.load({name: "8000"}, tmp_path)
    assert str(raised.value).startswith(f"{name} is no setting; {advice}")


def test_a_name_in_the_file_that_is_no_setting_is_refused_alike(tmp_path: Path) -> None:
    (tmp_path / "farebox.toml").write_text('secret_kye = "x"\n')
    with pytest.raises(SettingsError, match=r"farebox\.toml: secret_kye is no setting; did you mean secret_key\?"):
        Settings.load({}, tmp_path)


def test_names_that_are_meant_for_something_else_are_let_be(tmp_path: Path) -> None:
    # Kubernetes writes these into every container beside a service called farebox, or farebox-db.
    links = {
        "FAREBOX_SERVICE_HOST": "10.0.0.1",
        "FAREBOX_SERVICE_PORT": "8000",
        "FAREBOX_SERVICE_PORT_HTTP": "8000",
        "FAREBOX_PORT": "tcp://10.0.0.1:8000",
        "FAREBOX_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "FAREBOX_PORT_8000_TCP_ADDR": "10.0.0.1",
        "FAREBOX_DB_PORT": "tcp://10.0.0.2:5432",
        "FAREBOX_DB_SERVICE_HOST": "10.0.0.2",
    }
    others = {"FAREBOX_API_KEY": "fbm_X", "FAREBOX_URL": "http://127.0.0.1:8000", "FAREBOX_TEST_SEEDS": "1", "PATH": ""}
    assert Settings() == Settings.load(links | others, tmp_path)


def test_what_the_examples_read_may_stand_beside_the_settings(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    examples = [*(root / "src/farebox/web/examples").iterdir(), *(root / "examples").rglob("*")]
    texts = [path.read_text(encoding="utf-8") for path in examples if path.is_file() and path.suffix != ".pyc"]
    names = {name for text in texts for name in re.findall(r"FAREBOX_[A-Z_]*[A-Z]", text)}
    settings = {f"FAREBOX_{field.upper()}" for field in Settings.__struct_fields__}
    assert {"FAREBOX_API_KEY", "FAREBOX_URL", "FAREBOX_MERCHANT"} <= names
    assert Settings() == Settings.load(dict.fromkeys(names - settings, "x"), tmp_path)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *((url, "https://pay.example") for url in ("https://pay.example", "https://pay.example/")),
        *((url, url) for url in ("http://[::1]:8000", "http://localhost", "https://pay_1.xn--kse-qla.example:8443")),
    ],
)
def test_a_public_url_that_makes_sense_is_taken(tmp_path: Path, url: str, expected: str) -> None:
    assert expected == Settings.load({"FAREBOX_PUBLIC_URL": url}, tmp_path).public_url


def test_the_right_public_url_is_told_if_it_is_clear(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.load({"FAREBOX_PUBLIC_URL": " HTTPS://Pay.Example/"}, tmp_path)
    assert "FAREBOX_PUBLIC_URL is ' HTTPS://Pay.Example/'; write https://pay.example" == str(raised.value)


def test_random_secret_keys_are_taken() -> None:
    for _ in range(200):
        for key in (token_hex(16), token_hex(32), token_urlsafe(24), token_urlsafe(48)):
            assert key == Settings.of(secret_key=key).secret_key


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
        database_url="postgresql://me:hush@db/x",
        smtp_url="smtp://me:hush@mail.example",
        secret_key="hush-3f09c5e71d2b8463a1f0e9d7c5b2846",
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
