"""The operator's secret key is followed by another: what the old one made is good as long as it is named.

Each kind of thing that is signed or encrypted is made under the old key, and asked for under three sets of keys.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pyotp
import pytest

from farebox.bootstrap import Farebox
from farebox.core.alerts import AlertKind
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.errors import ServiceError
from farebox.service.gate.tokens import BadToken, GateRefusal, GateSigner, GateToken, Mode
from farebox.service.people.destination_secrets import DestinationSecrets, SecretUnreadable
from farebox.service.people.rotation import Rotated, Rotation
from farebox.service.people.sign_in import SignedIn, SignInRefused
from farebox.service.people.signing import Signer
from farebox.storage.destination_records import Channel
from farebox.storage.records import Login, Realm
from farebox.storage.report_records import ALL_MERCHANTS, ReportKind
from tests.support.server import open_farebox, seed

OLD: Final = "b3f09c5e71d2846aa1f0e9d7c5b28463"
NEW: Final = "9d7c5b2846a3f09c5e71d2b8463a1f0e"
BOTH: Final = f"{NEW} {OLD}"
PASSWORD: Final = "seven quiet lanterns"
TOKEN: Final = GateToken(Mode.CHARGE, "mer_x", "xfer_x", 1_000_000, "image", 1, None, None)


@dataclass
class Made:
    """Things that were made under the old key."""

    login: Login
    session: SignedIn
    form_token: str
    mailed: str
    unsubscribing: str
    report: str
    destination_id: int
    secret: str
    codes: pyotp.TOTP


async def _make(farebox: Farebox) -> Made:
    sign_in, services = farebox.services.sign_in, farebox.services
    seeds = await seed(farebox)
    email = "ann@farebox.example"
    hashed = await farebox.passwords.hash(PASSWORD)
    await farebox.stores.logins.add(
        Login(7, Realm.SUPPORT, email, "Ann", farebox.clock.now(), hashed, roles=EVERY_ROLE)
    )
    session = await _enter(farebox, "")
    setup = sign_in.two_factor_setup(session.login)
    codes = pyotp.TOTP(setup.secret)
    await sign_in.enable_two_factor(session, seed=setup.seed, code=_code(farebox, codes), password=PASSWORD)
    await sign_in.request_reset(Realm.SUPPORT, email)
    (account_mail,) = await farebox.stores.account_mails.list(1)
    await services.merchants.add_user(seeds.merchant_id, "ben@shop.example")
    (user,) = await farebox.stores.users.list(seeds.merchant_id)
    made = await services.destinations.add(
        seeds.merchant_id, Channel.WEBHOOK, "https://hooks.invalid/farebox", types=["balance.low"], principal=None
    )
    return Made(
        session.login,
        session,
        sign_in.csrf_token(session),
        sign_in.link_text(account_mail),
        await services.unsubscribing.link_text(user, AlertKind.LOW_BALANCE),
        (await services.report_links.url(7, ALL_MERCHANTS, ReportKind.WEEKLY, public_url="")).rpartition("/")[2],
        made.destination.destination_id,
        made.secret,
        codes,
    )


def _code(farebox: Farebox, codes: pyotp.TOTP) -> str:
    return codes.at(farebox.clock.now() // 1_000_000)


async def _enter(farebox: Farebox, code: str) -> SignedIn:
    return await farebox.services.sign_in.sign_in(
        Realm.SUPPORT, email="ann@farebox.example", password=PASSWORD, code=code, address=None, agent=""
    )


async def _known(farebox: Farebox, made: Made) -> dict[str, bool]:
    """Tell of each thing that was made whether it is known."""
    services, secrets = farebox.services, DestinationSecrets(*farebox.settings.secret_key.keys)
    destination = await farebox.stores.destinations.find(made.destination_id)
    assert destination is not None
    # A code is good once.
    await farebox.stores.connector.run_in_transaction(lambda fetch: fetch("UPDATE login SET totp_step = 0"))

    async def is_known(ask: Callable[[], Awaitable[object]]) -> bool:
        try:
            return bool(await ask())
        except (ServiceError, SignInRefused):
            return False

    async def read_secret() -> bool:
        return [made.secret] == secrets.signing_secrets(destination, farebox.clock.now())

    return {
        "session": await is_known(lambda: services.sign_in.authenticate(made.session.token, Realm.SUPPORT)),
        "form": services.sign_in.is_csrf_token(made.session, made.form_token),
        "mailed link": await is_known(lambda: services.sign_in.open_link(made.mailed)),
        "link that ends mails": await is_known(lambda: services.unsubscribing.read(made.unsubscribing)),
        "link that ends reports": await is_known(lambda: services.report_links.read(made.report)),
        "destination": await is_known(read_secret),
        "one-time code": await is_known(lambda: _enter(farebox, _code(farebox, made.codes))),
    }


async def test_all_that_an_old_key_made_is_good_while_it_is_named_and_no_longer(database_url: str) -> None:
    async with open_farebox(database_url, secret_key=OLD) as farebox:
        made = await _make(farebox)
        assert {True} == set((await _known(farebox, made)).values())
    async with open_farebox(database_url, secret_key=NEW) as farebox:
        assert {False} == set((await _known(farebox, made)).values())
    async with open_farebox(database_url, secret_key=BOTH) as farebox:
        assert {True} == set((await _known(farebox, made)).values())
    async with open_farebox(database_url, secret_key=NEW) as farebox:
        # Codes that were used are wrapped with the new key.
        known = await _known(farebox, made)
        assert {"one-time code"} == {name for name, is_known in known.items() if is_known}


async def _rotate(farebox: Farebox) -> Rotated:
    keys = farebox.settings.secret_key.keys
    return await Rotation(farebox.stores, Signer(*keys), DestinationSecrets(*keys)).rotate()


@pytest.mark.parametrize("is_wrapped", [True, False])
async def test_what_is_kept_for_ever_is_written_anew_and_then_needs_no_old_key(
    database_url: str, is_wrapped: bool
) -> None:
    """Seeds of codes that come from before keys could follow one another are not wrapped."""
    async with open_farebox(database_url, secret_key=OLD) as farebox:
        made = await _make(farebox)
        if not is_wrapped:
            unwrapped = bytes(range(32))
            made.codes = pyotp.TOTP(Signer(OLD).code_secret(unwrapped))
            await farebox.stores.logins.set_totp_seed(made.login.login_id, unwrapped)
    async with open_farebox(database_url, secret_key=BOTH) as farebox:
        assert Rotated(1, 1, ()) == await _rotate(farebox)
        assert Rotated(0, 0, ()) == await _rotate(farebox)
    async with open_farebox(database_url, secret_key=NEW) as farebox:
        assert Rotated(0, 0, ()) == await _rotate(farebox)
        known = await _known(farebox, made)
        assert {"destination", "one-time code"} == {name for name, is_known in known.items() if is_known}


async def test_a_secret_that_none_of_the_keys_reads_is_named_and_left(database_url: str) -> None:
    async with open_farebox(database_url, secret_key=OLD) as farebox:
        made = await _make(farebox)
    async with open_farebox(database_url, secret_key=NEW) as farebox:
        assert (made.destination_id,) == (await _rotate(farebox)).unreadable
    async with open_farebox(database_url, secret_key=OLD) as farebox:
        assert (await _known(farebox, made))["destination"]


def test_the_first_key_alone_makes_things() -> None:
    both, new, old = Signer(NEW, OLD), Signer(NEW), Signer(OLD)
    random = new.new_seed()
    assert new.session_digest("token") == both.session_digest("token") == both.session_digests("token")[0]
    assert old.session_digest("token") == both.session_digests("token")[1]
    assert new.link_token(random) == both.link_token(random)
    assert new.csrf_token("token") == both.csrf_token("token")
    wrapped = both.new_code_seed()
    assert both.code_secrets(wrapped) == new.code_secrets(wrapped)
    assert both.code_secret(wrapped) not in old.code_secrets(wrapped)
    with pytest.raises(SecretUnreadable):
        DestinationSecrets(OLD).decrypt(7, DestinationSecrets(NEW, OLD).encrypt(7, "x"))


def test_the_gate_knows_what_an_old_secret_signed_while_it_is_named() -> None:
    old, both, new = GateSigner(OLD), GateSigner(NEW, OLD), GateSigner(NEW)
    token, refusal = old.token(TOKEN), GateRefusal(402, "x", "y", ())
    assert TOKEN == both.read_token(token, 1_000_000)
    assert refusal == both.read_refusal(old.refusal(refusal))
    assert (True, True, False) == (both.is_secret(OLD.encode()), both.is_secret(NEW.encode()), both.is_secret(b"x"))
    assert new.token(TOKEN) == both.token(TOKEN)
    with pytest.raises(BadToken):
        new.read_token(token, 1_000_000)
