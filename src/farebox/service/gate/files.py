"""The file of the gate's rules, gate.toml: read whole, and every fault named by its line and field."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from farebox.core.holds import TTL_SECONDS_DEFAULT, TTL_SECONDS_MAX
from farebox.core.prices import QUANTITY_MAX
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.gate.paths import STRICT, Leniency, normal_path
from farebox.service.gate.rules import METHOD, GateRoute, Passage, Preflights, RoutePrice, Rules, Unmatched
from farebox.service.gate.tokens import Mode
from farebox.service.plain_values import Members, kind_of, listed, shown

ROUTES_MAX: Final = 1_000
FILE_BYTES_MAX: Final = 1024 * 1024
PATH_CHARS_MAX: Final = 1_000
FAULTS_MAX: Final = 20
"""How many faults are named at most."""

_TABLE: Final = "route"
_FILE_SETTINGS: Final = ("unmatched", "preflights", "ignore_case", "allow")
_PASSAGES: Final = ("type", "free", "public", "refuse")
_PAID_FIELDS: Final = ("quantity", "quantities", "amount", "mode", "hold_for")
_ALLOWED: Final = ("semicolon", "encoded-slash")
_PLACEHOLDER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]{0,39}\}", re.ASCII)
_REST: Final = "**"
_NO_TEXT: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""' r"|'''.*?'''" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'" r"|#[^\n]*", re.DOTALL
)
"""Texts and comments, which may have anything in them."""

_HEADER: Final = re.compile(rf"^[ \t]*\[\[[ \t]*{_TABLE}[ \t]*\]\]", re.MULTILINE)
_Read = TypeVar("_Read")

_PATH: Final = re.compile(rf"(?:{_TABLE}\[(?P<place>[0-9]+)\])?\.?(?P<field>[a-z_]+)?")


class BadRules(ServiceError):
    """The file of the gate's rules can't be used."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        """Name the file and all of its faults."""
        more = f" (and {len(faults) - 1} more: farebox gate check {name})" if len(faults) > 1 else ""
        super().__init__(f"{name}: {faults[0]}{more}")
        self.faults = tuple(faults)


def load_rules(path: Path) -> Rules:
    """Read a file of rules.

    Raises:
        BadRules: it can't be read, or anything in it is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadRules(str(path), [f"it can't be read: {error.strerror or error}"]) from error
    if len(content) > FILE_BYTES_MAX:
        raise BadRules(str(path), [f"it has more than {FILE_BYTES_MAX:,} bytes"])
    try:
        return read_rules(content.decode(), str(path))
    except UnicodeDecodeError as error:
        raise BadRules(str(path), [f"it is not UTF-8: {error}"]) from error


def read_rules(text: str, name: str = "gate.toml") -> Rules:
    """Read rules in TOML, out of a file of this name.

    Raises:
        BadRules: anything in them is wrong.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadRules(name, [f"this is no TOML: {error}"]) from error
    reader = _Reader(text, document)
    rules = reader.rules()
    if rules is None:
        raise BadRules(name, reader.faults)
    return rules


class _Reader:
    """Reads one document, and gathers its faults."""

    def __init__(self, text: str, document: Mapping[str, Any]) -> None:
        self._lines = _Lines(text)
        self._document = document
        self._faults: list[tuple[int, str]] = []

    @property
    def faults(self) -> list[str]:
        """The faults, from the first line on."""
        return [words for _, words in sorted(self._faults)[:FAULTS_MAX]]

    def rules(self) -> Rules | None:
        """Read the rules; None if anything is wrong."""
        values = {name: value for name, value in self._document.items() if name != _TABLE}
        settings = self._checked(partial(_read_settings, values))
        tables = self._document.get(_TABLE, [])
        routes: list[GateRoute] = []
        if not isinstance(tables, list) or len(tables) != self._lines.routes_count:
            self._add(InvalidInput("", f"write each route as a table of its own, which begins with [[{_TABLE}]]"))
        elif not tables:
            self._add(InvalidInput("", f"there is no route; write one or more, each of which begins with [[{_TABLE}]]"))
        elif len(tables) > ROUTES_MAX:
            self._add(InvalidInput("", f"there are {len(tables):,} routes; there may be {ROUTES_MAX:,}"))
        else:
            routes = self._routes(tables, STRICT if settings is None else settings.leniency)
        if self._faults or settings is None:
            return None
        return replace(settings, routes=_with_heads(routes))

    def _routes(self, tables: Sequence[object], leniency: Leniency) -> list[GateRoute]:
        routes: list[GateRoute] = []
        for place, table in enumerate(tables):
            path = f"{_TABLE}[{place}]"
            route = self._checked(partial(_read_route, path, table, self._lines.of_route(place), leniency))
            if route is None:
                continue
            earlier = next((earlier for earlier in routes if earlier.covers(route)), None)
            if earlier is None:
                routes.append(route)
                continue
            words = (
                f"no request ever comes here: the route of line {earlier.line}, {earlier.pattern}, takes all of them"
            )
            self._add(InvalidInput(path, f"{words}; put this one ahead of it, or take one of the two away"))
        return routes

    def _checked(self, read: Callable[[], _Read]) -> _Read | None:
        try:
            return read()
        except InvalidInput as error:
            self._add(error)
            return None

    def _add(self, error: InvalidInput) -> None:
        line, name = self._lines.of(error.field)
        self._faults.append((line, f"line {line}{f', {name}' if name else ''}: {error.message}"))


class _Lines:
    """Where the tables and fields of a document stand."""

    def __init__(self, text: str) -> None:
        # Texts and comments are blanked, with their line ends kept.
        plain = _NO_TEXT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        headers = [match.start() for match in _HEADER.finditer(plain)]
        self.routes_count = len(headers)
        self._plain = plain
        self._starts = [0, *headers, len(plain)]

    def of_route(self, place: int) -> int:
        """Tell in which line a route begins; the first is route 0."""
        start = self._starts[place + 1]
        return self._plain.count("\n", 0, start) + 1

    def of(self, path: str) -> tuple[int, str]:
        """Tell in which line what a path names stands, and what it is called there."""
        match = _PATH.match(path)
        if match is None:
            return 1, path
        table = 0 if match["place"] is None else int(match["place"]) + 1
        start = self._starts[table]
        name = path[match.start("field") :] if match["field"] else ""
        if match["field"]:
            field = re.compile(rf"^[ \t]*{match['field']}[ \t]*[=.]", re.MULTILINE)
            found = field.search(self._plain, start, self._starts[table + 1])
            start = start if found is None else found.start()
        return self._plain.count("\n", 0, start) + 1, name


def _read_settings(values: Mapping[str, object]) -> Rules:
    """Read what stands ahead of the routes, as rules that have none yet."""
    for name in values:
        if name not in _FILE_SETTINGS:
            raise InvalidInput(
                name if name.isidentifier() else "",
                f"no setting {shown(name)} is known here; there may be {listed(_FILE_SETTINGS)}, and [[{_TABLE}]]",
            )
    members = Members("", values)
    allowed = set()
    for path, item in members.items("allow", 0, len(_ALLOWED), "texts"):
        if item not in _ALLOWED:
            raise InvalidInput(
                path.lstrip("."), f"{shown(item)} is none of those that may stand here; write {listed(_ALLOWED, 'or')}"
            )
        allowed.add(item)
    return Rules(
        (),
        Unmatched(members.choice("unmatched", [each.value for each in Unmatched])),
        Preflights(members.choice("preflights", [each.value for each in Preflights])),
        members.flag("ignore_case"),
        Leniency(semicolons="semicolon" in allowed, encoded_slashes="encoded-slash" in allowed),
    )


def _read_route(path: str, table: object, line: int, leniency: Leniency) -> GateRoute:
    members = Members.of(
        path,
        table,
        *("method", "path", *_PASSAGES, *_PAID_FIELDS),
        required={"method": 'a method such as "POST", a list of some, or "*"', "path": 'a path such as "/v1/search"'},
    )
    methods = _read_methods(members)
    pattern = members.text("path", "/v1/search")
    segments, takes_rest = _read_pattern(members, pattern, leniency)
    passage = _read_passage(members)
    price = _read_price(members) if passage is Passage.PAID else None
    return GateRoute(methods, segments, takes_rest, passage, price, pattern, line)


def _read_methods(members: Members) -> frozenset[str] | None:
    value = members.values["method"]
    if value == "*":
        return None
    names = [value] if isinstance(value, str) else value
    right = 'write a method in upper case such as "POST", a list of some, or "*" for all'
    if not isinstance(names, list) or not names:
        raise members.fault("method", f"this is {kind_of(value)}{'' if names else ' without any'}; {right}")
    for name in names:
        if not isinstance(name, str) or not METHOD.fullmatch(name):
            raise members.fault("method", f"{shown(name)} is no method; {right}")
    return frozenset(names)


def _read_pattern(members: Members, pattern: str, leniency: Leniency) -> tuple[tuple[str | None, ...], bool]:
    """Read a path's segments, and whether any may follow."""
    if len(pattern) > PATH_CHARS_MAX:
        raise members.fault("path", f"this has {len(pattern):,} characters; a path has {PATH_CHARS_MAX:,} at most")
    if not pattern.startswith("/") or "?" in pattern:
        raise members.fault("path", f"{shown(pattern)} must begin with a slash, and have no query")
    parts = pattern[1:].split("/") if pattern != "/" else []
    takes_rest = bool(parts) and parts[-1] == _REST
    if takes_rest:
        parts.pop()
    names = [part for part in parts if part.startswith("{")]
    if len(set(names)) < len(names):
        raise members.fault("path", f"{shown(pattern)} has a name twice; give each segment in braces its own")
    segments: list[str | None] = []
    for part in parts:
        if _PLACEHOLDER.fullmatch(part):
            segments.append(None)
        elif any(sign in part for sign in "{}*"):
            right = "write {name} for one whole segment, and /** at the end for all that may follow"
            raise members.fault("path", f"{shown(part)} is no segment; {right}")
        else:
            segments.append(_read_literal(members, part, leniency))
    return tuple(segments), takes_rest


def _read_literal(members: Members, part: str, leniency: Leniency) -> str:
    try:
        normal = normal_path("/" + part.encode().decode("latin-1"), leniency)
    except ServiceError as error:
        raise members.fault("path", f"{shown(part)} matches no request: {error.message}") from error
    if len(normal.segments) != 1:
        raise members.fault("path", "write one slash between segments and none at the end, and neither . nor ..")
    return normal.segments[0]


def _read_passage(members: Members) -> Passage:
    """Tell what a route asks for; exactly one field says so."""
    named = [name for name in _PASSAGES if members.has(name)]
    for name in named:
        if name != "type" and members.values[name] is not True:
            raise members.fault(name, "write true, or leave it out")
    if len(named) != 1:
        right = 'write one of type = "...", free = true, public = true and refuse = true'
        raise InvalidInput(members.path, f"this says {listed(named) if named else 'nothing'} of what it costs; {right}")
    passage = {"free": Passage.FREE, "public": Passage.PUBLIC, "refuse": Passage.REFUSED}.get(named[0], Passage.PAID)
    for name in _PAID_FIELDS if passage is not Passage.PAID else ():
        if members.has(name):
            raise members.fault(name, f"this stands beside a type alone, and not beside {named[0]}")
    return passage


def _read_price(members: Members) -> RoutePrice:
    request_type = inputs.request_type(members.at("type"), members.text("type", "search"))
    quantity = members.whole("quantity", 1, QUANTITY_MAX) if members.has("quantity") else None
    quantities = members.values.get("quantities")
    if quantities is not None and not isinstance(quantities, Mapping):
        raise members.fault("quantities", f"this is {kind_of(quantities)}; write {{ input = 100 }}")
    inputs.quantities(members.at("quantities"), quantities, is_quantity_named=quantity is not None)
    amount = members.values.get("amount")
    if amount is not None:
        if not isinstance(amount, str):
            raise members.fault("amount", f'this is {kind_of(amount)}; write it as a text such as "0.15"')
        inputs.amount(members.at("amount"), amount)
    return RoutePrice(
        request_type,
        quantity,
        None if quantities is None else dict(quantities),
        amount,
        Mode(members.choice("mode", [each.value for each in Mode])),
        members.whole("hold_for", 1, TTL_SECONDS_MAX, default=TTL_SECONDS_DEFAULT),
    )


def _with_heads(routes: Sequence[GateRoute]) -> tuple[GateRoute, ...]:
    """Let each route for GET be for HEAD, too, unless another of the same path says what HEAD costs."""
    heads = {(route.segments, route.takes_rest) for route in routes if route.methods and "HEAD" in route.methods}
    return tuple(
        replace(route, methods=route.methods | {"HEAD"})
        if route.methods and "GET" in route.methods and (route.segments, route.takes_rest) not in heads
        else route
        for route in routes
    )
