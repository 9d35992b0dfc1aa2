"""The picture of the rooms and the table beside it agree with the code; its layout is sound for any graph."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tools import architecture, layers
from tools.rooms import Room, read_plan


def test_the_picture_and_the_table_agree_with_the_import_graph() -> None:
    plan = read_plan()
    page = architecture.PAGE.read_text()
    assert architecture.PICTURE.read_text() == architecture.picture(plan), "run `make architecture`"
    assert page == architecture.page_with(architecture.table(plan), page), "run `make architecture`"


def test_arrows_imply_every_import_and_no_room_reaches_itself() -> None:
    plan = read_plan()
    arrows: dict[Room, set[Room]] = {room: set() for room in plan.rooms}
    for room, other in plan.arrows():
        arrows[room].add(other)
    reduced = plan._replace(imports=arrows)
    for room in plan.rooms:
        assert plan.below(room) == reduced.below(room)
        assert room not in plan.below(room)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int]]]:
    widths = draw(st.lists(st.integers(10, 200), min_size=1, max_size=9))
    pairs = [(upper, lower) for upper in range(len(widths)) for lower in range(upper + 1, len(widths))]
    return widths, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@given(graphs())
def test_arrows_point_down_and_boxes_do_not_meet(graph: tuple[list[int], list[tuple[int, int]]]) -> None:
    widths, arrows = graph
    layout = layers.lay_out(widths, arrows)
    assert all(layout.layers[upper] < layout.layers[lower] for upper, lower in arrows)
    assert set(arrows) == layout.bends.keys()
    for bends in layout.bends.values():
        assert all(below - above == 1 for (_, above), (_, below) in pairwise(bends))
    for layer in set(layout.layers.values()):
        boxes = sorted((layout.centres[box], widths[box]) for box in layout.layers if layout.layers[box] == layer)
        assert all(right - left >= (one + other) / 2 for (left, one), (right, other) in pairwise(boxes))
    assert layout == layers.lay_out(widths, arrows)
