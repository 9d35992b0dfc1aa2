"""From a choice to a mailbox: reports are owed once each, and arrive whole through a real mail server."""

import asyncio
import csv
import html
import io
import re
import struct
import zlib
from datetime import datetime
from email.message import EmailMessage
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from farebox.alerts.account_mail import AccountMails
from farebox.alerts.balance_image import SHOWN_HEIGHT, SHOWN_WIDTH
from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.relay import Relay
from farebox.alerts.smtp import SmtpTransport
from farebox.core.approvals import ApprovalLimits
from farebox.core.commands import Charge, GiveCredit, Payer, SetClosed
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Missing
from farebox.service.ledger.committer import Committer
from farebox.service.operator.approvals import Approvals
from farebox.service.people.passwords import Passwords
from farebox.service.people.sign_in import SignIn
from farebox.service.people.signing import Signer
from farebox.service.people.users import Staff, Users
from farebox.service.reports.choices import ALL_MERCHANTS, ReportChoices, ReportKind
from farebox.service.reports.sweep import ReportSweep
from farebox.service.statements.reader import Selection, Statements
from farebox.storage.records import AccountMail, DeliveryState, Login, Purpose, Realm, RefusalCount, Role, User
from tests.alerts.mailserver import MailServer, until
from tests.alerts.running import running
from tests.alerts.test_messages import MAIL_SETTINGS, text_of
from tests.support.ledger import NOW, UNIT, Ledger, add_merchant, add_price
from tests.support.report_writer import report_mails, staff_warnings

ANN: Final = "ann@northwind.example"
BEN: Final = "ben@northwind.example"
SAM: Final = "sam@farebox.example"
BERLIN: Final = "Europe/Berlin"
WEEKLY, MONTHLY = ReportKind.WEEKLY, ReportKind.MONTHLY
DAY: Final = 86_400

# NOW is Friday, 15 January 2027, 08:00 UTC; the week goes on until Sunday, and its report falls due on Monday at six.
MONDAY: Final = int(datetime(2027, 1, 18, 6, tzinfo=ZoneInfo(BERLIN)).timestamp()) * 1_000_000


class Post:
    """A ledger with readers, and what owes and carries their reports."""

    def __init__(self, ledger: Ledger, url: str, *, transfers_max: int = 100) -> None:
        stores, clock = ledger.stores, ledger.clock
        self.ledger, self.stores, self.clock = ledger, stores, clock
        sign_in = SignIn(stores, clock, Signer("a key"), Passwords())
        self.users = Users(stores, clock, sign_in)
        self.staff = Staff(stores, clock, sign_in)
        self.choices = ReportChoices(stores, clock)
        self.sweep = ReportSweep(stores, clock)
        self.statements = Statements(stores)
        approvals = Approvals(stores, Committer(stores.connector, clock), limits=ApprovalLimits(UNIT))
        self.dispatcher = Dispatcher(
            AccountMails(
                stores,
                sign_in,
                MAIL_SETTINGS,
                clock,
                approvals,
                report_mails(stores, clock, MAIL_SETTINGS, transfers_max=transfers_max),
                staff_warnings(stores, clock, MAIL_SETTINGS),
            ),
            Relay(SmtpTransport(url), stores.mail_servers, clock, server=url),
            clock,
            poll_seconds=0.01,
            stop_seconds_max=0,
        )

    async def add_reader(self, email: str, number: int = 1) -> Login:
        """Register a user of the merchant who has a login."""
        login = Login(number, Realm.MERCHANT, email, email, NOW)
        await self.stores.logins.add(login)
        await self.stores.users.add(User(self.ledger.merchant_id, number, email, NOW, Role.VIEWER))
        return login

    async def choose(self, login: Login, *wanted: ReportKind, merchant_id: int | None = None, **more: object) -> None:
        number = self.ledger.merchant_id if merchant_id is None else merchant_id
        chosen = {"zone": BERLIN, "week_start": 1, "has_statement": False, **more}
        await self.choices.choose(login, number, wanted=wanted, **chosen)  # type: ignore[arg-type]

    async def mails(self) -> list[AccountMail]:
        """List the reports that were owed, oldest first."""
        return [mail for mail in await self.stores.account_mails.list(100) if mail.purpose == Purpose.REPORT][::-1]

    async def owe_at(self, time: int) -> list[AccountMail]:
        """Let the time come, and owe what is due."""
        self.clock.time = time
        while await self.sweep.owe_due() == 0:
            pass
        return await self.mails()


@pytest.fixture
def post(ledger: Ledger, server: MailServer) -> Post:
    return Post(ledger, server.url)


def parts_of(message: EmailMessage) -> dict[str, EmailMessage]:
    """Take a mail apart, by type."""
    return {part.get_content_type(): part for part in message.walk() if not part.is_multipart()}


def pixels_of(png: bytes) -> tuple[int, int, list[bytes]]:
    """Read a PNG as its specification says: its width, height, and rows of palette numbers."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        name, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(name + content),)
        chunks[name], at = content, at + 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    rows = zlib.decompress(chunks[b"IDAT"])
    assert {0} == {rows[row * (width + 1)] for row in range(height)}
    assert len(chunks[b"PLTE"]) == 3 * len(chunks[b"tRNS"])
    return width, height, [rows[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]


async def spend(ledger: Ledger) -> None:
    """Let the merchant spend in two weeks: 3 and 1 images, and a call for 2.5."""
    ledger.clock.time = NOW - 7 * DAY * UNIT
    await add_price(ledger.stores, 3, unit_price=UNIT // 2, starts_at=0)
    await ledger.top_up(10)
    payer = Payer(ledger.merchant_id)
    await ledger.run(Charge(payer, "image", 3, "one"))
    ledger.clock.time = NOW
    await ledger.run(Charge(payer, "image", 1, "two"), Charge(payer, "call", 1, "three", amount=5 * UNIT // 2))


async def test_a_weekly_report_arrives_whole(post: Post, server: MailServer) -> None:
    ann = await post.add_reader(ANN)
    await spend(post.ledger)
    quarter = NOW // 900_000_000
    await post.stores.refusals.add(
        [RefusalCount(post.ledger.merchant_id, quarter, "image", "insufficient_balance", 12)], lines_max=9
    )
    await post.choose(ann, WEEKLY, has_statement=True)
    assert [] == await post.owe_at(MONDAY - 1)
    assert 1 == len(await post.owe_at(MONDAY))
    async with running(post.dispatcher):
        await until(lambda: 1 == len(server.received))
    (message,) = server.messages
    assert ("Northwind Imaging: 11 January 2027 to 17 January 2027", ANN) == (message["Subject"], message["To"])
    assert "List-Unsubscribe=One-Click" == message["List-Unsubscribe-Post"]
    link = str(message["List-Unsubscribe"]).strip("<>")
    assert link.startswith(f"{MAIL_SETTINGS.public_url}/unsubscribe/reports/")
    assert link in text_of(message)
    parts = parts_of(message)
    assert {"text/plain", "text/html", "image/png", "text/csv"} == parts.keys()

    text = text_of(message)
    assert "Spent: 3.00 USD\nBy 2 requests. 100 % more than the week before." in text
    for line in ("Balance at the start 8.50 USD", "Spent -3.00 USD", "Balance at the end 5.50 USD"):
        assert line in re.sub(" +", " ", text)
    assert "- call: 2.50 (1); The week before: 0.00\n- image: 0.50 (1); The week before: 1.50" in text
    assert "12 requests were refused: 12 (lack of money). Refused the week before: 0." in re.sub(r"\s+", " ", text)
    picture = (
        "Balance, 11 January 2027 to 17 January 2027: 8.50 USD at the start, 5.50 USD at the end; lowest 5.50 USD, "
    )
    assert picture in re.sub(r"\s+", " ", text)

    page = str(parts["text/html"].get_content())
    shown = html.unescape(re.sub(r"<[^>]*>", " ", page))
    assert "100 % more than the week before." in shown
    (image_id,) = re.findall(r'src="cid:([^"]+)"', page)
    assert f"<{image_id}>" == parts["image/png"]["Content-ID"]
    (alternative,) = re.findall(r'alt="([^"]+)"', page)
    assert html.unescape(alternative).startswith(picture)
    assert "{{" not in page + text
    width, height, rows = pixels_of(parts["image/png"].get_content())
    assert (2 * SHOWN_WIDTH, 2 * SHOWN_HEIGHT) == (width, height) == (len(rows[0]), len(rows))

    attached = parts["text/csv"]
    wanted = Selection(
        start=inputs.format_time(MONDAY - 7 * DAY * UNIT - 6 * 3600 * UNIT), end=inputs.format_time(MONDAY)
    )
    pieces = await post.statements.export_csv(post.ledger.merchant_id, wanted)
    assert b"".join([piece async for piece in pieces]) == attached.get_payload(decode=True)
    rows_of = list(csv.DictReader(io.StringIO(str(attached.get_content()))))
    assert ["charge", "charge"] == [row["kind"] for row in rows_of]
    assert attached.get_filename() is not None
    assert "-2027-01-11-2027-01-17.csv" in str(attached.get_filename())


async def test_a_statement_that_is_too_long_is_linked_to(ledger: Ledger, server: MailServer) -> None:
    post = Post(ledger, server.url, transfers_max=1)
    ann = await post.add_reader(ANN)
    await spend(ledger)
    await post.choose(ann, WEEKLY, has_statement=True)
    await post.owe_at(MONDAY)
    async with running(post.dispatcher):
        await until(lambda: 1 == len(server.received))
    (message,) = server.messages
    assert "text/csv" not in parts_of(message)
    text = text_of(message)
    assert "The statement has 2 transfers, too many for a mail." in text
    assert re.search(r"/statement\?from=2027-01-11&to=2027-01-17\n", text)


async def test_a_report_speaks_its_readers_language(post: Post, server: MailServer) -> None:
    ann = await post.add_reader(ANN)
    await post.stores.logins.set_language(ann.login_id, "de")
    await spend(post.ledger)
    await post.choose(ann, WEEKLY, has_statement=True)
    await post.owe_at(MONDAY)
    async with running(post.dispatcher):
        await until(lambda: 1 == len(server.received))
    (message,) = server.messages
    assert "Northwind Imaging: 11. Januar 2027 bis 17. Januar 2027" == message["Subject"]
    assert "Ausgegeben: 3,00 USD\nFür 2 Anfragen. 100 % mehr als in der Woche davor." in text_of(message)
    assert 'lang="de"' in str(parts_of(message)["text/html"].get_content())


async def test_given_credit_that_came_and_that_ends_is_told(post: Post, server: MailServer) -> None:
    ann = await post.add_reader(ANN)
    give = GiveCredit(post.ledger.merchant_id, 20 * UNIT, "G-1", "welcome", expires_at=MONDAY + 5 * DAY * UNIT)
    await post.ledger.run(give)
    await post.choose(ann, WEEKLY, has_statement=True)
    await post.owe_at(MONDAY)
    async with running(post.dispatcher):
        await until(lambda: 1 == len(server.received))
    (message,) = server.messages
    text = re.sub(r"\s+", " ", text_of(message))
    assert "Given credit 20.00 USD Spent 0.00 USD Balance at the end 20.00 USD" in text
    assert "Credit that ends - 20.00 USD of given credit ends on 23 January 2027." in text
    assert "The statement is attached as CSV, with 1 transfer." in text


async def test_a_closed_account_has_no_further_reports(post: Post) -> None:
    ann = await post.add_reader(ANN)
    await post.choose(ann, WEEKLY)
    await post.ledger.run(SetClosed(post.ledger.merchant_id, True, "gone"))
    # The week in which it was closed is told of.
    assert 1 == len(await post.owe_at(MONDAY))
    assert 1 == len(await post.owe_at(MONDAY + 7 * DAY * UNIT))


async def test_each_report_is_owed_once_however_many_processes_look(post: Post) -> None:
    readers = [await post.add_reader(f"user{number}@northwind.example", number) for number in range(1, 9)]
    for login in readers:
        await post.choose(login, WEEKLY, MONTHLY)
    post.clock.time = MONDAY
    sweeps = [ReportSweep(post.stores, post.clock, reports_max=3) for _ in range(5)]

    async def sweep_all(sweep: ReportSweep) -> None:
        while await sweep.owe_due() == 0:
            pass

    await asyncio.gather(*map(sweep_all, sweeps))
    assert sorted(login.login_id for login in readers) == sorted(mail.login_id for mail in await post.mails())
    await asyncio.gather(*map(sweep_all, sweeps))
    assert len(readers) == len(await post.mails())
    # A clock that is set back owes nothing again, nor does it when it comes there anew.
    for time in (MONDAY - 3 * DAY * UNIT, MONDAY, MONDAY + DAY * UNIT):
        assert len(readers) == len(await post.owe_at(time))
    assert 2 * len(readers) == len(await post.owe_at(MONDAY + 7 * DAY * UNIT))
    # The month is over by then, too.
    assert 3 * len(readers) < len(await post.owe_at(MONDAY + 14 * DAY * UNIT))


async def test_a_server_that_was_down_owes_the_last_period_alone(post: Post) -> None:
    ann = await post.add_reader(ANN)
    await post.choose(ann, WEEKLY)
    (mail,) = await post.owe_at(MONDAY + 23 * DAY * UNIT)
    report = await post.stores.reports.find(mail.account_mail_id)
    assert report is not None
    assert ("2027-02-01", BERLIN) == (report.starts_on, report.zone)
    assert 2 == len(await post.owe_at(MONDAY + 28 * DAY * UNIT))


async def test_who_chooses_within_a_period_gets_its_report_when_it_is_over(post: Post) -> None:
    ann = await post.add_reader(ANN)
    post.clock.time = MONDAY - 1
    await post.choose(ann, WEEKLY)
    # The week that ended on Sunday is not told of: it was over when Ann chose.
    assert [] == await post.owe_at(MONDAY)
    (mail,) = await post.owe_at(MONDAY + 7 * DAY * UNIT)
    report = await post.stores.reports.find(mail.account_mail_id)
    assert report is not None
    assert "2027-01-18" == report.starts_on


async def test_off_and_on_again_owes_no_report_twice(post: Post) -> None:
    ann = await post.add_reader(ANN)
    await post.choose(ann, WEEKLY)
    assert 1 == len(await post.owe_at(MONDAY))
    await post.choose(ann)
    assert [] == list(await post.choices.list(ann, post.ledger.merchant_id))
    post.clock.time = NOW
    await post.choose(ann, WEEKLY)
    assert 1 == len(await post.owe_at(MONDAY + 1))


async def test_what_is_chosen_anew_goes_on_as_it_was(post: Post) -> None:
    ann = await post.add_reader(ANN)
    await post.choose(ann, WEEKLY)
    (before,) = await post.choices.list(ann, post.ledger.merchant_id)
    post.clock.time = MONDAY
    await post.choose(ann, WEEKLY, has_statement=True)
    (choice,) = await post.choices.list(ann, post.ledger.merchant_id)
    assert (before.starts_on, before.due_at, 1) == (choice.starts_on, choice.due_at, choice.has_statement)
    await post.choose(ann, WEEKLY, week_start=3)
    (choice,) = await post.choices.list(ann, post.ledger.merchant_id)
    assert "2027-01-13" == choice.starts_on


@pytest.mark.parametrize("gone", ["removed", "closed", "chose otherwise", "too old"])
async def test_a_report_is_withdrawn_that_its_reader_is_not_to_get(post: Post, server: MailServer, gone: str) -> None:
    ann = await post.add_reader(ANN)
    await post.add_reader(BEN, 2)
    await post.choose(ann, WEEKLY)
    await post.owe_at(MONDAY)
    if gone == "removed":
        await post.users.remove(post.ledger.merchant_id, ANN, is_owner_needed=False, principal=None)
        assert [] == list(await post.choices.list(ann, post.ledger.merchant_id))
    elif gone == "closed":
        await post.stores.logins.set_disabled(ann.login_id, NOW)
    elif gone == "chose otherwise":
        await post.choose(ann, MONTHLY)
    else:
        post.clock.time = MONDAY + 7 * DAY * UNIT
    async with running(post.dispatcher):
        await until(lambda: _is_settled(post))
    (mail,) = await post.mails()
    assert (DeliveryState.WITHDRAWN, []) == (mail.state, server.messages)


async def _is_settled(post: Post) -> bool:
    return all(mail.state != DeliveryState.WAITING for mail in await post.mails())


async def test_nobody_is_owed_a_report_who_left_before_it_fell_due(post: Post) -> None:
    ann = await post.add_reader(ANN)
    await post.choose(ann, WEEKLY)
    await post.stores.logins.set_disabled(ann.login_id, NOW)
    assert [] == await post.owe_at(MONDAY)


async def test_who_may_not_read_can_not_choose(post: Post) -> None:
    ann = await post.add_reader(ANN)
    other = Login(7, Realm.MERCHANT, BEN, BEN, NOW)
    await post.stores.logins.add(other)
    for login, merchant_id in ((other, post.ledger.merchant_id), (ann, ALL_MERCHANTS)):
        with pytest.raises(Missing):
            await post.choose(login, WEEKLY, merchant_id=merchant_id)
    for wrong in ({"zone": "Mars/Phobos"}, {"week_start": 0}, {"week_start": 8}):
        with pytest.raises(InvalidInput):
            await post.choose(ann, WEEKLY, **wrong)


async def test_staff_read_of_all_merchants_in_their_currencies(post: Post, server: MailServer) -> None:
    sam = Login(9, Realm.SUPPORT, SAM, "Sam", NOW, roles=1)
    await post.stores.logins.add(sam)
    await spend(post.ledger)
    yen = post.ledger.merchant_id + 1
    await add_merchant(post.stores, yen, name="Fuji <Foto>", currency="JPY", funds=1_000)
    post.clock.time = NOW - 7 * DAY * UNIT
    await post.choose(sam, WEEKLY, merchant_id=ALL_MERCHANTS)
    await post.stores.refusals.add([RefusalCount(yen, NOW // 900_000_000, "image", "unknown_type", 1)], lines_max=9)
    given_up = AccountMail(
        5,
        Purpose.TEST,
        sam.login_id,
        yen,
        SAM,
        bytes(32),
        NOW,
        NOW + 1,
        None,
        DeliveryState.GIVEN_UP,
        1,
        NOW,
        None,
        "no box",
    )
    await post.stores.account_mails.add(given_up)
    assert 1 == len(await post.owe_at(MONDAY))
    async with running(post.dispatcher):
        await until(lambda: 1 == len(server.received))
    (message,) = server.messages
    assert ("All merchants: 11 January 2027 to 17 January 2027", SAM) == (message["Subject"], message["To"])
    text = re.sub(r"\s+", " ", text_of(message))
    assert "Spent USD 3.00 USD by 1 merchant 100 % more than the week before." in text
    assert "Who grew - Northwind Imaging: 3.00 USD, 1.50 USD more" in text
    assert "Who stopped Everybody who spent the week before spent again." in text
    assert "1 request was refused: 1 (no such request type). - Fuji <Foto>: 1 request" in text
    assert "Everything that was due was taken." in text
    assert "Failed deliveries Account mails: 1 - Fuji <Foto>: Account mails: 1 (no box)" in text
    page = str(parts_of(message)["text/html"].get_content())
    assert "Fuji &lt;Foto&gt;" in page
    assert {"text/plain", "text/html"} == parts_of(message).keys()
