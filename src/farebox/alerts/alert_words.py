"""What alert mails are made of: what one is about, the words that it says, and what all kinds tell alike.

All is as of now, when the mail is written: one that was held up tells no old news. Words are whole sentences and whole
labels, in the reader's language.
"""

from typing import Final

from msgspec import Struct

from farebox.core.accounts import Account
from farebox.core.credit.grants import Grant
from farebox.core.transfers import Transfer
from farebox.service.insight.forecast import spendable_of
from farebox.service.languages import ENGLISH, Language, gettext_noop
from farebox.storage.records import ApiKey, Delivery, Merchant


class AlertSubject(Struct, frozen=True):
    """What a mail is about: the alert and whom it goes to, whose balance it is, and how that stands now.

    `transfer` is the one that the alert names, None if it names none. `runway` says in words how long the money lasts
    now, the credit limit included; None if nothing is being spent. `language` is the reader's.
    """

    mail: Delivery
    merchant: Merchant
    account: Account
    transfer: Transfer | None
    runway: str | None
    grant: Grant | None = None
    """The grant whose credit ends, if that is told."""

    language: Language = ENGLISH
    key: ApiKey | None = None
    """The API key that spent most, if unusual spending is told."""

    @property
    def spendable(self) -> int:
        """What requests may still take now, the credit limit included; nothing while money is owed."""
        return max(0, spendable_of(self.account))

    def money(self, micros: int) -> str:
        """Write an amount with the merchant's currency."""
        return self.language.money(micros, self.account.currency)


class Fact(Struct, frozen=True):
    """One line of what a mail tells: a label, its value, and a remark that may be empty."""

    label: str
    value: str
    remark: str = ""


REFUSED: Final = gettext_noop("Requests are refused until you top up.")
"""What to expect when nothing is left to spend."""

NOTHING_TO_DO: Final = gettext_noop("There is nothing you need to do.")


class MailAction(Struct, frozen=True):
    """What a reader may do about it by one button: its label, and its page's path below the merchant's pages."""

    label: str
    path: str


class AlertWords(Struct, frozen=True):
    """What a mail says: in its subject behind the merchant's name, at its head, in its facts, and below them.

    `headline` is a sentence without its full stop. `is_over` tells that there is nothing to do, `again` when one
    is told the like again.
    """

    subject: str
    headline: str
    facts: tuple[Fact, ...]
    advice: str
    is_over: bool
    again: str
    action: MailAction | None = None


def registered_fact(language: Language) -> Fact:
    """Tell what a mail comes of that tells of what was so before its reader joined."""
    return Fact(language.gettext("Why now"), language.gettext("you were registered on the account"))


def balance_facts(subject: AlertSubject) -> list[Fact]:
    """Tell how the balance stands now, but for the amount itself, which is at the mail's head."""
    account, _ = subject.account, subject.language.gettext
    facts = []
    if account.held > 0:
        held = _("%(amount)s is held for requests in progress", amount=subject.money(account.held))
        facts.append(Fact(_("Of that available"), subject.money(account.available), held))
    if account.credit_limit > 0:
        remark = _("with the credit limit of %(amount)s", amount=subject.money(account.credit_limit))
        facts.append(Fact(_("Can still be spent"), subject.money(subject.spendable), remark))
    if account.owed:
        remark = _("for a top-up that was taken back when it was spent already; the next top-up pays it first")
        facts.append(Fact(_("Owed"), subject.money(account.owed), remark))
    elif subject.spendable == 0 and account.seq > 0:
        facts.append(Fact(_("Lasts"), _("it is used up")))
    elif subject.runway is not None:
        facts.append(Fact(_("Lasts"), subject.runway))
    return facts
