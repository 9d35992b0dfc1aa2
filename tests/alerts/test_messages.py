"""What alert mails say: each promise, read back from the mail as a mail program reads it."""

import re
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from typing import Final
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.alerts.alert_mail import alert_message, message_id
from farebox.alerts.alert_words import AlertSubject
from farebox.alerts.email_address import InvalidAddress
from farebox.alerts.mail import MailSettings, name_of
from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert
from farebox.core.commands import Adjust, Refund, ReverseTopUp, SetCreditLimit
from farebox.core.transfers import Transfer
from farebox.storage.destination_records import Channel
from farebox.storage.records import Delivery, DeliveryState, Merchant
from tests.support.ledger import NORTHWIND, NOW, UNIT, Ledger

MAIL_SETTINGS: Final = MailSettings(
    mail_from="alerts@farebox.example",
    public_url="https://pay.example/farebox",
    support_contact="billing@northwind.example",
)
RUNWAY: Final = "about 5 days, likely 4 to 7 days"

TEXT: Final = """\
Northwind Imaging

Your balance fell below 400.00 USD.

  Balance now           399.50 USD
  Lasts                 about 5 days, likely 4 to 7 days
  Your threshold        400.00 USD
  What brought it down  a charge of 0.50 USD for 1 x image
                        xfer_38RRBH800000700000002
  Balance at that time  399.50 USD
                        15 January 2027, 08:00 UTC

When nothing is available any more, requests are refused until you top up.
To top up, contact support: billing@northwind.example

Open your account
https://pay.example/farebox/accounts/mer_38RRBH8000007

--
You get this mail because you are registered on the account of Northwind
Imaging. It comes once. You are told again when a top-up or an adjustment
leaves the balance below the threshold, or brings it back and it falls below
again.
"""


async def read(ledger: Ledger, email: str, runway: str | None = RUNWAY) -> AlertSubject:
    """Read what a mail is about from the ledger."""
    mail = (await ledger.mails())[email]
    merchant, account = await ledger.stores.merchants.find(NORTHWIND), await ledger.stores.accounts.find(NORTHWIND)
    assert merchant is not None
    assert account is not None
    seq = mail.alert.transfer_seq
    transfer = None if seq is None else (await ledger.stores.transfers.at(NORTHWIND, [seq]))[seq]
    return AlertSubject(mail=mail, merchant=merchant, account=account, transfer=transfer, runway=runway)


def written(subject: AlertSubject, settings: MailSettings = MAIL_SETTINGS) -> EmailMessage:
    """Write the mail, and read it as its recipient does."""
    return message_from_bytes(alert_message(subject, settings).as_bytes(), policy=default)


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def flowing_text_of(message: EmailMessage) -> str:
    """Read the text without its line ends and columns."""
    return " ".join(text_of(message).split())


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def words_of(html: str) -> str:
    """Read what a page shows."""
    body = re.sub(r"(?s)<head>.*</head>|<[^>]*>", " ", re.sub("</?(bdi|strong)>", "", html))
    return " ".join(body.split())


def a_subject(*, name: str = "Northwind", email: str = "ann@example.com") -> AlertSubject:
    """Make up what a mail is about, where a ledger would add nothing."""
    alert = Alert(NORTHWIND, 1, 400 * UNIT, 399 * UNIT, NOW, None)
    mail = Delivery(alert, Channel.EMAIL, 7, email, DeliveryState.WAITING, 1, NOW)
    account = Account(NORTHWIND, "USD", wallet=399 * UNIT, funding=-399 * UNIT)
    return AlertSubject(mail=mail, merchant=Merchant(NORTHWIND, name, NOW), account=account, transfer=None, runway=None)


async def test_the_text_says_it_all(ledger: Ledger) -> None:
    await ledger.fire("ann@example.com")
    assert TEXT == text_of(written(await read(ledger, "ann@example.com")))


async def test_the_html_says_what_the_text_says(ledger: Ledger) -> None:
    await ledger.fire("ann@example.com")
    message = written(await read(ledger, "ann@example.com"))
    page = words_of(html_of(message))
    body, _, why = TEXT.partition("--\n")
    for line in [*body.splitlines(), why.replace("\n", " ")]:
        for words in re.split(r" {2,}|: (?=\S+$)", line.strip()):
            if words.startswith("https://"):
                assert f'href="{words}"' in html_of(message)
            else:
                assert words.removesuffix(".") in page


async def test_headers(ledger: Ledger) -> None:
    await ledger.fire("ann@example.com")
    message = written(await read(ledger, "ann@example.com"))
    assert "multipart/alternative" == message.get_content_type()
    assert ["text/plain", "text/html"] == [part.get_content_type() for part in message.iter_parts()]
    assert "Northwind Imaging: balance below 400.00 USD" == message["Subject"]
    assert (Address("Farebox", "alerts", "farebox.example"),) == message["From"].addresses
    assert (Address("", "ann", "example.com"),) == message["To"].addresses
    assert NOW // 1_000_000 == message["Date"].datetime.timestamp()
    assert "auto-generated" == message["Auto-Submitted"]
    assert "1.0" == message["MIME-Version"]
    name = "alert_38RRBH800000700000002.user_0000000000001"
    assert name == name_of(message)
    assert re.fullmatch(rf"<{name}\+[0-9a-f]{{16}}@farebox\.example>", message["Message-ID"])


def test_a_mail_that_says_something_else_has_another_message_id_and_one_that_says_the_same_has_the_same() -> None:
    subject = a_subject()
    richer = replace(subject, account=replace(subject.account, wallet=subject.account.wallet + 1_000_000))
    first, again, other = (alert_message(each, MAIL_SETTINGS) for each in (subject, subject, richer))
    elsewhere = alert_message(subject, replace(MAIL_SETTINGS, public_url="https://elsewhere.example"))
    assert first["Message-ID"] == again["Message-ID"]
    assert 3 == len({message["Message-ID"] for message in (first, other, elsewhere)})
    assert {name_of(first)} == {name_of(message) for message in (again, other, elsewhere)}


async def test_the_message_id_tells_user_and_alert_and_nothing_else(ledger: Ledger) -> None:
    await ledger.fire("ann@example.com", "ben@example.com")
    mails = await ledger.mails()
    ann, ben = mails["ann@example.com"], mails["ben@example.com"]
    later = replace(ann, attempts=9, last_error="x", email="ann@elsewhere.example")
    again = replace(ann, alert=replace(ann.alert, number=ann.alert.number + 1))
    assert message_id(ann, MAIL_SETTINGS) == message_id(later, MAIL_SETTINGS)
    assert 3 == len({message_id(mail, MAIL_SETTINGS) for mail in (ann, ben, again)})


async def test_a_mail_is_ascii_with_short_lines_whatever_it_says() -> None:
    content = alert_message(a_subject(name="Bücher & Söhne 株式会社 " * 7), MAIL_SETTINGS).as_bytes()
    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")


async def test_money_that_is_held_is_told_apart(ledger: Ledger) -> None:
    await ledger.add_user("ann@example.com")
    await ledger.top_up(400)
    await ledger.set_thresholds(400)
    await ledger.hold(images=20)
    await ledger.charge(images=1)
    text = text_of(written(await read(ledger, "ann@example.com")))
    assert "  Balance now           399.50 USD\n" in text
    assert (
        "  Of that available     389.50 USD\n                        10.00 USD is held for requests in progress\n"
        in text
    )


async def test_a_mail_that_was_held_up_tells_the_balance_of_now_first(ledger: Ledger) -> None:
    await ledger.fire("ann@example.com")
    await ledger.charge(images=100)
    message = written(await read(ledger, "ann@example.com"))
    assert text_of(message).split("\n\n")[2].startswith("  Balance now           349.50 USD\n")
    assert "  Balance at that time  399.50 USD\n" in text_of(message)
    assert "Balance now 349.50 USD Lasts" in words_of(html_of(message))


async def test_a_mail_that_was_held_up_until_nothing_was_left_says_so_in_its_subject(ledger: Ledger) -> None:
    await ledger.fire("ann@example.com")
    await ledger.charge(images=2 * 399 + 1)
    message = written(await read(ledger, "ann@example.com"))
    assert "Northwind Imaging: nothing left to spend, balance below 400.00 USD" == message["Subject"]
    assert "\nRequests are refused until you top up.\n" in text_of(message)


async def test_a_balance_that_refunds_brought_back_is_told_as_such_and_asks_for_nothing(ledger: Ledger) -> None:
    decision = await ledger.fire("ann@example.com")
    await ledger.run(Refund(NORTHWIND, decision.transfers[0].seq, "refund"))
    message = written(await read(ledger, "ann@example.com"))
    assert "Northwind Imaging: balance back at 400.00 USD, was below 400.00 USD" == message["Subject"]
    assert text_of(message).startswith(
        "Northwind Imaging\n\nYour balance was below 400.00 USD and is back at 400.00 USD."
    )
    for content in (text_of(message), words_of(html_of(message))):
        assert "There is nothing you need to do." in content
        assert "top up," not in content


async def test_a_threshold_that_was_set_too_high_is_the_cause(ledger: Ledger) -> None:
    await ledger.add_user("ann@example.com")
    await ledger.top_up(100)
    await ledger.set_thresholds(150)
    message = written(await read(ledger, "ann@example.com"))
    assert text_of(message).startswith("Northwind Imaging\n\nYour balance is below 150.00 USD.\n\n  Balance now ")
    assert "Why now the threshold was set above the balance" in flowing_text_of(message)
    assert "Your balance is below 150.00 USD Balance now 100.00 USD" in words_of(html_of(message))
    assert "Why now the threshold was set above the balance" in words_of(html_of(message))
    assert "xfer_" not in text_of(message)


async def test_money_that_left_the_balance_below_is_the_cause(ledger: Ledger) -> None:
    await ledger.set_thresholds(150)
    await ledger.add_user("ann@example.com")
    await ledger.top_up(100)
    text = text_of(written(await read(ledger, "ann@example.com")))
    assert text.startswith("Northwind Imaging\n\nYour balance is still below 150.00 USD.\n")
    assert "Why now a top-up of 100.00 USD left it below xfer_" in " ".join(text.split())
    await ledger.run(Adjust(NORTHWIND, UNIT, is_credit=True, reference="A", reason="A gift"))
    (newest, *_) = await ledger.stores.deliveries.mails(merchant_id=NORTHWIND, limit=1)
    transfers = await ledger.stores.transfers.at(NORTHWIND, [2])
    subject = replace(await read(ledger, "ann@example.com"), mail=newest, transfer=transfers[2])
    assert "an adjustment of 1.00 USD by support left it below" in text_of(written(subject))


async def test_who_joins_is_told_why(ledger: Ledger) -> None:
    await ledger.fire()
    await ledger.add_user("ann@example.com")
    text = text_of(written(await read(ledger, "ann@example.com")))
    assert text.startswith("Northwind Imaging\n\nYour balance is below 400.00 USD.\n")
    assert "Why now you were registered on the account" in " ".join(text.split())


USED_UP: Final = """\
Northwind Imaging

Your balance is used up: requests are refused.

  Balance now           0.00 USD
  Lasts                 it is used up
  What was not covered  a request for 1.50 USD
                        15 January 2027, 08:00 UTC

Requests are refused until you top up.
To top up, contact support: billing@northwind.example

Open your account
https://pay.example/farebox/accounts/mer_38RRBH8000007

--
You get this mail because you are registered on the account of Northwind
Imaging. It comes once. You are told again when a request is refused after
money has arrived.
"""


async def use_up(ledger: Ledger, units: int = 1) -> None:
    """Let a merchant spend what it has, and refuse a request for 1.50."""
    await ledger.add_user("ann@example.com", 1)
    await ledger.top_up(units)
    await ledger.charge(images=2)
    await ledger.refused(images=3)


async def test_a_balance_that_is_used_up(ledger: Ledger) -> None:
    await use_up(ledger)
    message = written(await read(ledger, "ann@example.com"))
    assert "Northwind Imaging: balance used up, requests are refused" == message["Subject"]
    assert USED_UP == text_of(message)
    page = words_of(html_of(message))
    assert "Your balance is used up: requests are refused Balance now 0.00 USD" in page
    assert "What was not covered a request for 1.50 USD" in page
    assert "You are told again when a request is refused after money has arrived." in page


async def test_an_account_that_was_never_topped_up_is_not_said_to_be_used_up(ledger: Ledger) -> None:
    await ledger.add_user("ann@example.com")
    await ledger.refused(images=1)
    message = written(await read(ledger, "ann@example.com"))
    assert "Northwind Imaging: never topped up, requests are refused" == message["Subject"]
    assert text_of(message).startswith("Northwind Imaging\n\nYour balance was never topped up: requests are refused.\n")
    assert "used up" not in text_of(message)


async def test_a_credit_limit_that_is_used_up_is_told_with_the_balance(ledger: Ledger) -> None:
    await ledger.run(SetCreditLimit(NORTHWIND, UNIT))
    await ledger.add_user("ann@example.com")
    await ledger.charge(images=2)
    await ledger.refused(images=1)
    message = written(await read(ledger, "ann@example.com"))
    assert "Northwind Imaging: balance and credit used up, requests are refused" == message["Subject"]
    assert text_of(message).startswith(
        "Northwind Imaging\n\nYour balance and your credit limit are used up: requests are refused.\n"
    )


async def test_a_request_for_more_than_is_left_does_not_make_the_balance_used_up(ledger: Ledger) -> None:
    await use_up(ledger, 2)
    message = written(await read(ledger, "ann@example.com"))
    assert "Northwind Imaging: a request was refused, 1.00 USD can be spent" == message["Subject"]
    text = text_of(message)
    assert text.startswith("Northwind Imaging\n\nYour balance did not cover a request, which was refused.\n")
    assert "\nRequests that cost more than 1.00 USD are refused until you top up.\n" in text
    assert "used up" not in text


async def test_who_joins_an_account_that_is_used_up_is_told_why(ledger: Ledger) -> None:
    await use_up(ledger)
    await ledger.add_user("ben@example.com")
    text = text_of(written(await read(ledger, "ben@example.com")))
    assert text.startswith("Northwind Imaging\n\nYour balance is used up: requests are refused.\n")
    assert "Why now you were registered on the account" in " ".join(text.split())


async def test_a_negative_threshold_reads_as_one(ledger: Ledger) -> None:
    await ledger.run(SetCreditLimit(NORTHWIND, 50 * UNIT))
    await ledger.set_thresholds(-20)
    await ledger.add_user("ann@example.com")
    await ledger.charge(images=50)
    message = written(await read(ledger, "ann@example.com"))
    assert "Northwind Imaging: balance below -20.00 USD" == message["Subject"]
    assert (
        "  Balance now           -25.00 USD\n  Can still be spent    25.00 USD\n"
        "                        with the credit limit of 50.00 USD\n"
    ) in text_of(message)


async def test_each_kind_of_transfer_that_fires_is_named(ledger: Ledger) -> None:
    await ledger.add_user("ann@example.com")
    await ledger.top_up(400)
    await ledger.set_thresholds(400)
    causes = []

    async def cause() -> str:
        (mail, *_) = await ledger.stores.deliveries.mails(merchant_id=NORTHWIND, limit=1)
        assert mail.alert.transfer_seq is not None
        transfers = await ledger.stores.transfers.at(NORTHWIND, [mail.alert.transfer_seq])
        subject = replace(await read(ledger, "ann@example.com"), mail=mail, transfer=transfers[mail.alert.transfer_seq])
        line = next(line for line in text_of(written(subject)).splitlines() if "What brought it down" in line)
        await ledger.top_up(400)
        return line.split("  ")[-1]

    await ledger.capture(await ledger.hold(images=3))
    causes.append(await cause())
    await ledger.run(Adjust(NORTHWIND, 401 * UNIT, is_credit=False, reference="A", reason="A wrong refund"))
    causes.append(await cause())
    await ledger.run(ReverseTopUp(NORTHWIND, 1, "R", "It bounced"))
    causes.append(await cause())
    assert [
        "a captured hold of 1.50 USD for 3 x image",
        "an adjustment of 401.00 USD by support",
        "a reversed top-up of 400.00 USD",
    ] == causes


def test_every_kind_that_can_bring_posted_down_has_words() -> None:
    subject = a_subject()
    for kind in (Kind.CHARGE, Kind.CAPTURE, Kind.ADJUSTMENT_DEBIT, Kind.TOP_UP_REVERSAL):
        transfer = Transfer(NORTHWIND, 1, kind, UNIT, "k", b"", 0, 0, NOW, b"")
        assert " of 1.00 USD" in text_of(written(replace(subject, transfer=transfer)))


def test_a_request_by_a_rule_is_told_by_its_quantities() -> None:
    transfer = Transfer(
        *(NORTHWIND, 1, Kind.CHARGE, UNIT, "k", b"", 0, 0, NOW, b"", "chat", 1), pricing="input=1200,output=350"
    )
    text = text_of(written(replace(a_subject(), transfer=transfer)))
    assert "a charge of 1.00 USD for chat: 1,200 input, 350 output" in " ".join(text.split())


async def test_when_requests_are_refused_depends_on_the_credit_limit(ledger: Ledger) -> None:
    await ledger.fire("ann@example.com")
    await ledger.run(SetCreditLimit(NORTHWIND, 50 * UNIT))
    text = flowing_text_of(written(await read(ledger, "ann@example.com")))
    assert "When your balance and your credit limit of 50.00 USD are used up, requests are refused" in text
    await ledger.charge(images=2 * 399 + 1)
    text = text_of(written(await read(ledger, "ann@example.com")))
    assert "  Balance now           0.00 USD\n  Can still be spent    50.00 USD\n" in text
    assert f"  Lasts                 {RUNWAY}\n" in text
    assert "When your balance and your credit limit" in text
    await ledger.charge(images=2 * 50)
    text = text_of(written(await read(ledger, "ann@example.com")))
    assert "  Balance now           -50.00 USD\n  Can still be spent    0.00 USD\n" in text
    assert "  Lasts                 it is used up\n" in text
    assert "\nRequests are refused until you top up.\n" in text


def test_without_burn_there_is_no_word_of_how_long_it_lasts() -> None:
    message = written(a_subject())
    assert "Lasts" not in text_of(message)
    assert "Lasts" not in html_of(message)


@pytest.mark.parametrize(
    ("contact", "in_text", "link"),
    [
        ("", "To top up, contact support.\n", None),
        ("billing@northwind.example", "support: billing@northwind.example\n", "mailto:billing@northwind.example"),
        (
            "https://northwind.example/help",
            "support: https://northwind.example/help\n",
            "https://northwind.example/help",
        ),
        ("+49 30 901820", "support: +49 30 901820\n", None),
        ("javascript:alert(1)", "support: javascript:alert(1)\n", None),
        ("Ann, ext. 12\r\nor Ben", "support: Ann, ext. 12 or Ben\n", None),
    ],
)
def test_how_to_reach_support(contact: str, in_text: str, link: str | None) -> None:
    message = written(a_subject(), replace(MAIL_SETTINGS, support_contact=contact))
    assert in_text in text_of(message)
    links = re.findall(r'href="([^"]*)"', html_of(message))
    assert [*([link] if link else []), "https://pay.example/farebox/accounts/mer_38RRBH8000007"] == links


@pytest.mark.parametrize("url", ["https://pay.example", "https://pay.example/"])
def test_the_dashboard_link_has_one_slash_before_its_path(url: str) -> None:
    assert "Open your account\nhttps://pay.example/accounts/mer_38RRBH8000007\n" in text_of(
        written(a_subject(), replace(MAIL_SETTINGS, public_url=url))
    )


NAMES: Final = st.text(max_size=300) | st.lists(
    st.sampled_from(
        ["=?", "utf-8?q?", "us-ascii?b?", "?=", "=0D", "=0A", "DQpYOiB5", "Bcc:", "\r", "\n", "=", "?", " ", "ü", "a"]
    )
).map("".join)


@given(NAMES)
@example("=?utf-8?q?A=0D=0ABcc:_eve@example.com?=")
def test_no_name_adds_a_header_or_a_tag(name: str) -> None:
    plain = alert_message(a_subject(), MAIL_SETTINGS)
    message = written(a_subject(name=name))
    assert plain.keys() == message.keys()
    assert [] == [defect for value in message.values() for defect in value.defects]
    assert str(message["Subject"]).endswith(": balance below 400.00 USD")
    tags = re.findall(r"<[^>]*>", html_of(message))
    assert tags == re.findall(r"<[^>]*>", html_of(written(a_subject())))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Bücher & Söhne", "Bücher & Söhne"),
        ("株式会社 ノースウィンド", "株式会社 ノースウィンド"),
        ("A\r\nBcc: eve@example.com", "A Bcc: eve@example.com"),
        ("=?utf-8?q?A=0D=0ABcc:_eve@example.com?=", "=?utf-8?q?A=0D=0ABcc:_eve@example.com?="),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
    ],
)
def test_names_arrive_as_they_were_given_on_one_line(name: str, shown: str) -> None:
    message = written(a_subject(name=name))
    assert "Bcc" not in message
    assert text_of(message).startswith(f"{shown}\n\nYour balance is below 400.00 USD.\n")
    assert "<script" not in html_of(message)
    assert f"{shown}: balance below 400.00 USD".replace("=?", "= ?") == message["Subject"]


def test_a_sender_with_a_name() -> None:
    settings = replace(MAIL_SETTINGS, mail_from="Müller, Söhne <alerts@bücher.example>")
    message = written(a_subject(), settings)
    assert (Address("Müller, Söhne", "alerts", "xn--bcher-kva.example"),) == message["From"].addresses
    assert str(message["Message-ID"]).endswith("@xn--bcher-kva.example>")


def test_addresses_in_other_alphabets() -> None:
    message = alert_message(a_subject(email="ann@bücher.example"), MAIL_SETTINGS)
    assert b"\r\nTo: ann@xn--bcher-kva.example\r\n" in message.as_bytes()
    message = alert_message(a_subject(email="jürgen@bücher.example"), MAIL_SETTINGS)
    assert "\r\nTo: jürgen@xn--bcher-kva.example\r\n".encode() in message.as_bytes()


def test_an_address_that_is_none() -> None:
    with pytest.raises(InvalidAddress):
        alert_message(a_subject(email="ann@example.com\r\nBcc: eve@example.com"), MAIL_SETTINGS)


def test_the_html_fetches_nothing_and_runs_nothing() -> None:
    html = html_of(written(a_subject()))
    assert [] == re.findall(r"<(?:img|script|link|iframe|form|object)\b|\burl\(|@import|\bon\w+=", html)
    assert {"https"} == {urlsplit(link).scheme for link in re.findall(r'href="(http[^"]*)"', html)}
