"""No name may stand twice in a body, however it is written and wherever in it."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import msgspec.inspect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.web.decoding import BodyDecoder
from farebox.web.envelope import ApiError
from farebox.web.schemas.spending import BatchRequest, ChargeRequest
from tests.fuzz.requests import BODIES
from tests.support.effort import examples

TEXTS = st.sampled_from(["mer_1", "a:b", 'a"b', '":', "a\\b", "grün", " :"])
QUANTITIES = st.lists(st.tuples(st.sampled_from(["input", "type", "amount"]), st.integers(0, 9)), max_size=3)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (",", " :"), (",\n", "\t: ")])

REQUIRED = st.tuples(*(st.tuples(st.just(name), TEXTS) for name in ("merchant", "type", "idempotencyKey")))
OPTIONAL = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["amount", "reference", "requestedAt"]), st.one_of(st.none(), TEXTS)),
        st.tuples(st.just("quantity"), st.one_of(st.none(), st.integers(1, 9))),
        st.tuples(st.just("quantities"), QUANTITIES),
    ),
    max_size=4,
)
CHARGES = st.tuples(REQUIRED, OPTIONAL).flatmap(lambda parts: st.permutations([*parts[0], *parts[1]]))


def written(pairs: list[tuple[str, Any]], separators: tuple[str, str], escaped: str) -> str:
    """Write an object of these pairs; a character of its names may be written as an escape."""
    between, colon = separators
    parts = []
    for name, value in pairs:
        text = json.dumps(name).replace(escaped, f"\\u{ord(escaped):04x}") if escaped else json.dumps(name)
        is_object = isinstance(value, list)
        parts.append(f"{text}{colon}{written(value, separators, escaped) if is_object else json.dumps(value)}")
    return "{" + between.join(parts) + "}"


def has_repetition(pairs: list[tuple[str, Any]]) -> bool:
    names = [name for name, _ in pairs]
    within = [value for _, value in pairs if isinstance(value, list)]
    return len(set(names)) < len(names) or any(map(has_repetition, within))


def is_refused(decoder: BodyDecoder[Any], body: str) -> bool:
    try:
        decoder.decode(body.encode())
    except ApiError as error:
        return "is given more than once" in error.message
    return False


@examples(400)
@given(pairs=CHARGES, separators=SEPARATORS, escaped=st.sampled_from(["", "", "t"]))
def test_a_name_that_stands_twice_is_refused_and_no_other(
    pairs: list[tuple[str, Any]], separators: tuple[str, str], escaped: str
) -> None:
    body = written(pairs, separators, escaped)
    assert has_repetition(pairs) is is_refused(BodyDecoder(ChargeRequest), body)


@examples(100)
@given(charges=st.lists(CHARGES, min_size=1, max_size=3), separators=SEPARATORS)
def test_it_is_within_lists_too(charges: list[list[tuple[str, Any]]], separators: tuple[str, str]) -> None:
    items = ",".join(written(pairs, separators, "") for pairs in charges)
    expected = any(map(has_repetition, charges))
    assert expected is is_refused(BodyDecoder(BatchRequest), f'{{"charges":[{items}]}}')


@pytest.mark.parametrize("name", ["charges", "merchant"])
def test_the_name_that_stands_twice_is_told(name: str) -> None:
    charge = '{"merchant":"m","merchant":"m","type":"t","idempotencyKey":"k"}'
    body = f'{{"charges":[{charge}]}}' if name == "merchant" else '{"charges":[],"charges":[]}'
    with pytest.raises(ApiError, match=f"The field '{name}' is given more than once"):
        BodyDecoder(BatchRequest).decode(
            body.replace("[]", '[{"merchant":"m","type":"t","idempotencyKey":"k"}]').encode()
        )


def test_what_is_written_without_its_defaults_holds_nothing_that_is_written_with_them() -> None:
    counted = [kind for kind in BODIES if kind.__struct_config__.omit_defaults]
    assert {ChargeRequest, BatchRequest} <= set(counted)
    within = {
        part.cls
        for kind in counted
        for part in _parts(msgspec.inspect.type_info(kind))
        if isinstance(part, msgspec.inspect.StructType)
    }
    assert [] == [kind for kind in within if not kind.__struct_config__.omit_defaults]


def _parts(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """List a type and all that its values may hold."""
    yield kind
    for name in kind.__struct_fields__:
        value = getattr(kind, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, msgspec.inspect.Field):
                yield from _parts(part.type)
            elif isinstance(part, msgspec.inspect.Type):
                yield from _parts(part)
