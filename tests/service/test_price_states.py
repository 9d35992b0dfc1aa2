"""Which version of a type is in force when, and from when on requests meet another price."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core.outcomes import Code, Outcome
from farebox.core.prices import Price
from farebox.service.price_life import PriceChange, PriceState, by_type, life_of, met_at, price_state

NOW, OWN = 5, 77
TIMES = range(10)


@st.composite
def _versions(draw: st.DrawFn) -> list[Price]:
    """Versions of two types, defaults and a merchant's own; no two that were not withdrawn start at once."""
    places = st.tuples(st.sampled_from(["image", "scan"]), st.sampled_from([None, OWN]), st.sampled_from(TIMES))
    return [
        Price(
            number,
            *(name, draw(st.sampled_from([1, 2])), at, merchant_id),
            is_end=draw(st.booleans()),
            withdrawn_at=draw(st.sampled_from([None, None, 0])),
        )
        for number, (name, merchant_id, at) in enumerate(draw(st.lists(places, unique=True, max_size=12)), 1)
    ]


def _naive(versions: list[Price], name: str, at: int) -> int | str:
    """Tell which version a request meets, or why none, by walking through all time up to it."""
    own: Price | None = None
    default: Price | None = None
    for time in range(at + 1):
        for price in versions:
            if (price.request_type, price.starts_at, price.withdrawn_at) == (name, time, None):
                own, default = (price, default) if price.merchant_id else (own, price)
    if default is not None and default.is_end:
        return Code.TYPE_RETIRED
    for last in (own, default):
        if last is not None and not last.is_end:
            return last.price_id
    return Code.UNKNOWN_TYPE


def _met(met: Price | Outcome) -> int | str:
    return met.price_id if isinstance(met, Price) else met.code


@given(_versions())
def test_what_is_met_and_when_that_changes_agree_with_a_walk_through_time(versions: list[Price]) -> None:
    groups = by_type(versions)
    for name in ("image", "scan"):
        expected = {at: _naive(versions, name, at) for at in TIMES}
        assert expected == {at: _met(met_at(groups.get(name, ()), name, at)) for at in TIMES}
        changes = {change.at: change for change in life_of(versions, NOW).to_come if change.request_type == name}
        assert [at for at in TIMES if at > NOW and expected[at] != expected[at - 1]] == sorted(changes)
        life = life_of(versions, NOW)
        met = [price.price_id for price in life.in_force if price.request_type == name]
        ended = [change.is_retired for change in life.ended if change.request_type == name]
        if isinstance(expected[NOW], int):
            assert ([expected[NOW]], []) == (met, ended)
        else:
            assert ([], [expected[NOW] is Code.TYPE_RETIRED]) == (met, ended or [False])
        for at, change in changes.items():
            if change.price is not None:
                assert (change.price.price_id, change.is_retired) == (expected[at], False)
            else:
                assert (Code.TYPE_RETIRED if change.is_retired else Code.UNKNOWN_TYPE) == expected[at]


@given(_versions())
def test_of_each_type_one_version_is_in_force_at_most(versions: list[Price]) -> None:
    for merchant_id in (None, OWN):
        mine = [price for price in versions if price.merchant_id == merchant_id]
        states = [(price.request_type, price_state(price, mine, NOW)) for price in mine]
        in_force = [name for name, state in states if state is PriceState.IN_FORCE]
        assert sorted(set(in_force)) == sorted(in_force)
        started = {price.request_type for price in mine if price.withdrawn_at is None and price.starts_at <= NOW}
        assert started == set(in_force)


def test_a_version_is_to_come_then_in_force_then_past_unless_it_is_withdrawn() -> None:
    price, later = Price(1, "image", 1, 3), Price(2, "image", 1, 6)
    versions = [price, later, Price(3, "scan", 1, 4)]
    assert ["to_come", "in_force", "in_force", "past"] == [price_state(price, versions, at) for at in (2, 3, 5, 6)]
    assert "withdrawn" == price_state(replace(price, withdrawn_at=1), versions, 6)
    # The one that would follow is withdrawn, so it does not.
    assert "in_force" == price_state(price, [price, replace(later, withdrawn_at=1)], 6)


def test_a_default_that_an_own_price_goes_before_changes_nothing() -> None:
    default, own = Price(1, "image", 1, 0), Price(2, "image", 2, 0, OWN)
    dearer, end, retired = (
        replace(default, price_id=3, starts_at=6),
        replace(own, price_id=4, starts_at=7, is_end=True),
        (replace(default, price_id=5, starts_at=8, is_end=True)),
    )
    assert [
        PriceChange(7, "image", dearer),
        PriceChange(8, "image", None, is_retired=True),
    ] == life_of([default, own, dearer, end, retired], NOW).to_come
    assert [PriceChange(7, "scan", None)] == life_of(
        [replace(price, request_type="scan") for price in (own, end)], NOW
    ).to_come


def test_a_type_has_ended_since_its_last_end_and_one_that_never_began_has_not() -> None:
    default, own = Price(1, "image", 1, 0), Price(2, "image", 2, 0, OWN)
    retired, renewed = replace(default, price_id=3, starts_at=2, is_end=True), replace(own, price_id=4, starts_at=3)
    assert [PriceChange(2, "image", None, is_retired=True)] == life_of([default, own, retired, renewed], NOW).ended
    end = replace(own, price_id=5, starts_at=4, is_end=True)
    assert [PriceChange(4, "image", None)] == life_of([own, renewed, end], NOW).ended
    assert [] == life_of([replace(default, starts_at=NOW + 1)], NOW).ended
