"""A file of rules is checked whole: each fault is named by its line and field, and what would be right."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.holds import TTL_SECONDS_DEFAULT, TTL_SECONDS_MAX
from farebox.service.gate.files import FAULTS_MAX, FILE_BYTES_MAX, ROUTES_MAX, BadRules, load_rules, read_rules
from farebox.service.gate.paths import Leniency
from farebox.service.gate.rules import Passage, Preflights, RoutePrice, Unmatched
from farebox.service.gate.tokens import Mode
from tests.support.effort import examples

GOOD: Final = '[[route]]\nmethod = "POST"\npath = "/v1/search"\ntype = "search"\n'


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(BadRules) as bad:
        read_rules(text)
    return bad.value.faults


def test_a_file_says_what_each_request_costs() -> None:
    rules = read_rules(
        """
        # Everything else is refused.
        unmatched = "free"
        preflights = "public"
        ignore_case = true
        allow = ["encoded-slash"]

        [[route]]  # the first
        method = ["POST", "PUT"]
        path = "/v1/{kind}/search"
        type = "search"
        quantities = { input = 100, output = 5 }
        mode = "hold"
        hold_for = 30

        [[ route ]]
        path = '''/v1/**'''
        method = "*"
        type = "call"
        amount = "0.25"

        [[route]]
        method = "GET"
        path = "/"
        public = true
        """
    )
    assert (Unmatched.FREE, Preflights.PUBLIC, True) == (rules.unmatched, rules.preflights, rules.ignores_case)
    assert Leniency(encoded_slashes=True) == rules.leniency
    search, call, root = rules.routes
    assert (frozenset({"POST", "PUT"}), ("v1", None, "search"), False) == (
        search.methods,
        search.segments,
        search.takes_rest,
    )
    assert RoutePrice("search", None, {"input": 100, "output": 5}, None, Mode.HOLD, 30) == search.price
    assert (None, ("v1",), True) == (call.methods, call.segments, call.takes_rest)
    assert RoutePrice("call", None, None, "0.25", Mode.CHARGE, TTL_SECONDS_DEFAULT) == call.price
    assert (frozenset({"GET", "HEAD"}), (), False, Passage.PUBLIC) == (
        root.methods,
        root.segments,
        root.takes_rest,
        root.passage,
    )
    assert [8, 16, 22] == [route.line for route in rules.routes]


@pytest.mark.parametrize(
    ("line", "wrong", "fault"),
    [
        ('method = "post"', 2, "line 2, method: 'post' is no method"),
        ("method = 1", 2, "line 2, method: this is a whole number"),
        ("method = []", 2, "line 2, method: this is a list without any"),
        ('method = ["GET", "get"]', 2, "line 2, method: 'get' is no method"),
        ('method = "GET POST"', 2, "line 2, method: 'GET POST' is no method"),
        ("path = 1", 3, "line 3, path: this is a whole number"),
        ('path = "v1/search"', 3, "line 3, path: 'v1/search' must begin with a slash"),
        ('path = "/v1/search?x"', 3, "line 3, path: '/v1/search?x' must begin with a slash, and have no query"),
        ('path = "/v1//search"', 3, "line 3, path: write one slash between segments"),
        ('path = "/v1/search/"', 3, "line 3, path: write one slash between segments"),
        ('path = "/v1/./search"', 3, "line 3, path: write one slash between segments"),
        ('path = "/v1/../search"', 3, "line 3, path: '..' matches no request"),
        ('path = "/v1/a%2Fb"', 3, "line 3, path: 'a%2Fb' matches no request: The path has an escaped slash"),
        ('path = "/v1/a;b"', 3, "line 3, path: 'a;b' matches no request"),
        ('path = "/v1/a#b"', 3, "line 3, path: 'a#b' matches no request"),
        ('path = "/v1/{}"', 3, "line 3, path: '{}' is no segment; write {name}"),
        ('path = "/v1/x{id}"', 3, "line 3, path: 'x{id}' is no segment"),
        ('path = "/v1/{id}.json"', 3, "line 3, path: '{id}.json' is no segment"),
        ('path = "/v1/*/search"', 3, "line 3, path: '*' is no segment"),
        ('path = "/v1/**/search"', 3, "line 3, path: '**' is no segment"),
        ('path = "/{id}/{id}"', 3, "line 3, path: '/{id}/{id}' has a name twice"),
        (f'path = "/{"x" * 1_000}"', 3, "line 3, path: this has 1,001 characters"),
        ('type = ""', 4, "line 4, type: a request type is 1 to 200 of"),
        ("type = 5", 4, "line 4, type: this is a whole number"),
        ("free = true", 4, ""),
        ("free = false", 4, "line 4, free: write true, or leave it out"),
        ('refuse = "yes"', 4, "line 4, refuse: write true, or leave it out"),
    ],
)
def test_a_fault_is_named_by_its_line_and_field(line: str, wrong: int, fault: str) -> None:
    lines = GOOD.splitlines()
    lines[wrong - 1] = line
    text = "\n".join(lines)
    if not fault:
        assert Passage.FREE is read_rules(text).routes[0].passage
        return
    (told,) = faults(text)
    assert told.startswith(fault)


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("free = true", "line 1: this says type and free of what it costs; write one of type"),
        ("quantity = 0", "line 5, quantity: this is too small; write a whole number from 1 to"),
        ("quantity = 1.5", "line 5, quantity: this is a number with a point"),
        ("quantity = true", "line 5, quantity: this is true or false"),
        ("quantities = 5", "line 5, quantities: this is a whole number; write { input = 100 }"),
        ("quantities = { Input = 5 }", "line 5, quantities: 'Input' is no name of a line"),
        ("quantities = { input = -5 }", "line 5, quantities.input: a quantity is a whole number from 0"),
        ("quantity = 1\nquantities = { input = 5 }", "line 6, quantities: name quantities, or a quantity"),
        ("amount = 0.25", 'line 5, amount: this is a number with a point; write it as a text such as "0.15"'),
        ('amount = "0"', "line 5, amount: the amount must be more than 0"),
        ('amount = "1,50"', "line 5, amount: '1,50' is not an amount"),
        ('mode = "later"', "line 5, mode: 'later' is none of those that may stand here; write charge or hold"),
        ("hold_for = 0", "line 5, hold_for: this is too small"),
        (f"hold_for = {TTL_SECONDS_MAX + 1}", "line 5, hold_for: this is too large"),
        ("hold_four = 30", "line 5, hold_four: no member 'hold_four' is known here; there may be method, path"),
    ],
)
def test_a_fault_of_what_is_paid_is_named(more: str, fault: str) -> None:
    (told,) = faults(GOOD + more)
    assert told.startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: there is no route; write one or more, each of which begins with [[route]]"),
        ("[[route]]", 'line 1, method: this is missing; write a method such as "POST"'),
        ('[[route]]\nmethod = "GET"', "line 1, path: this is missing"),
        ('[[route]]\nmethod = "GET"\npath = "/"', "line 1: this says nothing of what it costs"),
        (
            '[[route]]\nmethod = "GET"\npath = "/"\nfree = true\nmode = "hold"',
            "line 5, mode: this stands beside a type",
        ),
        ("[route]\nx = 1", "line 1: write each route as a table of its own, which begins with [[route]]"),
        ("route = [{ method = 'GET' }]", "line 1: write each route as a table of its own"),
        ("route = 5", "line 1: write each route as a table of its own"),
        (f"unmatchd = 'free'\n{GOOD}", "line 1, unmatchd: no setting 'unmatchd' is known here; there may be unmatched"),
        (f"\nunmatched = 'allow'\n{GOOD}", "line 2, unmatched: 'allow' is none of those that may stand here"),
        (f"unmatched = true\n{GOOD}", "line 1, unmatched: this is true or false; write refuse, free or public"),
        (f"preflights = 'free'\n{GOOD}", "line 1, preflights: 'free' is none of those"),
        (f"ignore_case = 1\n{GOOD}", "line 1, ignore_case: this is a whole number; write true or false"),
        (f"allow = 'semicolon'\n{GOOD}", "line 1, allow: this is a text; it must be a list of texts"),
        (f"allow = ['dots']\n{GOOD}", "line 1, allow[0]: 'dots' is none of those that may stand here"),
        (f"{GOOD}[[routes]]\nx = 1", "line 1, routes: no setting 'routes' is known here"),
        ("x = ", "this is no TOML: Invalid value (at end of document)"),
        (f"{GOOD}type = 'twice'\n", "this is no TOML: Cannot overwrite a value (at line 5"),
    ],
)
def test_a_fault_of_the_whole_is_named(text: str, fault: str) -> None:
    (told,) = faults(text)
    assert told.startswith(fault)


def test_every_fault_is_named_at_once_and_in_order() -> None:
    bad = '[[route]]\nmethod = "get"\npath = "/x{"\nfree = true\n'
    told = faults(f"unmatched = 5\n{GOOD}{bad}{GOOD.replace('search', 'other')}hold_for = 'x'\n{bad}")
    assert ["line 1", "line 7", "line 14", "line 16"] == [words.partition(",")[0] for words in told]
    assert FAULTS_MAX == len(faults(bad * 30))


def test_texts_and_comments_that_look_like_tables_are_none() -> None:
    text = '# [[route]]\nunmatched = "refuse" # [[route]]\n[[route]]\nmethod = "GET"\npath = "/a" # "\n'
    text += 'type = """\n[[route]]\npath = 1\n"""\n'
    (told,) = faults(text + GOOD.replace("search", "b"))
    assert told.startswith("line 6, type: a request type is")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ('"POST"', "/v1/search"),
        ('"POST"', "/v1/%73earch"),
        ('"POST"', "/v1/{any}"),
        ('["POST", "PUT"]', "/v1/{any}"),
        ('"*"', "/**"),
        ('"*"', "/v1/search/**"),
    ],
)
def test_a_route_that_is_never_reached_is_a_fault(method: str, path: str) -> None:
    earlier = f'[[route]]\nmethod = {method}\npath = "{path}"\nfree = true\n'
    (told,) = faults(earlier + GOOD)
    assert told == (
        f"line 5: no request ever comes here: the route of line 1, {path}, takes all of them; put this one ahead of "
        "it, or take one of the two away"
    )
    # The other way round each has its own; the same twice never has.
    if path not in ("/v1/search", "/v1/%73earch"):
        assert 2 == len(read_rules(GOOD + earlier).routes)


def test_a_file_has_a_largest_size_and_number_of_routes(tmp_path: Path) -> None:
    many = "".join(f'[[route]]\nmethod = "GET"\npath = "/{number}"\nfree = true\n' for number in range(ROUTES_MAX))
    assert ROUTES_MAX == len(read_rules(many).routes)
    assert (f"line 1: there are 1,001 routes; there may be {ROUTES_MAX:,}",) == faults(many + GOOD)
    path = tmp_path / "gate.toml"
    path.write_text(GOOD)
    assert 1 == len(load_rules(path).routes)
    for content, fault in (
        (b"#" * (FILE_BYTES_MAX + 1), "it has more than 1,048,576 bytes"),
        (b"\xff", "it is not UTF-8"),
        (GOOD.replace("POST", "post").encode(), "line 2, method: 'post' is no method"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadRules) as bad:
            load_rules(path)
        assert str(bad.value).startswith(f"{path}: {fault}")
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BadRules, match="it can't be read"):
            load_rules(missing)


def test_a_file_with_several_faults_names_the_first_and_says_how_to_see_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(GOOD.replace("POST", "post").replace("/v1", "v1"))
    with pytest.raises(BadRules) as bad:
        load_rules(path)
    assert 1 == len(bad.value.faults)
    path.write_text(GOOD.replace("POST", "post") * 3)
    with pytest.raises(BadRules, match=r"line 2, method: .* \(and 2 more: farebox gate check"):
        load_rules(path)


VALUES: Final = st.sampled_from(
    [
        '"GET"',
        '"*"',
        '["GET", 1]',
        "1",
        "true",
        "false",
        '"/a"',
        '"/{x}/**"',
        '"hold"',
        "{ a = 1 }",
        '"0.5"',
        "[]",
        "1.5",
    ]
)
FIELDS: Final = st.sampled_from(
    [
        *("method", "path", "type", "quantity", "quantities", "amount", "mode", "hold_for", "free", "public", "refuse"),
        *("unmatched", "preflights", "ignore_case", "allow", "route", "other"),
    ]
)
LINES: Final = st.lists(st.tuples(FIELDS, VALUES).map(" = ".join) | st.just("[[route]]") | st.just("# x"), max_size=12)


@examples(500)
@given(LINES.map("\n".join) | st.text(max_size=60))
def test_no_file_is_read_in_any_other_way_than_whole_or_not_at_all(text: str) -> None:
    told: tuple[str, ...] = ()
    try:
        routes = read_rules(text).routes
    except BadRules as error:
        routes, told = (), error.faults
    assert bool(routes) != bool(told)
    assert all(told)
