"""A sample of each kind of alert: what its mail is about, as the database would tell it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from farebox.alerts.alert_words import AlertSubject
from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert, AlertKind, written_facts
from farebox.core.commands import KeyKind
from farebox.core.credit.grants import Grant
from farebox.core.transfers import Transfer
from farebox.service.languages import Language
from farebox.storage.destination_records import Channel
from farebox.storage.records import ApiKey, Delivery, DeliveryState, Merchant

NOW: Final = 1_800_000_000_000_000
UNIT: Final = 1_000_000
EMAIL: Final = "ann@northwind.example"
MERCHANT: Final = Merchant(3_774_873_600_000_000_007, "Northwind Imaging", NOW)
ACCOUNT: Final = Account(MERCHANT.merchant_id, "USD", wallet=389_500_000, held=10 * UNIT, seq=2)

_NUMBER: Final = MERCHANT.merchant_id
_DAY: Final = 86_400_000_000
_EMPTY: Final = Account(_NUMBER, "USD", seq=2)
_FROZEN: Final = Account(_NUMBER, "USD", wallet=389_500_000, seq=2, is_frozen=True)
_KEY_ID: Final = 3_774_873_600_000_000_011


def alert_subject(kind: AlertKind, language: Language) -> AlertSubject:
    """Make up what the mail about an alert of this kind tells, in a language.

    Raises:
        KeyError: merchants' users are never mailed of this kind.
    """
    return _SUBJECTS[kind](kind, language)


def sample_name(kind: AlertKind) -> str:
    """Return what the sample of a kind is called, as a part of a file's name."""
    return kind.name.lower().replace("_", "-")


def _low_balance(_: AlertKind, language: Language) -> AlertSubject:
    alert = Alert(_NUMBER, 1, 400 * UNIT, ACCOUNT.posted, NOW, 2)
    charge = Transfer(
        *(_NUMBER, ACCOUNT.seq, Kind.CHARGE, 500_000, "sample", b"", ACCOUNT.wallet, ACCOUNT.held, NOW, b""),
        request_type="image",
        quantity=1,
    )
    return _subject(language, alert, ACCOUNT, transfer=charge)


def _used_up(kind: AlertKind, language: Language) -> AlertSubject:
    return _subject(language, Alert(_NUMBER, 1, None, 0, NOW, 2, kind, refused=1_500_000), _EMPTY)


def _credit_ends(kind: AlertKind, language: Language) -> AlertSubject:
    grant = Grant(
        _NUMBER, 1, 50 * UNIT, 20 * UNIT, "INV-2041", "Welcome", "welcome", b"", expires_at=NOW, transfer_seq=2
    )
    return _subject(language, Alert(_NUMBER, 1, None, ACCOUNT.posted, NOW, 2, kind), ACCOUNT, grant=grant)


def _unusual_spending(kind: AlertKind, language: Language) -> AlertSubject:
    told = {"spent": 90 * UNIT, "highest": 4 * UNIT, "key_id": _KEY_ID, "key_spent": 88 * UNIT}
    alert = Alert(_NUMBER, 1, None, ACCOUNT.posted, NOW, None, kind, facts=written_facts(ACCOUNT, told))
    key = ApiKey(_KEY_ID, KeyKind.MERCHANT, b"", "k_7Q…9Z4K", NOW, _NUMBER)
    return _subject(language, alert, ACCOUNT, key=key)


def _by_facts(facts: Mapping[str, Any], account: Account = ACCOUNT) -> Callable[[AlertKind, Language], AlertSubject]:
    """Make what is about an alert that tells these facts and no more."""

    def subject(kind: AlertKind, language: Language) -> AlertSubject:
        alert = Alert(_NUMBER, 1, None, account.posted, NOW, None, kind, facts=written_facts(account, facts))
        return _subject(language, alert, account)

    return subject


_SUBJECTS: Final[Mapping[int, Callable[[AlertKind, Language], AlertSubject]]] = {
    AlertKind.LOW_BALANCE: _low_balance,
    AlertKind.USED_UP: _used_up,
    AlertKind.CREDIT_ENDS: _credit_ends,
    AlertKind.RECOVERED: _by_facts({"thresholds": [300 * UNIT, 100 * UNIT], "was_used_up": True}),
    AlertKind.TOP_UP: _by_facts({"amount": 250 * UNIT, "reference": "INV-2041"}),
    AlertKind.CREDIT_ENDED: _by_facts({"left": 20 * UNIT, "ended_at": NOW}),
    AlertKind.HOLD_EXPIRED: _by_facts(
        {"hold": 2, "amount": 3 * UNIT, "request_type": "scan", "reference": "INV-2041", "key_id": None}
    ),
    AlertKind.BUDGET_REACHED: _by_facts(
        {"key_id": _KEY_ID, "unit": "month", "amount": 50 * UNIT, "spent": 49_800_000, "needed": 500_000}
        | {"ends_at": NOW + 9 * _DAY}
    ),
    AlertKind.FROZEN: _by_facts({}, _FROZEN),
    AlertKind.RUNWAY_SHORT: _by_facts({"days": 7, "burn_per_day": 62 * UNIT}),
    AlertKind.UNUSUAL_SPENDING: _unusual_spending,
    AlertKind.DESTINATION_DISABLED: _by_facts(
        {"name": "accounting", "reason": "410 Gone", "failing_since": NOW - 3 * _DAY}
    ),
    AlertKind.UNFROZEN: _by_facts({}),
}
"""Each kind that merchants' users are mailed of, with what makes up a sample of it."""


def _subject(
    language: Language,
    alert: Alert,
    account: Account,
    *,
    transfer: Transfer | None = None,
    grant: Grant | None = None,
    key: ApiKey | None = None,
) -> AlertSubject:
    mail = Delivery(alert, Channel.EMAIL, 1, EMAIL, DeliveryState.WAITING, 1, NOW)
    return AlertSubject(mail, MERCHANT, account, transfer, None, grant, language, key)
