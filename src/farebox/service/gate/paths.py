"""Paths as the gate compares them: one text for all that programs take for the same path.

A proxy and the API behind it need not read a path alike: one resolves `..`, another merges slashes, a third ignores
case. So a path has a normal reading, which routes are written in, and further readings, which other programs may have.
A path whose meaning no rule can tell is refused: see docs/reference/gate.md, "Paths".
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from farebox.service.gate.errors import AmbiguousRequest, TargetTooLong

TARGET_CHARS_MAX: Final = 8_192
"""How long a request's target may be, its query included."""

SEGMENTS_MAX: Final = 100
"""How many segments a path may have: each is looked at in every reading."""

Segments = tuple[str, ...]

_PLAIN: Final = re.compile(r"(?:/[a-z0-9_~-][a-z0-9._~-]*(?<!\.))+", re.ASCII)
"""A path that has one reading alone."""

_ABSOLUTE: Final = re.compile(r"https?://[A-Za-z0-9._~:\[\]-]+", re.ASCII | re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_NO_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})", re.ASCII)
_ESCAPED_CONTROL: Final = re.compile("%(?:[01][0-9A-Fa-f]|7[Ff])", re.ASCII)
_ESCAPED_SLASH: Final = re.compile("%2[Ff]", re.ASCII)
_ESCAPED_AGAIN: Final = re.compile("%(?:[0-9a-f]{2}|u[0-9a-f]{4})", re.ASCII | re.IGNORECASE)
_NO_LITERAL: Final = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/\0-]+", re.ASCII)
"""All but what stands for itself in a path, by RFC 3986 (section 3.3): it is escaped."""

_SLASH: Final = "%2F"
_TELLING: Final = "/\\%?#;."
"""What a character must not come to for a program that takes like for like: a full-width slash, three dots in one."""

_DOTS: Final = frozenset({".", ".."})


class Leniency(Struct, frozen=True):
    """The parts of a path that are let through, though programs differ about them."""

    semicolons: bool = False
    """`;`, which begins parameters that some programs cut off."""

    encoded_slashes: bool = False
    """`%2F`, which some programs take for the end of a segment."""


STRICT: Final = Leniency()


class NormalPath(Struct, frozen=True):
    """A path by its segments, and what else it may be taken for."""

    segments: Segments
    others: tuple[Segments, ...]
    """The further readings, none of them the normal one."""

    folded: tuple[Segments, ...]
    """All readings as programs have them that ignore case, the normal one first."""

    @property
    def text(self) -> str:
        """The normal reading as a path."""
        return "/" + "/".join(self.segments)


def normal_path(target: str, leniency: Leniency = STRICT) -> NormalPath:
    """Read the path of a request's target, whose characters are bytes (Latin-1).

    Raises:
        AmbiguousRequest: it has no path, or one that programs read otherwise in ways that can't be told.
        TargetTooLong: it is longer than TARGET_CHARS_MAX, or has more segments than SEGMENTS_MAX.
    """
    if len(target) > TARGET_CHARS_MAX:
        raise TargetTooLong(f"The request's target is longer than {TARGET_CHARS_MAX:,} characters")
    path = target.partition("?")[0]
    if path.count("/") > SEGMENTS_MAX:
        raise TargetTooLong(f"The request's path has more than {SEGMENTS_MAX} segments")
    if _PLAIN.fullmatch(path):
        segments = tuple(path[1:].split("/"))
        return NormalPath(segments, (), (segments,))
    text = _unescaped(_without_host(path), leniency)
    return _resolved(text[1:].split("/"), leniency)


def folded(segments: Segments) -> Segments:
    """Fold a reading as programs do that ignore case and the like of characters, and spaces and dots at an end."""
    return tuple(_folded_segment(segment) for segment in segments)


def _without_host(path: str) -> str:
    absolute = _ABSOLUTE.match(path)
    if absolute is not None:
        path = path[absolute.end() :] or "/"
    if not path.startswith("/"):
        raise AmbiguousRequest("The request's target has no path: it must begin with a slash")
    return path


def _unescaped(path: str, leniency: Leniency) -> str:
    """Write a path with each character in the one way that it is compared in."""
    if "#" in path:
        raise AmbiguousRequest("The path has a #, which some programs take for its end")
    if _CONTROL.search(path):
        raise AmbiguousRequest("The path has a space or a control character")
    if _NO_ESCAPE.search(path):
        raise AmbiguousRequest("The path has a % that no two hexadecimal digits follow")
    if _ESCAPED_CONTROL.search(path):
        raise AmbiguousRequest("The path has an escaped control character")
    try:
        # Nothing else comes to a zero byte.
        text = unquote_to_bytes(_ESCAPED_SLASH.sub("\0", path).encode("latin-1")).decode()
    except UnicodeError:
        raise AmbiguousRequest("The path is not UTF-8") from None
    _check_again(text)
    _check_characters(text, leniency)
    # A slash that was escaped stays so: it is no end of a segment, though some programs take it for one.
    return _NO_LITERAL.sub(_escaped, text).replace("\0", _SLASH)


def _check_again(text: str) -> None:
    if _ESCAPED_AGAIN.search(text):
        raise AmbiguousRequest("The path is escaped twice")


def _check_characters(text: str, leniency: Leniency) -> None:
    """Refuse what programs take for something else than a character of a segment.

    Raises:
        AmbiguousRequest: it is there.
    """
    if "\0" in text and not leniency.encoded_slashes:
        raise AmbiguousRequest("The path has an escaped slash, %2F, which some programs take for a slash")
    if "\\" in text:
        raise AmbiguousRequest("The path has a backslash, which some programs take for a slash")
    if "?" in text or "#" in text:
        raise AmbiguousRequest("The path has an escaped ? or #, which some programs take for its end")
    if ";" in text and not leniency.semicolons:
        raise AmbiguousRequest("The path has a semicolon, from which on some programs ignore a segment")
    if not text.isascii():
        alike = unicodedata.normalize("NFKC", text)
        is_seen = text.replace("\0", "").isprintable()
        if not is_seen or any(alike.count(telling) != text.count(telling) for telling in _TELLING):
            raise AmbiguousRequest("The path has a character that some programs take for a slash, a dot or nothing")


def _escaped(match: re.Match[str]) -> str:
    return "%" + match[0].encode().hex("%").upper()


def _resolved(parts: list[str], leniency: Leniency) -> NormalPath:
    """Resolve empty segments and dots; keep every way in which programs do so."""
    if len(parts) > 1 and parts[-1] == "":
        # One slash at the end makes no difference.
        parts = parts[:-1]
    if parts == [""]:
        return NormalPath((), (), ((),))
    if any(len(part) > 2 and part.strip(".") == "" for part in parts):
        raise AmbiguousRequest("The path has a segment of dots alone")
    has_empty = "" in parts
    if has_empty and ".." in parts:
        raise AmbiguousRequest("The path has both doubled slashes and .., which programs resolve in different orders")
    merged = [part for part in parts if part]
    segments = _without_dots(merged)
    readings = {tuple(parts), tuple(merged), _without_dots(parts), segments}
    if leniency.semicolons:
        readings |= {_without_parameters(reading) for reading in tuple(readings)}
    if leniency.encoded_slashes:
        readings |= {_with_slashes(reading) for reading in tuple(readings)}
    readings.discard(segments)
    others = tuple(sorted(readings))
    return NormalPath(segments, others, tuple(folded(reading) for reading in (segments, *others)))


def _without_dots(parts: list[str]) -> Segments:
    resolved: list[str] = []
    for part in parts:
        if part == "..":
            if not resolved:
                raise AmbiguousRequest("The path leads above its root")
            resolved.pop()
        elif part != ".":
            resolved.append(part)
    return tuple(resolved)


def _without_parameters(segments: Segments) -> Segments:
    """Cut parameters off, as servers of Java do.

    Raises:
        AmbiguousRequest: what is left has a meaning of its own.
    """
    cut = tuple(segment.partition(";")[0] for segment in segments)
    if any(short != segment and (short in _DOTS or not short) for short, segment in zip(cut, segments, strict=True)):
        raise AmbiguousRequest("The path has a segment that is nothing, or dots, without its parameters")
    return cut


def _with_slashes(segments: Segments) -> Segments:
    """Take escaped slashes for slashes.

    Raises:
        AmbiguousRequest: what is between them has a meaning of its own.
    """
    parts: list[str] = []
    for segment in segments:
        pieces = segment.split(_SLASH)
        if len(pieces) > 1 and any(piece in _DOTS or not piece for piece in pieces):
            raise AmbiguousRequest("The path has nothing, or dots, beside an escaped slash")
        parts.extend(pieces)
    return tuple(parts)


def _folded_segment(segment: str) -> str:
    if "%" in segment:
        # As its characters, since the upper and lower case of one differ in bytes.
        segment = re.sub("(?:%[0-9A-F]{2})+", lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), segment)
        segment = unicodedata.normalize("NFKC", segment).casefold()
    return segment.lower().rstrip(". ") or segment
