"""One mail over real SMTP: what the server gets, and what becomes of its answers."""

import asyncio
import logging
from email.message import EmailMessage
from typing import Final

import pytest
from msgspec.structs import replace

from farebox.alerts.alert_mail import alert_message
from farebox.alerts.smtp import SmtpTransport
from farebox.alerts.smtp_url import InvalidSmtpUrl
from farebox.alerts.transport import PermanentFailure, TransientFailure
from tests.alerts.conftest import StartServer
from tests.alerts.mailserver import DIES, HANGS, MailServer, composed, greeting, until
from tests.alerts.test_messages import MAIL_SETTINGS, a_subject, text_of

SHORT_S: Final = 0.05
"""A time-out for tests in which the server is never to answer in time."""


def a_message(email: str = "ann@example.com", mail_from: str = MAIL_SETTINGS.mail_from) -> EmailMessage:
    return alert_message(a_subject(email=email), replace(MAIL_SETTINGS, mail_from=mail_from))


async def test_a_mail_arrives_as_it_was_written(server: MailServer) -> None:
    message = a_message()
    await SmtpTransport(server.url).send(composed(message), "ann@example.com")
    ((envelope, received),) = server.received
    assert "alerts@farebox.example" == envelope.mail_from
    assert ["ann@example.com"] == envelope.rcpt_tos
    assert dict(message.items()) == dict(received.items())
    assert text_of(message) == text_of(received)


async def test_lines_that_begin_with_a_point_survive(server: MailServer) -> None:
    message = a_message()
    message.clear_content()
    message.set_content(".\r\n..\r\n. at the start\r\n", cte="7bit")
    await SmtpTransport(server.url).send(composed(message), "ann@example.com")
    assert ".\n..\n. at the start\n" == server.messages[0].get_content().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ("550 5.1.1 No such user", PermanentFailure),
        ("553 5.1.3 Not a mailbox", PermanentFailure),
        ("554 5.7.1 Not wanted here", PermanentFailure),
        ("450 4.2.1 Mailbox busy", TransientFailure),
        ("451 4.7.1 Greylisted", TransientFailure),
        ("452 4.2.2 Mailbox full", TransientFailure),
        ("421 4.3.2 Going down", TransientFailure),
        ("530 5.7.0 Authentication required", TransientFailure),
        ("503 5.5.1 Bad sequence", TransientFailure),
    ],
)
@pytest.mark.parametrize("step", ["rcpt", "data"])
async def test_refusals_of_a_recipient_or_a_message(
    server: MailServer, step: str, answer: str, failure: type[Exception]
) -> None:
    (server.rcpt["ann@example.com"] if step == "rcpt" else server.data).append(answer)
    with pytest.raises(failure) as caught:
        await SmtpTransport(server.url).send(composed(a_message()), "ann@example.com")
    what = "refused ann@example.com" if step == "rcpt" else "refused the message"
    assert f"the mail server {what}: {answer}" == str(caught.value)


@pytest.mark.parametrize("answer", ["550 5.1.8 Unknown sender", "451 4.3.0 Later"])
async def test_a_refused_sender_is_the_operators_to_mend(server: MailServer, answer: str) -> None:
    server.mail.append(answer)
    with pytest.raises(TransientFailure, match=r"refused the sender alerts@farebox\.example"):
        await SmtpTransport(server.url).send(composed(a_message()), "ann@example.com")


async def test_a_refusal_counts_even_if_the_server_then_hangs(server: MailServer) -> None:
    server.rcpt["ann@example.com"].append("550 5.1.1 No such user")
    server.quit.append(HANGS)
    with pytest.raises(PermanentFailure):
        await SmtpTransport(server.url).send(composed(a_message()), "ann@example.com")


@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("behaviour", [DIES, HANGS])
async def test_a_server_that_dies_or_hangs_may_come_back(server: MailServer, step: str, behaviour: str) -> None:
    scripts = {"mail": server.mail, "rcpt": server.rcpt["ann@example.com"], "data": server.data}
    scripts[step].append(behaviour)
    transport = SmtpTransport(server.url, timeout_seconds=SHORT_S if behaviour == HANGS else 30)
    with pytest.raises(TransientFailure, match="the mail server"):
        await transport.send(composed(a_message()), "ann@example.com")


@pytest.mark.parametrize("behaviour", [DIES, HANGS, "421 4.3.2 Going down"])
async def test_what_was_taken_is_sent_however_the_server_says_good_bye(server: MailServer, behaviour: str) -> None:
    server.quit.append(behaviour)
    await SmtpTransport(server.url, quit_seconds_max=SHORT_S).send(composed(a_message()), "ann@example.com")
    assert ["ann@example.com"] == server.recipients


async def test_a_server_that_is_down(server: MailServer) -> None:
    await server.stop()
    with pytest.raises(TransientFailure, match="the mail server can't be reached: "):
        await SmtpTransport(server.url).send(composed(a_message()), "ann@example.com")


async def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(TransientFailure, match="the mail server can't be reached: "):
        await SmtpTransport("smtp://mail.invalid").send(composed(a_message()), "ann@example.com")


@pytest.mark.parametrize(
    "words", [b"", b"554 5.3.2 No service\r\n", b"HTTP/1.1 400 Bad Request\r\n", b"220 " + b"x" * 90_000]
)
async def test_what_is_no_mail_server(words: bytes) -> None:
    async with greeting(words) as url:
        with pytest.raises(TransientFailure):
            await SmtpTransport(url, timeout_seconds=SHORT_S).send(composed(a_message()), "ann@example.com")


async def test_what_a_server_says_is_one_line_that_can_be_stored() -> None:
    async with greeting(b"554-\x1b[31mNo \xff service\r\n554 \x00 today\r\n") as url:
        with pytest.raises(TransientFailure) as caught:
            await SmtpTransport(url).send(composed(a_message()), "ann@example.com")
    assert "the mail server can't be reached: 554 [31mNo service today" == str(caught.value)


async def test_a_stop_does_not_wait_for_a_server_that_hangs(server: MailServer) -> None:
    server.rcpt["ann@example.com"].append(HANGS)
    task = asyncio.create_task(
        SmtpTransport(server.url, timeout_seconds=3600).send(composed(a_message()), "ann@example.com")
    )
    await until(lambda: bool(server.asked))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_login(start_server: StartServer) -> None:
    server = await start_server(MailServer(login=("farebox", "p@ss/w:rd?#")))
    url = f"smtp://farebox:p%40ss%2Fw%3Ard%3F%23@127.0.0.1:{server.port}"
    await SmtpTransport(url).send(composed(a_message()), "ann@example.com")
    assert ["ann@example.com"] == server.recipients
    assert server.sessions[0].authenticated


async def test_a_login_that_is_wrong_or_missing_may_be_mended(start_server: StartServer) -> None:
    server = await start_server(MailServer(login=("farebox", "right")))
    with pytest.raises(TransientFailure, match="the mail server refused the login: 535 "):
        await SmtpTransport(f"smtp://farebox:wrong@127.0.0.1:{server.port}").send(
            composed(a_message()), "ann@example.com"
        )
    with pytest.raises(TransientFailure, match="Authentication required"):
        await SmtpTransport(server.url).send(composed(a_message()), "ann@example.com")


async def test_the_password_is_never_shown(start_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = await start_server(MailServer(login=("farebox", "right")))
    # The server repeats the password in its refusal.
    transport = SmtpTransport(f"smtp://farebox:hunter2@127.0.0.1:{server.port}")
    with pytest.raises(TransientFailure) as caught:
        await transport.send(composed(a_message()), "ann@example.com")
    assert "***" in str(caught.value)
    farebox_log = [record.getMessage() for record in caplog.records if record.name.startswith("farebox")]
    for shown in (str(caught.value), repr(caught.value), repr(transport), str(transport), *farebox_log):
        assert "hunter2" not in shown


async def test_a_server_without_login_is_not_sent_to(server: MailServer) -> None:
    with pytest.raises(TransientFailure):
        await SmtpTransport(f"smtp://farebox:secret@127.0.0.1:{server.port}").send(
            composed(a_message()), "ann@example.com"
        )
    assert [] == server.received


async def test_an_address_with_a_domain_in_other_alphabets_goes_to_every_server(server: MailServer) -> None:
    message = a_message("ann@bücher.example", mail_from="alerts@müller.example")
    await SmtpTransport(server.url).send(composed(message), "ann@bücher.example")
    ((envelope, received),) = server.received
    assert "alerts@xn--mller-kva.example" == envelope.mail_from
    assert ["ann@xn--bcher-kva.example"] == envelope.rcpt_tos
    assert [] == envelope.mail_options
    assert "ann@xn--bcher-kva.example" == received["To"]


async def test_an_address_in_other_alphabets_needs_a_server_that_knows_them(
    server: MailServer, start_server: StartServer
) -> None:
    message = a_message("jürgen@bücher.example")
    with pytest.raises(TransientFailure, match="lacks something: SMTPUTF8"):
        await SmtpTransport(server.url).send(composed(message), "jürgen@bücher.example")
    knowing = await start_server(MailServer(knows_smtputf8=True))
    await SmtpTransport(knowing.url).send(composed(message), "jürgen@bücher.example")
    ((envelope, received),) = knowing.received
    assert ["jürgen@xn--bcher-kva.example"] == envelope.rcpt_tos
    assert "SMTPUTF8" in envelope.mail_options
    assert text_of(message) == text_of(received)


async def test_what_is_no_address_never_reaches_a_server(server: MailServer) -> None:
    with pytest.raises(PermanentFailure, match="not an e-mail address"):
        await SmtpTransport(server.url).send(
            composed(a_message()), "ann@example.com> NOTIFY=NEVER\r\nRCPT TO:<eve@example.com"
        )
    assert [] == server.asked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example",
        "http://mail.example",
        "smtp://",
        "smtp:///path",
        "smtp://mail.example/path",
        "smtp://mail.example:port",
        "smtp://mail.example:99999",
        "smtp://[::1",
        "smtp://mail.example?starttls",
        "smtp://mail.example?starttls=",
        "smtp://mail.example?starttls=required",
        "smtp://mail.example?startls=true",
        "smtp://farebox:secret/word@mail.example",
        "smtp://farebox:secret#word@mail.example",
        "smtp://farebox:secret?word@mail.example",
        "smtp://farebox:[secretword@mail.example",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidSmtpUrl) as caught:
        SmtpTransport(url)
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://mail.example", "SmtpTransport(mail.example:25, no TLS)"),
        ("smtp://mail.example/", "SmtpTransport(mail.example:25, no TLS)"),
        ("smtp://mail.example:2525", "SmtpTransport(mail.example:2525, no TLS)"),
        ("smtp://mail.example?starttls=true", "SmtpTransport(mail.example:587, STARTTLS)"),
        ("smtp://mail.example?starttls=TRUE", "SmtpTransport(mail.example:587, STARTTLS)"),
        ("smtps://mail.example", "SmtpTransport(mail.example:465, TLS)"),
        ("smtps://ann:b@mail.example:26?starttls=true", "SmtpTransport(mail.example:26, TLS)"),
        ("smtp://ann:b@mail.example", "SmtpTransport(mail.example:587, STARTTLS)"),
        ("smtp://ann:b@192.0.2.1:25", "SmtpTransport(192.0.2.1:25, STARTTLS)"),
        ("smtp://ann:b@mail.example?starttls=false", "SmtpTransport(mail.example:25, no TLS)"),
        ("smtp://ann:b@localhost", "SmtpTransport(localhost:25, no TLS)"),
        ("smtp://ann:b@127.0.0.1", "SmtpTransport(127.0.0.1:25, no TLS)"),
        ("smtp://ann:b@[::1]:2525", "SmtpTransport(::1:2525, no TLS)"),
        ("smtp://ann:b@localhost.example", "SmtpTransport(localhost.example:587, STARTTLS)"),
    ],
)
def test_how_a_server_is_reached(url: str, shown: str) -> None:
    assert shown == repr(SmtpTransport(url))
