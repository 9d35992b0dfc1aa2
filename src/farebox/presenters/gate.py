"""A route of the gate, as commands tell of it."""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from farebox.service.gate.rules import GateRoute, Passage
from farebox.service.gate.tokens import Mode


class RouteData(Struct, frozen=True, rename="camel"):
    """A route, and what becomes of its requests."""

    line: int | None
    methods: Annotated[list[str] | None, Meta(description="Null: all but OPTIONS, TRACE and CONNECT.")]
    path: str
    passage: Passage
    type: str | None = None
    quantity: int | None = None
    quantities: dict[str, Any] | None = None
    amount: str | None = None
    mode: Mode | None = None
    hold_for: int | None = None


def route_data(route: GateRoute) -> RouteData:
    """Tell of a route."""
    methods = None if route.methods is None else sorted(route.methods)
    data = RouteData(route.line, methods, route.pattern, route.passage)
    price = route.price
    if price is None:
        return data
    return replace(
        data,
        type=price.request_type,
        quantity=price.quantity,
        quantities=None if price.quantities is None else dict(price.quantities),
        amount=price.amount,
        mode=price.mode,
        hold_for=price.hold_seconds if price.mode is Mode.HOLD else None,
    )


def method_words(route: GateRoute) -> str:
    """Name the methods that a route is for."""
    return "*" if route.methods is None else " ".join(sorted(route.methods))


def passage_words(route: GateRoute) -> str:
    """Say what becomes of a route's requests: 5 x image, charged at the gate."""
    price = route.price
    if price is None:
        return {
            Passage.FREE: "free, with a good key",
            Passage.PUBLIC: "public, without any key",
            Passage.REFUSED: "refused",
        }[route.passage]
    quantities = " + ".join(f"{count:,} {name}" for name, count in sorted((price.quantities or {}).items()))
    asked = f"{price.quantity or 1:,} x {price.request_type}"
    if quantities:
        asked = f"{price.request_type} of {quantities}"
    if price.amount is not None:
        asked = f"{asked} for {price.amount}"
    if price.mode is Mode.HOLD:
        return f"{asked}, held for {price.hold_seconds:,} s"
    return f"{asked}, charged at the gate"
