"""Which requests of an API are charged, and what for: a table of methods and path patterns, the first match counts.

    ROUTES = [
        charged("POST", "/v1/search", "search"),
        metered("POST", "/v1/chat", "chat", up_to={"input": 4000, "output": 1000}),
        free("GET", "/health"),
    ]

A pattern is written in segments: `{name}` is any one segment, and `/**` at the end is the rest, none included.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

WEBSOCKET: Final = "WEBSOCKET"
"""Stands in a route where a method does, for web sockets."""

_SEGMENT: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}|[^{}*/]+")
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9-]*")
_REST: Final = "/**"


class RouteInvalid(ValueError):
    """A route of the table makes no sense; the message names it."""


class PathAmbiguous(ValueError):
    """The path has segments `.` or `..`, which programs on its way may read differently."""


@dataclass(frozen=True)
class RoutePrice:
    """The hold for a request, and whether its handler has to tell what the request came to."""

    type: str | None = None
    """The request type. None: the handler names it, and nothing is held before."""
    quantities: Mapping[str, int] | None = None
    amount: Decimal | str | None = None
    is_metered: bool = False
    """The handler tells what was used; what it tells nothing of is not charged."""

    @property
    def is_held(self) -> bool:
        """Whether money is set aside before the handler runs."""
        return self.type is not None and not (self.is_metered and self.quantities is None and self.amount is None)


@dataclass(frozen=True)
class Route:
    """One line of the table; without a price the requests are free, and need no key."""

    methods: tuple[str, ...]
    path: str
    price: RoutePrice | None = None


def charged(
    methods: str | Sequence[str],
    path: str,
    type: str,
    *,
    quantities: Mapping[str, int] | None = None,
    amount: Decimal | str | None = None,
) -> Route:
    """Hold what a request costs before it is handled, and take it if it succeeds.

    A handler may say something else than `quantities` or `amount` afterwards, by `charge_for` or `count_for`.
    """
    return Route(_methods(methods), path, RoutePrice(type, quantities, amount))


def metered(
    methods: str | Sequence[str],
    path: str,
    type: str | None = None,
    *,
    up_to: Mapping[str, int] | None = None,
    up_to_amount: Decimal | str | None = None,
) -> Route:
    """Charge what the handler says that a request came to, by `charge_for` or `count_for`; nothing, if it says nothing.

    `up_to` or `up_to_amount` is held before. The request may come to more: the balance then gives what it has.
    Without them nothing is held: the key alone is checked, and nobody knows whether there is money.
    """
    return Route(_methods(methods), path, RoutePrice(type, up_to, up_to_amount, is_metered=True))


def free(methods: str | Sequence[str], path: str) -> Route:
    """Let requests through, without a key."""
    return Route(_methods(methods), path)


class RouteTable:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Read the table.

        Raises:
            RouteInvalid: a path or method makes no sense, or a route can never match.
        """
        table = list(routes)
        with_heads = {_shape(route) for route in table if "HEAD" in route.methods}
        self._routes = [
            (frozenset(route.methods) | _heads(route, with_heads), _pattern(route), route) for route in table
        ]
        _refuse_hidden(table)

    def __bool__(self) -> bool:
        """Whether there is any route."""
        return bool(self._routes)

    def find(self, method: str, path: str) -> Route | None:
        """Find the first route that matches; slashes that are doubled, or at the end, make no difference.

        A route for GET is for HEAD, too, unless one of the same path names HEAD; `*` is every method but OPTIONS, whose
        preflights carry no key.

        Raises:
            PathAmbiguous: the path has segments `.` or `..`.
        """
        segments = [segment for segment in path.split("/") if segment]
        if "." in segments or ".." in segments:
            raise PathAmbiguous("the path has segments . or ..")
        plain = "/" + "/".join(segments)
        for methods, pattern, route in self._routes:
            if (method in methods or ("*" in methods and method != "OPTIONS")) and pattern.fullmatch(plain):
                return route
        return None


def _methods(methods: str | Sequence[str]) -> tuple[str, ...]:
    named = (methods,) if isinstance(methods, str) else tuple(methods)
    for method in named:
        if method != "*" and not _METHOD.fullmatch(method):
            raise RouteInvalid(f"{method!r} is no method: GET, POST and so on, {WEBSOCKET} or *")
    if not named:
        raise RouteInvalid("a route names at least one method")
    return named


def _pattern(route: Route) -> re.Pattern[str]:
    path = route.path
    if not path.startswith("/"):
        raise RouteInvalid(f"{path!r}: a path begins with a slash")
    has_rest = path.endswith(_REST)
    parts = []
    for segment in (path[: -len(_REST)] if has_rest else path).split("/")[1:]:
        if not segment and path != "/" and not (has_rest and path == _REST):
            raise RouteInvalid(f"{path!r}: slashes are neither doubled nor at the end; both are matched all the same")
        if segment and not _SEGMENT.fullmatch(segment):
            raise RouteInvalid(f"{path!r}: a segment is text, or {{name}} for any one; /** stands at the end alone")
        if segment in (".", ".."):
            raise RouteInvalid(f"{path!r}: requests with such a segment are refused")
        parts.append("[^/]+" if segment.startswith("{") else re.escape(segment))
    whole = "".join(f"/{part}" for part in parts if part)
    if has_rest:
        # The first slash of the rest is there for the root alone, or after what stands before it.
        return re.compile(f"{whole}(?:/.*)?" if whole else "/.*", re.DOTALL)
    return re.compile(whole or "/")


def _shape(route: Route) -> str:
    """Write a path without the names of its segments: routes of one shape are for the same paths."""
    return re.sub(r"\{[^}]*\}", "{}", route.path)


def _heads(route: Route, with_heads: set[str]) -> set[str]:
    return {"HEAD"} if "GET" in route.methods and _shape(route) not in with_heads else set()


def _refuse_hidden(routes: "Sequence[Route]") -> None:
    """Refuse a route that an earlier one of the same pattern leaves nothing for."""
    seen: dict[str, set[str]] = {}
    for route in routes:
        earlier = seen.setdefault(_shape(route), set())
        if set(route.methods) <= earlier:
            raise RouteInvalid(f"{' '.join(route.methods)} {route.path}: an earlier route has it already")
        earlier.update(route.methods)
