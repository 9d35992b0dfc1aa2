"""The audit log in words: who did it, by name, and what was done, as API, pages and command line tell it alike.

What an entry's detail says is read back here: amounts, keys, roles and times have one form each. Earlier programs wrote
less of it, or amounts without commas, and are understood as well; what can't be read is told as it stands.
"""

import re
from collections.abc import Callable
from datetime import tzinfo
from typing import Final

from msgspec import Struct

from farebox.core.audit_log import Action, AuditEntry
from farebox.core.currencies import format_money_with_code
from farebox.presenters.grant_words import types_words
from farebox.presenters.times import time_words
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.operator.audit_log import ActorNames
from farebox.service.parsing import InvalidAmount, parse_amount

_SHELL: Final = "shell:"
_AMOUNT: Final = r"(?P<sign>-?)(?P<amount>[0-9][0-9,]*(?:\.[0-9]+)?) (?P<currency>[A-Z]{3})"
_MOVE: Final = re.compile(rf"(?P<move>[a-z_]+) of {_AMOUNT}(?:, (?P<rest>.+))?", re.ASCII | re.DOTALL)
_TERMS: Final = re.compile(
    r"(?:from (?P<from>[0-9T:Z-]{20}), )?(?:until (?P<until>[0-9T:Z-]{20}), )?"
    r"(?:for (?P<types>[^,]+), )?(?:priority (?P<priority>[0-9]{1,3}), )?(?=.+, .)",
    re.ASCII | re.DOTALL,
)
"""The terms of a grant, ahead of its reference and its reason, which are always there."""

_AMOUNTS: Final = re.compile(_AMOUNT, re.ASCII)
_KEY: Final = re.compile(r"(?P<hint>(?P<kind>fb[msu]_)…\S+)(?: (?P<rest>.+))?", re.DOTALL)
_ROLES: Final = re.compile(r"(?P<rest>.*?) ?\bas (?P<roles>viewer|support|administrator|support and administrator)")
_PRICE: Final = re.compile(
    rf"(?P<type>\S+) (?:(?P<variable>variable)|(?P<rule>by a rule)|(?P<plain>[0-9.]+)|{_AMOUNT}) from (?P<starts>\S+)",
    re.ASCII,
)
_IMPORT: Final = re.compile(
    r"(?P<new>[0-9]{1,9}) new, (?P<changed>[0-9]{1,9}) changed from (?P<starts>[^\s,]+), (?P<rest>.+)", re.ASCII
)
_KEY_KINDS: Final = {"fbm_": "a key of the merchant's", "fbs_": "service key", "fbu_": "support key"}
_MOVES: Final = {
    "top_up": "a top-up of {}",
    "top_up_reversal": "taking back {} of a top-up",
    "adjustment": "an adjustment of {}",
    "refund": "a refund of {}",
    "grant": "a grant of {} of credit",
    "credit_limit": "a credit limit of {}",
}
_ARTICLES: Final = {"owner": "an owner", "member": "a member", "viewer": "a viewer"}


class _Told(Struct, frozen=True):
    """An entry that is told to a reader of this zone."""

    entry: AuditEntry
    zone: tzinfo | None

    @property
    def detail(self) -> str:
        return self.entry.detail

    @property
    def subject(self) -> str:
        return self.entry.subject or "somebody"

    def time(self, text: str) -> str:
        """Write a time as the reader's clock has it."""
        try:
            return time_words(inputs.time("at", text), self.zone)
        except InvalidInput:
            return text


def audit_words(entry: AuditEntry, zone: tzinfo | None) -> str:
    """Say what was done, to follow a name: asked for a top-up of 25,000.00 CHF, INV-2026-001."""
    words = WORDS.get(entry.action)
    if words is not None:
        return words(_Told(entry, zone))
    return _with_rest(entry.action.replace("_", " "), entry.detail, between=": ")


def actor_words(entry: AuditEntry, names: ActorNames) -> str:
    """Say who did it: one of the staff by name, a key by its name and whose it is, others as they signed in."""
    if entry.key_id is not None:
        maker = names.makers.get(entry.key_id)
        return f"The key “{entry.actor}”" if maker is None else f"{maker}, by the key “{entry.actor}”"
    return called(entry.actor, names)


def called(actor: str, names: ActorNames) -> str:
    """Say what somebody is called, of what was written down when they did something."""
    if actor.startswith(_SHELL):
        return f"{actor.removeprefix(_SHELL)}, at the server's shell"
    return names.staff.get(actor, actor)


def audit_sentence(entry: AuditEntry, names: ActorNames, zone: tzinfo | None) -> str:
    """Say who did what: Sam asked for a top-up of 25,000.00 CHF, INV-2026-001."""
    who = actor_words(entry, names)
    return f"{who}{',' if ', ' in who else ''} {audit_words(entry, zone)}"


def _moved(words: str) -> Callable[[_Told], str]:
    """Tell of a move of money that was made; the detail is the amount, and after it a reference and a note."""

    def tell(told: _Told) -> str:
        found = _MOVE.fullmatch(told.detail)
        if found is None:
            return _with_rest(words.format("an amount"), told.detail)
        return _with_rest(words.format(_money(found)), found["rest"])

    return tell


def _requested(verb: str) -> Callable[[_Told], str]:
    """Tell of a move that was requested, approved or rejected."""

    def tell(told: _Told) -> str:
        found = _MOVE.fullmatch(told.detail)
        if found is None or found["move"] not in _MOVES:
            return _with_rest(f"{verb} a request", told.detail)
        rest = _terms(found["rest"] or "", told) if found["move"] == "grant" else found["rest"]
        return _with_rest(f"{verb} {_MOVES[found['move']].format(_money(found))}", rest)

    return tell


def _credit_limit(told: _Told) -> str:
    amounts = [_micros(found) or 0 for found in _AMOUNTS.finditer(told.detail)]
    words = _amounts(told.detail)
    if len(amounts) < 2:
        return f"set the credit limit to {words}"
    if amounts[0] == amounts[1]:
        return f"left the credit limit at {words.rpartition(' to ')[2]}"
    return f"{'raised' if amounts[0] < amounts[1] else 'lowered'} the credit limit {words}"


def _credit_given(told: _Told) -> str:
    """Tell of credit that was given: on which terms, and after them the reference and the reason."""
    found = _MOVE.fullmatch(told.detail)
    if found is None:
        return _with_rest("gave credit", told.detail)
    return _with_rest(f"gave {_money(found)} of credit", _terms(found["rest"] or "", told))


def _grant_ended(told: _Told) -> str:
    """Tell of a grant that was ended: how much was left of it to take back, its reference and the reason."""
    found = _MOVE.fullmatch(told.detail)
    if found is None:
        return _with_rest("ended given credit", told.detail)
    return _with_rest(f"ended given credit, of which {_money(found)} was left", found["rest"])


def _terms(text: str, told: _Told) -> str:
    """Write the terms at a text's beginning as a reader has them; the rest stays as it is."""
    found = _TERMS.match(text)
    if found is None:
        return text
    words = [f"{name} {told.time(found[name])}" for name in ("from", "until") if found[name]]
    if found["types"]:
        words.append(f"for {types_words(found['types'])}")
    if found["priority"]:
        words.append(f"with the priority {found['priority']}")
    return ", ".join((*words, text[found.end() :]))


def _hold_extended(told: _Told) -> str:
    amount, _, end = told.detail.rpartition(" until ")
    return f"let a hold of {_amounts(amount)} last until {told.time(end)}"


def _runway_thresholds(told: _Told) -> str:
    if told.detail == "none":
        return "removed all thresholds in days left"
    return f"set the thresholds in days left to {' and '.join(told.detail.rsplit(', ', 1))}"


def _thresholds(told: _Told) -> str:
    if told.detail == "none":
        return "removed all thresholds"
    return f"set the thresholds to {' and '.join(_amounts(told.detail).rsplit(', ', 1))}"


def _frozen(told: _Told) -> str:
    return "froze the merchant" if told.detail == "frozen" else "let the merchant spend again"


def _closed(told: _Told) -> str:
    state, _, reason = told.detail.partition(", ")
    return f"{'closed the merchant' if state == 'closed' else 'opened the merchant again'}: {reason}"


def _tags(told: _Told) -> str:
    return "removed all tags" if told.detail == "none" else f"set the tags {told.detail}"


def _named(words: str) -> Callable[[_Told], str]:
    """Tell of something whose name is the whole detail."""
    return lambda told: words.format(told.detail)


def _about(words: str) -> Callable[[_Told], str]:
    """Tell of something that was done about the person whose address is the subject."""
    return lambda told: words.format(told.subject)


def _explained(words: str) -> Callable[[_Told], str]:
    """Tell of something that was done about an address, and why."""
    return lambda told: _with_rest(words.format(told.subject), told.detail, between=": ")


def _user_added(told: _Told) -> str:
    return f"registered {told.subject}" + (f" as {_ARTICLES.get(told.detail, told.detail)}" if told.detail else "")


def _user_role(told: _Told) -> str:
    return f"made {told.subject} {_ARTICLES.get(told.detail, told.detail)}"


def _staff_added(told: _Told) -> str:
    found = _ROLES.fullmatch(told.detail)
    name, roles = (told.detail, "") if found is None else (found["rest"], f" as {found['roles']}")
    return f"let {name} ({told.subject}) sign in at the console{roles}"


def _staff_roles(told: _Told) -> str:
    return f"changed the role of {told.subject} {told.detail}"


def _key_made(told: _Told) -> str:
    key, roles = _key_and_roles(told.detail)
    return f"made {key}{f', with the role {roles}' if roles else ''}"


def _key_ends(told: _Told) -> str:
    text, _, end = told.detail.rpartition(" from ")
    return f"let {_key_and_roles(text)[0]} end on {told.time(end)}"


def _key_rotated(told: _Told) -> str:
    text, _, old = told.detail.rpartition(" instead of ")
    return f"made {_key_and_roles(text)[0]} in place of {old}"


def _of_key(words: str) -> Callable[[_Told], str]:
    """Tell of something that was done about the key that is the whole detail."""
    return lambda told: words.format(_key_and_roles(told.detail)[0])


def _key_assigned(told: _Told) -> str:
    text, _, whose = told.detail.rpartition(" to ")
    return f"said that {_key_and_roles(text)[0]} belongs to {whose}"


def _key_renamed(told: _Told) -> str:
    text, _, name = told.detail.rpartition(" named ")
    if not text:
        return f"took the name of {_key_and_roles(told.detail.removesuffix(' without a name'))[0]} away"
    return f"named {_key_and_roles(text)[0]} “{name}”"


def _key_limited(told: _Told) -> str:
    text, _, limits = told.detail.rpartition(" limited to ")
    if not text:
        return f"took the budget of {_key_and_roles(told.detail.removesuffix(' without a limit'))[0]} away"
    return f"limited {_key_and_roles(text)[0]} to {_amounts(limits)}"


def _key_and_roles(text: str) -> tuple[str, str]:
    """Name a key, and say what it may do: support key “till” (fbu_…8K2P), support."""
    found = _KEY.fullmatch(text)
    if found is None:
        return text, ""
    rest = found["rest"] or ""
    roles = _ROLES.fullmatch(rest)
    name = rest if roles is None else roles["rest"]
    kind = _KEY_KINDS[found["kind"]]
    return f"{kind}{f' “{name}”' if name else ''} ({found['hint']})", "" if roles is None else roles["roles"]


def _mails_retried(told: _Told) -> str:
    return f"had {told.detail} unsent {'mail' if told.detail == '1' else 'mails'} tried again"


def _secret_rotated(told: _Told) -> str:
    name, _, overlap = told.detail.rpartition(", ")
    _, is_overlapping, until = overlap.rpartition(" until ")
    end = f"the one before is good until {told.time(until)}" if is_overlapping else "the one before is good no more"
    return f"gave the webhook {name} a new secret; {end}"


def _destination_turned(told: _Told) -> str:
    name, _, state = told.detail.rpartition(", ")
    return f"turned the destination {name} {state}"


def _replayed(told: _Told) -> str:
    name, _, what = told.detail.rpartition(", ")
    since, is_range, until = what.removeprefix("from ").partition(" to ")
    if not is_range:
        return f"had {what} sent once more to the destination {name}"
    return f"had events from {told.time(since)} to {told.time(until)} sent once more to the destination {name}"


def _mail_chosen(told: _Told) -> str:
    what = "nothing" if told.detail == "none" else told.detail
    return f"chose what {told.subject} is mailed about: {what}"


def _price(told: _Told) -> str:
    found = _PRICE.fullmatch(told.detail)
    if found is None:
        return _with_rest("set a price", told.detail, between=": ")
    whose = "the default price" if told.entry.merchant_id is None else "the merchant's own price"
    starts = told.time(found["starts"])
    if found["variable"]:
        return f"made {whose} of {found['type']} variable from {starts} on"
    if found["rule"]:
        return f"set {whose} of {found['type']} by a rule from {starts} on"
    return f"set {whose} of {found['type']} to {found['plain'] or _money(found)} from {starts} on"


def _prices_imported(told: _Told) -> str:
    """Tell of an import: how many prices are new and changed, from when on, and of which list."""
    found = _IMPORT.fullmatch(told.detail)
    whose = "default prices" if told.entry.merchant_id is None else "prices of the merchant's own"
    if found is None:
        return _with_rest(f"imported {whose}", told.detail, between=": ")
    counts = f"{int(found['new']):,} new and {int(found['changed']):,} changed"
    return f"imported {whose} from a list, {counts} from {told.time(found['starts'])} on ({found['rest']})"


def _imported(told: _Told) -> str:
    return f"began an import from another system: {told.detail}"


def _price_ended(told: _Told) -> str:
    request_type, starts = told.detail.split(" from ", 1)
    if told.entry.merchant_id is None:
        return f"retired {request_type} from {told.time(starts)} on"
    return f"ended the merchant's own price of {request_type} from {told.time(starts)} on"


def _price_withdrawn(told: _Told) -> str:
    request_type, starts = told.detail.split(" from ", 1)
    whose = "the default price" if told.entry.merchant_id is None else "the merchant's own price"
    return f"withdrew {whose} of {request_type} that was to start {told.time(starts)}"


def _amounts(text: str) -> str:
    """Write every amount of a text as the currency's readers do; of several in a row the last one names it."""
    found = list(_AMOUNTS.finditer(text))
    for match in reversed(found):
        words = _money(match)
        text = text[: match.start()] + (words if match is found[-1] else words[:-4]) + text[match.end() :]
    return text


def _money(found: re.Match[str]) -> str:
    """Write an amount that was found as the currency's readers do."""
    micros = _micros(found)
    if micros is None:
        return f"{found['sign']}{found['amount']} {found['currency']}"
    return format_money_with_code(micros, found["currency"])


def _micros(found: re.Match[str]) -> int | None:
    """Read an amount that was found; None if it is too large to be one."""
    try:
        micros = parse_amount(found["amount"].replace(",", ""))
    except InvalidAmount:
        return None
    return -micros if found["sign"] else micros


def _with_rest(words: str, rest: str | None, *, between: str = ", ") -> str:
    return f"{words}{between}{rest}" if rest else words


WORDS: Final[dict[str, Callable[[_Told], str]]] = {
    Action.REFUND: _moved("refunded {}"),
    Action.TOP_UP: _moved("topped up {}"),
    Action.TOP_UP_REVERSAL: _moved("took back {} of a top-up"),
    Action.ADJUSTMENT: _moved("adjusted the balance by {}"),
    Action.GIVE_CREDIT: _credit_given,
    Action.END_GRANT: _grant_ended,
    Action.RELEASE_HOLD: _moved("released a hold of {}"),
    Action.EXTEND_HOLD: _hold_extended,
    Action.SET_THRESHOLDS: _thresholds,
    Action.SET_RUNWAY_THRESHOLDS: _runway_thresholds,
    Action.SET_CREDIT_LIMIT: _credit_limit,
    Action.SET_FROZEN: _frozen,
    Action.SET_CLOSED: _closed,
    Action.SET_TAGS: _tags,
    Action.NOTE: _named("noted: {}"),
    Action.REQUEST_APPROVAL: _requested("asked for"),
    Action.APPROVE: _requested("approved"),
    Action.REJECT: _requested("rejected"),
    Action.CREATE_MERCHANT: _named("added the merchant {}"),
    Action.RENAME_MERCHANT: _named("renamed the merchant to {}"),
    Action.LOOK_AS_MERCHANT: _about("looked at the account as the merchant sees it"),
    Action.ADD_USER: _user_added,
    Action.INVITE_USER: _about("mailed {} a new link to choose a password"),
    Action.SET_ROLE: _user_role,
    Action.REMOVE_USER: _about("removed {} from the account"),
    Action.DELETE_PERSON: _about("deleted what was kept of a person"),
    Action.STOP_MAILS: _about("ended mails of one kind to {} by a link in one"),
    Action.CREATE_KEY: _key_made,
    Action.EXPIRE_KEY: _key_ends,
    Action.ROTATE_KEY: _key_rotated,
    Action.REVOKE_KEY: _of_key("revoked {}"),
    Action.SUSPEND_KEY: _of_key("suspended {}"),
    Action.RESUME_KEY: _of_key("resumed {}"),
    Action.ASSIGN_KEY: _key_assigned,
    Action.RENAME_KEY: _key_renamed,
    Action.SET_KEY_BUDGET: _key_limited,
    Action.ADD_DESTINATION: _named("added the {}"),
    Action.CHANGE_DESTINATION: _named("changed the destination {}"),
    Action.ROTATE_DESTINATION_SECRET: _secret_rotated,
    Action.SET_DESTINATION_STATE: _destination_turned,
    Action.DELETE_DESTINATION: _named("deleted the destination {}"),
    Action.REPLAY_DELIVERIES: _replayed,
    Action.SET_MAIL_KINDS: _mail_chosen,
    Action.SET_PRICE: _price,
    Action.IMPORT_PRICES: _prices_imported,
    Action.IMPORT: _imported,
    Action.END_PRICE: _price_ended,
    Action.WITHDRAW_PRICE: _price_withdrawn,
    Action.ADD_STAFF: _staff_added,
    Action.INVITE_STAFF: _about("mailed {} a new link to choose a password"),
    Action.CONFIRM_STAFF: _about("confirmed that {} is a person of their own"),
    Action.SET_STAFF_ROLES: _staff_roles,
    Action.CLOSE_STAFF: _about("closed the staff account of {}"),
    Action.REOPEN_STAFF: _about("opened the staff account of {} again"),
    Action.DISABLE_TWO_FACTOR: _about("removed the one-time codes of {}"),
    Action.RETRY_MAILS: _mails_retried,
    Action.VERIFY: _about("began to verify the ledger"),
    Action.MERGE_USERS: _explained("made one user of several, {}"),
    Action.MERGE_LOGINS: _explained("made one login of several, {}"),
    Action.SET_LOGIN_ASIDE: _explained("left one login of several open, {}"),
}
"""How each action is told."""
