"""What the gate reads: targets of clients' requests, headers of proxies, files of rules, tokens and refusals."""

from contextlib import suppress
from random import Random
from typing import Any, Final

from farebox.service.gate.errors import AmbiguousRequest, NoRoute, RouteRefused, TargetTooLong, WrongMethod
from farebox.service.gate.files import BadRules, read_rules
from farebox.service.gate.paths import Leniency, normal_path
from farebox.service.gate.rules import Matcher, Rules
from farebox.service.gate.tokens import BadToken, GateRefusal, GateToken, Mode
from tests.fuzz.making import Make, any_text, chars, edited, joined, just, one_of
from tests.fuzz.target import Target
from tests.web.gate import RULES, SIGNER

PIECES: Final = (
    *("/", "/", "/", "a", "v1", "images", "images", "batches", "models", "status", "internal", ".", "..", "...", "%2e"),
    *("%2F", "%5c", "\\", "%00", "%25", "%252e", ";", "%3b", "?", "#", "%23", "%3F", " ", "%20", "*", "//", "http://h"),
    *("A", "IMAGES", "%69mages", "%C3%A4", "\xc3\xa4", "%c0%af", "%EF%BC%8F", "%E2%80%8B", "%", "%zz", "{id}", "**"),
)
TARGETS: Final[Make[str]] = one_of(
    joined(just("/"), chars(PIECES, 10)),
    edited(just("/v1/images", "/v1/batches/3", "/v1/images/7?x=1", "/v1/models", "/status", "/internal/x")),
)
METHODS: Final[Make[str]] = one_of(just("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"), edited(just("POST")))
LENIENT: Final = Leniency(semicolons=True, encoded_slashes=True)

_MATCHERS: Final = tuple(
    Matcher(read_rules(f"{ahead}\n{RULES}"))
    for ahead in ("", 'unmatched = "free"', 'ignore_case = true\nallow = ["semicolon", "encoded-slash"]')
)
_NOW: Final = 1_800_000_000


def _latin(text: str) -> str:
    """Write a text as a server hands a header on: each character is a byte."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _check_path(target: str) -> None:
    for leniency in (Leniency(), LENIENT):
        with suppress(AmbiguousRequest, TargetTooLong):
            path = normal_path(_latin(target), leniency)
            assert path.segments == normal_path(path.text, leniency).segments
            assert {"", ".", ".."}.isdisjoint(path.segments)
            assert path.text.isascii()
            assert len(path.folded) == 1 + len(path.others)


def _asked(random: Random) -> tuple[str, str]:
    return METHODS(random), TARGETS(random)


def _check_match(asked: tuple[str, str]) -> None:
    for matcher in _MATCHERS:
        with suppress(AmbiguousRequest, TargetTooLong, NoRoute, WrongMethod, RouteRefused):
            route = matcher.match(_latin(asked[0]), _latin(asked[1]))
            assert (route.price is not None) == (route.passage == "paid")


_LINES: Final = tuple(RULES.splitlines())
_FILES: Final[Make[str]] = one_of(
    edited(just(RULES)),
    lambda random: "\n".join(edited(just(line))(random) if random.random() < 0.1 else line for line in _LINES),
    lambda random: "\n".join(random.sample(_LINES, random.randint(0, len(_LINES)))),
    any_text,
)


def _check_file(text: str) -> None:
    rules: Rules | None
    faults: tuple[str, ...] = ()
    try:
        rules = read_rules(text)
    except BadRules as error:
        rules, faults = None, error.faults
    assert (rules is None) == bool(faults)
    assert all(fault and fault.isprintable() for fault in faults), faults
    if rules is not None:
        Matcher(rules)


_TOKEN: Final = SIGNER.token(
    GateToken(Mode.HOLD, "mer_01K9ABCDEFGHJ", "hold_01K9ABCDEFGHJ00000002", _NOW, "image", 1, {"input": 3}, None)
)
_REFUSAL: Final = SIGNER.refusal(GateRefusal(402, "insufficient_balance", "Too little", ()))
_TEXTS: Final[Make[str]] = one_of(edited(just(_TOKEN, _REFUSAL)), any_text)


def _check_token(text: str) -> None:
    for read, good in ((lambda: SIGNER.read_token(text, _NOW), _TOKEN), (lambda: SIGNER.read_refusal(text), _REFUSAL)):
        is_good = False
        with suppress(BadToken):
            read()
            is_good = True
        assert is_good == (text == good)


def gate_targets() -> list[Target[Any]]:
    """List what is read at the gate."""
    return [
        Target("paths at the gate", TARGETS, _check_path, 40),
        Target("routes at the gate", _asked, _check_match, 30),
        Target("rules of the gate", _FILES, _check_file, 10),
        Target("tokens of the gate", _TEXTS, _check_token, 20),
    ]
