"""Account mails: they invite, let somebody choose a new password, show that mail arrives, or tell staff what waits."""

from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from farebox.alerts.approval_mail import approval_mail_subject, approval_message
from farebox.alerts.email_address import mailbox, one_line
from farebox.alerts.mail import SENDER_NAME, Headers, MailSettings, compose_mail
from farebox.alerts.report_mail import ReportMails
from farebox.alerts.staff_warnings import StaffWarnings
from farebox.alerts.transport import Withdrawn
from farebox.alerts.turns import last_in_turn
from farebox.core import ids
from farebox.service.clock import Clock
from farebox.service.languages import Language, gettext_noop
from farebox.service.operator.approvals import Approvals
from farebox.service.people.sign_in import SignIn
from farebox.storage.records import AccountMail, Login, Merchant, Purpose, Realm
from farebox.storage.stores import Stores

_SUBJECTS: Final = {
    Purpose.INVITATION: gettext_noop("You are invited to %(place)s"),
    Purpose.RESET: gettext_noop("Choose a new password"),
    Purpose.TEST: gettext_noop("Test mail for %(place)s"),
}


class AccountMails:
    """The account mails of one database, as a delivery queue."""

    def __init__(
        self,
        stores: Stores,
        sign_in: SignIn,
        settings: MailSettings,
        clock: Clock,
        approvals: Approvals,
        reports: ReportMails,
        warnings: StaffWarnings,
    ) -> None:
        """Prepare.

        Args:
            stores: where the account mails are, their logins and merchants.
            sign_in: makes their links.
            settings: what the mails say of the operator.
            clock: tells when a link is too old.
            approvals: tells what waits for one of the staff.
            reports: writes those that are reports.
            warnings: writes those that warn staff.
        """
        self._reports = reports
        self._warnings = warnings
        self._approvals = approvals
        self._stores = stores
        self._sign_in = sign_in
        self._settings = settings
        self._last_merchant_id = 0
        self._clock = clock

    async def next_at(self) -> int | None:
        return await self._stores.account_mails.next_due_at()

    async def claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[AccountMail]:
        """Take account mails that are due, merchants in turn."""
        after = self._last_merchant_id
        due = await self._stores.account_mails.claim(now, lease_until=lease_until, limit=limit, after=after)
        self._last_merchant_id = last_in_turn([account_mail.merchant_id or 0 for account_mail in due], after)
        return due

    async def settle(self, mail: AccountMail) -> None:
        await self._stores.account_mails.settle(mail)

    async def compose(self, mail: AccountMail) -> EmailMessage:
        """Write the mail, unless who was to get it was removed, or its link opens nothing any more."""
        login = await self._stores.logins.get(mail.login_id)
        if login is None or login.disabled_at is not None:
            raise Withdrawn("the login was closed")
        if login.realm == Realm.MERCHANT and not await self._is_registered(login, mail.merchant_id):
            raise Withdrawn("the user was removed from the account")
        if mail.expires_at <= self._clock.now() or (mail.used_at is not None and has_link(mail, login)):
            raise Withdrawn("its link was used or is too old" if has_link(mail, login) else "it is too old")
        if mail.purpose == Purpose.APPROVAL:
            return await self._approval_message(mail, login)
        if mail.purpose in (Purpose.UNUSUAL_SPENDING, Purpose.DESTINATION_DISABLED):
            return await self._warnings.compose(mail, login, message_id(mail, self._settings))
        if mail.purpose == Purpose.REPORT:
            return await self._reports.compose(mail, login, message_id(mail, self._settings))
        merchant = None if mail.merchant_id is None else await self._stores.merchants.find(mail.merchant_id)
        link_text = self._sign_in.link_text(mail)
        return account_mail_message(AccountMailSubject(mail, login, merchant, link_text), self._settings)

    async def _approval_message(self, mail: AccountMail, login: Login) -> EmailMessage:
        """Write what waits for one of the staff as of now, unless nothing does any more."""
        waiting = await self._approvals.waiting_for(login)
        if not waiting:
            raise Withdrawn("nothing waits for them any more")
        subject = await approval_mail_subject(self._stores, mail, waiting)
        spoken = self._settings.language_of(login.language)
        return approval_message(subject, self._settings, message_id(mail, self._settings), spoken)

    def name(self, mail: AccountMail) -> str:
        return account_mail_name(mail)

    async def _is_registered(self, login: Login, merchant_id: int | None) -> bool:
        """Tell whether a login is registered on a merchant's account; with None, on any."""
        if merchant_id is None:
            return bool(await self._stores.users.memberships(login.email))
        return await self._stores.users.role(merchant_id, login.email) is not None


class AccountMailSubject(Struct, frozen=True):
    """What an account mail tells: whom it goes to, for which merchant, and what its link ends with."""

    account_mail: AccountMail
    login: Login
    merchant: Merchant | None
    link_text: str


def has_link(account_mail: AccountMail, login: Login) -> bool:
    """Tell whether a mail is of no use without its link: who has a password is invited to sign in by that."""
    is_invitation = account_mail.purpose == Purpose.INVITATION and login.password_hash is None
    return is_invitation or account_mail.purpose == Purpose.RESET


def account_mail_name(account_mail: AccountMail) -> str:
    """Name an account mail, for people and for its Message-ID."""
    return f"{ids.ACCOUNT_MAIL}{ids.encode_number(account_mail.account_mail_id)}"


def message_id(account_mail: AccountMail, settings: MailSettings) -> str:
    """Name a mail for mail servers: the same for every attempt to send it, so that a second copy is known as one."""
    return f"<{account_mail_name(account_mail)}@{settings.sender.domain}>"


def account_mail_message(
    subject: AccountMailSubject, settings: MailSettings, spoken: Language | None = None
) -> EmailMessage:
    """Write an account mail, in a language, or else in that of its reader.

    Raises:
        InvalidAddress: the address is not one; no mail can ever go there.
    """
    account_mail = subject.account_mail
    purpose = Purpose(account_mail.purpose)
    spoken = spoken or settings.language_of(subject.login.language)
    place = _place(subject, settings, spoken)
    url = settings.public_url
    recipient = mailbox(account_mail.email)
    words = {
        "purpose": purpose.name.lower(),
        "place": place,
        "is_staff": subject.login.realm == Realm.SUPPORT,
        "has_password": subject.login.password_hash is not None,
        "link": f"{url}/link/{subject.link_text}",
        "sign_in": f"{url}/support/sign-in" if subject.login.realm == Realm.SUPPORT else f"{url}/sign-in",
        "expires": spoken.moment(account_mail.expires_at),
        "email": account_mail.email,
    }
    headers = Headers(
        spoken.gettext(_SUBJECTS[purpose], place=place),
        at=account_mail.created_at,
        message_id=message_id(account_mail, settings),
    )
    return compose_mail(settings, recipient, headers, template="account_mail", words=words, language=spoken)


def _place(subject: AccountMailSubject, settings: MailSettings, spoken: Language) -> str:
    """Name what the mail is about: a merchant's account, or the console of the operator."""
    if subject.merchant is not None:
        return one_line(subject.merchant.name)
    return spoken.gettext("the support console of %(operator)s", operator=settings.operator or SENDER_NAME)
