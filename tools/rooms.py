"""The rooms of Farebox and which imports which, read from the code's import graph.

A room is a package. Modules that lie beside subpackages are grouped into rooms by what they reach and what reaches
them, so that a room is never above and below the same package; a module of `farebox` itself is a room of its own.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import grimp

ROOT: Final = "farebox"

_INIT: Final = "__init__"


class Room(NamedTuple):
    """A package, or modules that lie beside its subpackages. Names are dotted and begin below `farebox`."""

    name: str
    modules: tuple[str, ...]
    """The modules that a grouped room is made of, by their own names; empty for a whole package."""

    @property
    def area(self) -> str:
        """The top-level name that the room lies in."""
        return self.name.partition(".")[0]


class Plan(NamedTuple):
    """All rooms, sorted, and for each the rooms that it imports."""

    rooms: list[Room]
    imports: dict[Room, set[Room]]

    def below(self, room: Room) -> set[Room]:
        """Collect every room that is reached from this one by imports."""
        reached: set[Room] = set()
        waiting = [room]
        while waiting:
            for other in self.imports[waiting.pop()] - reached:
                reached.add(other)
                waiting.append(other)
        return reached

    def arrows(self) -> list[tuple[Room, Room]]:
        """List the imports that no longer way implies: the transitive reduction."""
        below = {room: self.below(room) for room in self.rooms}
        return [
            (room, other)
            for room in self.rooms
            for other in sorted(self.imports[room])
            if not any(other in below[between] for between in self.imports[room] - {other})
        ]


def read_plan() -> Plan:
    """Read the rooms of the installed package and their imports."""
    graph = grimp.build_graph(ROOT, cache_dir=None)
    rooms = sorted(_rooms_of(graph, ROOT))
    owner = {module: room for room in rooms for module in _modules_of(graph, room)}
    imports: dict[Room, set[Room]] = {room: set() for room in rooms}
    for module, room in owner.items():
        imports[room] |= {owner[other] for other in graph.find_modules_directly_imported_by(module)} - {room}
    return Plan(rooms, imports)


def _rooms_of(graph: grimp.ImportGraph, package: str) -> Iterator[Room]:
    children = sorted(graph.find_children(package))
    packages = [child for child in children if graph.find_children(child)]
    if not packages:
        yield Room(_short(package), ())
        return
    for child in packages:
        yield from _rooms_of(graph, child)
    modules = [child for child in children if child not in packages]
    if package == ROOT:
        yield from (Room(_short(module), ()) for module in modules)
        return
    if graph.find_modules_directly_imported_by(package) or graph.find_modules_that_directly_import(package):
        modules.append(package)
    groups: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
    for module in modules:
        reaches = frozenset(child for child in packages if _reaches(graph, {module}, graph.find_descendants(child)))
        reached_by = frozenset(child for child in packages if _reaches(graph, graph.find_descendants(child), {module}))
        groups.setdefault((reaches, reached_by), []).append(_own_name(module, package))
    yield from (Room(_short(package), tuple(names)) for names in groups.values())


def _reaches(graph: grimp.ImportGraph, importers: set[str], imported: set[str]) -> bool:
    return any(graph.find_upstream_modules(module) & imported for module in importers)


def _modules_of(graph: grimp.ImportGraph, room: Room) -> Iterator[str]:
    package = f"{ROOT}.{room.name}"
    if room.modules:
        yield from (package if name == _INIT else f"{package}.{name}" for name in room.modules)
    else:
        yield package
        yield from graph.find_descendants(package)


def _own_name(module: str, package: str) -> str:
    return _INIT if module == package else module.removeprefix(f"{package}.")


def _short(module: str) -> str:
    return module.removeprefix(f"{ROOT}.")
