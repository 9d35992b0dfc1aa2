"""Types of events, as people choose them: by name outside, a set of kinds of alerts as bits inside."""

from collections.abc import Iterable, Mapping
from typing import Final

from farebox.core.alerts import EVENT_TYPES, FOR_THE_OPERATOR, AlertKind, kind_set
from farebox.service.errors import InvalidInput

KIND_OF_TYPE: Final[Mapping[str, AlertKind]] = {name: AlertKind(kind) for kind, name in EVENT_TYPES.items()}
_EVERY_KIND: Final = kind_set(*AlertKind)


def offered_types(*, is_operator: bool) -> list[str]:
    """Name the types of events that a merchant and its users may be told of, or the operator."""
    return types_of(_EVERY_KIND if is_operator else _EVERY_KIND & ~FOR_THE_OPERATOR)


def types_of(kinds: int) -> list[str]:
    """Name the types of events of a set of kinds, in the order of their kinds."""
    return [name for kind, name in sorted(EVENT_TYPES.items()) if kinds >> kind & 1]


def kinds_of(field: str, types: Iterable[str], *, is_operator: bool) -> int:
    """Read which types of events are wanted, as the bits of their kinds.

    Raises:
        InvalidInput: there is no such type.
    """
    offered = offered_types(is_operator=is_operator)
    kinds = set()
    for name in types:
        if name not in offered:
            raise InvalidInput(field, f"{name[:40]!r} is no event; there are {', '.join(offered)}")
        kinds.add(KIND_OF_TYPE[name])
    return kind_set(*kinds)
