"""The operator's settings, read once from the environment and farebox.toml; the environment goes first.

Once settings are loaded, nothing about them is checked anywhere else.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from farebox.setting_types import (
    SHOWN_CHARS_MAX,
    ApprovalAbove,
    Connections,
    Contact,
    DatabaseUrl,
    FilePath,
    GateFile,
    LanguageCode,
    ListenAddress,
    LogFormat,
    Networks,
    NoticeDays,
    OperatorName,
    Origins,
    PublicUrl,
    Rate,
    Secret,
    SecretKey,
    Sender,
    SmtpUrl,
    Switch,
)

CONFIG_FILE: Final = "farebox.toml"
PUBLIC_URL_DEFAULT: Final = "http://127.0.0.1:8000"
_ENVIRONMENT_PREFIX: Final = "FAREBOX_"
_PATH_OF_FIELD: Final = " - at `$."
"""What msgspec puts between the reason for a refusal and the field that was refused."""

_OTHERS: Final = frozenset(
    {
        "FAREBOX_API_KEY",
        "FAREBOX_MERCHANT",
        "FAREBOX_SETTLE_CLIENT_LEFT",
        "FAREBOX_SETTLE_PROXY",
        "FAREBOX_SETTLE_REJECTS",
        "FAREBOX_SETTLE_STATE",
        "FAREBOX_URL",
    }
)
"""Names that `farebox settle` and the developers' examples read, in an environment that they may share."""

_OTHERS_PREFIX: Final = "FAREBOX_TEST_"
"""What names begin with that steer Farebox's own tests."""

_SERVICE_LINK: Final = re.compile(
    r"FAREBOX_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)", re.ASCII
)
_SERVICE_PORT_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")
"""Kubernetes tells every container of every service in its namespace, in names that begin with the service's own."""


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what would be right."""


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

    credit_notice_days: NoticeDays = NoticeDays("7")
    """How many days before given credit ends its merchant's users are mailed, once for each grant. 0: never."""

    public_url: PublicUrl = PublicUrl()
    """Where people reach this server; links in mails start with it. Empty: where `farebox serve` listens."""

    cors_origins: Origins = Origins()
    """Browsers' origins that may read the API, separated by commas; * for all."""

    support_contact: Contact = Contact()
    """How a merchant reaches support to top up: an address, a phone number, a page."""

    operator_name: OperatorName = OperatorName()
    """What the operator is called: mails come from this name, and show it at their head."""

    logo_file: FilePath = FilePath()
    """A picture at the head of mails, in place of the operator's name: a PNG or JPEG file of 100 KiB at most."""

    templates: FilePath = FilePath()
    """A folder of templates that stand in place of Farebox's own, each for the mail that its name says."""

    language: LanguageCode = LanguageCode("en")
    """What people are spoken to in who chose no language, and whose browser names none: en, de, es, fr or pt."""

    approval_above: ApprovalAbove = ApprovalAbove()
    """What one person may move for a merchant within a day; more waits for a second. `100, JPY 20000`: by currency."""

    rate_limit: Rate = Rate("1000")
    """Requests a second of each merchant's key and process; five seconds' worth may come at once. 0: any."""

    rate_limit_staff: Rate = Rate("0")
    """The same for the keys of services and support, which are the operator's own. 0: any."""

    bad_keys: Rate = Rate("10")
    """Bad API keys a second of each address and process; ten seconds' worth may come at once. 0: any."""

    secret_key: SecretKey = SecretKey()
    """Guards sign-ins against readers of the database: 32 random characters or more, then older ones, after spaces."""

    trusted_proxies: Networks = Networks()
    """Proxies whose X-Forwarded-For is believed: addresses and networks such as 10.0.0.0/8, separated by commas."""

    webhook_networks: Networks = Networks()
    """Networks beside the public internet that webhooks may go to, with http:// too: 10.0.0.0/8, by commas."""

    gate_file: GateFile = GateFile()
    """The file of rules by which the gate answers proxies under /gate/, such as gate.toml. Empty: there is no gate."""

    gate_secret: SecretKey = SecretKey()
    """What proxies show the gate and what signs tokens: 32 random characters or more, then older ones, after spaces."""

    metrics_address: ListenAddress = ListenAddress()
    """Where metrics are read, such as 127.0.0.1:9464. Empty: on the server's port if there is a token, or nowhere."""

    metrics_token: SecretKey = SecretKey()
    """What readers of metrics show as `Authorization: Bearer ...`: 32 random characters or more, then older ones."""

    log_format: LogFormat = LogFormat("text")
    """How lines of the log are written: text for people, json for programs."""

    access_log: Switch = Switch("off")
    """Whether each request has a line in the log: on or off."""

    tracing: Switch = Switch("off")
    """Whether traces are told to a collector of OpenTelemetry: on or off. It needs the extra `tracing`."""

    @property
    def has_metrics(self) -> bool:
        """Whether anybody may read metrics."""
        return bool(self.metrics_address or self.metrics_token)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must stand in no log, with the passwords within them."""
        whole = [getattr(self, name) for name in self.__struct_fields__ if isinstance(getattr(self, name), Secret)]
        keys = (*self.secret_key.keys, *self.gate_secret.keys, *self.metrics_token.keys)
        passwords = [urlsplit(text).password for text in (self.database_url, self.smtp_url)]
        return tuple(str(text) for text in (*whole, *keys, *passwords) if text and not str(text).startswith("sqlite:"))

    @property
    def links_url(self) -> str:
        """What links begin with: the public URL, or where a server listens that is told nothing else."""
        return self.public_url or PUBLIC_URL_DEFAULT

    @property
    def mail_server(self) -> str:
        """What takes the mails away, as pages and the log name it."""
        return self.smtp_url.server if self.smtp_url else "the mail folder"

    @property
    def texts(self) -> dict[str, str]:
        """The settings as they are written; empty for what is not set."""
        return {name: str(getattr(self, name)) for name in self.__struct_fields__}

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
        for problem in _unknown_names(variables):
            raise SettingsError(problem)
        return cls.of(**{**_from_file((folder or Path.cwd()) / CONFIG_FILE), **_from_environment(variables)})


class ExaminedSettings(Struct, frozen=True):
    """Settings as far as they can be read, and what is wrong with the others."""

    settings: Settings
    problems: tuple[str, ...]
    unread: frozenset[str]
    """The settings that are wrong, and stand in `settings` as if they were not set."""


def examine_settings(environment: Mapping[str, str], folder: Path) -> ExaminedSettings:
    """Read settings as `Settings.load` does, and go on where one is wrong."""
    problems = _unknown_names(environment)
    texts = _from_environment(environment)
    unread: set[str] = set()
    try:
        texts = {**_from_file(folder / CONFIG_FILE), **texts}
    except SettingsError as error:
        problems.append(str(error))
        unread = _DEFAULTS.keys() - texts.keys()
    for name, text in list(texts.items()):
        try:
            Settings.of(**{name: text})
        except SettingsError as error:
            problems.append(str(error))
            unread.add(name)
            del texts[name]
    return ExaminedSettings(Settings.of(**texts), tuple(problems), frozenset(unread))


_DEFAULTS: Final = Settings().texts


def _read(kind: Any, text: str) -> Any:
    """Let a setting's type read it, for msgspec; what it raises is what the setting's name goes on with."""
    return kind.read(text)


def _unknown_names(variables: Mapping[str, str]) -> list[str]:
    """Say of each variable that looks like a setting and is none that it is none."""
    return [
        _unknown(name)
        for name in sorted(variables)
        if name.upper().startswith(_ENVIRONMENT_PREFIX) and not _is_known(name, variables[name])
    ]


def _from_environment(variables: Mapping[str, str]) -> dict[str, str]:
    given = {name: variables.get(_ENVIRONMENT_PREFIX + name.upper()) for name in _DEFAULTS}
    return {name: text for name, text in given.items() if text is not None}


def _from_file(path: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{CONFIG_FILE} can't be read: {error}") from error
    for name, value in content.items():
        if name not in _DEFAULTS:
            raise SettingsError(f"{CONFIG_FILE}: {_unknown(name)}")
        if not isinstance(value, str):
            raise SettingsError(f"{CONFIG_FILE}: {name} must be a string in quotes")
    return content


def _is_known(name: str, value: str) -> bool:
    """Tell whether a name of the environment is a setting, or meant for something else than Farebox."""
    if name.removeprefix(_ENVIRONMENT_PREFIX).lower() in _DEFAULTS:
        return name.isupper()
    if _SERVICE_LINK.fullmatch(name):
        # A person who writes a port for Farebox itself writes a number.
        return name != "FAREBOX_PORT" or _SERVICE_PORT_VALUE.fullmatch(value) is not None
    return name in _OTHERS or name.startswith(_OTHERS_PREFIX)


def _unknown(name: str) -> str:
    """Say that a name is no setting, and which one may be meant; what was given may be a secret."""
    import difflib  # noqa: PLC0415 - it is seldom needed.

    plain = name.upper().removeprefix(_ENVIRONMENT_PREFIX)
    is_of_environment = name.upper().startswith(_ENVIRONMENT_PREFIX)
    likely = difflib.get_close_matches(plain, [known.upper() for known in _DEFAULTS], n=1)
    if plain in ("HOST", "PORT", "WORKERS"):
        advice = f"did you mean `farebox serve --{plain.lower()}`?"
    elif likely:
        advice = f"did you mean {_ENVIRONMENT_PREFIX + likely[0] if is_of_environment else likely[0].lower()}?"
    else:
        advice = f"there are {', '.join(_DEFAULTS)}"
    return f"{name[:SHOWN_CHARS_MAX]} is no setting; {advice}"
