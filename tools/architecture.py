"""Draw the rooms of Farebox and their imports, and list them: `make architecture`.

Writes docs/images/architecture.svg, and the table between two comments in docs/explanation/architecture.md. Both come
from the import graph and the packages' docstrings alone, and a test holds them to it.
"""

import ast
from itertools import pairwise
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from tools.layers import Layout, lay_out
from tools.rooms import ROOT, Plan, Room, read_plan

REPOSITORY: Final = Path(__file__).parents[1]
PICTURE: Final = REPOSITORY / "docs" / "images" / "architecture.svg"
PAGE: Final = REPOSITORY / "docs" / "explanation" / "architecture.md"
TABLE_STARTS: Final = "<!-- `make architecture` writes the table below. -->\n"
TABLE_ENDS: Final = "<!-- The table ends here. -->\n"

_CHAR_WIDTH: Final = 7.3
_LINE_HEIGHT: Final = 17
_PADDING: Final = 12
_LAYER_GAP: Final = 40
_MARGIN: Final = 16
_LINE_CHARS_MAX: Final = 24
_COLOURS: Final = {"web": "#dbe9ff", "service": "#dff3e0", "alerts": "#fde8d0", "storage": "#f3e2f7", "core": "#fff3b8"}
_OTHER_COLOUR: Final = "#eeeeee"


def picture(plan: Plan) -> str:
    """Draw the rooms as boxes and the imports that no longer way implies as arrows; every arrow points down."""
    texts = [_box_text(room) for room in plan.rooms]
    widths = [round(max(map(len, lines)) * _CHAR_WIDTH) + 2 * _PADDING for lines in texts]
    heights = [len(lines) * _LINE_HEIGHT + _PADDING for lines in texts]
    numbers = {room: number for number, room in enumerate(plan.rooms)}
    layout = lay_out(widths, [(numbers[room], numbers[other]) for room, other in plan.arrows()])
    bands = _bands(layout, heights)
    width = round(max(layout.centres[box] + widths[box] / 2 for box in numbers.values())) + 2 * _MARGIN
    height = bands[-1][1] + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' role="img" font-family="ui-monospace, monospace" font-size="12">',
        "<title>The rooms of Farebox: each arrow points from a room to one that it imports</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<g transform="translate({_MARGIN} {_MARGIN})">',
    ]
    for (source, _), bends in sorted(layout.bends.items()):
        way = _way(bends, bands, bands[layout.layers[source]][0] + heights[source])
        parts.append(f'<path d="{way}" fill="none" stroke="#555" marker-end="url(#tip)"/>')
    for room, number in numbers.items():
        x, y = layout.centres[number], bands[layout.layers[number]][0]
        parts.append(
            f'<rect x="{x - widths[number] / 2:g}" y="{y}" width="{widths[number]}" height="{heights[number]}" rx="5"'
            f' fill="{_COLOURS.get(room.area, _OTHER_COLOUR)}" stroke="#555"/>'
        )
        for place, line in enumerate(texts[number]):
            weight = "normal" if place else "bold"
            baseline = y + _LINE_HEIGHT * (place + 1)
            parts.append(
                f'<text x="{x:g}" y="{baseline}" text-anchor="middle" font-weight="{weight}">{escape(line)}</text>'
            )
    return "\n".join([*parts, "</g>", "</svg>", ""])


def table(plan: Plan) -> str:
    """List the packages, and the modules beside them, with what each is for and what it imports."""
    imports: dict[str, set[str]] = {}
    for room, others in plan.imports.items():
        imports.setdefault(room.name, set()).update(other.name for other in others if other.name != room.name)
    rows = [
        f"| `{name}` | {_purpose(name)} | {', '.join(f'`{other}`' for other in sorted(others))} |"
        for name, others in sorted(imports.items())
    ]
    return "\n".join(["| room | what it is for | imports |", "| --- | --- | --- |", *rows, ""])


def page_with(table_text: str, page: str) -> str:
    """Return the page with this table in place of the one it has."""
    before, _, rest = page.partition(TABLE_STARTS)
    _, _, after = rest.partition(TABLE_ENDS)
    return f"{before}{TABLE_STARTS}\n{table_text}\n{TABLE_ENDS}{after}"


def _box_text(room: Room) -> list[str]:
    """Write a room's name and, below it, the modules of a grouped one, in lines of _LINE_CHARS_MAX at most."""
    lines = [room.name]
    for name in room.modules:
        if len(lines) > 1 and len(lines[-1]) + 1 + len(name) <= _LINE_CHARS_MAX:
            lines[-1] += f" {name}"
        else:
            lines.append(name)
    return lines


def _bands(layout: Layout, heights: list[int]) -> list[tuple[int, int]]:
    """Return the top and bottom of each layer."""
    bands: list[tuple[int, int]] = []
    top = 0
    for layer in range(max(layout.layers.values()) + 1):
        bottom = top + max(heights[box] for box, its_layer in layout.layers.items() if its_layer == layer)
        bands.append((top, bottom))
        top = bottom + _LAYER_GAP
    return bands


def _way(bends: list[tuple[float, int]], bands: list[tuple[int, int]], start: int) -> str:
    """Draw an arrow: straight down beside the boxes of a layer, bent between two layers."""
    way = f"M{bends[0][0]:g} {start}"
    for (x, layer), (next_x, next_layer) in pairwise(bends):
        bottom, top = bands[layer][1], bands[next_layer][0]
        middle = (bottom + top) / 2
        way += f"L{x:g} {bottom}C{x:g} {middle:g} {next_x:g} {middle:g} {next_x:g} {top}"
    return way


def _purpose(name: str) -> str:
    """Take the first line of the docstring of a package or module."""
    path = (REPOSITORY / "src" / ROOT).joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def main() -> None:
    """Write the picture and the table."""
    plan = read_plan()
    PICTURE.write_text(picture(plan))
    PAGE.write_text(page_with(table(plan), PAGE.read_text()))


if __name__ == "__main__":
    main()
