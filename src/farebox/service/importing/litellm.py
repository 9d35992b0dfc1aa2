"""What LiteLLM's proxy exports: its keys with their digests, and the budgets of teams, users and keys.

A merchant is made of each that has a budget: the team of a key, else its user if the export has users, else the key by
itself. Its balance is the rest of the budget. Read of LiteLLM 1.110: the answers of `/key/list` with full objects,
`/team/list` or `/v2/team/list`, and `/user/list`.
"""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from msgspec import Struct

from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.importing.exported import (
    Converted,
    Entry,
    difference,
    ensure_whole,
    entries,
    in_minor_units,
    one_line,
)
from farebox.service.importing.rows import BALANCES, KEYS, MERCHANTS

_CURRENCY: Final = "USD"
"""LiteLLM counts in US dollars."""

_SESSIONS: Final = "litellm-dashboard"
"""The team of the keys that LiteLLM's own pages sign in with."""

_UNLIMITED: Final = "{} without a budget: they begin with nothing here"
_OVERSPENT: Final = "{} that spent more than their budget: they begin with nothing here"
_RENEWED: Final = (
    "{} whose budget renews itself: what is left of this period is brought over, and nothing renews it here"
)
_BLOCKED: Final = "keys that are blocked, or whose team is: left out"
_LIMITED: Final = (
    "keys with a budget of their own within a team's or user's: not brought over; farebox key budget sets one"
)
_SIGNED_IN: Final = "keys by which somebody is signed in to LiteLLM's pages: left out"


class _Export(Struct, frozen=True):
    """The objects of all files, by their ids."""

    teams: dict[str, Entry]
    users: dict[str, Entry]
    keys: dict[str, Entry]


class _Rows:
    """The rows that come of an export."""

    def __init__(self) -> None:
        self.merchants: dict[str, dict[str, str]] = {}
        self.balances: list[dict[str, str]] = []
        self.keys: list[dict[str, str]] = []
        self.remarks: Counter[str] = Counter()

    def add_merchant(self, kind: str, own_id: str, entry: Entry, name: str, email: str = "") -> str:
        """Add whoever has a budget, if it is not there yet, and return its reference."""
        reference = f"litellm:{kind}:{own_id}"
        if reference not in self.merchants:
            shown = one_line(name, inputs.NAME_CHARS_MAX, f"LiteLLM {kind} {own_id[:40]}")
            self.merchants[reference] = {
                "reference": reference,
                "name": shown,
                "currency": _CURRENCY,
                "email": email,
            }
            self.balances.append({"reference": reference, "balance": self._left(entry, f"{kind}s")})
        return reference

    def _left(self, entry: Entry, who: str) -> str:
        """Work out what is left of a budget."""
        budget, spend = entry.number("max_budget"), entry.number("spend")
        if budget is None:
            self.remarks[_UNLIMITED.format(who)] += 1
            return "0"
        left = budget if spend is None else difference(budget, spend)
        if left < 0:
            self.remarks[_OVERSPENT.format(who)] += 1
            return "0"
        if entry.text("budget_duration"):
            self.remarks[_RENEWED.format(who)] += 1
        return in_minor_units(left, _CURRENCY)


def read_litellm(files: Mapping[str, object]) -> Converted:
    """Read answers of LiteLLM's API, given as plain values by the names of their files.

    Raises:
        InvalidInput: a file is none of them, or some are missing.
    """
    export, rows = _read(files), _Rows()
    for own_id, entry in export.teams.items():
        if own_id != _SESSIONS:
            rows.add_merchant("team", own_id, entry, entry.text("team_alias"))
    for digest, key in export.keys.items():
        team_id, user_id = key.text("team_id"), key.text("user_id")
        team, user = export.teams.get(team_id), export.users.get(user_id)
        if team_id == _SESSIONS:
            rows.remarks[_SIGNED_IN] += 1
            continue
        if key.flag("blocked") or (team is not None and team.flag("blocked")):
            rows.remarks[_BLOCKED] += 1
            continue
        if team_id and team is None:
            raise InvalidInput(
                f"{key.path}.team_id", f"the team {team_id[:40]!r} is in none of the files; add /team/list"
            )
        if team is not None:
            reference = rows.add_merchant("team", team_id, team, team.text("team_alias"))
        elif user is not None:
            name, email = user.text("user_alias") or user.text("user_email"), user.text("user_email")
            reference = rows.add_merchant("user", user_id, user, name, email)
        else:
            reference = rows.add_merchant("key", digest[:16], key, key.text("key_alias"))
        if (team is not None or user is not None) and key.number("max_budget") is not None:
            rows.remarks[_LIMITED] += 1
        rows.keys.append(_key_row(reference, digest, key))
    return Converted({MERCHANTS: list(rows.merchants.values()), BALANCES: rows.balances, KEYS: rows.keys}, rows.remarks)


def _read(files: Mapping[str, object]) -> _Export:
    export = _Export({}, {}, {})
    totals: list[Decimal | None] = []
    for name, value in files.items():
        whole = {"teams": value} if isinstance(value, list) else Entry.of(name, value).values
        if "keys" in whole and isinstance(whole["keys"], list):
            if any(isinstance(item, str) for item in whole["keys"]):
                raise InvalidInput(f"{name}.keys", "these are digests alone; ask /key/list for return_full_object=true")
            export.keys.update((entry.required("token"), entry) for entry in entries(f"{name}.keys", whole["keys"]))
            totals.append(Entry(name, whole).number("total_count"))
        elif "teams" in whole:
            export.teams.update(
                (entry.required("team_id"), entry) for entry in entries(f"{name}.teams", whole["teams"])
            )
        elif "users" in whole:
            export.users.update(
                (entry.required("user_id"), entry) for entry in entries(f"{name}.users", whole["users"])
            )
        else:
            raise InvalidInput(name, "this is no answer of /key/list, /team/list or /user/list of LiteLLM")
    ensure_whole("keys", len(export.keys), totals)
    return export


def _key_row(reference: str, digest: str, key: Entry) -> dict[str, str]:
    shown = key.text("key_name")
    return {
        "reference": reference,
        "sha256": digest,
        "name": one_line(key.text("key_alias"), inputs.NAME_CHARS_MAX, ""),
        "hint": shown.replace("...", "…") if shown.startswith("sk-...") else "",
        "expires_at": key.text("expires"),
    }
