"""Pictures of results, whatever these are."""

from xml.etree import ElementTree

import pytest

from benchmarks.drawing import Series, draw_lines


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.0, 5.0), (5.0, 7.0)])
@pytest.mark.parametrize("is_log", [False, True])
def test_lines_are_drawn_of_anything(values: tuple[float, ...], is_log: bool) -> None:
    drawn = draw_lines("rates", [Series("one", list(enumerate(values, 1)))], x="servers", y="", is_log=is_log)
    assert "{http://www.w3.org/2000/svg}svg" == ElementTree.fromstring(drawn).tag
