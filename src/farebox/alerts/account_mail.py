"""Letters: mails to one person that invite them, let them choose a new password, or show that mail arrives."""

from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.alerts.email_address import mailbox, one_line
from farebox.alerts.messages import Headers, MailSettings, compose_mail, contact_link, template, time_in_words
from farebox.core import ids
from farebox.storage.interface import Store
from farebox.storage.people import People
from farebox.storage.rows import Letter, Login, MailState, Merchant, Purpose, Realm

_SUBJECTS: Final = {
    Purpose.INVITATION: "You are invited to {place}",
    Purpose.RESET: "Choose a new password",
    Purpose.TEST: "Test mail for {place}",
}
_CONSOLE: Final = "Farebox's support console"
_TOO_LATE: Final = "its link was used or is too old"
_TEXT: Final = template("account_mail.txt")
_HTML: Final = template("account_mail.html")


class Letters:
    """The letters of one store."""

    def __init__(
        self,
        store: Store,
        people: People,
        settings: MailSettings,
        *,
        link_text: Callable[[Letter], str],
    ) -> None:
        """Prepare.

        Args:
            store: where the merchants are.
            people: where the letters are.
            settings: what the mails say of the operator.
            link_text: makes what a letter's link ends with.
        """
        self._store = store
        self._people = people
        self._settings = settings
        self._link_text = link_text

    async def next_at(self) -> int | None:
        """When the next letter falls due."""
        return await self._people.next_letter_at()

    async def claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[Letter]:
        """Take letters that are due; those that come too late to be of use are given up."""
        useful = []
        for letter in await self._people.claim_letters(now, lease_until=lease_until, limit=limit):
            is_spent = letter.purpose == Purpose.RESET and letter.used_at is not None
            if letter.expires_at <= now or is_spent:
                await self._people.settle_letter(replace(letter, state=MailState.GIVEN_UP, last_error=_TOO_LATE))
            else:
                useful.append(letter)
        return useful

    async def settle(self, mail: Letter) -> None:
        """Write what became of a claimed letter."""
        await self._people.settle_letter(mail)

    async def compose(self, mail: Letter) -> EmailMessage:
        """Write the letter."""
        login = await self._people.login(mail.login_id)
        if login is None:
            raise LookupError("the letter's login is gone")
        merchant = None if mail.merchant_id is None else await self._store.merchant(mail.merchant_id)
        return letter_message(LetterSubject(mail, login, merchant, self._link_text(mail)), self._settings)

    def name(self, mail: Letter) -> str:
        """Name a letter."""
        return letter_name(mail)


class LetterSubject(Struct, frozen=True):
    """What a letter tells: whom it goes to, for which merchant, and what its link ends with."""

    letter: Letter
    login: Login
    merchant: Merchant | None
    link_text: str


def letter_name(letter: Letter) -> str:
    """Name a letter, for people and for its Message-ID."""
    return f"{ids.LETTER}{ids.encode_number(letter.letter_id)}"


def letter_message(subject: LetterSubject, settings: MailSettings) -> EmailMessage:
    """Write a letter.

    Raises:
        InvalidAddress: the address is not one; no mail can ever go there.
        InvalidSender: `settings.mail_from` is not an address.
    """
    letter = subject.letter
    purpose = Purpose(letter.purpose)
    place = _CONSOLE if subject.merchant is None else one_line(subject.merchant.name)
    url = settings.public_url.rstrip("/")
    sender, recipient = settings.sender, mailbox(letter.email)
    contact = one_line(settings.support_contact)
    words = {
        "purpose": purpose.name.lower(),
        "place": place,
        "is_staff": subject.login.realm == Realm.SUPPORT,
        "has_password": subject.login.password_hash is not None,
        "link": f"{url}/link/{subject.link_text}",
        "sign_in": f"{url}/support/sign-in" if subject.login.realm == Realm.SUPPORT else f"{url}/sign-in",
        "expires": time_in_words(letter.expires_at),
        "email": letter.email,
        "contact": contact,
        "contact_url": contact_link(contact),
    }
    headers = Headers(
        _SUBJECTS[purpose].format(place=place),
        at=letter.created_at,
        message_id=f"<{letter_name(letter)}@{sender.domain}>",
    )
    return compose_mail(sender, recipient, headers, text=_TEXT.render(words), html=_HTML.render(words))
