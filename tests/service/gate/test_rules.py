"""A request meets the first route that is for it, and none where programs may take it for another's."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.service.errors import ServiceError
from farebox.service.gate.errors import AmbiguousRequest, NoRoute, RouteRefused, WrongMethod
from farebox.service.gate.files import read_rules
from farebox.service.gate.rules import GateRoute, Matcher, Passage
from tests.support.effort import examples

RULES: Final = """
[[route]]
method = "POST"
path = "/v1/search"
type = "search"

[[route]]
method = ["GET", "POST"]
path = "/v1/files/{id}"
type = "file"

[[route]]
method = "GET"
path = "/v1/files/{id}/parts/**"
free = true

[[route]]
method = "HEAD"
path = "/v1/files/{id}/parts/**"
public = true

[[route]]
method = "*"
path = "/v1/tools/**"
type = "tool"

[[route]]
method = "*"
path = "/v1/Admin"
refuse = true
"""


def route(method: str, target: str, rules: str = RULES) -> GateRoute:
    return Matcher(read_rules(rules)).match(method, target)


@pytest.mark.parametrize(
    ("method", "target", "pattern"),
    [
        ("POST", "/v1/search", "/v1/search"),
        ("POST", "/v1/search/?q", "/v1/search"),
        ("POST", "//v1/./search", "/v1/search"),
        ("GET", "/v1/files/7", "/v1/files/{id}"),
        ("HEAD", "/v1/files/7", "/v1/files/{id}"),
        ("POST", "/v1/files/%C3%A4", "/v1/files/{id}"),
        ("POST", "/v1/files//parts", "/v1/files/{id}"),
        ("GET", "/v1/files/7/parts", "/v1/files/{id}/parts/**"),
        ("GET", "/v1/files/7/parts/1/2", "/v1/files/{id}/parts/**"),
        ("PATCH", "/v1/tools/x", "/v1/tools/**"),
        ("GET", "/v1/tools", "/v1/tools/**"),
    ],
)
def test_a_request_meets_the_first_route_for_its_method_and_path(method: str, target: str, pattern: str) -> None:
    assert pattern == route(method, target).pattern


def test_head_costs_what_get_costs_unless_a_route_of_the_same_path_says_otherwise() -> None:
    assert route("GET", "/v1/files/7") is not None
    assert route("HEAD", "/v1/files/7").price == route("GET", "/v1/files/7").price
    assert Passage.PUBLIC is route("HEAD", "/v1/files/7/parts/1").passage
    assert Passage.FREE is route("GET", "/v1/files/7/parts/1").passage


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        ("POST", "/", NoRoute),
        ("POST", "/v1", NoRoute),
        ("POST", "/v1/searching", NoRoute),
        ("POST", "/v1/search/x", NoRoute),
        ("POST", "/v1/files", NoRoute),
        ("POST", "/v1/files/7/x", NoRoute),
        ("POST", "/V1/search", NoRoute),
        ("PUT", "/v1/search", WrongMethod),
        ("GET", "/v1/search", WrongMethod),
        ("HEAD", "/v1/search", WrongMethod),
        ("OPTIONS", "/v1/search", WrongMethod),
        ("TRACE", "/v1/tools/x", NoRoute),
        ("CONNECT", "/v1/tools/x", NoRoute),
        ("GET", "/v1/Admin", RouteRefused),
        ("OPTIONS", "/v1/Admin", RouteRefused),
        ("post", "/v1/search", AmbiguousRequest),
        ("", "/v1/search", AmbiguousRequest),
        ("PO ST", "/v1/search", AmbiguousRequest),
        ("POST\n", "/v1/search", AmbiguousRequest),
        ("X" * 40, "/v1/search", AmbiguousRequest),
    ],
)
def test_a_request_that_no_route_is_for_is_refused(method: str, target: str, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        route(method, target)


def test_a_wrong_method_is_told_the_right_ones() -> None:
    with pytest.raises(WrongMethod) as refused:
        route("PUT", "/v1/files/7")
    assert ("GET", "HEAD", "POST") == refused.value.allowed
    assert "This path takes GET, HEAD, POST" == refused.value.message


CATCH_ALL: Final = f"""{RULES}
[[route]]
method = ["GET", "POST"]
path = "/**"
free = true
"""


@pytest.mark.parametrize(
    "target",
    [
        "/v1/search/../files/7/../../search",
        "/v1/x/../search",
        "/v1/./search",
        "/v1//search",
        "/V1/search",
        "/v1/SEARCH",
        "/v1/%EF%BD%93earch",
        "/v1/search.",
        "/v1/search%20",
    ],
)
def test_a_path_that_programs_take_for_another_routes_is_refused(target: str) -> None:
    """Where everything else is free, one that the API takes for a search must not pass as something else."""
    with pytest.raises(AmbiguousRequest, match="charged differently"):
        route("POST", target, CATCH_ALL)
    assert "/v1/search" == route("POST", "/v1/search", CATCH_ALL).pattern
    assert "/**" == route("POST", "/anything/else", CATCH_ALL).pattern
    assert "/**" == route("POST", "/Any//Thing/./else", CATCH_ALL).pattern


def test_what_no_route_is_for_may_be_let_through() -> None:
    for word, passage in (("free", Passage.FREE), ("public", Passage.PUBLIC)):
        rules = f'unmatched = "{word}"\n{RULES}'
        assert passage is route("GET", "/else", rules).passage
        assert "/v1/search" == route("POST", "/v1/search", rules).pattern
        for target in ("/V1/search", "/v1//search", "/v1/x/../search"):
            with pytest.raises(AmbiguousRequest):
                route("POST", target, rules)
        with pytest.raises(WrongMethod):
            route("PUT", "/v1/search", rules)


def test_case_is_ignored_where_the_api_ignores_it() -> None:
    rules = f"ignore_case = true\n{RULES}"
    for target in ("/V1/Search", "/v1/search", "/v1/SEARCH/", "/v1/%53earch"):
        assert "/v1/search" == route("POST", target, rules).pattern
    for target in ("/v1/admin", "/V1/ADMIN", "/v1/Admin"):
        with pytest.raises(RouteRefused):
            route("POST", target, rules)


def test_preflights_pass_where_they_are_let_through_and_a_route_is_for_the_path() -> None:
    rules = f'preflights = "public"\n{RULES}'
    assert Passage.PUBLIC is route("OPTIONS", "/v1/search", rules).passage
    assert Passage.PUBLIC is route("OPTIONS", "/v1/tools/x", rules).passage
    with pytest.raises(RouteRefused):
        route("OPTIONS", "/v1/Admin", rules)
    with pytest.raises(NoRoute):
        route("OPTIONS", "/else", rules)
    named = f'preflights = "public"\n[[route]]\nmethod = "OPTIONS"\npath = "/v1/search"\ntype = "search"\n{RULES}'
    assert Passage.PAID is route("OPTIONS", "/v1/search", named).passage


def test_semicolons_and_escaped_slashes_pass_where_the_file_allows_them() -> None:
    rules = f'allow = ["semicolon", "encoded-slash"]\n{RULES}'
    assert "/v1/files/{id}" == route("GET", "/v1/files/a%2Fb", rules).pattern
    assert "/v1/files/{id}" == route("GET", "/v1/files/a;b=c", rules).pattern
    # Without its parameters this is another route's; with its slash as a slash, too.
    with pytest.raises(AmbiguousRequest):
        route("POST", "/v1/search;x", f"{rules}\n[[route]]\nmethod = 'POST'\npath = '/v1/{{any}}'\nfree = true")
    with pytest.raises(AmbiguousRequest):
        route("GET", "/v1/files/7%2Fparts", rules)


SEGMENTS: Final = st.sampled_from(["a", "b", "A", "search", ".", "..", "", "%61", "%2e", "x"])
TARGETS: Final = st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts))
PATTERNS: Final = st.lists(st.sampled_from(["a", "b", "search", "{one}", "{two}", "x"]), max_size=4, unique=True)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Draw a file of routes, each of another type, and none that is covered by one ahead of it."""
    text = draw(st.sampled_from(["", 'unmatched = "free"\n', "ignore_case = true\n"]))
    patterns = draw(st.lists(st.tuples(PATTERNS, st.booleans()), min_size=1, max_size=6))
    kept = 0
    for number, (parts, takes_rest) in enumerate(patterns):
        path = "/" + "/".join([*parts, *(["**"] if takes_rest else [])])
        more = f'[[route]]\nmethod = "POST"\npath = "{path}"\ntype = "t{number}"\n'
        try:
            read_rules(text + more)
        except ServiceError:
            continue
        text, kept = text + more, kept + 1
    return text if kept else text + '[[route]]\nmethod = "POST"\npath = "/a"\ntype = "t"\n'


@examples(400)
@given(files(), TARGETS)
def test_what_a_request_meets_is_what_the_normal_form_of_its_path_meets(text: str, target: str) -> None:
    """Nobody pays less, or other than, by writing a path in another way: it is the same route's, or refused."""
    matcher = Matcher(read_rules(text))
    try:
        found = matcher.match("POST", target)
    except ServiceError:
        return
    normal = target.replace("%61", "a").replace("%2e", ".")
    parts: list[str] = []
    for part in normal.split("/"):
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    assert found is matcher.match("POST", "/" + "/".join(parts))
