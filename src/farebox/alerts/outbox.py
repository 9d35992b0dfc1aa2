"""The alerts' outbox as a delivery queue: one mail for each alert and registered user."""

import logging
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final
from zoneinfo import ZoneInfo

from farebox.alerts.alert_mail import alert_mail_name, alert_message
from farebox.alerts.alert_words import AlertSubject
from farebox.alerts.mail import MailSettings
from farebox.alerts.transport import Withdrawn
from farebox.alerts.turns import last_in_turn
from farebox.core.accounts import Account
from farebox.core.alerts import Alert, AlertKind
from farebox.core.credit.grants import Grant, GrantState, read_terms
from farebox.core.currencies import format_money_with_code
from farebox.core.transfers import Transfer
from farebox.service.insight.forecast import RunwayReader
from farebox.service.insight.runway_words import in_words
from farebox.service.languages import Language
from farebox.service.people.unsubscribing import PATH, Unsubscribing, is_optional
from farebox.storage.interface import StorageError
from farebox.storage.records import ApiKey, Delivery, Realm, User
from farebox.storage.stores import Stores

_MAIL_ZONE: Final = ZoneInfo("UTC")
"""The zone of all times in mails."""

_TOLD_ANEW: Final = frozenset(
    {
        AlertKind.LOW_BALANCE,
        AlertKind.USED_UP,
        AlertKind.RECOVERED,
        AlertKind.RUNWAY_SHORT,
        AlertKind.UNUSUAL_SPENDING,
        AlertKind.FROZEN,
        AlertKind.UNFROZEN,
    }
)
"""Kinds of which the newest alone is news; each of the others tells of something of its own."""

_log = logging.getLogger("farebox.alerts")


class Outbox:
    """The alert mails of one database."""

    def __init__(
        self, stores: Stores, runways: RunwayReader, settings: MailSettings, unsubscribing: Unsubscribing
    ) -> None:
        """Prepare.

        Args:
            stores: where the outbox is, and what its mails tell of.
            runways: tells how long an account lasts.
            settings: what the mails say of the operator.
            unsubscribing: makes the links by which their readers end them.
        """
        self._unsubscribing = unsubscribing
        self._stores = stores
        self._runways = runways
        self._settings = settings
        self._last_merchant_id = 0

    async def next_at(self) -> int | None:
        return await self._stores.deliveries.next_mail_at()

    async def claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[Delivery]:
        """Take mails that are due; merchants take turns, so that one with many holds up no other."""
        mails = await self._stores.deliveries.claim_mails(
            now, lease_until=lease_until, limit=limit, after=self._last_merchant_id
        )
        self._last_merchant_id = last_in_turn([mail.alert.merchant_id for mail in mails], self._last_merchant_id)
        return mails

    async def settle(self, mail: Delivery) -> None:
        await self._stores.deliveries.settle(mail)

    def name(self, mail: Delivery) -> str:
        return alert_mail_name(mail)

    async def compose(self, mail: Delivery) -> EmailMessage:
        """Write the mail as of now, unless nobody is to get it any more."""
        merchant_id = mail.alert.merchant_id
        merchant = await self._stores.merchants.find(merchant_id)
        account = await self._stores.accounts.find(merchant_id)
        if merchant is None or account is None:
            raise LookupError(f"the alert's merchant {merchant_id} is gone")
        seq = mail.alert.transfer_seq
        transfer = None if seq is None else (await self._stores.transfers.at(merchant_id, [seq]))[seq]
        grant = await self._grant(mail.alert, transfer)
        user = await self._stores.users.at(merchant_id, mail.recipient_id)
        if user is None:
            raise Withdrawn("the user was removed from the account")
        await self._ensure_wanted(mail, user, account, grant)
        spoken = await self._language(mail)
        runway = await self._runway_in_words(mail, account, spoken)
        subject = AlertSubject(
            mail=mail,
            merchant=merchant,
            account=account,
            transfer=transfer,
            runway=runway,
            grant=grant,
            key=await self._key(mail.alert),
            language=spoken,
        )
        return alert_message(subject, self._settings, await self._unsubscribe_url(user, mail.alert.kind))

    async def _language(self, mail: Delivery) -> Language:
        """Read what the user is spoken to in; one who never signed in chose nothing."""
        login = await self._stores.logins.find(Realm.MERCHANT, mail.email)
        return self._settings.language_of(login.language if login else "")

    async def _unsubscribe_url(self, user: User, kind: int) -> str | None:
        if not is_optional(kind, user.role):
            return None
        link_text = await self._unsubscribing.link_text(user, kind)
        return f"{self._settings.public_url.rstrip('/')}{PATH}{link_text}"

    async def _grant(self, alert: Alert, transfer: Transfer | None) -> Grant | None:
        """Read the grant whose credit ends, which the alert's transfer brought; None if it tells of something else."""
        if alert.kind != AlertKind.CREDIT_ENDS or transfer is None:
            return None
        number, _ = read_terms(transfer.given or "")
        return await self._stores.grants.find(alert.merchant_id, number)

    async def _key(self, alert: Alert) -> ApiKey | None:
        """Read the API key that spent most, as it is now, if unusual spending is told and one did."""
        key_id = alert.read_facts.get("key_id") if alert.kind == AlertKind.UNUSUAL_SPENDING else None
        return None if key_id is None else await self._stores.api_keys.find(key_id)

    async def _ensure_wanted(self, mail: Delivery, user: User, account: Account, grant: Grant | None) -> None:
        """Go on if the user still wants such mails, and what this one tells of is not over.

        Raises:
            Withdrawn: it is not so.
        """
        alert = mail.alert
        if is_optional(alert.kind, user.role) and not user.mail_kinds >> alert.kind & 1:
            raise Withdrawn("the user wants no such mails any more")
        if alert.kind == AlertKind.CREDIT_ENDS:
            if grant is None or grant.state != GrantState.OPEN:
                raise Withdrawn("the credit has ended")
            if grant.left == 0:
                raise Withdrawn("nothing is left of the credit")
            return
        if account.closed_at is not None:
            raise Withdrawn("the merchant was closed")
        over = await self._why_over(alert, account)
        if over is not None:
            raise Withdrawn(over)
        if alert.kind in _TOLD_ANEW and await self._stores.deliveries.is_told_anew(mail):
            raise Withdrawn("a newer mail tells the user the same")

    async def _why_over(self, alert: Alert, account: Account) -> str | None:
        """Tell why what an alert tells is no longer so; None if it is, or has happened for good."""
        match alert.kind:
            case AlertKind.LOW_BALANCE:
                return _why_not_below(alert.threshold or 0, account)
            case AlertKind.USED_UP:
                is_over, why = not account.is_exhausted, "money has arrived since, or the credit limit was raised"
            case AlertKind.RECOVERED:
                is_over, why = _is_down_again(alert, account), "the balance has gone down again"
            case AlertKind.RUNWAY_SHORT:
                episodes = await self._stores.runway_episodes.list(alert.merchant_id)
                is_over = all(episode.alert_number != alert.number for episode in episodes)
                why = "money has arrived since, the money lasts for longer, or the threshold was removed"
            case AlertKind.FROZEN:
                is_over, why = not account.is_frozen, "the merchant is no longer frozen"
            case AlertKind.UNFROZEN:
                is_over, why = account.is_frozen, "the merchant is frozen again"
            case _:
                return None
        return why if is_over else None

    async def _runway_in_words(self, mail: Delivery, account: Account, spoken: Language) -> str | None:
        try:
            return in_words(await self._runways.read(account), _MAIL_ZONE, spoken)
        except StorageError:
            raise
        except Exception:
            # The warning matters more than the forecast in it.
            _log.exception("%s goes without a runway", self.name(mail))
            return None


def _why_not_below(threshold: int, account: Account) -> str | None:
    """Tell why a threshold's episode is over; None if it runs."""
    states = {item.amount: item.is_armed for item in account.thresholds}
    if threshold not in states:
        return f"the threshold of {format_money_with_code(threshold, account.currency)} was removed"
    if states[threshold]:
        posted = format_money_with_code(account.posted, account.currency)
        return f"money brought the balance back to the threshold: it is {posted}"
    return None


def _is_down_again(alert: Alert, account: Account) -> bool:
    """Tell whether an episode that had ended has begun anew."""
    facts = alert.read_facts
    running = {threshold.amount for threshold in account.thresholds if not threshold.is_armed}
    return (facts["was_used_up"] and account.is_exhausted) or not running.isdisjoint(facts["thresholds"])
