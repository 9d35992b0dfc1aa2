"""Signing in: who gets in, for how long, with which codes and links; nothing tells which addresses there are."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.service.errors import Conflict, InvalidInput, Missing, Overloaded
from farebox.service.people.password_strength import check_strength
from farebox.service.people.passwords import WAITING_MAX, Passwords
from farebox.service.people.sign_in import (
    ACCOUNT_MAILS_PER_HOUR_MAX,
    IDLE_MICROS,
    LINK_MICROS,
    SESSION_MICROS_MAX,
    TOUCH_MICROS,
    LinkExpired,
    SignedIn,
    SignIn,
    SignInRefused,
    normal_email,
)
from farebox.service.people.signing import Signer
from farebox.storage.records import AccountMail, Login, Purpose, Realm, Role, User
from tests.service.people import ANN, PASSWORD, PeopleParts, open_people_parts
from tests.support.ledger import ANN as MERCHANT
from tests.support.ledger import NOW, add_merchant

SECOND: Final = 1_000_000
NEW: Final = "eight loud trumpets"
REALMS: Final = tuple(Realm)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[PeopleParts]:
    async with open_people_parts(tmp_path) as parts:
        yield parts


# Who gets in.


async def test_who_knows_the_password_gets_in_under_a_session_of_their_own(parts: PeopleParts) -> None:
    login = await parts.add()
    first, second = await parts.enter(), await parts.enter("ann@NORTHWIND.example")
    assert first.token != second.token
    assert first.session.digest == parts.signer.session_digest(first.token)
    assert login.login_id == first.login.login_id
    assert NOW == (await login_of(parts, login)).signed_in_at
    seen = await parts.sign_in.authenticate(first.token, Realm.MERCHANT)
    assert seen is not None
    assert first.session == seen.session


async def test_every_refusal_is_the_same_and_checks_one_hash(parts: PeopleParts) -> None:
    """No matter what is wrong: the address, the password, the code, the client, or all of it."""
    seed = b"\1" * 32
    await parts.add()
    await parts.add("closed@northwind.example", disabled_at=NOW)
    await parts.add("invited@northwind.example", password_hash=None)
    await parts.add("coded@northwind.example", totp_seed=seed)
    attempts = [
        (ANN, "wrong", "", Realm.MERCHANT),
        (ANN, "", "", Realm.MERCHANT),
        (ANN, PASSWORD, "", Realm.SUPPORT),
        ("nobody@northwind.example", PASSWORD, "", Realm.MERCHANT),
        ("no address", PASSWORD, "", Realm.MERCHANT),
        ("", "", "", Realm.MERCHANT),
        ("\0", "\0", "\0", Realm.MERCHANT),
        ("closed@northwind.example", PASSWORD, "", Realm.MERCHANT),
        ("closed@northwind.example", "wrong", "", Realm.MERCHANT),
        ("invited@northwind.example", "", "", Realm.MERCHANT),
        ("coded@northwind.example", PASSWORD, "", Realm.MERCHANT),
        ("coded@northwind.example", PASSWORD, "000000", Realm.MERCHANT),
        ("coded@northwind.example", PASSWORD, "١٢٣٤٥٦", Realm.MERCHANT),
        ("coded@northwind.example", "wrong", parts.code(seed), Realm.MERCHANT),
    ]
    messages = set()
    for number, (email, password, code, realm) in enumerate(attempts, 1):
        with pytest.raises(SignInRefused) as raised:
            await parts.enter(email, password, code=code, realm=realm)
        messages.add(raised.value.message)
        assert number == len(parts.passwords.checks), email
    assert 1 == len(messages)


async def test_a_password_that_was_changed_while_it_was_checked_opens_nothing(parts: PeopleParts) -> None:
    login = await parts.add()
    await parts.stores.logins.change_password(login.login_id, "another hash", before=login.password_hash, at=NOW)
    with pytest.raises(SignInRefused):
        await parts.sign_in.begin(login, NOW, address=None, agent="")
    assert [] == await parts.stores.sessions.list(login.login_id, NOW)


async def test_what_a_browser_calls_itself_is_kept_short_and_printable(parts: PeopleParts) -> None:
    login = await parts.add()
    signed_in = await parts.sign_in.begin(login, NOW, address=None, agent="a\0b\r\nc\u2028\ud800" + "d" * 1000)
    assert "abc" + "d" * 197 == signed_in.session.agent


# How long.


@pytest.mark.parametrize("realm", REALMS)
async def test_a_session_ends_when_it_is_not_used(parts: PeopleParts, realm: Realm) -> None:
    await parts.add(realm=realm)
    signed_in = await parts.enter(realm=realm)
    parts.clock.move(micros=IDLE_MICROS[realm] - 1)
    assert await is_in(parts, signed_in)
    parts.clock.move(micros=IDLE_MICROS[realm] - 1)
    assert await is_in(parts, signed_in)
    parts.clock.move(micros=IDLE_MICROS[realm])
    assert not await is_in(parts, signed_in)
    parts.clock.move(micros=-1)
    assert await is_in(parts, signed_in)


@pytest.mark.parametrize("realm", REALMS)
async def test_a_session_ends_at_last_however_much_it_is_used(parts: PeopleParts, realm: Realm) -> None:
    await parts.add(realm=realm)
    signed_in = await parts.enter(realm=realm)
    step = IDLE_MICROS[realm] // 2
    while parts.clock.now() + step < NOW + SESSION_MICROS_MAX[realm]:
        parts.clock.move(micros=step)
        assert await is_in(parts, signed_in)
    parts.clock.time = NOW + SESSION_MICROS_MAX[realm]
    assert not await is_in(parts, signed_in)


async def test_what_is_no_use_of_a_session_makes_it_last_no_longer(parts: PeopleParts) -> None:
    await parts.add()
    signed_in = await parts.enter()
    parts.clock.move(micros=IDLE_MICROS[Realm.MERCHANT] - 1)
    assert await parts.sign_in.authenticate(signed_in.token, Realm.MERCHANT, is_use=False) is not None
    parts.clock.move(micros=1)
    assert not await is_in(parts, signed_in)


async def test_a_use_is_written_down_once_in_a_while(parts: PeopleParts) -> None:
    await parts.add()
    signed_in = await parts.enter()
    for micros, seen in (
        (TOUCH_MICROS - 1, NOW),
        (1, NOW + TOUCH_MICROS),
        (-5 * TOUCH_MICROS, NOW + TOUCH_MICROS),
    ):
        parts.clock.move(micros=micros)
        assert await is_in(parts, signed_in)
        (session,) = await parts.sign_in.sessions(signed_in)
        assert seen == session.seen_at


async def test_a_session_is_of_one_realm(parts: PeopleParts) -> None:
    await parts.add()
    signed_in = await parts.enter()
    assert await parts.sign_in.authenticate(signed_in.token, Realm.SUPPORT) is None
    for token in ("", "x", "x" * 101, signed_in.token[:-1], signed_in.token + "x", signed_in.session.digest.hex()):
        assert await parts.sign_in.authenticate(token, Realm.MERCHANT) is None


async def test_who_signs_out_is_out_and_may_sign_out_elsewhere(parts: PeopleParts) -> None:
    await parts.add()
    here, there, other = [await parts.enter() for _ in range(3)]
    assert 3 == len(await parts.sign_in.sessions(here))
    await parts.sign_in.sign_out(other)
    assert [True, True, False] == [await is_in(parts, it) for it in (here, there, other)]
    await parts.sign_in.sign_out_elsewhere(here)
    assert [True, False] == [await is_in(parts, it) for it in (here, there)]


async def test_a_changed_password_ends_other_sessions_and_mailed_links(parts: PeopleParts) -> None:
    await parts.add()
    here, there = await parts.enter(), await parts.enter()
    await parts.sign_in.request_reset(Realm.MERCHANT, ANN)
    link = parts.sign_in.link_text((await parts.stores.account_mails.list(1))[0])
    await parts.sign_in.change_password(here, old=PASSWORD, new=NEW)
    assert [True, False] == [await is_in(parts, it) for it in (here, there)]
    with pytest.raises(LinkExpired):
        await parts.sign_in.open_link(link)
    with pytest.raises(SignInRefused):
        await parts.enter()
    await parts.enter(password=NEW)


async def test_a_password_that_is_changed_twice_at_once_is_changed_by_the_first(parts: PeopleParts) -> None:
    """A thief who knows the old one does not win over a link that its owner uses at the same moment."""
    await parts.add()
    thief = await parts.enter()
    await parts.sign_in.request_reset(Realm.MERCHANT, ANN)
    link = parts.sign_in.link_text((await parts.stores.account_mails.list(1))[0])
    await parts.sign_in.use_link(link, NEW, address=None, agent="")
    with pytest.raises(InvalidInput, match="changed meanwhile"):
        await parts.sign_in.change_password(thief, old=PASSWORD, new="four loud lanterns")
    await parts.enter(password=NEW)


async def test_a_password_is_changed_by_who_knows_the_old_one_to_one_that_is_good(parts: PeopleParts) -> None:
    login = await parts.add()
    signed_in = await parts.enter()
    for old, new, field in (("wrong", NEW, "old"), (PASSWORD, "short", "new"), (PASSWORD, ANN, "new")):
        with pytest.raises(InvalidInput) as raised:
            await parts.sign_in.change_password(signed_in, old=old, new=new)
        assert field == raised.value.field
    await parts.stores.logins.set_disabled(login.login_id, NOW)
    with pytest.raises(Missing):
        await parts.sign_in.change_password(signed_in, old=PASSWORD, new=NEW)


async def test_who_is_closed_is_out_at_once(parts: PeopleParts) -> None:
    login = await parts.add()
    signed_in = await parts.enter()
    await parts.stores.logins.set_disabled(login.login_id, NOW)
    assert not await is_in(parts, signed_in)
    await parts.stores.logins.set_disabled(login.login_id, None)
    assert not await is_in(parts, signed_in)


async def test_forms_of_a_session_carry_a_mark_that_no_other_has(parts: PeopleParts) -> None:
    await parts.add()
    one, other = await parts.enter(), await parts.enter()
    csrf_token = parts.sign_in.csrf_token(one)
    assert parts.sign_in.is_csrf_token(one, csrf_token)
    for signed_in, text in (
        (other, csrf_token),
        (one, ""),
        (one, csrf_token[:-1]),
        (one, csrf_token.upper()),
        (one, "ü"),
    ):
        assert not parts.sign_in.is_csrf_token(signed_in, text)


# One-time codes.


async def test_a_code_opens_once_and_only_now_or_a_step_ago(parts: PeopleParts) -> None:
    seed = b"\1" * 32
    await parts.add(totp_seed=seed)
    parts.clock.time = NOW - NOW % (30 * SECOND) + 7 * SECOND
    for steps in (-2, 1, 2, 100):
        with pytest.raises(SignInRefused):
            await parts.enter(code=parts.code(seed, steps))
    before, now = parts.code(seed, -1), parts.code(seed)
    await parts.enter(code=before)
    await parts.enter(code=f"{now[:3]} {now[3:]}")
    for code in (now, before):
        with pytest.raises(SignInRefused):
            await parts.enter(code=code)
    parts.clock.move(30)
    with pytest.raises(SignInRefused):
        await parts.enter(code=now)
    await parts.enter(code=parts.code(seed))


async def test_a_clock_that_steps_back_makes_no_code_good_again(parts: PeopleParts) -> None:
    seed = b"\1" * 32
    await parts.add(totp_seed=seed)
    used = parts.code(seed)
    await parts.enter(code=used)
    parts.clock.move(-60)
    for steps in (-1, 0, 2):
        with pytest.raises(SignInRefused):
            await parts.enter(code=parts.code(seed, steps))
    parts.clock.move(60)
    with pytest.raises(SignInRefused):
        await parts.enter(code=used)


async def test_of_two_who_use_a_code_at_once_one_gets_in(parts: PeopleParts) -> None:
    seed = b"\1" * 32
    await parts.add(totp_seed=seed)
    code = parts.code(seed)
    found = await asyncio.gather(*[parts.enter(code=code) for _ in range(3)], return_exceptions=True)
    assert [SignedIn, SignInRefused, SignInRefused] == sorted(
        (type(it) for it in found), key=lambda kind: kind.__name__ != "SignedIn"
    )


async def test_codes_are_set_up_by_password_and_a_first_code_which_is_then_used_up(parts: PeopleParts) -> None:
    login = await parts.add()
    signed_in = await parts.enter()
    setup = parts.sign_in.two_factor_setup(login)
    assert setup == parts.sign_in.two_factor_setup(login, setup.seed)
    uri = urlsplit(setup.uri)
    assert ("otpauth", "totp", f"/Farebox:{ANN}") == (uri.scheme, uri.netloc, uri.path.replace("%40", "@"))
    assert {"secret": [setup.secret], "issuer": ["Farebox"]} == parse_qs(uri.query)
    code = parts.code(setup.seed)
    for password, given_code, field in (
        ("wrong", code, "password"),
        (PASSWORD, "000000", "code"),
        (PASSWORD, "", "code"),
    ):
        with pytest.raises(InvalidInput) as raised:
            await parts.sign_in.enable_two_factor(signed_in, seed=setup.seed, code=given_code, password=password)
        assert field == raised.value.field
    assert (await login_of(parts, login)).totp_seed is None
    await parts.sign_in.enable_two_factor(signed_in, seed=setup.seed, code=code, password=PASSWORD)
    for given_code in ("", code):
        with pytest.raises(SignInRefused):
            await parts.enter(code=given_code)
    parts.clock.move(30)
    signed_in = await parts.enter(code=parts.code(setup.seed))
    with pytest.raises(InvalidInput):
        await parts.sign_in.disable_two_factor(signed_in, password="wrong")
    await parts.sign_in.disable_two_factor(signed_in, password=PASSWORD)
    with pytest.raises(Conflict, match="nothing to remove"):
        await parts.sign_in.disable_two_factor(signed_in, password=PASSWORD)
    await parts.enter()


# Links.


async def test_a_link_sets_a_password_once_and_signs_in_without_what_was_open(parts: PeopleParts) -> None:
    await parts.add()
    before = await parts.enter()
    link = await reset_link(parts)
    account_mail, login = await parts.sign_in.open_link(link)
    assert (ANN, Purpose.RESET) == (login.email, account_mail.purpose)
    with pytest.raises(InvalidInput):
        await parts.sign_in.use_link(link, "short", address=None, agent="")
    signed_in = await parts.sign_in.use_link(link, NEW, address=None, agent="")
    assert [False, True] == [await is_in(parts, it) for it in (before, signed_in)]
    for use in (parts.sign_in.open_link(link), parts.sign_in.use_link(link, PASSWORD, address=None, agent="")):
        with pytest.raises(LinkExpired):
            await use
    await parts.enter(password=NEW)


async def test_a_link_replaces_no_codes(parts: PeopleParts) -> None:
    seed = b"\1" * 32
    await parts.add(totp_seed=seed)
    await parts.sign_in.use_link(await reset_link(parts), NEW, address=None, agent="")
    with pytest.raises(SignInRefused):
        await parts.enter(password=NEW)
    await parts.enter(password=NEW, code=parts.code(seed))


@pytest.mark.parametrize("purpose", [Purpose.RESET, Purpose.INVITATION])
async def test_a_link_is_good_until_its_time(parts: PeopleParts, purpose: Purpose) -> None:
    login = await parts.add()
    await parts.stores.account_mails.add(parts.sign_in.account_mail(purpose, login, merchant_id=None))
    link = parts.sign_in.link_text((await parts.stores.account_mails.list(1))[0])
    parts.clock.move(micros=LINK_MICROS[purpose] - 1)
    await parts.sign_in.open_link(link)
    parts.clock.move(micros=1)
    with pytest.raises(LinkExpired):
        await parts.sign_in.open_link(link)


async def test_a_link_is_exact_and_made_with_the_operators_key(parts: PeopleParts) -> None:
    login = await parts.add()
    link = await reset_link(parts)
    number, token = link.split(".")
    (account_mail,) = await parts.stores.account_mails.list(1)
    forged = SignIn(parts.stores, parts.clock, Signer(""), parts.passwords).link_text(account_mail)
    other = parts.sign_in.link_text(replace(account_mail, seed=b"\2" * 32))
    wrong = (
        *(
            "",
            ".",
            number,
            f"{number}.",
            f".{token}",
            f"{number}.{token[:-1]}",
            f"{number}.{token}A",
            f" {link}",
            "ü.ü",
        ),
        *(f"{number}.{token.lower()}", f"{'0' * 13}.{token}", forged, other, f"{number}.\ufffd", "9" * 500),
    )
    for text in wrong:
        with pytest.raises(LinkExpired):
            await parts.sign_in.open_link(text)
    await parts.stores.account_mails.add(parts.sign_in.account_mail(Purpose.TEST, login, merchant_id=None))
    test = parts.sign_in.link_text((await parts.stores.account_mails.list(1))[0])
    with pytest.raises(LinkExpired):
        await parts.sign_in.open_link(test)
    await parts.stores.logins.set_disabled(login.login_id, NOW)
    with pytest.raises(LinkExpired):
        await parts.sign_in.open_link(link)


async def test_who_is_closed_while_they_choose_a_password_gets_none(
    parts: PeopleParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = await parts.add()
    link = await reset_link(parts)

    async def close_and_hash(field: str, password: str, *, email: str, name: str) -> str:
        await parts.stores.logins.set_disabled(login.login_id, NOW)
        return password

    monkeypatch.setattr(parts.passwords, "hash_new", close_and_hash)
    with pytest.raises(LinkExpired):
        await parts.sign_in.use_link(link, NEW, address=None, agent="")
    assert [] == await parts.stores.sessions.list(login.login_id, NOW)


async def test_nothing_tells_whether_a_mail_was_written(parts: PeopleParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers alike, and not sooner for whom nothing is written down."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    parts = dataclasses.replace(parts, reset_seconds=7.5)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    await parts.add()
    await parts.add("closed@northwind.example", disabled_at=NOW)
    for email in (ANN, "closed@northwind.example", "nobody@northwind.example"):
        await parts.sign_in.request_reset(Realm.MERCHANT, email)
    assert [7.5] * 3 == waits
    assert [ANN] == [it.email for it in await parts.stores.account_mails.list(9)]
    assert [] == parts.passwords.checks
    with pytest.raises(InvalidInput):
        await parts.sign_in.request_reset(Realm.MERCHANT, "no address")


async def test_who_is_registered_without_a_login_gets_one_by_asking(parts: PeopleParts) -> None:
    await add_merchant(parts.stores)
    await parts.stores.users.add(User(MERCHANT, 1, ANN, NOW, Role.VIEWER))
    await parts.sign_in.request_reset(Realm.SUPPORT, ANN)
    assert [] == await parts.stores.account_mails.list(9)
    asked = [parts.sign_in.request_reset(Realm.MERCHANT, ANN) for _ in range(3)]
    await asyncio.gather(*asked)
    assert 1 == len(await parts.stores.logins.list(Realm.MERCHANT))
    link = parts.sign_in.link_text((await parts.stores.account_mails.list(9))[0])
    await parts.sign_in.use_link(link, PASSWORD, address=None, agent="")
    await parts.enter()


async def test_nobody_is_sent_more_than_a_few_mails_an_hour(
    parts: PeopleParts, caplog: pytest.LogCaptureFixture
) -> None:
    login = await parts.add()
    for _ in range(ACCOUNT_MAILS_PER_HOUR_MAX + 2):
        await parts.sign_in.request_reset(Realm.MERCHANT, ANN)
    assert ACCOUNT_MAILS_PER_HOUR_MAX == len(await parts.stores.account_mails.list(99))
    assert "gets no more" in caplog.text
    with pytest.raises(InvalidInput, match="try again later"):
        await parts.sign_in.send_test(login, MERCHANT)
    parts.clock.move(3601)
    await parts.sign_in.send_test(login, MERCHANT)
    assert (Purpose.TEST, MERCHANT) == ((await newest(parts)).purpose, (await newest(parts)).merchant_id)


# Passwords, and what is derived from the operator's key.


async def test_hashes_that_wait_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = Passwords()
    found = await asyncio.gather(*[hashes.is_right(None, "x") for _ in range(WAITING_MAX + 3)], return_exceptions=True)
    assert [False] * WAITING_MAX == found[:WAITING_MAX]
    assert [Overloaded] * 3 == [type(it) for it in found[WAITING_MAX:]]
    assert not await hashes.is_right("no hash", "x")
    hashes.close()


async def test_an_accent_is_one_however_a_keyboard_makes_it() -> None:
    hashes = Passwords()
    hashed = await hashes.hash("caf\u00e9 au lait")
    assert await hashes.is_right(hashed, "cafe\u0301 au lait")
    assert not await hashes.is_right(hashed, "cafe au lait")
    hashes.close()


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("nine chars", ""),
        ("ninechars", "10 to 200"),
        ("", "10 to 200"),
        ("x" * 201, "10 to 200"),
        ("aaaaabbbbbcccc", "different"),
        ("ann@northwind.example", "resembles"),
        ("Northwind.Example", "resembles"),
        ("xxANNxabcd", ""),
        ("password123", "others try first"),
        ("PASSWORD123!", "others try first"),
        ("my password is long enough", ""),
        ("qwertyuiop12", "others try first"),
        *(
            (password, "others try first")
            for password in (
                *("sunshine2024", "qwerty12345", "iloveyou123456", "letmein2024", "welcome123", "monkey12345"),
                *("dragon2023", "football1234", "princess123", "baseball2024", "superman123", "trustno1trustno1"),
                *("abc123456789", "Password1!", "P@ssw0rd2024!", "winterWINTER1", "1q2w3e4r5t6y", "asdfghjkl1"),
            )
        ),
        ("northwind2024", "resembles your name or address"),
        ("annsmith2024", "resembles your name or address"),
        ("farebox12345", "others try first|resembles"),
        ("open the demo", ""),
        ("x$7!q@9(4[2|k+0", ""),
        ("Tr4vel-light-07", ""),
        ("correct horse battery staple" * 7, ""),
    ],
)
def test_a_password_to_choose_is_long_and_not_what_anybody_would_try_first(password: str, words: str) -> None:
    if not words:
        check_strength("new", password, email=ANN, name="Ann Smith")
        return
    with pytest.raises(InvalidInput, match=words):
        check_strength("new", password, email=ANN, name="Ann Smith")


SYMBOLS: Final = "4@8({[<3691!|0$5+7%2"
"""Every symbol that is read as a character of the alphabet, some as two."""


@pytest.mark.parametrize(
    "unit",
    [
        SYMBOLS,
        SYMBOLS[::-1],
        "4@1|7+5$",
        "p@$$w0rd",
        "password",
        "1234567890",
        "qwertyuiop",
        "abcabd",
        "1/1/2020 ",
        "aB3$x",
    ],
)
def test_no_password_takes_long_to_estimate(unit: str) -> None:
    started = time.process_time()
    with suppress(InvalidInput):
        check_strength("new", (unit * 200)[:200], email=ANN, name="Ann Smith")
    assert time.process_time() - started < 2


@given(st.text(), st.emails())
def test_any_text_is_a_password_or_said_why_not(password: str, email: str) -> None:
    with suppress(InvalidInput):
        check_strength("new", password, email=email, name=email)
        assert 10 <= len(password) <= 200


@given(st.text(max_size=100, alphabet=st.characters(exclude_categories=["Cs"])))
def test_whatever_is_typed_for_an_address_is_one_in_normal_form_or_nobodys(text: str) -> None:
    assert normal_email(normal_email(text)) == normal_email(text)


@pytest.mark.parametrize("key", ["", "x", "y" * 500])
def test_what_is_derived_differs_by_its_use_its_data_and_the_key(key: str) -> None:
    signer, other = Signer(key), Signer(f"{key}z")
    seed = signer.new_seed()
    assert 32 == len(seed)
    made = [
        signer.session_digest("token"),
        signer.session_digest("tokem"),
        other.session_digest("token"),
        bytes.fromhex(signer.csrf_token("token")),
        bytes.fromhex(other.csrf_token("token")),
        signer.link_token(seed).encode(),
        other.link_token(seed).encode(),
        signer.code_secret(seed).encode(),
        other.code_secret(seed).encode(),
    ]
    assert len(made) == len({it[:18] for it in made})
    assert signer.is_link_token(seed, signer.link_token(seed))
    assert not signer.is_link_token(seed, other.link_token(seed))
    assert signer.new_session_token() != signer.new_session_token()


async def is_in(parts: PeopleParts, signed_in: SignedIn) -> bool:
    return await parts.sign_in.authenticate(signed_in.token, Realm(signed_in.login.realm)) is not None


async def login_of(parts: PeopleParts, login: Login) -> Login:
    found = await parts.stores.logins.get(login.login_id)
    assert found is not None
    return found


async def newest(parts: PeopleParts) -> AccountMail:
    return (await parts.stores.account_mails.list(1))[0]


async def reset_link(parts: PeopleParts) -> str:
    await parts.sign_in.request_reset(Realm.MERCHANT, ANN)
    return parts.sign_in.link_text(await newest(parts))
