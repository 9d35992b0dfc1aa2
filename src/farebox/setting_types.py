"""The types of settings: each reads its text, and refuses there what makes no sense.

A refusal is a ValueError whose message goes on from the setting's name.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from farebox.alerts.smtp_url import InvalidSmtpUrl, read_smtp_url
from farebox.core.approvals import ApprovalLimits
from farebox.core.money import format_amount
from farebox.service.languages import LANGUAGE_NAMES
from farebox.service.parsing import InvalidAmount, parse_amount

SECRET_KEY_CHARS_MIN: Final = 32
SECRET_KEYS_MAX: Final = 5
CONNECTIONS_MAX: Final = 500
"""How many connections to the mail server a process may be set to have."""

NOTICE_DAYS_MAX: Final = 365
"""How many days ahead an end may be told at most."""

_SQLITE_PREFIX: Final = "sqlite:///"
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_ADVICE_LIMITS: Final = "; write an amount, or some by currency, such as 100, JPY 20000, KWD 50"
_RATE: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_WEB_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(:[0-9]{1,5})?", re.ASCII)
"""A host as links and cookies have it: in lower case, and in ASCII (`xn--...`)."""

_DOMAIN: Final = re.compile(
    r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII | re.IGNORECASE
)
_PORT_MAX: Final = 65_535
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_INVISIBLE: Final = re.compile(r"[\x00-\x20\x7f]")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^][:@\s]*)(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
"""As a browser writes it (RFC 6454, section 6.2), or all of them."""

_LISTEN: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9][a-z0-9._-]*):(?P<port>[0-9]{1,5})", re.ASCII | re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+]{0,15}", re.ASCII)
_MAIL_SCHEMES: Final = ("smtp", "smtps")
_ADVICE_POSTGRES: Final = "postgresql://user:password@host/database"
_ADVICE_SMTP: Final = "smtp://user:password@host:587?starttls=true"
SHOWN_CHARS_MAX: Final = 200
"""So much of what was given is repeated in a refusal."""

_CONTACT_CHARS_MAX: Final = 200
_NAME_CHARS_MAX: Final = 60
_SECRET_KEY_DISTINCT_MIN: Final = 8
"""How many different characters a secret key has at least; 32 random hexadecimal digits have."""

_SECRET_KEY_WORDS: Final = ("changeme", "placeholder", "replace", "example", "secret", "password", "farebox")
"""What stands in keys that were copied from somewhere: no random one has such a word."""


def url_host(host: str) -> str:
    """Write a host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


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
        path = text.removeprefix(_SQLITE_PREFIX)
        # The name of a file may have spaces in it.
        if _INVISIBLE.search(text if path == text else path[:1] + path[-1:]):
            raise ValueError(f" has a space or a line end in it; write sqlite:///farebox.db or {_ADVICE_POSTGRES}")
        if text.startswith(("postgresql://", "postgres://")):
            _check_hosts(text, _ADVICE_POSTGRES)
        elif url.sqlite_path is None or url.sqlite_path == Path():
            raise ValueError(
                f"{_scheme_shown(text)} names no database; write sqlite:///farebox.db or {_ADVICE_POSTGRES}"
            )
        elif ":memory:" in text or "?" in text or text.endswith("/"):
            raise ValueError(
                f" is {_shown(text)}, which is no file; the ledger must outlive the process: write sqlite:///farebox.db"
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
        return f"{url_host(server.host)}:{server.port}"

    @classmethod
    def read(cls, text: str) -> Self:
        if _INVISIBLE.search(text):
            raise ValueError(f" has a space or a line end in it; write {_ADVICE_SMTP}")
        _check_hosts(text, _ADVICE_SMTP)
        if urlsplit(text).scheme not in _MAIL_SCHEMES or not urlsplit(text).hostname:
            raise ValueError(f"{_scheme_shown(text)} names no mail server; write {_ADVICE_SMTP}")
        try:
            read_smtp_url(text)
        except InvalidSmtpUrl as error:
            raise ValueError(f": {error}") from None
        return cls(text)


class SecretKey(Secret):
    """What sign-ins, the gate or metrics are guarded with: a key, and after it the ones before, with spaces between."""

    @classmethod
    def read(cls, text: str) -> Self:
        keys = text.split(" ")
        if len(keys) > SECRET_KEYS_MAX:
            raise ValueError(f" names {len(keys)} keys; write {SECRET_KEYS_MAX} at most, with a space between")
        for number, key in enumerate(keys, 1):
            which = "" if len(keys) == 1 else f": key {number} of {len(keys)}"
            if len(key) < SECRET_KEY_CHARS_MIN:
                raise ValueError(
                    f"{which} has {len(key)} characters; write {SECRET_KEY_CHARS_MIN} random ones or more, such as "
                    "`openssl rand -hex 32` prints"
                )
            weakness = _secret_key_weakness(key)
            if weakness is not None:
                raise ValueError(f"{which} {weakness}; write random characters, such as `openssl rand -hex 32` prints")
        return cls(text)

    @property
    def keys(self) -> tuple[str, ...]:
        """The key that signs and encrypts, and after it those that only verify and decrypt; an empty one if none is."""
        return tuple(self.split(" "))


class GateFile(str):
    """The path of a file, or nothing."""

    @classmethod
    def read(cls, text: str) -> Self:
        if not text.isprintable() or text != text.strip():
            raise ValueError(f" is {_shown(text)}; write the path of a file, such as /etc/farebox/gate.toml")
        return cls(text)


class FilePath(str):
    """The path of a file or a folder, or nothing."""

    @classmethod
    def read(cls, text: str) -> Self:
        if not text.isprintable() or text != text.strip():
            raise ValueError(f" is {_shown(text)}; write a path, such as /etc/farebox/templates")
        return cls(text)


class OperatorName(str):
    """What the operator is called, or nothing."""

    @classmethod
    def read(cls, text: str) -> Self:
        if len(text) > _NAME_CHARS_MAX or not text.isprintable():
            raise ValueError(f" is {_shown(text)}; write one line of up to {_NAME_CHARS_MAX} characters")
        return cls(text.strip())


class LanguageCode(str):
    """A language that Farebox speaks."""

    @classmethod
    def read(cls, text: str) -> Self:
        code = text.strip().lower()
        if code not in LANGUAGE_NAMES:
            raise ValueError(f" is {_shown(text)}; write one of {', '.join(LANGUAGE_NAMES)}")
        return cls(code)


class Sender(str):
    """The address that mails come from; it may carry a name."""

    @classmethod
    def read(cls, text: str) -> Self:
        # It takes long to import, and few commands have this setting.
        from farebox.alerts.email_address import InvalidAddress, named_mailbox  # noqa: PLC0415

        try:
            if not _DOMAIN.fullmatch(named_mailbox(text, default_name="").domain):
                raise InvalidAddress
        except InvalidAddress:
            raise ValueError(f" is {_shown(text)}; write an e-mail address") from None
        return cls(text)


class PublicUrl(str):
    """A web address: scheme, host and perhaps port, as browsers write them, and nothing else; or nothing."""

    @classmethod
    def read(cls, text: str) -> Self:
        advice = "write it as in https://your.host, without anything behind the host and its port"
        if "@" in text:
            # It may be a password that stands before it.
            raise ValueError(f" has a user or password in it; {advice}")
        if _is_web_address(text.removesuffix("/")):
            return cls(text.removesuffix("/"))
        likely = text.strip().lower().removesuffix("/")
        raise ValueError(f" is {_shown(text)}; " + (f"write {likely}" if _is_web_address(likely) else advice))


class Contact(str):
    """A line of text for people."""

    @classmethod
    def read(cls, text: str) -> Self:
        if len(text) > _CONTACT_CHARS_MAX or not text.isprintable():
            raise ValueError(f" is {_shown(text)}; write one line of up to {_CONTACT_CHARS_MAX} characters")
        return cls(text.strip())


class Origins(tuple[str, ...]):
    """Browsers' origins, as browsers write them: in lower case and without a slash at the end."""

    @classmethod
    def read(cls, text: str) -> Self:
        origins = cls(item.rstrip("/").lower() for item in _items(text))
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f" has {_shown(origin)}; write origins such as https://dashboard.example, or *")
            scheme, _, host = origin.partition("://")
            if not _has_good_port(host):
                raise ValueError(f" has {_shown(origin)}; a port is a number up to {_PORT_MAX}")
            if host.endswith(f":{_DEFAULT_PORTS.get(scheme)}"):
                # It would never be equal to what a browser sends.
                raise ValueError(
                    f" has {_shown(origin)}; browsers leave that port out: write {origin[: origin.rindex(':')]}"
                )
        if "*" in origins and len(origins) > 1:
            raise ValueError(" has * beside other origins; write * for all of them, or the origins alone")
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


class ApprovalAbove(tuple[tuple[str, int], ...]):
    """How much one person may move alone: micros by currency, for all others under an empty text."""

    @classmethod
    def read(cls, text: str) -> Self:
        limits: dict[str, int] = {}
        for item in _items(text):
            currency, _, amount = item.rpartition(" ")
            try:
                micros = parse_amount(amount)
            except InvalidAmount as error:
                raise ValueError(f": {error}{_ADVICE_LIMITS}") from None
            if currency and not _CURRENCY.fullmatch(currency.strip()):
                raise ValueError(f" has {_shown(item)}{_ADVICE_LIMITS}")
            if currency.strip() in limits:
                whose = currency.strip() or "all other currencies; thousands have no comma"
                raise ValueError(f" has two amounts for {whose}{_ADVICE_LIMITS}")
            limits[currency.strip()] = micros
        return cls(limits.items())

    @property
    def limits(self) -> ApprovalLimits:
        """The same as the ledger takes it."""
        by_currency = dict(self)
        default = by_currency.pop("", None)
        return ApprovalLimits(default, tuple(by_currency.items()))

    def __str__(self) -> str:
        return ", ".join(f"{currency} {format_amount(micros)}".strip() for currency, micros in self)


class Connections(int):
    """How many connections there may be at once."""

    @classmethod
    def read(cls, text: str) -> Self:
        if not _COUNT.fullmatch(text) or not 1 <= int(text) <= CONNECTIONS_MAX:
            raise ValueError(f" is {_shown(text)}; write a number from 1 to {CONNECTIONS_MAX}")
        return cls(text)


class NoticeDays(int):
    """How many days before something it is told; 0 for never."""

    @classmethod
    def read(cls, text: str) -> Self:
        if not _COUNT.fullmatch(text) or int(text) > NOTICE_DAYS_MAX:
            raise ValueError(f" is {_shown(text)}; write a number of days up to {NOTICE_DAYS_MAX}, or 0 for never")
        return cls(text)


class ListenAddress(str):
    """A host and a port to listen on, or nothing."""

    @classmethod
    def read(cls, text: str) -> Self:
        match = _LISTEN.fullmatch(text)
        if match is None or not 1 <= int(match["port"]) <= _PORT_MAX:
            raise ValueError(f" is {_shown(text)}, which is no address to listen on; write 127.0.0.1:9464 or [::]:9464")
        return cls(text)

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The host, without brackets, and the port."""
        host, _, port = self.rpartition(":")
        return host.strip("[]"), int(port)


class Switch(str):
    """Whether something is turned on."""

    @classmethod
    def read(cls, text: str) -> Self:
        if text not in ("on", "off"):
            raise ValueError(f" is {_shown(text)}; write on or off")
        return cls(text)

    @property
    def is_on(self) -> bool:
        """Whether it is."""
        return self == "on"


class LogFormat(str):
    """How lines of the log are written."""

    @classmethod
    def read(cls, text: str) -> Self:
        if text not in ("text", "json"):
            raise ValueError(f" is {_shown(text)}; write text or json")
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


def _secret_key_weakness(text: str) -> str | None:
    """Tell why a key can be guessed, without showing any of it; None if nothing speaks against it."""
    if _INVISIBLE.search(text[0] + text[-1]):
        return "begins or ends with a space or line end"
    if text in (text + text)[1:-1]:
        return "is the same part again and again"
    if len(set(text)) < _SECRET_KEY_DISTINCT_MIN:
        return f"has {len(set(text))} different characters"
    steps = [ord(after) - ord(before) for before, after in pairwise(text)]
    if max(map(steps.count, set(steps))) > len(steps) // 2:
        return "is a row of characters as they follow one another"
    plain = re.sub(r"[^a-z]", "", text.lower())
    return "has words in it" if any(word in plain for word in _SECRET_KEY_WORDS) else None


def _is_web_address(text: str) -> bool:
    scheme, separator, host = text.partition("://")
    is_host = bool(separator) and _WEB_HOST.fullmatch(host) is not None
    return is_host and scheme in _DEFAULT_PORTS and _has_good_port(host)


def _has_good_port(host: str) -> bool:
    """Tell whether a host has no port, or one that there is."""
    port = host.rpartition("]")[2].partition(":")[2]
    return not port or 0 < int(port) <= _PORT_MAX


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _shown(text: str) -> str:
    return repr(text[:SHOWN_CHARS_MAX])


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
