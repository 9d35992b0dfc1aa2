"""The operator's settings, read once from the environment and farebox.toml; the environment goes first.

Each setting has a type that reads it from its text, and refuses it there: once settings are loaded, nothing about them
is checked anywhere else.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from farebox.alerts.smtp_url import InvalidSmtpUrl, read_smtp_url
from farebox.core.money import format_amount
from farebox.service.parsing import InvalidAmount, parse_amount

CONFIG_FILE: Final = "farebox.toml"
SECRET_KEY_CHARS_MIN: Final = 32
CONNECTIONS_MAX: Final = 500
"""How many connections to the mail server a process may be set to have."""
_ENVIRONMENT_PREFIX: Final = "FAREBOX_"
_SQLITE_PREFIX: Final = "sqlite:///"
_RATE: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^][:@\s]*)(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
"""As a browser writes it (RFC 6454, section 6.2), or all of them."""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+]{0,15}", re.ASCII)
_MAIL_SCHEMES: Final = ("smtp", "smtps")
_ADVICE_POSTGRES: Final = "postgresql://user:password@host/database"
_ADVICE_SMTP: Final = "smtp://user:password@host:587?starttls=true"
_PATH_OF_FIELD: Final = " - at `$."
"""What msgspec puts between the reason for a refusal and the field that was refused."""

_SHOWN_CHARS_MAX: Final = 200


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what would be right."""


class Secret(str):
    """A text that is never shown."""

    def __repr__(self) -> str:
        """Show only whether there is one."""
        return "***" if self else "''"


class DatabaseUrl(Secret):
    """Where the ledger is."""

    @classmethod
    def read(cls, text: str) -> Self:
        url = cls(text)
        if text.startswith(("postgresql://", "postgres://")):
            _check_hosts(text, _ADVICE_POSTGRES)
        elif url.sqlite_path is None or url.sqlite_path == Path():
            raise ValueError(
                f"{_scheme_shown(text)} names no database; write sqlite:///farebox.db or {_ADVICE_POSTGRES}"
            )
        return url

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, or None for PostgreSQL."""
        return Path(self.removeprefix(_SQLITE_PREFIX)) if self.startswith(_SQLITE_PREFIX) else None


class SmtpUrl(Secret):
    """The mail server, or nothing."""

    @property
    def server(self) -> str:
        """The mail server's host and port."""
        server = read_smtp_url(self)
        return f"{f'[{server.host}]' if ':' in server.host else server.host}:{server.port}"

    @classmethod
    def read(cls, text: str) -> Self:
        _check_hosts(text, _ADVICE_SMTP)
        if urlsplit(text).scheme not in _MAIL_SCHEMES or not urlsplit(text).hostname:
            raise ValueError(f"{_scheme_shown(text)} names no mail server; write {_ADVICE_SMTP}")
        try:
            read_smtp_url(text)
        except InvalidSmtpUrl as error:
            raise ValueError(f": {error}") from None
        return cls(text)


class SecretKey(Secret):
    """What sign-ins are guarded with."""

    @classmethod
    def read(cls, text: str) -> Self:
        if len(text) < SECRET_KEY_CHARS_MIN:
            raise ValueError(
                f" has {len(text)} characters; write {SECRET_KEY_CHARS_MIN} random ones or more, such as "
                "`openssl rand -hex 32` prints"
            )
        return cls(text)


class Sender(str):
    """The address that mails come from; it may carry a name."""

    @classmethod
    def read(cls, text: str) -> Self:
        # It takes long to import, and few commands have this setting.
        from farebox.alerts.email_address import InvalidAddress, named_mailbox  # noqa: PLC0415

        try:
            named_mailbox(text, default_name="")
        except InvalidAddress:
            raise ValueError(f" is {_shown(text)}; write an e-mail address") from None
        return cls(text)


class PublicUrl(str):
    """A web address, without a slash at its end."""

    @classmethod
    def read(cls, text: str) -> Self:
        try:
            is_web_page = urlsplit(text).scheme in ("http", "https")
        except ValueError:
            is_web_page = False
        if not is_web_page:
            raise ValueError(f" is {_shown(text)}; write https://your.host")
        return cls(text.rstrip("/"))


class Origins(tuple[str, ...]):
    """Browsers' origins, as browsers write them: in lower case and without a slash at the end."""

    @classmethod
    def read(cls, text: str) -> Self:
        origins = cls(item.rstrip("/").lower() for item in _items(text))
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f" has {_shown(origin)}; write origins such as https://dashboard.example, or *")
        return origins

    def __str__(self) -> str:
        return ",".join(self)


class Networks(tuple[IPv4Network | IPv6Network, ...]):
    """Addresses and networks."""

    @classmethod
    def read(cls, text: str) -> Self:
        networks = []
        for item in _items(text):
            try:
                networks.append(ip_network(item))
            except ValueError:
                raise ValueError(f": {_shown(item)} is neither an address nor a network such as 10.0.0.0/8") from None
        return cls(networks)

    def __str__(self) -> str:
        return ",".join(map(str, self))


class Amount(int):
    """An amount of money, in micros."""

    @classmethod
    def read(cls, text: str) -> Self:
        try:
            return cls(parse_amount(text))
        except InvalidAmount as error:
            raise ValueError(f": {error}") from None

    def __str__(self) -> str:
        return format_amount(self)


class Connections(int):
    """How many connections there may be at once."""

    @classmethod
    def read(cls, text: str) -> Self:
        if not _COUNT.fullmatch(text) or not 1 <= int(text) <= CONNECTIONS_MAX:
            raise ValueError(f" is {_shown(text)}; write a number from 1 to {CONNECTIONS_MAX}")
        return cls(text)


class Rate(float):
    """Requests a second."""

    @classmethod
    def read(cls, text: str) -> Self:
        if not _RATE.fullmatch(text):
            raise ValueError(f" is {text[:40]!r}; write a number of requests a second such as 1000, or 0 for any")
        return cls(text)

    def __str__(self) -> str:
        return format(self, "f").rstrip("0").rstrip(".")


class Settings(Struct, frozen=True, kw_only=True):
    """What the operator set. The comment of each is its reference; docs/reference/settings.md is tested against it."""

    database_url: DatabaseUrl = DatabaseUrl("sqlite:///farebox.db")
    """Where the ledger is: sqlite:///file.db, or postgresql://user:password@host/database."""

    smtp_url: SmtpUrl = SmtpUrl()
    """The mail server: smtp://user:password@host:587?starttls=true, or smtps://. Empty: mails go to ./mail/*.eml."""

    mail_from: Sender = Sender("farebox@localhost")
    """The address that alerts are sent from."""

    smtp_connections: Connections = Connections("20")
    """How many mails each process hands to the mail server at once: a slow one takes so many in the time of one."""

    public_url: PublicUrl = PublicUrl("http://127.0.0.1:8000")
    """Where people reach this server; links in mails start with it."""

    cors_origins: Origins = Origins()
    """Browsers' origins that may read the API, separated by commas; * for all."""

    support_contact: str = ""
    """How a merchant reaches support to top up: an address, a phone number, a page."""

    approval_above: Amount | None = None
    """A top-up or adjustment of more than this amount waits for a second support person. Empty: none does."""

    rate_limit: Rate = Rate("1000")
    """Requests a second of each merchant's key and process; five seconds' worth may come at once. 0: any."""

    rate_limit_staff: Rate = Rate("0")
    """The same for the keys of services and support, which are the operator's own. 0: any."""

    bad_keys: Rate = Rate("10")
    """Bad API keys a second of each address and process; ten seconds' worth may come at once. 0: any."""

    secret_key: SecretKey = SecretKey()
    """Guards sign-ins against whoever reads the database: 32 random characters or more, the same in every process."""

    trusted_proxies: Networks = Networks()
    """Proxies whose X-Forwarded-For is believed: addresses and networks such as 10.0.0.0/8, separated by commas."""

    @property
    def mail_server(self) -> str:
        """What takes the mails away, as pages and the log name it."""
        return self.smtp_url.server if self.smtp_url else "the mail folder"

    @property
    def texts(self) -> dict[str, str]:
        """The settings as they are written; empty for what is not set."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: "" if value is None else str(value) for name, value in values.items()}

    @property
    def environment(self) -> dict[str, str]:
        """The settings as the environment of a process that is to have the same."""
        return {_ENVIRONMENT_PREFIX + name.upper(): text for name, text in self.texts.items()}

    @classmethod
    def of(cls, **texts: str) -> Self:
        """Read settings from their texts; what is not given, or empty and may be so, has its default.

        Raises:
            SettingsError: a setting makes no sense.
        """
        given = {name: text for name, text in texts.items() if text or _DEFAULTS[name]}
        try:
            return msgspec.convert(given, cls, dec_hook=_read)
        except msgspec.ValidationError as error:
            reason, _, name = str(error).rpartition(_PATH_OF_FIELD)
            # The reason names no secret; what was given might.
            raise SettingsError(f"{_ENVIRONMENT_PREFIX}{name.strip('`').upper()}{reason}") from None

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Self:
        """Read the settings.

        Args:
            environment: the process's own, if None.
            folder: where farebox.toml may be; the working directory, if None.

        Raises:
            SettingsError: a setting is unknown, of the wrong type, or makes no sense.
        """
        variables = os.environ if environment is None else environment
        texts = _from_file((folder or Path.cwd()) / CONFIG_FILE)
        for name in cls.__struct_fields__:
            text = variables.get(_ENVIRONMENT_PREFIX + name.upper())
            if text is not None:
                texts[name] = text
        return cls.of(**texts)


_DEFAULTS: Final = Settings().texts


def _read(kind: Any, text: str) -> Any:
    """Let a setting's type read it, for msgspec; what it raises is what the setting's name goes on with."""
    return kind.read(text)


def _from_file(path: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{CONFIG_FILE} can't be read: {error}") from error
    for name, value in content.items():
        if name not in _DEFAULTS:
            raise SettingsError(f"{CONFIG_FILE}: {name!r} is no setting; there are {', '.join(_DEFAULTS)}")
        if not isinstance(value, str):
            raise SettingsError(f"{CONFIG_FILE}: {name} must be a string in quotes")
    return content


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARS_MAX])


def _check_hosts(url: str, advice: str) -> None:
    """See that a URL names hosts and ports (PostgreSQL's may name several).

    Nothing of it is quoted: where it was mistyped, a part of the password may stand anywhere.
    """
    try:
        hosts = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        hosts = ":"
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ValueError(
            f" can't be read; write {advice}, with letters such as @ / : # ? % in user and password percent-encoded"
        )


def _scheme_shown(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return f" ({scheme}://...)" if separator and _SCHEME.fullmatch(scheme) else ""
