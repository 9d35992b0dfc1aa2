"""One mail over real TLS: certificates are checked, and what was to be encrypted is never sent in the clear."""

import ssl

import pytest
import trustme

from farebox.alerts.smtp import SmtpTransport
from farebox.alerts.transport import TransientFailure
from tests.alerts.conftest import StartServer
from tests.alerts.mailserver import MailServer, composed
from tests.alerts.test_smtp import SHORT_S, a_message

AUTHORITY = trustme.CA()


def presenting(name: str, authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    """Make a server's side of TLS, with a certificate for a name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    """Make a client's side of TLS that trusts one authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_starttls(start_server: StartServer) -> None:
    server = await start_server(MailServer(starttls=presenting("127.0.0.1"), login=("farebox", "secret")))
    url = f"smtp://farebox:secret@127.0.0.1:{server.port}?starttls=true"
    await SmtpTransport(url, tls_context=trusting()).send(composed(a_message()), "ann@example.com")
    assert ["ann@example.com"] == server.recipients
    assert server.sessions[0].ssl is not None
    assert server.sessions[0].authenticated


async def test_tls_from_the_start(start_server: StartServer) -> None:
    server = await start_server(MailServer(tls=presenting("127.0.0.1"), login=("farebox", "secret")))
    url = f"smtps://farebox:secret@127.0.0.1:{server.port}"
    await SmtpTransport(url, tls_context=trusting()).send(composed(a_message()), "ann@example.com")
    assert ["ann@example.com"] == server.recipients


async def test_a_server_without_starttls_gets_nothing(server: MailServer) -> None:
    transport = SmtpTransport(f"{server.url}?starttls=true", tls_context=trusting())
    with pytest.raises(TransientFailure, match="STARTTLS"):
        await transport.send(composed(a_message()), "ann@example.com")
    assert ([], []) == (server.asked, server.received)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("fault", ["another name", "an authority nobody trusts", "the system's trust"])
async def test_a_certificate_that_is_not_to_be_trusted(start_server: StartServer, scheme: str, fault: str) -> None:
    authority = trustme.CA() if fault == "an authority nobody trusts" else AUTHORITY
    certificate = presenting("192.0.2.1" if fault == "another name" else "127.0.0.1", authority)
    server = MailServer(starttls=certificate) if scheme == "smtp" else MailServer(tls=certificate)
    await start_server(server)
    url = f"{scheme}://127.0.0.1:{server.port}" + ("?starttls=true" if scheme == "smtp" else "")
    transport = SmtpTransport(url, tls_context=None if fault == "the system's trust" else trusting())
    with pytest.raises(TransientFailure, match=r"certificate|CERTIFICATE_VERIFY_FAILED"):
        await transport.send(composed(a_message()), "ann@example.com")
    assert ([], []) == (server.asked, server.received)


async def test_tls_to_a_server_that_speaks_none(server: MailServer) -> None:
    transport = SmtpTransport(f"smtps://127.0.0.1:{server.port}", tls_context=trusting(), timeout_seconds=SHORT_S)
    with pytest.raises(TransientFailure, match="can't be reached"):
        await transport.send(composed(a_message()), "ann@example.com")
    assert [] == server.received
