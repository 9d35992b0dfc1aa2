"""A path has one normal form, and what programs read otherwise is told or refused."""

import posixpath
import re
import string
from typing import Final
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.service.gate.errors import AmbiguousRequest, TargetTooLong
from farebox.service.gate.paths import SEGMENTS_MAX, TARGET_CHARS_MAX, Leniency, NormalPath, normal_path
from tests.support.effort import examples

LENIENT: Final = Leniency(semicolons=True, encoded_slashes=True)
LENIENCIES: Final = st.builds(Leniency, semicolons=st.booleans(), encoded_slashes=st.booleans())

PIECES: Final = st.sampled_from(
    [
        *("/", "/", "/", "a", "b", "v1", "search", ".", "..", "...", "%2e", "%2E", "%2f", "%5c", "%00", "%25", "%252f"),
        *("\\", ";", ";x=1", "%3B", "?", "?q=1", "#", "#f", " ", "%20", "%41", "%61", "%7e", "~", "%", "%4", "%zz"),
        *(
            "A",
            "B",
            "%C3%A4",
            "\xc3\xa4",
            "%c0%af",
            "%EF%BC%8F",
            "%E2%80%A6",
            "http://h",
            "*",
            "+",
            ":",
            "@",
            "|",
            "\x7f",
        ),
    ]
)
TARGETS: Final = st.lists(PIECES, max_size=14).map("".join) | st.lists(PIECES, max_size=14).map(
    lambda pieces: "/" + "".join(pieces)
)


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/v1/search", "/v1/search"),
        ("/v1/search/", "/v1/search"),
        ("/v1/search?q=/../x", "/v1/search"),
        ("/v1/search?", "/v1/search"),
        ("/v1//search", "/v1/search"),
        ("//v1/search", "/v1/search"),
        ("/v1/./search", "/v1/search"),
        ("/v1/search/.", "/v1/search"),
        ("/v1/x/../search", "/v1/search"),
        ("/v1/search/x/..", "/v1/search"),
        ("/v1/%2e%2e/v1/search", "/v1/search"),
        ("/v1/%2E/search", "/v1/search"),
        ("/%76%31/%73earch", "/v1/search"),
        ("/v1/s%65arch%7Ex", "/v1/search~x"),
        ("/v1/jobs%3Arun", "/v1/jobs:run"),
        ("/v1/a%40b%2Bc%2c", "/v1/a@b+c,"),
        ("/v1/a%20b", "/v1/a%20b"),
        ("/v1/a%c3%a4", "/v1/a%C3%A4"),
        ("/v1/a\xc3\xa4", "/v1/a%C3%A4"),
        ('/v1/a"<>|{}`^', "/v1/a%22%3C%3E%7C%7B%7D%60%5E"),
        ("/v1/100%25", "/v1/100%25"),
        ("/v1/100%25x", "/v1/100%25x"),
        ("/.well-known/x", "/.well-known/x"),
        ("/v1/..x/x..", "/v1/..x/x.."),
        ("http://api.example/v1/search?q", "/v1/search"),
        ("HTTPS://api.example:8443/v1/../search", "/search"),
        ("http://[::1]:80", "/"),
        ("/V1/Search", "/V1/Search"),
    ],
)
def test_a_path_has_one_normal_form(target: str, normal: str) -> None:
    assert normal == normal_path(target).text


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("", "no path"),
        ("*", "no path"),
        ("v1/search", "no path"),
        ("api.example:443", "no path"),
        ("?q=1", "no path"),
        ("ftp://api.example/x", "no path"),
        ("http://user@api.example/x", "no path"),
        ("http://api.example\\@other/x", "no path"),
        ("/v1/search#x", "#"),
        ("/v1/search#x?y", "#"),
        ("/..", "above its root"),
        ("/v1/../../search", "above its root"),
        ("/%2e%2e/v1", "above its root"),
        ("/v1//../search", "doubled slashes and .."),
        ("/v1/x/..//search", "doubled slashes and .."),
        ("/v1%2Fsearch", "escaped slash"),
        ("/v1%2fsearch", "escaped slash"),
        ("/v1\\search", "backslash"),
        ("/v1%5Csearch", "backslash"),
        ("/v1/%252e%252e/search", "escaped twice"),
        ("/v1/%25%32%65/search", "escaped twice"),
        ("/v1/%25u002e/search", "escaped twice"),
        ("/v1/%u002e/search", "hexadecimal"),
        ("/v1/%2", "hexadecimal"),
        ("/v1/%", "hexadecimal"),
        ("/v1/%zz", "hexadecimal"),
        ("/v1/%00", "control"),
        ("/v1/x%0a", "control"),
        ("/v1/x%7F", "control"),
        ("/v1/x\x00", "control"),
        ("/v1/x y", "space"),
        ("/v1/x\ty", "space"),
        ("/v1/%C0%AF", "UTF-8"),
        ("/v1/%FF", "UTF-8"),
        ("/v1/\xff", "UTF-8"),
        ("/v1/%ED%A0%80", "UTF-8"),
        ("/v1/search%3Fx", "its end"),
        ("/v1/search%23x", "its end"),
        ("/v1/search;x=1", "semicolon"),
        ("/v1/search%3Bx", "semicolon"),
        ("/v1/..;/search", "semicolon"),
        ("/v1/.../search", "dots alone"),
        ("/v1/%2e%2e%2e/search", "dots alone"),
        ("/v1%EF%BC%8Fsearch", "slash, a dot or nothing"),
        ("/v1/%EF%BC%8E%EF%BC%8E/x", "slash, a dot or nothing"),
        ("/v1/%E2%80%A6/x", "slash, a dot or nothing"),
        ("/v1/sea%E2%80%8Brch", "slash, a dot or nothing"),
        ("/v1/sea%C2%ADrch", "slash, a dot or nothing"),
    ],
)
def test_a_path_that_programs_read_otherwise_is_refused_by_name(target: str, reason: str) -> None:
    with pytest.raises(AmbiguousRequest, match=reason):
        normal_path(target)


def test_a_path_may_not_be_longer_than_the_gate_reads() -> None:
    assert "/" + "a" * (TARGET_CHARS_MAX - 1) == normal_path("/" + "a" * (TARGET_CHARS_MAX - 1)).text
    assert SEGMENTS_MAX == len(normal_path("/a" * SEGMENTS_MAX).segments)
    for target in ("/" + "a" * TARGET_CHARS_MAX, "/a" * (SEGMENTS_MAX + 1), "/." * (SEGMENTS_MAX + 1)):
        with pytest.raises(TargetTooLong):
            normal_path(target)


@pytest.mark.parametrize(
    ("target", "normal", "others"),
    [
        ("/a/b;v=1/c;", "/a/b;v=1/c;", {"/a/b/c"}),
        ("/m/meta%2Fllama", "/m/meta%2Fllama", {"/m/meta/llama"}),
        ("/m/meta%2fllama;x", "/m/meta%2Fllama;x", {"/m/meta%2Fllama", "/m/meta/llama;x", "/m/meta/llama"}),
        ("/a/./b//c", "/a/b/c", {"/a/./b//c", "/a/./b/c", "/a/b//c"}),
        ("/a/x/../b", "/a/b", {"/a/x/../b"}),
    ],
)
def test_a_path_has_every_reading_that_programs_have(target: str, normal: str, others: set[str]) -> None:
    path = normal_path(target, LENIENT)
    assert normal == path.text
    assert others == {_written(reading) for reading in path.others}


@pytest.mark.parametrize(
    "target",
    [
        *("/a/..;/b", "/a/.;x/b", "/a/;x/b", "/a/..%2Fb", "/a/%2F", "/a/%2Fb", "/a/b%2F%2Fc", "/a/.%2F..", "/..%2f"),
        *("/a%5cb", "/a/%252F", "/%2F..", "/a/..;"),
    ],
)
def test_what_is_let_through_by_name_has_no_meaning_of_its_own(target: str) -> None:
    with pytest.raises(AmbiguousRequest):
        normal_path(target, LENIENT)


@pytest.mark.parametrize(
    ("target", "like"),
    [
        ("/V1/SEARCH", "/v1/search"),
        ("/v1/%EF%BD%93earch", "/v1/search"),
        ("/v1/%E2%84%AAey", "/v1/key"),
        ("/v1/search.", "/v1/search"),
        ("/v1/search%20", "/v1/search"),
        ("/v1/%C3%84", "/v1/%C3%A4"),
    ],
)
def test_programs_that_ignore_case_and_the_like_have_one_reading_of_both(target: str, like: str) -> None:
    assert normal_path(like).folded[0] == normal_path(target).folded[0]
    assert normal_path(like).segments != normal_path(target).segments


@examples(1_000)
@given(TARGETS, LENIENCIES)
def test_a_normal_path_is_its_own_normal_form(target: str, leniency: Leniency) -> None:
    path = _path(target, leniency)
    if path is not None:
        again = normal_path(path.text, leniency)
        assert (path.segments, path.text) == (again.segments, again.text)


@examples(1_000)
@given(TARGETS, LENIENCIES)
def test_a_normal_path_has_nothing_left_that_a_program_could_resolve(target: str, leniency: Leniency) -> None:
    path = _path(target, leniency)
    if path is None:
        return
    assert {"", ".", ".."}.isdisjoint(path.segments)
    assert path.text == posixpath.normpath(path.text)
    allowed = set(
        string.ascii_uppercase
        + string.ascii_lowercase
        + string.digits
        + "-._~!$&'()*+,=:@%/"
        + (";" if leniency.semicolons else "")
    )
    assert set(path.text) <= allowed
    # What it comes to after a further decoding is no other path.
    decoded = unquote(path.text.replace("%2F", "-"))
    assert decoded.count("/") == path.text.count("/")
    assert {"\\", "?", "#", "\x00"}.isdisjoint(decoded)
    assert not re.search("%[0-9A-Fa-f]{2}", decoded)


@examples(1_000)
@given(TARGETS)
def test_decoding_resolving_and_merging_in_any_order_come_to_a_reading_that_is_known(target: str) -> None:
    """Programs that differ from the gate are written here from scratch, as proxies and frameworks do these steps."""
    path = _path(target, Leniency())
    if path is None:
        return
    raw = target.partition("?")[0]
    if raw.startswith("http://"):
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    known = {_bare(path.text), *(_bare(_written(reading)) for reading in path.others)}
    for decoded_first in (True, False):
        text = unquote(raw, "latin-1") if decoded_first else raw
        for merged in (True, False):
            for resolved in (True, False):
                other = _read(text, is_merged=merged, is_resolved=resolved)
                assert _bare(other) in known, (decoded_first, merged, resolved, other)


def _read(text: str, *, is_merged: bool, is_resolved: bool) -> str:
    parts = text[1:].split("/")
    if is_merged:
        parts = [part for part in parts if part]
    if is_resolved:
        kept: list[str] = []
        for part in parts:
            if unquote(part) == "..":
                del kept[-1:]
            elif unquote(part) != ".":
                kept.append(part)
        parts = kept
    return "/" + "/".join(parts)


def _bare(text: str) -> str:
    """Write a path in the one form in which these programs and the gate can be compared."""
    return unquote(text, "latin-1").rstrip("/") or "/"


def _path(target: str, leniency: Leniency) -> NormalPath | None:
    try:
        return normal_path(target, leniency)
    except AmbiguousRequest:
        return None


def _written(segments: tuple[str, ...]) -> str:
    return "/" + "/".join(segments)
