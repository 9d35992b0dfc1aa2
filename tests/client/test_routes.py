"""The table of routes: which one a request has, and which tables make no sense."""

import pytest

from farebox_client.middleware import Route, RouteInvalid, charged, free, metered
from farebox_client.middleware.routes import PathAmbiguous, RouteTable

TABLE = RouteTable(
    [
        charged("POST", "/v1/search", "search"),
        charged(["GET", "PUT"], "/v1/files/{id}", "file"),
        metered("*", "/v1/models/{name}/run", "run", up_to={"output": 1}),
        free("GET", "/v1/models/special"),
        free("*", "/public/**"),
        free("GET", "/"),
        metered("WEBSOCKET", "/live"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("POST", "/v1/search", "/v1/search"),
        ("POST", "//v1///search/", "/v1/search"),
        ("GET", "/v1/search", None),
        ("post", "/v1/search", None),
        ("POST", "/v1/Search", None),
        ("POST", "/v1/search/x", None),
        ("POST", "/v1/search\n", None),
        ("GET", "/v1/files/7", "/v1/files/{id}"),
        ("HEAD", "/v1/files/7", "/v1/files/{id}"),
        ("DELETE", "/v1/files/7", None),
        ("GET", "/v1/files", None),
        ("GET", "/v1/files/7/8", None),
        ("GET", "/v1/files/a\nb", "/v1/files/{id}"),
        ("PATCH", "/v1/models/gpt/run", "/v1/models/{name}/run"),
        ("WEBSOCKET", "/v1/models/gpt/run", "/v1/models/{name}/run"),
        ("OPTIONS", "/v1/models/gpt/run", None),
        ("GET", "/public", "/public/**"),
        ("GET", "/public/a/b", "/public/**"),
        ("GET", "/publications", None),
        ("GET", "/", "/"),
        ("GET", "", "/"),
        ("GET", "/v1/searc.", None),
        ("WEBSOCKET", "/live", "/live"),
    ],
)
def test_the_first_route_that_matches_counts(method: str, path: str, found: str | None) -> None:
    route = TABLE.find(method, path)
    assert found == (None if route is None else route.path)


def test_head_costs_what_get_costs_unless_a_route_of_the_same_path_names_it() -> None:
    table = RouteTable(
        [
            charged("GET", "/v1/files/{id}", "file"),
            free("*", "/v1/files/{name}"),
            charged("GET", "/v1/pages/{id}", "page"),
            free("HEAD", "/v1/pages/{name}"),
            free("*", "/**"),
        ]
    )
    for path, found in (("/v1/files/7", "/v1/files/{id}"), ("/v1/pages/7", "/v1/pages/{name}"), ("/else", "/**")):
        route = table.find("HEAD", path)
        assert route is not None
        assert found == route.path


@pytest.mark.parametrize("path", ["/v1/../v1/search", "/./v1/search", "/public/..", "/.."])
def test_a_path_that_may_be_read_in_two_ways_has_no_route(path: str) -> None:
    with pytest.raises(PathAmbiguous):
        TABLE.find("POST", path)


@pytest.mark.parametrize(
    ("methods", "path", "words"),
    [
        ("GET", "v1", "begins with a slash"),
        ("GET", "/v1/", "slashes"),
        ("GET", "/v1//x", "slashes"),
        ("GET", "/v1/*", "segment"),
        ("GET", "/v1/{}", "segment"),
        ("GET", "/v1/a{b}", "segment"),
        ("GET", "/**/x", "segment"),
        ("GET", "/v1/../x", "refused"),
        ("get", "/v1", "method"),
        ([], "/v1", "method"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused(methods: list[str] | str, path: str, words: str) -> None:
    with pytest.raises(RouteInvalid, match=words):
        RouteTable([free(methods, path)])


def test_a_route_that_another_one_hides_is_refused() -> None:
    with pytest.raises(RouteInvalid, match=r"/v1/\{b\}"):
        RouteTable([free(["GET", "PUT"], "/v1/{a}"), charged("GET", "/v1/{b}", "search")])


def test_everything_may_be_free() -> None:
    assert "/**" == (RouteTable([free("*", "/**")]).find("GET", "/a/b") or Route((), "")).path
