"""Lay a graph without circles out in layers, as Sugiyama, Tagawa and Toda do: every arrow points down.

1. A box stands one layer above the highest box that it points to; one that points to none, below the lowest box that
   points to it.
2. An arrow that passes layers gets a bend in each, which takes part in the layout as a narrow box does.
3. Each layer is put in order by the mean place of its neighbours, down and up again, and the order with the fewest
   crossings is kept.
4. Boxes move towards the mean of their neighbours, as far as those beside them let them.

Nothing here is random, so the same graph always has the same layout.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

GAP: Final = 22
"""Pixels left free between two boxes of a layer."""
_SWEEPS: Final = 24
_BEND_WIDTH: Final = 8

Node = tuple[int, ...]
"""A box is (number,); a bend of an arrow is (from, to, layer)."""


class Layout(NamedTuple):
    """Where the boxes are: the centre's x and the layer of each, by number, 0 the topmost; and the arrows' bends."""

    centres: dict[int, float]
    layers: dict[int, int]
    bends: dict[tuple[int, int], list[tuple[float, int]]]
    """For each arrow its places (x, layer) from the top box to the bottom one, both included."""


def lay_out(widths: Sequence[int], arrows: Sequence[tuple[int, int]]) -> Layout:
    """Lay boxes out, given the width of each and the arrows between them as pairs of their numbers."""
    layer_of: dict[Node, int] = {(box,): layer for box, layer in enumerate(_layers(len(widths), arrows))}
    ways: dict[tuple[int, int], list[Node]] = {}
    for source, target in arrows:
        first, last = layer_of[source,], layer_of[target,]
        bends: list[Node] = [(source, target, layer) for layer in range(first + 1, last)]
        layer_of.update({bend: bend[2] for bend in bends})
        ways[source, target] = [(source,), *bends, (target,)]
    upward: dict[Node, list[Node]] = {node: [] for node in layer_of}
    downward: dict[Node, list[Node]] = {node: [] for node in layer_of}
    for way in ways.values():
        for upper, lower in pairwise(way):
            downward[upper].append(lower)
            upward[lower].append(upper)
    layers: list[list[Node]] = [[] for _ in range(max(layer_of.values()) + 1)]
    for node in sorted(layer_of):
        layers[layer_of[node]].append(node)
    layers = _ordered(layers, upward, downward)
    width_of = {node: widths[node[0]] if len(node) == 1 else _BEND_WIDTH for node in layer_of}
    xs = _placed(layers, width_of, upward, downward)
    left = min(xs[node] - width_of[node] / 2 for node in xs)
    return Layout(
        {box: round(xs[box,] - left, 1) for box in range(len(widths))},
        {box: layer_of[box,] for box in range(len(widths))},
        {arrow: [(round(xs[node] - left, 1), layer_of[node]) for node in way] for arrow, way in ways.items()},
    )


def _layers(count: int, arrows: Iterable[tuple[int, int]]) -> list[int]:
    above: dict[int, list[int]] = {box: [] for box in range(count)}
    below: dict[int, list[int]] = {box: [] for box in range(count)}
    for source, target in arrows:
        below[source].append(target)
        above[target].append(source)
    known: dict[int, int] = {}

    def height(box: int) -> int:
        if box not in known:
            known[box] = 1 + max((height(target) for target in below[box]), default=-1)
        return known[box]

    top = max(map(height, range(count)), default=0)
    layers = [top - height(box) for box in range(count)]
    for box in range(count):
        if not below[box] and above[box]:
            layers[box] = 1 + max(layers[source] for source in above[box])
    return layers


def _ordered(
    layers: list[list[Node]], upward: Mapping[Node, list[Node]], downward: Mapping[Node, list[Node]]
) -> list[list[Node]]:
    best, fewest = layers, _crossings(layers, downward)
    current = [list(layer) for layer in layers]
    for sweep in range(_SWEEPS):
        goes_down = sweep % 2 == 0
        neighbours = upward if goes_down else downward
        numbers = range(len(current)) if goes_down else range(len(current) - 1, -1, -1)
        for number in numbers:
            places = {node: place for layer in current for place, node in enumerate(layer)}
            current[number].sort(key=lambda node: _mean([places[other] for other in neighbours[node]], places[node]))
        crossings = _crossings(current, downward)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
    return best


def _crossings(layers: list[list[Node]], downward: Mapping[Node, list[Node]]) -> int:
    count = 0
    for upper, lower in pairwise(layers):
        places = {node: place for place, node in enumerate(lower)}
        ends = [(place, places[other]) for place, node in enumerate(upper) for other in downward[node]]
        count += sum(a < c and b > d for a, b in ends for c, d in ends)
    return count


def _placed(
    layers: list[list[Node]],
    width_of: Mapping[Node, int],
    upward: Mapping[Node, list[Node]],
    downward: Mapping[Node, list[Node]],
) -> dict[Node, float]:
    xs: dict[Node, float] = {}
    for layer in layers:
        xs.update(_spread(layer, dict.fromkeys(layer, 0.0), width_of))
    for sweep in range(_SWEEPS):
        goes_down = sweep % 2 == 0
        for layer in layers if goes_down else layers[::-1]:
            wanted = {node: _mean([xs[other] for other in upward[node] + downward[node]], xs[node]) for node in layer}
            xs.update(_spread(layer, wanted, width_of))
    return xs


def _spread(layer: list[Node], wanted: Mapping[Node, float], width_of: Mapping[Node, int]) -> dict[Node, float]:
    """Place a layer's nodes as near to where they are wanted as their widths allow, in the least squares' sense.

    Less the room that those to the left of it need, each node's place must not fall: that is isotonic regression, which
    pooling adjacent violators solves exactly.
    """
    offsets: list[float] = []
    offset = 0.0
    for place, node in enumerate(layer):
        if place:
            offset += (width_of[layer[place - 1]] + width_of[node]) / 2 + GAP
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for node, offset in zip(layer, offsets, strict=True):
        pools.append((wanted[node] - offset, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (first, first_count), (second, second_count) = pools[-2:]
            count = first_count + second_count
            pools[-2:] = [((first * first_count + second * second_count) / count, count)]
    bases = [base for base, count in pools for _ in range(count)]
    return {node: base + offset for node, base, offset in zip(layer, bases, offsets, strict=True)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
