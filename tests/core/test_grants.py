"""The order of spending, worked out by hand and micro by micro, and the texts that transfers carry."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids
from farebox.core.credit.grants import (
    OWN,
    PAID_ORDER,
    PRIORITY_MAX,
    Grant,
    GrantState,
    GrantTerms,
    Parts,
    given_between,
    in_order,
    read_given,
    read_terms,
    take,
    write_given,
    write_terms,
)
from tests.support.effort import examples
from tests.support.ledger import ANN, NOW


def lot(number: int, left: int, **fields: Any) -> Grant:
    return Grant(ANN, number, 100, left, f"G-{number}", "trial", f"grant G-{number}", bytes(8), **fields)


# The order of spending.


def test_lots_are_spent_by_priority_then_end_then_given_before_paid_then_age() -> None:
    in_their_order = [
        lot(9, 1, expires_at=NOW).order,
        lot(3, 1, expires_at=NOW + 1).order,
        lot(7, 1, expires_at=NOW + 1).order,
        lot(1, 1).order,
        lot(2, 1).order,
        PAID_ORDER,
        lot(5, 1, priority=1, expires_at=NOW).order,
        lot(4, 1, priority=1).order,
        lot(6, 1, priority=PRIORITY_MAX, expires_at=NOW).order,
    ]
    assert in_their_order == sorted(in_their_order, reverse=False)
    assert len(in_their_order) == len(set(in_their_order))


SOON, LATE, NEVER, LAST = (
    lot(1, 5, expires_at=NOW + 1),
    lot(2, 4, expires_at=NOW + 2, types="call image"),
    lot(3, 3, types="call"),
    lot(4, 2, priority=1),
)


@pytest.mark.parametrize(
    ("request_type", "paid", "amount", "parts", "is_covered"),
    [
        ("image", 10, 3, ((1, 3),), True),
        ("image", 10, 5, ((1, 5),), True),
        ("image", 10, 6, ((1, 5), (2, 1)), True),
        # What pays for calls alone is passed over, and paid money goes before the lot of priority 1.
        ("image", 10, 19, ((1, 5), (2, 4)), True),
        ("image", 10, 20, ((1, 5), (2, 4), (4, 1)), True),
        ("image", 10, 21, ((1, 5), (2, 4), (4, 2)), True),
        ("image", 10, 22, ((1, 5), (2, 4), (4, 2)), False),
        ("call", 0, 13, ((1, 5), (2, 4), (3, 3), (4, 1)), True),
        ("voice", 0, 6, ((1, 5), (4, 1)), True),
        # A drawn credit limit is no money to go before a grant.
        ("voice", -7, 7, ((1, 5), (4, 2)), True),
        ("voice", -7, 8, ((1, 5), (4, 2)), False),
        ("voice", 9, 0, (), True),
    ],
)
def test_a_request_takes_from_lots_in_their_order(
    request_type: str, paid: int, amount: int, parts: Parts, is_covered: bool
) -> None:
    lots = [grant.lot for grant in (SOON, LATE, NEVER, LAST)]
    taking = take(lots, paid=paid, request_type=request_type, amount=amount)
    assert (parts, is_covered, sum(micros for _, micros in parts)) == (taking.parts, taking.is_covered, taking.given)


LOTS = st.builds(
    lot,
    number=st.integers(1, 6),
    left=st.integers(0, 4),
    priority=st.integers(0, 2),
    expires_at=st.none() | st.integers(NOW, NOW + 2),
    types=st.sampled_from([None, "image", "call image", "call"]),
)


@examples(500)
@given(
    st.lists(LOTS, max_size=6, unique_by=lambda grant: grant.number),
    st.integers(-5, 9),
    st.integers(0, 5),
    st.integers(0, 30),
)
def test_taking_all_at_once_is_taking_micro_by_micro(lots: list[Grant], paid: int, credit: int, amount: int) -> None:
    """The slow way: each micro comes from the first lot that has any, then from the credit limit."""
    paid = max(paid, -credit)
    purses = [
        (grant.order, grant.number, grant.left) for grant in lots if grant.types is None or "image" in grant.types
    ]
    purses = sorted([*purses, (PAID_ORDER, OWN, max(paid, 0))])
    micros = [number for _, number, left in purses for _ in range(left)]
    credit_left = credit + min(paid, 0)
    ordered = [grant.lot for grant in sorted(lots, key=lambda grant: grant.order)]
    taking = take(ordered, paid=paid, request_type="image", amount=amount)
    if amount <= len(micros):
        assert [number for number, part in taking.parts for _ in range(part)] == [
            number for number in micros[:amount] if number != OWN
        ]
    elif amount <= len(micros) + credit_left:
        assert len([number for number in micros if number != OWN]) == taking.given
    can_be_spent = paid + credit + taking.given >= amount
    assert can_be_spent is (amount <= len(micros) + credit_left)


# The way back.

TAKEN = ((1, 5), (2, 4), (OWN, 10), (4, 2))


@pytest.mark.parametrize(
    ("first", "last", "parts"),
    [
        (0, 21, ((1, 5), (2, 4), (4, 2))),
        (0, 7, ((1, 5), (2, 2))),
        (7, 21, ((2, 2), (4, 2))),
        (20, 21, ((4, 1),)),
        (9, 19, ()),
        (8, 20, ((2, 1), (4, 1))),
        (3, 3, ()),
    ],
)
def test_captures_take_the_first_micros_and_refunds_give_back_the_last(first: int, last: int, parts: Parts) -> None:
    assert TAKEN == in_order(((1, 5), (2, 4), (4, 2)), 21, {1: 0, 2: 0, 4: 1})
    assert parts == given_between(TAKEN, first, last)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=5), st.lists(st.integers(0, 25)))
def test_in_however_many_steps_it_comes_back_it_is_all_there(taken: list[tuple[int, int]], cuts: list[int]) -> None:
    amount = sum(micros for _, micros in taken)
    places = [0, *sorted(cut for cut in cuts if cut < amount), amount]
    pieces = [given_between(tuple(taken), *pair) for pair in pairwise(places)]
    came_back = [number for piece in pieces for number, micros in piece for _ in range(micros)]
    assert came_back == [number for number, micros in taken if number != OWN for _ in range(micros)]


# Texts.


def test_what_was_taken_is_written_as_documented() -> None:
    assert "1:500000,4:20" == write_given([(1, 500_000), (4, 20)])
    assert "4:20" == write_given([(1, 0), (4, 20)])
    assert None is write_given(())
    assert ((1, 500_000), (4, 20)) == read_given("1:500000,4:20")
    assert () == read_given(None)
    assert ((1, 100),) == read_given("1:100;priority=5;types=a b")


def test_terms_are_written_as_documented() -> None:
    assert "1:100000000" == write_terms(1, GrantTerms(100_000_000))
    assert "2:5;priority=5;expires=9;types=a b" == write_terms(2, GrantTerms(5, 5, None, 9, "a b"))
    assert "0:5;starts=7;expires=9" == write_terms(0, GrantTerms(5, starts_at=7, expires_at=9))


TERMS = st.builds(
    GrantTerms,
    amount=st.integers(1, 10**18),
    priority=st.integers(0, PRIORITY_MAX),
    starts_at=st.none() | st.integers(0, 2**62),
    expires_at=st.none() | st.integers(1, 2**62),
    types=st.none() | st.sampled_from(["image", "a b", "model/x:1@2 z"]),
)


@given(st.integers(0, 2**40), TERMS)
def test_terms_are_read_as_they_were_written(number: int, terms: GrantTerms) -> None:
    text = write_terms(number, terms)
    assert (number, terms) == read_terms(text)
    assert ((number, terms.amount),) == read_given(text)


@given(st.lists(st.tuples(st.integers(1, 2**40), st.integers(1, 10**18))))
def test_parts_are_read_as_they_were_written(parts: list[tuple[int, int]]) -> None:
    assert tuple(parts) == read_given(write_given(parts))


@pytest.mark.parametrize("text", ["", "1", "1:2:3", "a:1", "1:2;", "1:2;colour=red", "1:2;priority=high"])
def test_terms_that_nobody_wrote_are_not_read(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each breaks in its own way.
        read_terms(text)


# Grants.


def test_a_grants_id_names_its_merchant_and_its_number() -> None:
    assert f"grant_{ids.encode_number(ANN)}0000000A" == lot(10, 1).id


@pytest.mark.parametrize(
    ("types", "request_type", "pays"),
    [
        (None, "image", True),
        ("image", "image", True),
        ("call image", "image", True),
        ("call", "image", False),
        ("images", "image", False),
        ("an image-2", "image", False),
    ],
)
def test_a_grant_pays_for_its_types_alone(types: str | None, request_type: str, pays: bool) -> None:
    assert pays is lot(1, 1, types=types).lot.pays_for(request_type)


@pytest.mark.parametrize(
    ("state", "due_at"), [(GrantState.WAITING, NOW), (GrantState.OPEN, NOW + 9), (GrantState.ENDED, None)]
)
def test_a_grant_is_due_at_its_start_and_then_at_its_end(state: GrantState, due_at: int | None) -> None:
    assert due_at == lot(1, 0, starts_at=NOW, expires_at=NOW + 9, state=state).due_at
