"""The mail server's URL: what it says, read without anything that mail is sent with."""

from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

_PORTS: Final = {"smtp": 25, "starttls": 587, "smtps": 465}
_SWITCH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_ADVICE: Final = (
    "the mail server's URL can't be read; write smtp://user:password@host:587?starttls=true or "
    "smtps://user:password@host, with letters such as @ / : # ? % in user and password percent-encoded"
)


class InvalidSmtpUrl(ValueError):
    """The mail server's URL makes no sense; the message says what would be right and never repeats the URL."""


class SmtpServer(Struct, frozen=True):
    """A mail server: where it is, who logs in there, and how the connection is secured."""

    host: str
    port: int
    username: str | None
    password: str | None
    is_tls: bool
    is_starttls: bool

    @property
    def is_on_this_machine(self) -> bool:
        """Whether what is sent to it crosses no network."""
        return _is_this_machine(self.host)

    def __repr__(self) -> str:
        """Name the server and how it is reached; who logs in, and how, stays out of logs."""
        security = "TLS" if self.is_tls else "STARTTLS" if self.is_starttls else "no TLS"
        return f"SmtpServer({self.host}:{self.port}, {security})"


def read_smtp_url(url: str) -> SmtpServer:
    """Read a mail server's URL.

    `smtps://` is TLS from the start. `smtp://…?starttls=true` upgrades to TLS or sends nothing. With a user and a
    password that is the default, except to a server on this machine: a password crosses a network in the clear only if
    the URL says `starttls=false`.

    Args:
        url: `smtp://user:password@host:587?starttls=true` or the like; characters with a meaning in URLs are
            percent-encoded in user and password.

    Raises:
        InvalidSmtpUrl: another scheme, no host, a port that is none, or an option that is not known.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        # The parser's own message quotes the URL, which holds a password.
        raise InvalidSmtpUrl(_ADVICE) from None
    if scheme not in ("smtp", "smtps") or not host or parts.path.strip("/") or parts.fragment:
        raise InvalidSmtpUrl(_ADVICE)
    username = None if parts.username is None else unquote(parts.username)
    is_tls = scheme == "smtps"
    is_starttls = not is_tls and _read_starttls(options, default=username is not None and not _is_this_machine(host))
    return SmtpServer(
        host=host,
        port=port or _PORTS["starttls" if is_starttls else scheme],
        username=username,
        password=None if parts.password is None else unquote(parts.password),
        is_tls=is_tls,
        is_starttls=is_starttls,
    )


def _read_starttls(options: dict[str, str], *, default: bool) -> bool:
    """Read the one option there is; a misspelt one must not pass for `false`."""
    text = options.pop("starttls", None)
    if options or (text is not None and text.lower() not in _SWITCH):
        raise InvalidSmtpUrl("the mail server's URL takes one option, starttls=true or starttls=false")
    return default if text is None else _SWITCH[text.lower()]


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
