"""Signing in: passwords, one-time codes, sessions, and the mailed links by which a password is chosen.

A session is a random token in a browser; its digest, and when it ends, are in the database. Each sign-in
makes a new one, so there is none to be fixed beforehand.
"""

import asyncio
import logging
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core import ids
from farebox.service import inputs, parsing
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, ServiceError, translated
from farebox.service.id_generator import IdGenerator
from farebox.service.languages import LANGUAGE_NAMES
from farebox.service.people.passwords import Passwords
from farebox.service.people.signing import Signer
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.interface import AlreadyExists, NotFound
from farebox.storage.people.logins import AlreadySo, ChangedMeanwhile, LinkGone
from farebox.storage.records import AccountMail, DeliveryState, Login, Purpose, Realm, Session
from farebox.storage.stores import Stores

_MINUTE: Final = 60_000_000
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

IDLE_MICROS: Final = {Realm.MERCHANT: 14 * _DAY, Realm.SUPPORT: _HOUR}
"""How long a session lasts when nobody uses it."""

SESSION_MICROS_MAX: Final = {Realm.MERCHANT: 60 * _DAY, Realm.SUPPORT: 12 * _HOUR}
"""How long a session lasts at most."""

TOUCH_MICROS: Final = _MINUTE
"""A session's use is written down once in so long."""

LINK_MICROS: Final = {Purpose.INVITATION: 7 * _DAY, Purpose.RESET: _HOUR, Purpose.TEST: _DAY}
"""How long an account mail's link is good; and how long an account mail that can't be sent is tried."""

LINK_PURPOSES: Final = (Purpose.INVITATION, Purpose.RESET)
"""The account mails by whose link a password is chosen."""

ACCOUNT_MAILS_PER_HOUR_MAX: Final = 5
"""How many account mails one login is sent within an hour, so that nobody's mailbox is flooded by somebody else."""

RESET_SECONDS: Final = 0.5
"""How long it takes at least to ask for a link, so that the time does not tell whether one was written down."""

_CODE_SECONDS: Final = 30
_CODE_STEPS_BACK: Final = 1
_AGENT_CHARS_MAX: Final = 200
_TOKEN_CHARS_MAX: Final = 100
_ISSUER: Final = "Farebox"

_log = logging.getLogger("farebox.signin")


class SignInRefused(ServiceError):
    """The e-mail address, the password or the one-time code is wrong."""


class LinkExpired(ServiceError):
    """This link was used already or is too old. Ask for a new one."""


class SignedIn(Struct, frozen=True):
    """Somebody who is signed in: their session's token, the session and the login."""

    token: str
    session: Session
    login: Login


class _UsedCode(Struct, frozen=True):
    """The time step of a one-time code, and the secret that it was made of."""

    step: int
    secret: str


class TwoFactorSetup(Struct, frozen=True):
    """What an authenticator program needs: a seed to confirm, the secret to type and the URI to scan."""

    seed: bytes
    secret: str
    uri: str


class SignIn:
    """Signing in and out, sessions and links. Every method may raise Unavailable and, if it writes, FateUnknown."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        signer: Signer,
        hashes: Passwords,
        *,
        reset_seconds: float = RESET_SECONDS,
    ) -> None:
        """Work on these logins and sessions, with these ways to sign tokens and hash passwords."""
        self._stores = stores
        self._clock = clock
        self._signer = signer
        self._hashes = hashes
        self._reset_seconds = reset_seconds
        self._id_generator = IdGenerator(clock)

    async def sign_in(
        self, realm: Realm, *, email: str, password: str, code: str, address: str | None, agent: str
    ) -> SignedIn:
        """Begin a session.

        Every refusal is the same and takes as long, so that nobody learns which addresses there are.

        Raises:
            SignInRefused: address, password and code don't belong together, or the login is closed.
            Overloaded: too many sign in at this moment.
        """
        now = self._clock.now()
        with translated():
            login = await self._stores.logins.find(realm, normal_email(email))
            is_right = await self._hashes.is_right(None if login is None else login.password_hash, password)
            if login is None or not is_right or login.disabled_at is not None:
                raise SignInRefused
            if login.totp_seed is not None and not await self._use_code(login, login.totp_seed, code):
                raise SignInRefused
        return await self.begin(login, now, address=address, agent=agent)

    async def begin(self, login: Login, now: int, *, address: str | None, agent: str) -> SignedIn:
        """Begin a session of somebody who has shown who they are.

        Raises:
            SignInRefused: the login was closed, or its password changed, while they did.
        """
        token = self._signer.new_session_token()
        session = Session(
            self._signer.session_digest(token),
            login.login_id,
            now,
            now,
            now + IDLE_MICROS[Realm(login.realm)],
            address,
            "".join(char for char in agent if char.isprintable())[:_AGENT_CHARS_MAX],
        )
        with translated():
            try:
                await self._stores.sessions.add(session, login.password_hash)
            except NotFound as error:
                raise SignInRefused from error
        return SignedIn(token, session, login)

    async def authenticate(self, token: str, realm: Realm, *, is_use: bool = True) -> SignedIn | None:
        """Tell who a session's token belongs to; None if the session has ended or is of another realm.

        A request that an open page makes by itself is no use of the session, and does not prolong it.
        """
        if len(token) > _TOKEN_CHARS_MAX:
            return None
        now = self._clock.now()
        with translated():
            found = await self._session(token, now)
            if found is None or found[1].realm != realm:
                return None
            session, login = found
            if is_use and now - session.seen_at >= TOUCH_MICROS:
                ends = min(now + IDLE_MICROS[realm], session.created_at + SESSION_MICROS_MAX[realm])
                await self._stores.sessions.touch(session.digest, seen_at=now, expires_at=ends)
        return SignedIn(token, session, login)

    async def speak(self, signed_in: SignedIn, language: str) -> None:
        """Speak to a login in this language from now on.

        Raises:
            InvalidInput: it is none that is spoken here.
        """
        if language not in LANGUAGE_NAMES:
            raise InvalidInput("language", f"Choose one of {', '.join(LANGUAGE_NAMES)}")
        with translated():
            await self._stores.logins.set_language(signed_in.login.login_id, language)

    async def sign_out(self, signed_in: SignedIn) -> None:
        """End a session."""
        with translated():
            await self._stores.sessions.end(signed_in.session.digest)

    async def sign_out_elsewhere(self, signed_in: SignedIn) -> None:
        """End all sessions of a login but this one."""
        with translated():
            await self._stores.sessions.end_others(signed_in.login.login_id, keep=signed_in.session.digest)

    async def sessions(self, signed_in: SignedIn) -> list[Session]:
        """List a login's sessions, the last seen first."""
        with translated():
            return list(await self._stores.sessions.list(signed_in.login.login_id, self._clock.now()))

    def csrf_token(self, signed_in: SignedIn) -> str:
        """Make the token that the session's forms carry."""
        return self._signer.csrf_token(signed_in.token)

    def is_csrf_token(self, signed_in: SignedIn, token: str) -> bool:
        """Tell whether a form's token is the session's."""
        return self._signer.is_csrf_token(signed_in.token, token)

    async def change_password(self, signed_in: SignedIn, *, old: str, new: str) -> None:
        """Change a login's password; end its other sessions and the links that were mailed.

        Raises:
            InvalidInput: the old one is wrong, or the new one is none to choose.
            Missing: the login was closed meanwhile.
            Overloaded: too many sign in at this moment.
        """
        if not await self._hashes.is_right(signed_in.login.password_hash, old):
            raise InvalidInput("old", "This is not your password")
        login = signed_in.login
        hashed = await self._hashes.hash_new("new", new, email=login.email, name=login.name)
        with translated(missing="the login is closed"):
            try:
                await self._stores.logins.change_password(
                    login.login_id,
                    hashed,
                    before=login.password_hash,
                    at=self._clock.now(),
                    keep=signed_in.session.digest,
                )
            except ChangedMeanwhile as error:
                raise InvalidInput("old", "This is not your password any more: it was changed meanwhile") from error

    async def request_reset(self, realm: Realm, email: str) -> None:
        """Mail a link to choose a new password; nothing happens, and nothing tells, if nobody has the address.

        A user who never signed in gets one too: the mailbox is theirs.

        Raises:
            InvalidInput: this is no address.
        """
        address = inputs.email("email", email)
        is_time_over = asyncio.create_task(asyncio.sleep(self._reset_seconds))
        try:
            await self._mail_reset(realm, address)
        finally:
            await is_time_over

    async def _mail_reset(self, realm: Realm, address: str) -> None:
        now = self._clock.now()
        with translated():
            login = await self._stores.logins.find(realm, address)
            made = None
            if login is None and realm == Realm.MERCHANT and await self._stores.users.memberships(address):
                login = made = Login(self._id_generator.next(), realm, address, address, now)
            if login is None or login.disabled_at is not None:
                return
            if await self._had_too_many_account_mails(login):
                _log.warning(
                    "%s had %d account mails within an hour and gets no more", address, ACCOUNT_MAILS_PER_HOUR_MAX
                )
                return
            try:
                await self._stores.account_mails.add(self.account_mail(Purpose.RESET, login, merchant_id=None), made)
            except AlreadyExists:
                # Asked for twice at once: the other request mails the link.
                return

    async def send_test(self, login: Login, merchant_id: int, *, request_key: RequestKey | None = None) -> None:
        """Owe somebody a test mail.

        Raises:
            InvalidInput: they had too many account mails lately.
        """
        await self.ensure_may_mail(login)
        account_mail = self.account_mail(Purpose.TEST, login, merchant_id=merchant_id)
        repeat = repeat_of(request_key, account_mail.account_mail_id, account_mail.created_at)
        with translated():
            await self._stores.account_mails.add(account_mail, repeat=repeat)

    async def ensure_may_mail(self, login: Login) -> None:
        """Check that somebody did not have too many account mails lately.

        Raises:
            InvalidInput: they had.
        """
        with translated():
            if await self._had_too_many_account_mails(login):
                raise InvalidInput(
                    "email",
                    f"{login.email} was sent {ACCOUNT_MAILS_PER_HOUR_MAX} mails within an hour; try again later",
                )

    async def _had_too_many_account_mails(self, login: Login) -> bool:
        since = self._clock.now() - _HOUR
        return await self._stores.account_mails.count_since(login.login_id, since) >= ACCOUNT_MAILS_PER_HOUR_MAX

    def account_mail(self, purpose: Purpose, login: Login, *, merchant_id: int | None) -> AccountMail:
        """Write an account mail that is due at once."""
        now = self._clock.now()
        return AccountMail(
            account_mail_id=self._id_generator.next(),
            purpose=purpose,
            login_id=login.login_id,
            merchant_id=merchant_id,
            email=login.email,
            seed=self._signer.new_seed(),
            created_at=now,
            expires_at=now + LINK_MICROS[purpose],
            used_at=None,
            state=DeliveryState.WAITING,
            attempts=0,
            next_attempt_at=now,
        )

    def link_text(self, account_mail: AccountMail) -> str:
        """Write what an account mail's link ends with: its number and token."""
        return f"{ids.encode_number(account_mail.account_mail_id)}.{self._signer.link_token(account_mail.seed)}"

    async def open_link(self, text: str) -> tuple[AccountMail, Login]:
        """Read the account mail that a link belongs to, and whom it went to.

        Raises:
            LinkExpired: it is none, was used or is too old.
        """
        number, _, token = text.partition(".")
        with translated():
            try:
                account_mail = await self._stores.account_mails.find(parsing.decode_number(number))
            except parsing.InvalidId:
                account_mail = None
            if account_mail is None or not self._signer.is_link_token(account_mail.seed, token):
                raise LinkExpired
            if (
                account_mail.used_at is not None
                or account_mail.expires_at <= self._clock.now()
                or account_mail.purpose not in LINK_PURPOSES
            ):
                raise LinkExpired
            login = await self._stores.logins.get(account_mail.login_id)
        if login is None or login.disabled_at is not None:
            raise LinkExpired
        return account_mail, login

    async def use_link(self, text: str, password: str, *, address: str | None, agent: str) -> SignedIn:
        """Set the password of whom a link went to, end their sessions and begin a new one.

        A login that asks for one-time codes goes on asking: the link replaces the password alone.

        Raises:
            LinkExpired: it is none, was used or is too old.
            InvalidInput: the password is none to choose.
            Missing: the login was closed meanwhile.
            Overloaded: too many sign in at this moment.
        """
        account_mail, login = await self.open_link(text)
        hashed = await self._hashes.hash_new("password", password, email=login.email, name=login.name)
        now = self._clock.now()
        with translated(missing="the login is closed"):
            try:
                await self._stores.logins.use_link(account_mail.account_mail_id, hashed, now)
            except LinkGone as error:
                raise LinkExpired from error
        return await self.begin(replace(login, password_hash=hashed), now, address=address, agent=agent)

    def two_factor_setup(self, login: Login, seed: bytes | None = None) -> TwoFactorSetup:
        """Offer one-time codes: a new seed, or one that was offered before."""
        import pyotp

        chosen = seed or self._signer.new_code_seed()
        secret = self._signer.code_secret(chosen)
        return TwoFactorSetup(
            chosen, secret, pyotp.TOTP(secret).provisioning_uri(name=login.email, issuer_name=_ISSUER)
        )

    async def enable_two_factor(self, signed_in: SignedIn, *, seed: bytes, code: str, password: str) -> None:
        """Ask for one-time codes from now on, when this login signs in.

        Raises:
            InvalidInput: the password is wrong, or the code is not one of the seed.
        """
        await self._confirm(signed_in, password)
        used = self._used_code(seed, code)
        if used is None:
            raise InvalidInput("code", "This is not the code that the program shows; see that its clock is right")
        with translated(missing="no such login"):
            await self._stores.logins.set_totp_seed(signed_in.login.login_id, seed, used_step=used.step)

    async def disable_two_factor(self, signed_in: SignedIn, *, password: str) -> None:
        """Ask this login for no one-time codes any more.

        Raises:
            InvalidInput: the password is wrong.
            Conflict: it is asked for none.
        """
        await self._confirm(signed_in, password)
        with translated(missing="no such login"):
            try:
                await self._stores.logins.remove_totp_seed(signed_in.login.login_id)
            except AlreadySo as error:
                raise Conflict("you are asked for no one-time codes; there was nothing to remove") from error

    async def _confirm(self, signed_in: SignedIn, password: str) -> None:
        if not await self._hashes.is_right(signed_in.login.password_hash, password):
            raise InvalidInput("password", "This is not your password")

    async def _session(self, token: str, now: int) -> tuple[Session, Login] | None:
        for digest in self._signer.session_digests(token):
            found = await self._stores.sessions.find(digest, now)
            if found is not None:
                return found
        return None

    async def _use_code(self, login: Login, seed: bytes, code: str) -> bool:
        used = self._used_code(seed, code)
        if used is None or not await self._stores.logins.use_totp_step(login.login_id, used.step):
            return False
        if not self._signer.is_code_seed_current(seed):
            wrapped = self._signer.wrapped_code_seed(used.secret)
            await self._stores.logins.replace_totp_seed(login.login_id, wrapped, before=seed)
        return True

    def _used_code(self, seed: bytes, code: str) -> "_UsedCode | None":
        """Find the time step that a code is of, now or the one before (RFC 6238, section 5.2), and its secret."""
        import pyotp

        now = self._clock.now() // 1_000_000 // _CODE_SECONDS
        digits = code.replace(" ", "")
        for secret in self._signer.code_secrets(seed):
            codes = pyotp.TOTP(secret, interval=_CODE_SECONDS)
            for step in range(now - _CODE_STEPS_BACK, now + 1):
                if pyotp.utils.strings_equal(codes.generate_otp(step), digits):
                    return _UsedCode(step, secret)
        return None


def normal_email(email: str) -> str:
    """Write an address as it is shown; empty if it is none."""
    try:
        return inputs.email("email", email)
    except InvalidInput:
        return ""
