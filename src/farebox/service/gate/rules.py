"""The gate's rules, and which of them a request meets."""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from farebox.core.holds import TTL_SECONDS_DEFAULT
from farebox.service.gate.errors import AmbiguousRequest, NoRoute, RouteRefused, WrongMethod
from farebox.service.gate.paths import STRICT, Leniency, NormalPath, Segments, folded, normal_path
from farebox.service.gate.tokens import Mode

METHOD: Final = re.compile("[A-Z][A-Z-]{0,31}", re.ASCII)
NAMED_ALONE: Final = frozenset({"OPTIONS", "TRACE", "CONNECT"})
"""Methods that a route for all does not mean: they ask for something else than the API's work."""


class Passage(StrEnum):
    """What a route asks of a request before it lets it through."""

    PAID = "paid"
    """A good key, and the cost of its type."""

    FREE = "free"
    """A good key."""

    PUBLIC = "public"
    """Nothing."""

    REFUSED = "refused"
    """It lets none through."""


class RoutePrice(Struct, frozen=True):
    """What a request of a route is charged as."""

    request_type: str
    quantity: int | None = None
    quantities: Mapping[str, int] | None = None
    amount: str | None = None
    mode: Mode = Mode.CHARGE
    hold_seconds: int = TTL_SECONDS_DEFAULT


class GateRoute(Struct, frozen=True):
    """One rule: which requests it is for, and what becomes of them."""

    methods: frozenset[str] | None
    """None: all but those that are named alone."""
    segments: tuple[str | None, ...]
    """Each as it must be, or None for any one that is not empty."""
    takes_rest: bool
    """Whether any further segments may follow, or none."""
    passage: Passage
    price: RoutePrice | None = None
    """What its requests are charged as, where anything is paid."""
    pattern: str = ""
    """The path as it was written."""
    line: int | None = None
    """Where in the file it stands."""

    def takes_method(self, method: str) -> bool:
        """Tell whether the rule is for a method."""
        return method not in NAMED_ALONE if self.methods is None else method in self.methods

    def covers(self, other: "GateRoute") -> bool:
        """Tell whether the rule is for every request that another is for."""
        if len(self.segments) > len(other.segments) or not (
            self.takes_rest or (len(self.segments) == len(other.segments) and not other.takes_rest)
        ):
            return False
        if any(
            wanted is not None and wanted != named for wanted, named in zip(self.segments, other.segments, strict=False)
        ):
            return False
        if other.methods is None:
            return self.methods is None
        return all(self.takes_method(method) for method in other.methods)


class Unmatched(StrEnum):
    """What becomes of a request that no route is for."""

    REFUSE = "refuse"
    FREE = "free"
    PUBLIC = "public"


class Preflights(StrEnum):
    """What becomes of OPTIONS where a route is for the path, but none for that method."""

    REFUSE = "refuse"
    PUBLIC = "public"


class Rules(Struct, frozen=True):
    """What a file of rules says."""

    routes: tuple[GateRoute, ...]
    unmatched: Unmatched = Unmatched.REFUSE
    preflights: Preflights = Preflights.REFUSE
    ignores_case: bool = False
    leniency: Leniency = STRICT


_UNMATCHED: Final = {
    Unmatched.FREE: GateRoute(None, (), True, Passage.FREE),
    Unmatched.PUBLIC: GateRoute(None, (), True, Passage.PUBLIC),
}
_PREFLIGHT: Final = GateRoute(NAMED_ALONE, (), True, Passage.PUBLIC)


class Matcher:
    """Finds the first route that is for a request."""

    def __init__(self, rules: Rules) -> None:
        """Find among these; in the order in which they are written."""
        self._rules = rules
        self._exact = _Table(rules.routes, lambda segment: segment)
        self._folded = _Table(rules.routes, lambda segment: folded((segment,))[0])

    def match(self, method: str, target: str) -> GateRoute:
        """Find what a request is for; its target's characters are bytes (Latin-1).

        Raises:
            AmbiguousRequest, TargetTooLong: it can be read in ways that come to different routes, or not at all.
            NoRoute, WrongMethod, RouteRefused: it is not let through.
        """
        route = self.find(method, normal_path(target, self._rules.leniency))
        if route.passage is Passage.REFUSED:
            raise RouteRefused
        return route

    def find(self, method: str, path: NormalPath) -> GateRoute:
        """Find what a request is for, one that is refused included.

        Raises:
            AmbiguousRequest, NoRoute, WrongMethod: there is no one route that it is for.
        """
        if not METHOD.fullmatch(method):
            raise AmbiguousRequest("The method is not a word in upper case")
        ignores_case = self._rules.ignores_case
        others = [self._found(method, reading, self._folded) for reading in path.folded]
        found = others[0] if ignores_case else self._found(method, path.segments, self._exact)
        if found is None:
            raise self._refusal(path)
        if not ignores_case:
            others += [self._found(method, reading, self._exact) for reading in path.others]
        # Where no route is for a reading, nobody answers it, unless what no route is for is let through.
        is_answered = self._rules.unmatched is not Unmatched.REFUSE
        if any(other is not found and (is_answered or other is not None) for other in others):
            raise AmbiguousRequest("The path can be read in ways that are charged differently")
        return found

    def _found(self, method: str, segments: Segments, table: "_Table") -> GateRoute | None:
        """Find what a reading is for; None if it is refused because nothing is for it."""
        first: GateRoute | None = None
        for route in table.routes_for(segments):
            if route.takes_method(method):
                return route
            first = first or route
        if first is None:
            return _UNMATCHED.get(self._rules.unmatched)
        if method == "OPTIONS" and first.passage is Passage.REFUSED:
            return first
        return _PREFLIGHT if method == "OPTIONS" and self._rules.preflights is Preflights.PUBLIC else None

    def _refusal(self, path: NormalPath) -> NoRoute | WrongMethod:
        segments, table = (path.folded[0], self._folded) if self._rules.ignores_case else (path.segments, self._exact)
        allowed = {
            method
            for route in table.routes_for(segments)
            for method in route.methods or ()
            if route.passage is not Passage.REFUSED
        }
        return WrongMethod(tuple(sorted(allowed))) if allowed else NoRoute()


class _Table:
    """Routes as a tree of the segments of their paths, so that few are looked at for each request."""

    def __init__(self, routes: Sequence[GateRoute], fold: Callable[[str], str]) -> None:
        """Take routes in their order; `fold` writes a segment as those of requests are written here."""
        self._routes = routes
        self._root = _Node()
        for place, route in enumerate(routes):
            node = self._root
            for segment in route.segments:
                node = node.below(None if segment is None else fold(segment))
            (node.rests if route.takes_rest else node.ends).append(place)

    def routes_for(self, segments: Segments) -> list[GateRoute]:
        """List the routes for a path, whatever their methods, in order."""
        places: list[int] = []
        nodes = [self._root]
        for segment in segments:
            below = []
            for node in nodes:
                places += node.rests
                child = node.named.get(segment)
                if child is not None:
                    below.append(child)
                if node.any is not None and segment:
                    below.append(node.any)
            nodes = below
        for node in nodes:
            places += node.rests
            places += node.ends
        places.sort()
        return [self._routes[place] for place in places]


class _Node:
    """One place in the tree: what may follow, and which routes end here or take all that follows."""

    __slots__ = ("any", "ends", "named", "rests")

    def __init__(self) -> None:
        self.named: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.ends: list[int] = []
        self.rests: list[int] = []

    def below(self, segment: str | None) -> "_Node":
        """Return the place below this one for a segment, or for any with None; make it if there is none."""
        if segment is not None:
            return self.named.setdefault(segment, _Node())
        if self.any is None:
            self.any = _Node()
        return self.any
