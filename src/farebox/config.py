"""The operator's settings, read once from the environment and farebox.toml; the environment goes first."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, get_type_hints
from urllib.parse import urlsplit

from msgspec import Struct

CONFIG_FILE: Final = "farebox.toml"
SECRET_KEY_CHARS_MIN: Final = 32
_ENVIRONMENT_PREFIX: Final = "FAREBOX_"
_SQLITE_PREFIX: Final = "sqlite:///"
_RATE: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_MAIL_SCHEMES: Final = ("smtp", "smtps")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^][:@\s]*)(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
"""As a browser writes it (RFC 6454, section 6.2), or all of them."""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+]{0,15}", re.ASCII)
_POSTGRES_ADVICE: Final = "postgresql://user:password@host/database"
_SMTP_ADVICE: Final = "smtp://user:password@host:587?starttls=true"
_SECRETS: Final = frozenset({"database_url", "smtp_url", "secret_key"})


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what would be right."""


class Settings(Struct, frozen=True, kw_only=True):
    """What the operator set. The comment of each is its reference; docs/reference/settings.md is tested against it."""

    database_url: str = "sqlite:///farebox.db"
    """Where the ledger is: sqlite:///file.db, or postgresql://user:password@host/database."""

    smtp_url: str = ""
    """The mail server: smtp://user:password@host:587?starttls=true, or smtps://. Empty: mails go to ./mail/*.eml."""

    mail_from: str = "farebox@localhost"
    """The address that alerts are sent from."""

    public_url: str = "http://127.0.0.1:8000"
    """Where people reach this server; links in mails start with it."""

    cors_origins: str = ""
    """Browsers' origins that may read the API, separated by commas; * for all."""

    support_contact: str = ""
    """How a merchant reaches support to top up: an address, a phone number, a page."""

    approval_above: str = ""
    """A top-up or adjustment of more than this amount waits for a second support person. Empty: none does."""

    rate_limit: str = "1000"
    """Requests a second of each merchant's key and process; five seconds' worth may come at once. 0: any."""

    rate_limit_staff: str = "0"
    """The same for the keys of services and support, which are the operator's own. 0: any."""

    bad_keys: str = "10"
    """Bad API keys a second of each address and process; ten seconds' worth may come at once. 0: any."""

    secret_key: str = ""
    """Guards sign-ins against whoever reads the database: 32 random characters or more, the same in every process."""

    trusted_proxies: str = ""
    """Proxies whose X-Forwarded-For is believed: addresses and networks such as 10.0.0.0/8, separated by commas."""

    def __repr__(self) -> str:
        """Show the settings, those that hold secrets only as being there."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        shown = (f"{name}={'***' if name in _SECRETS and value else repr(value)}" for name, value in values.items())
        return f"Settings({', '.join(shown)})"

    @property
    def rate_limit_per_second(self) -> float:
        """Requests a second of a merchant's key; 0 for any."""
        return float(self.rate_limit)

    @property
    def staff_rate_limit_per_second(self) -> float:
        """Requests a second of a service's or support's key; 0 for any."""
        return float(self.rate_limit_staff)

    @property
    def bad_keys_per_second(self) -> float:
        """Bad keys a second of an address; 0 for any."""
        return float(self.bad_keys)

    @property
    def trusted_proxy_list(self) -> tuple[str, ...]:
        """The proxies that are trusted, one by one."""
        return tuple(proxy.strip() for proxy in self.trusted_proxies.split(",") if proxy.strip())

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, or None for PostgreSQL."""
        if not self.database_url.startswith(_SQLITE_PREFIX):
            return None
        return Path(self.database_url.removeprefix(_SQLITE_PREFIX))

    @property
    def cors_origin_list(self) -> tuple[str, ...]:
        """The allowed origins, one by one."""
        # Browsers write an origin in lower case and without a slash at its end.
        return tuple(origin.strip().rstrip("/").lower() for origin in self.cors_origins.split(",") if origin.strip())

    @property
    def environment(self) -> dict[str, str]:
        """The settings as the environment of a process that is to have the same."""
        return {_ENVIRONMENT_PREFIX + name.upper(): getattr(self, name) for name in self.__struct_fields__}

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> "Settings":
        """Read the settings.

        Args:
            environment: the process's own, if None.
            folder: where farebox.toml may be; the working directory, if None.

        Raises:
            SettingsError: a setting is unknown, of the wrong type, or makes no sense.
        """
        names = tuple(get_type_hints(cls))
        values = _from_file((folder or Path.cwd()) / CONFIG_FILE, names)
        for name in names:
            text = (os.environ if environment is None else environment).get(_ENVIRONMENT_PREFIX + name.upper())
            if text is not None:
                values[name] = text
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        is_postgres = self.database_url.startswith(("postgresql://", "postgres://"))
        if is_postgres:
            _check_hosts("FAREBOX_DATABASE_URL", self.database_url, _POSTGRES_ADVICE)
        elif self.sqlite_path is None or self.sqlite_path == Path():
            raise SettingsError(
                f"FAREBOX_DATABASE_URL{_scheme_shown(self.database_url)} names no database; "
                f"write sqlite:///farebox.db or {_POSTGRES_ADVICE}"
            )
        if self.smtp_url:
            _check_hosts("FAREBOX_SMTP_URL", self.smtp_url, _SMTP_ADVICE)
            if urlsplit(self.smtp_url).scheme not in _MAIL_SCHEMES or not urlsplit(self.smtp_url).hostname:
                raise SettingsError(
                    f"FAREBOX_SMTP_URL{_scheme_shown(self.smtp_url)} names no mail server; write {_SMTP_ADVICE}"
                )
        if not _is_web_page(self.public_url):
            raise SettingsError(f"FAREBOX_PUBLIC_URL is {self.public_url!r}; write https://your.host")
        for origin in self.cors_origin_list:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(
                    f"FAREBOX_CORS_ORIGINS has {origin!r}; write origins such as https://dashboard.example, or *"
                )
        for name, text in (
            ("FAREBOX_RATE_LIMIT", self.rate_limit),
            ("FAREBOX_RATE_LIMIT_STAFF", self.rate_limit_staff),
            ("FAREBOX_BAD_KEYS", self.bad_keys),
        ):
            if not _RATE.fullmatch(text):
                raise SettingsError(
                    f"{name} is {text[:40]!r}; write a number of requests a second such as 1000, or 0 for any"
                )
        if self.secret_key and len(self.secret_key) < SECRET_KEY_CHARS_MIN:
            raise SettingsError(
                f"FAREBOX_SECRET_KEY has {len(self.secret_key)} characters; write {SECRET_KEY_CHARS_MIN} random ones "
                "or more, such as `openssl rand -hex 32` prints"
            )
        if "@" not in self.mail_from:
            raise SettingsError(f"FAREBOX_MAIL_FROM is {self.mail_from!r}; write an e-mail address")


def _from_file(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{CONFIG_FILE} can't be read: {error}") from error
    for name, value in content.items():
        if name not in names:
            raise SettingsError(f"{CONFIG_FILE}: {name!r} is no setting; there are {', '.join(names)}")
        if not isinstance(value, str):
            raise SettingsError(f"{CONFIG_FILE}: {name} must be a string in quotes")
    return content


def _check_hosts(name: str, url: str, advice: str) -> None:
    """See that a URL names hosts and ports (PostgreSQL's may name several).

    Nothing of it is quoted: where it was mistyped, a part of the password may stand anywhere.
    """
    try:
        hosts = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        hosts = ":"
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise SettingsError(
            f"{name} can't be read; write {advice}, with letters such as @ / : # ? % in user and password "
            "percent-encoded"
        )


def _is_web_page(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _scheme_shown(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return f" ({scheme}://...)" if separator and _SCHEME.fullmatch(scheme) else ""
