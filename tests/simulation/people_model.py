"""Who counts as whom and what needs a second person, told again slowly: from the story's own record of who made what.

Nothing is written down with a key, an account or a request: all is worked out from the beginning whenever it is asked.
"""

from dataclasses import dataclass, field
from typing import Final

SHELL: Final = "shell"
DAY_MICROS: Final = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Made:
    """A key or an account: who made it, and when, by the number of the event. The command line is SHELL."""

    maker: str
    at: int
    is_key: bool
    successor_of: str | None = None


@dataclass(frozen=True)
class Raised:
    """Something that somebody raised without a second person."""

    merchant: int
    at: int
    """Microseconds since 1970."""
    people: frozenset[str]
    amount: int


@dataclass
class PeopleModel:
    """All that was made, confirmed and raised so far."""

    limits: dict[int, int]
    """By merchant, in micros."""
    events: int = 0
    made: dict[str, Made] = field(default_factory=dict)
    confirmed: dict[str, int] = field(default_factory=dict)
    raised: list[Raised] = field(default_factory=list)

    def note_made(self, handle: str, maker: str, *, is_key: bool, successor_of: str | None = None) -> None:
        """Write down that a key or an account was made."""
        self.events += 1
        self.made[handle] = Made(maker, self.events, is_key, successor_of)

    def note_confirmed(self, account: str) -> None:
        """Write down that another person confirmed an account."""
        self.events += 1
        self.confirmed[account] = self.events

    def people(self, handle: str, at: int | None = None) -> frozenset[str]:
        """Tell whom somebody counts as, by now or at an event."""
        if handle == SHELL:
            return frozenset({SHELL})
        made, at = self.made[handle], self.events if at is None else at
        makers = self.people(made.maker, made.at)
        if made.is_key:
            if made.successor_of is None:
                return makers
            earlier = self.people(made.successor_of, made.at)
            # The command line hands a successor to those whom the key belongs to.
            return earlier if made.maker == SHELL else earlier | makers
        if handle in self.confirmed and self.confirmed[handle] <= at:
            return frozenset({handle})
        return frozenset({handle}) | (makers - {SHELL})

    def is_to_be_confirmed(self, account: str) -> bool:
        """Tell whether an account counts as somebody beside itself."""
        return account not in self.confirmed and self.people(account) != frozenset({account})

    def may_confirm(self, handle: str, account: str) -> bool:
        """Tell whether somebody may say that an account is a person of its own; the command line always may."""
        return handle == SHELL or not self.people(handle) & self.people(account)

    def needs_another(self, merchant: int, people: frozenset[str], amount: int, now: int) -> bool:
        """Tell whether these people may not raise so much for a merchant without a second person."""
        lately = sum(
            raised.amount
            for raised in self.raised
            if raised.merchant == merchant and now - raised.at < DAY_MICROS and raised.people & people
        )
        return amount > 0 and lately + amount > self.limits[merchant]
