"""Settings: those that can't be read, are unsafe, or contradict one another or where the server listens."""

from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from farebox.background import make_mail_settings
from farebox.bootstrap import ensure_tracing, gate_rules
from farebox.cli.doctor.findings import CheckContext, Finding, error, ok, warn
from farebox.cli.serving.public_url import public_url_warning
from farebox.cli.serving.start_warnings import open_files
from farebox.config import ExaminedSettings, SettingsError
from farebox.service.gate.files import BadRules
from farebox.setting_types import Networks

_METADATA_ADDRESS: Final = IPv4Address("169.254.169.254")
"""Where clouds tell the machines in them their secrets."""

_PUBLIC_ADDRESSES_MAX: Final = 1 << 16
"""A network of more public addresses than that is hardly one of proxies."""

_ADVICE_SECRET: Final = "set it to what `openssl rand -hex 32` prints, the same for every process and command"  # noqa: S105
_ENVIRONMENT: Final = "the environment and farebox.toml"


def check_readable(examined: ExaminedSettings) -> list[Finding]:
    """Tell which settings can't be read."""
    if not examined.problems:
        return [ok("settings.readable", _ENVIRONMENT, "all settings can be read")]
    return [
        error("settings.readable", _ENVIRONMENT, problem, "correct it; docs/reference/settings.md lists all settings")
        for problem in examined.problems
    ]


def check_settings(context: CheckContext) -> list[Finding]:
    """Tell what is unsafe about the settings."""
    return [
        *_secret_key(context),
        *_private_files(context),
        *_public_url(context),
        *_gate(context),
        *_trusted_proxies(context),
        *_webhook_networks(context),
        *_mail_sender(context),
        *_tracing(context),
    ]


def _tracing(context: CheckContext) -> list[Finding]:
    check, name = "settings.tracing", "FAREBOX_TRACING"
    try:
        ensure_tracing(context.settings)
    except SettingsError as problem:
        found, _, advice = str(problem).partition(": ")
        return [error(check, name, found, advice)]
    return [ok(check, name, f"traces are {context.settings.tracing}")]


def _secret_key(context: CheckContext) -> list[Finding]:
    name = "FAREBOX_SECRET_KEY"
    if "secret_key" in context.unread:
        return []
    if context.settings.secret_key:
        return [ok("settings.secret-key", name, "sign-ins and destinations' secrets are guarded by a key")]
    found = "it is not set: a person who reads the database, or a backup of it, can sign in as anybody"
    return [warn("settings.secret-key", name, found, _ADVICE_SECRET)]


def _private_files(context: CheckContext) -> list[Finding]:
    names = " ".join(map(str, open_files(context.settings, context.folder)))
    if not names:
        return [ok("settings.private-files", str(context.folder), "other accounts may read none of Farebox's files")]
    found = "other accounts of this machine may read or write these files"
    return [warn("settings.private-files", names, found, f"chmod go= {names}")]


def _public_url(context: CheckContext) -> list[Finding]:
    name, settings = "FAREBOX_PUBLIC_URL", context.settings
    if "public_url" in context.unread:
        return []
    check, url = "settings.public-url", settings.public_url
    if not url:
        found = f"it is not set: links in mails begin with {settings.links_url}, or wherever a server listens"
        return [warn(check, name, found, "set it to where people reach the server")]
    loopback = public_url_warning(url, context.host, context.port)
    if loopback is not None:
        found, _, advice = loopback.partition("; ")
        return [warn(check, name, found, advice)]
    host = urlsplit(url).hostname or ""
    if url.startswith("http://") and not _is_loopback(host):
        found = f"{url} has no TLS: passwords, sessions and API keys can be read on their way"
        return [warn(check, name, found, "put a proxy with TLS before the server, and write https://")]
    return [ok(check, name, f"links begin with {url}")]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _gate(context: CheckContext) -> list[Finding]:
    check, settings = "settings.gate", context.settings
    if not settings.gate_file:
        if not settings.gate_secret:
            return []
        advice = "set FAREBOX_GATE_FILE, or take the secret out"
        return [warn(check, "FAREBOX_GATE_SECRET", "there is a secret for the gate, and no gate", advice)]
    if "gate_secret" in context.unread:
        return []
    try:
        rules = gate_rules(settings)
    except (SettingsError, BadRules) as problem:
        return [error(check, settings.gate_file, str(problem), "correct it; `farebox gate check` reads the file alone")]
    return [ok(check, settings.gate_file, f"the gate has {len(rules.routes) if rules else 0} routes")]


def _trusted_proxies(context: CheckContext) -> list[Finding]:
    check, name, settings = "proxies.trusted", "FAREBOX_TRUSTED_PROXIES", context.settings
    if "trusted_proxies" in context.unread:
        return []
    wide = _too_wide(settings.trusted_proxies)
    if wide:
        found = f"{', '.join(wide)} believes anybody's X-Forwarded-For: who writes one is counted as another"
        return [error(check, name, found, "name the proxies' own addresses")]
    if not settings.trusted_proxies and settings.public_url.startswith("https://"):
        found = (
            "people reach the server by TLS, which a proxy ends, and no proxy is trusted: all of them count as one "
            "address, and one who guesses passwords or keys locks all others out"
        )
        return [warn(check, name, found, "name the proxy's address, such as 127.0.0.1")]
    count = len(settings.trusted_proxies)
    found = f"X-Forwarded-For of {settings.trusted_proxies} is believed" if count else "no X-Forwarded-For is believed"
    return [ok(check, name, found)]


def _too_wide(networks: Networks) -> list[str]:
    """List networks that hold everybody, or so much of the public internet that strangers are in them."""
    return [
        str(network)
        for network in networks
        if network.prefixlen == 0
        or (
            network.is_global and not isinstance(network, IPv6Network) and network.num_addresses > _PUBLIC_ADDRESSES_MAX
        )
    ]


def _webhook_networks(context: CheckContext) -> list[Finding]:
    check, name, networks = "settings.webhook-networks", "FAREBOX_WEBHOOK_NETWORKS", context.settings.webhook_networks
    if "webhook_networks" in context.unread:
        return []
    within = [str(network) for network in networks if network.is_loopback or _METADATA_ADDRESS in network]
    if not within:
        found = f"webhooks may go to {networks}, too" if networks else "webhooks go to the public internet alone"
        return [ok(check, name, found)]
    found = f"{', '.join(within)} lets merchants' webhooks reach this machine itself, or what its cloud tells it"
    return [warn(check, name, found, "name only networks whose every server may be called by merchants")]


def _mail_sender(context: CheckContext) -> list[Finding]:
    check, name, settings = "mail.sender", "FAREBOX_MAIL_FROM", context.settings
    if {"mail_from", "smtp_url"} & context.unread:
        return []
    _, problems = make_mail_settings(settings)
    findings = [
        warn("mail.files", "FAREBOX_TEMPLATES and FAREBOX_LOGO_FILE", problem, "see `farebox mail preview FOLDER`")
        for problem in problems
    ]
    domain = settings.mail_from.rpartition("@")[2].rstrip("> ").lower()
    if settings.smtp_url and (domain == "localhost" or domain.endswith((".localhost", ".invalid"))):
        found = f"mails come from {settings.mail_from}, which no mail server elsewhere takes for an address"
        return [*findings, warn(check, name, found, "set it to an address of your own domain")]
    return [*findings, ok(check, name, f"mails come from {settings.mail_from}")]
