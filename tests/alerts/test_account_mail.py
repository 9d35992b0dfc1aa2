"""From an invitation or a forgotten password to a mailbox, through a real mail server."""

import html
import re
from email.message import EmailMessage
from typing import Final

import pytest
from msgspec.structs import replace

from farebox.alerts.account_mail import AccountMails, AccountMailSubject, account_mail_message
from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.email_address import InvalidAddress
from farebox.alerts.relay import Relay
from farebox.alerts.smtp import SmtpTransport
from farebox.alerts.transport import Withdrawn
from farebox.core.approvals import ApprovalLimits
from farebox.service.ledger.committer import Committer
from farebox.service.operator.approvals import Approvals
from farebox.service.people.passwords import Passwords
from farebox.service.people.sign_in import LINK_MICROS, SignIn
from farebox.service.people.signing import Signer
from farebox.service.people.users import Staff, Users
from farebox.storage.records import AccountMail, DeliveryState, Login, Merchant, Purpose, Realm, Role
from tests.alerts.mailserver import MailServer, until
from tests.alerts.running import running
from tests.alerts.test_messages import MAIL_SETTINGS, flowing_text_of, text_of
from tests.support.ledger import NOW, SECOND, UNIT, Ledger
from tests.support.report_writer import report_mails, staff_warnings

ANN: Final = "ann@northwind.example"
URL: Final = MAIL_SETTINGS.public_url
PURPOSES: Final = (Purpose.INVITATION, Purpose.RESET, Purpose.TEST)
"""Those that one person is the subject of; test_second_person.py, test_report_mail.py and others have the rest."""

ACCOUNT_MAIL: Final = AccountMail(
    account_mail_id=1 << 50,
    purpose=Purpose.INVITATION,
    login_id=1,
    merchant_id=5,
    email=ANN,
    seed=b"\1" * 32,
    created_at=NOW,
    expires_at=NOW + LINK_MICROS[Purpose.INVITATION],
    used_at=None,
    state=DeliveryState.WAITING,
    attempts=1,
    next_attempt_at=NOW,
)
LOGIN: Final = Login(1, Realm.MERCHANT, ANN, ANN, NOW)
MERCHANT: Final = Merchant(5, "Northwind Imaging", NOW)


class Post:
    """A ledger's people, and who carries their account mails."""

    def __init__(self, ledger: Ledger, url: str) -> None:
        self.ledger = ledger
        self.sign_in = SignIn(ledger.stores, ledger.clock, Signer("a key"), Passwords())
        self.users = Users(ledger.stores, ledger.clock, self.sign_in)
        self.staff = Staff(ledger.stores, ledger.clock, self.sign_in)
        self.committer = Committer(ledger.stores.connector, ledger.clock)
        self.approvals = Approvals(ledger.stores, self.committer, limits=ApprovalLimits(UNIT))
        self.dispatcher = Dispatcher(
            self.queue(),
            Relay(SmtpTransport(url), ledger.stores.mail_servers, ledger.clock, server=url),
            ledger.clock,
            poll_seconds=0.01,
            stop_seconds_max=0,
        )

    def queue(self) -> AccountMails:
        """Put together the queue of account mails."""
        stores, clock = self.ledger.stores, self.ledger.clock
        reports = report_mails(stores, clock, MAIL_SETTINGS)
        warnings = staff_warnings(stores, clock, MAIL_SETTINGS)
        return AccountMails(stores, self.sign_in, MAIL_SETTINGS, clock, self.approvals, reports, warnings)


@pytest.fixture
def post(ledger: Ledger, server: MailServer) -> Post:
    return Post(ledger, server.url)


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    content: str = part.get_content()
    return content


def link_in(text: str) -> str:
    (found,) = set(re.findall(rf"{re.escape(URL)}/link/([0-9A-Z.]+)", text))
    return str(found)


async def test_an_invitation_ends_in_a_mailbox_and_its_link_opens(post: Post, server: MailServer) -> None:
    async with running(post.dispatcher):
        await post.users.invite(post.ledger.merchant_id, ANN, Role.OWNER, principal=None)
        await until(lambda: 1 == len(server.received))
        (message,) = server.messages
        assert ("You are invited to Northwind Imaging", ANN) == (message["Subject"], message["To"])
        link = link_in(text_of(message))
        assert link == link_in(html_of(message))
        _, login = await post.sign_in.open_link(link)
        assert ANN == login.email

        async def is_settled() -> bool:
            return DeliveryState.SENT == (await post.ledger.stores.account_mails.list(1))[0].state

        await until(is_settled)
    assert (await post.ledger.stores.account_mails.list(1))[0].attempts == 1


async def test_a_mail_server_that_is_slow_to_take_it_gets_the_same_mail_again(post: Post, server: MailServer) -> None:
    server.rcpt[ANN].append("451 try later")
    await post.staff.add(ANN, "Ann", principal=None)
    await post.dispatcher.run_once()
    assert [] == server.received
    post.ledger.clock.move(60)
    await post.dispatcher.run_once()
    (message,) = server.messages
    assert "You are invited to the support console of Farebox" == message["Subject"]
    account_mail = (await post.ledger.stores.account_mails.list(1))[0]
    assert (DeliveryState.SENT, 2) == (account_mail.state, account_mail.attempts)


async def test_an_account_mail_that_comes_too_late_is_not_sent(post: Post, server: MailServer) -> None:
    """Its link would be of no use; in its stead somebody else's goes out."""
    await post.ledger.stores.logins.add(LOGIN)
    await post.ledger.add_user(ANN)
    await post.sign_in.request_reset(Realm.MERCHANT, ANN)
    post.ledger.clock.move(LINK_MICROS[Purpose.RESET] / SECOND)
    await post.sign_in.request_reset(Realm.MERCHANT, ANN)
    await post.dispatcher.run_once()
    assert 1 == len(server.received)
    late = next(it for it in await post.ledger.stores.account_mails.list(9) if it.state == DeliveryState.WITHDRAWN)
    assert "its link was used or is too old" == late.last_error
    assert await post.ledger.stores.account_mails.next_due_at() is None


async def test_a_reset_whose_password_was_chosen_meanwhile_is_not_sent_but_an_invitation_is(
    post: Post, server: MailServer
) -> None:
    await post.ledger.stores.logins.add(replace(LOGIN, password_hash="a hash"))
    await post.sign_in.request_reset(Realm.MERCHANT, ANN)
    await post.users.invite(post.ledger.merchant_id, ANN, Role.OWNER, principal=None)
    await post.ledger.stores.logins.change_password(1, "another hash", before="a hash", at=NOW)
    await post.dispatcher.run_once()
    (message,) = server.messages
    assert "Sign in with the password that you have" in flowing_text_of(message)
    assert "/link/" not in text_of(message) + html_of(message)


@pytest.mark.parametrize("realm", Realm)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_account_mail_reads_well_in_text_and_in_html(realm: Realm, purpose: Purpose) -> None:
    for password_hash in (None, "a hash"):
        merchant = MERCHANT if realm == Realm.MERCHANT and purpose != Purpose.RESET else None
        login = replace(LOGIN, realm=realm, password_hash=password_hash)
        subject = AccountMailSubject(replace(ACCOUNT_MAIL, purpose=purpose), login, merchant, "0000000000000.TOKEN")
        message = account_mail_message(subject, MAIL_SETTINGS)
        text, shown = text_of(message), html_of(message)
        words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown.partition("<body")[2])).split())
        assert max(map(len, text.splitlines())) < 90
        assert "\n\n\n" not in text.strip()
        assert MAIL_SETTINGS.support_contact in text
        assert MAIL_SETTINGS.support_contact in words
        for content in (text, shown):
            assert "None" not in content
            has_link = purpose == Purpose.RESET or (purpose == Purpose.INVITATION and not password_hash)
            assert has_link == (f"{URL}/link/0000000000000.TOKEN" in content)
            sign_in_url = f"{URL}/support/sign-in" if realm == Realm.SUPPORT else f"{URL}/sign-in"
            assert (purpose == Purpose.INVITATION and password_hash is not None) == (sign_in_url in content)
            assert has_link == ("22 January 2027, 08:00 UTC" in content)


NASTY: Final = (
    "Evil\r\nBcc: victim@example.com",
    "Evil\nX-Header: 1",
    "Evil\u2028Bcc: x@example.com",
    "=?utf-8?q?Evil=0D=0ABcc:_x@example.com?=",
    '<script>alert("1")</script>',
    "<a href=https://evil.example>Click</a>",
    "{{ 7 * 7 }} {% raw %}",
    "\u202eNorthwind",
    "N" * 200,
    "Nörthwind & Söhne",
)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_merchants_name_adds_no_header_and_no_markup(name: str, purpose: Purpose) -> None:
    subject = AccountMailSubject(replace(ACCOUNT_MAIL, purpose=purpose), LOGIN, replace(MERCHANT, name=name), "0.X")
    message = account_mail_message(subject, MAIL_SETTINGS)
    raw = message.as_bytes()
    head = raw.partition(b"\r\n\r\n")[0].decode()
    names = re.findall(r"^([A-Za-z-]+):", head, re.MULTILINE)
    known = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"]
    known += ["Content-Language", "Content-Type"]
    assert sorted(known) == sorted(names)
    assert 1 == len(message["To"].addresses)
    shown = html_of(message)
    assert "<script" not in shown
    assert "<a href=https" not in shown
    assert all(link.startswith((URL, "mailto:")) for link in re.findall(r'href="([^"]+)"', shown))


@pytest.mark.parametrize(
    "email", ["ann@northwind.example\r\nBcc: x@example.com", "ann", "a@b, c@d", "=?utf-8?q?x?=@x.com"]
)
def test_an_account_mail_goes_to_one_address_or_nowhere(email: str) -> None:
    subject = AccountMailSubject(replace(ACCOUNT_MAIL, email=email), LOGIN, MERCHANT, "0.X")
    with pytest.raises(InvalidAddress):
        account_mail_message(subject, MAIL_SETTINGS)


async def test_an_account_mail_of_nobody_is_not_sent(post: Post, server: MailServer) -> None:
    queue = post.queue()
    with pytest.raises(Withdrawn, match="the login was closed"):
        await queue.compose(ACCOUNT_MAIL)
    assert "let_" == queue.name(ACCOUNT_MAIL)[:4]


async def the_mail(post: Post, purpose: Purpose, realm: Realm) -> None:
    """Owe Ann a mail of a kind, on the dashboard or the console."""
    if realm == Realm.SUPPORT:
        login, _ = await post.staff.add(ANN, "Ann", principal=None)
    else:
        await post.users.invite(post.ledger.merchant_id, ANN, Role.OWNER, principal=None)
        found = await post.ledger.stores.logins.find(Realm.MERCHANT, ANN)
        assert found is not None
        login = found
    if purpose != Purpose.INVITATION:
        invitation = (await post.ledger.stores.account_mails.list(1))[0]
        await post.ledger.stores.account_mails.settle(replace(invitation, state=DeliveryState.SENT, sent_at=NOW))
    if purpose == Purpose.RESET:
        await post.sign_in.request_reset(realm, ANN)
    if purpose == Purpose.TEST:
        await post.sign_in.send_test(login, post.ledger.merchant_id)


async def remove(post: Post, realm: Realm) -> None:
    if realm == Realm.SUPPORT:
        await post.staff.close(ANN, principal=None)
    else:
        await post.users.remove(post.ledger.merchant_id, ANN, is_owner_needed=False, principal=None)


@pytest.mark.parametrize("realm", Realm)
@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("when", ["before it is claimed", "while the mail server is slow"])
async def test_who_was_removed_gets_no_mail_of_any_kind(
    post: Post, server: MailServer, purpose: Purpose, realm: Realm, when: str
) -> None:
    await the_mail(post, purpose, realm)
    if when == "before it is claimed":
        await remove(post, realm)
        await post.dispatcher.run_once()
    else:
        server.rcpt[ANN].append(lambda: remove(post, realm))
        await post.dispatcher.run_once()
    assert [] == server.received
    mail = (await post.ledger.stores.account_mails.list(1))[0]
    assert DeliveryState.WITHDRAWN == mail.state
    words = "the login was closed" if realm == Realm.SUPPORT else "the user was removed from the account"
    assert words == mail.last_error
    assert 0 == await post.ledger.stores.account_mails.retry(NOW)


async def test_an_invitation_whose_link_was_ended_is_not_sent(post: Post, server: MailServer) -> None:
    await post.staff.add(ANN, "Ann", principal=None)
    await post.staff.close(ANN, principal=None)
    await post.staff.reopen(ANN, principal=None)
    await post.dispatcher.run_once()
    assert [] == server.received
    assert "its link was used or is too old" == (await post.ledger.stores.account_mails.list(1))[0].last_error
