"""A request that is made again makes nothing more: on every engine, and however many ask at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from farebox.core.accounts import Account
from farebox.core.prices import Price
from farebox.storage.interface import AlreadyExists, Repeated
from farebox.storage.records import REPEATS_KEPT_MICROS, Merchant, Repeat, User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine, every_store
from tests.support.ledger import ANN, NOW, UNIT, add_merchant, merchant_key, staff_key

KEY_ID: Final = 7


def repeat(made_id: int = 1, *, key_id: int = KEY_ID, at: int = NOW) -> Repeat:
    return Repeat(key_id, "key", b"what was asked..", made_id, at)


MAKING: Final[dict[str, Callable[[Stores, int], Awaitable[None]]]] = {
    "a merchant": lambda stores, number: stores.merchants.create(
        Merchant(number, "Ben", NOW), Account(number, "USD"), merchant_key(number, number), repeat=repeat(number)
    ),
    "a user": lambda stores, number: stores.users.add(
        User(ANN, number, f"{number}@x.example", NOW), repeat=repeat(number)
    ),
    "a merchant's key": lambda stores, number: stores.api_keys.create(merchant_key(number), repeat=repeat(number)),
    "a staff key": lambda stores, number: stores.api_keys.create(staff_key(number), repeat=repeat(number)),
    "a successor": lambda stores, number: stores.api_keys.rotate(
        ANN, successor=merchant_key(number), expires_at=NOW + 9, repeat=repeat(number)
    ),
    "a price": lambda stores, number: stores.prices.add(Price(number, "image", UNIT, NOW), NOW, repeat=repeat(number)),
    "a merchant's price": lambda stores, number: stores.prices.add(
        Price(number, "image", UNIT, NOW, ANN), NOW, repeat=repeat(number)
    ),
}


async def _made(stores: Stores) -> set[int]:
    """List the numbers of all that there is beside Ann and her first key."""
    merchants = [merchant.merchant_id for merchant, _ in await stores.merchants.page(ANN, 9)]
    users = [user.user_id for user in await stores.users.list(ANN)]
    keys = [key.key_id for owner in (ANN, None) for key in await stores.api_keys.list(owner)]
    prices = [price.price_id for owner in (ANN, None) for price in await stores.prices.list(owner)]
    return {*merchants, *users, *keys, *prices} - {ANN}


@every_store
@pytest.mark.parametrize("what", MAKING)
async def test_of_two_requests_under_one_key_one_makes_something(stores: Stores, what: str) -> None:
    await add_merchant(stores)
    number = ANN + 1
    await MAKING[what](stores, number)
    with pytest.raises(Repeated):
        await MAKING[what](stores, number + 1)
    assert {number} == await _made(stores)
    assert repeat(number) == await stores.repeats.find(KEY_ID, "key", NOW)


@pytest.mark.parametrize("what", MAKING)
async def test_of_many_requests_at_once_one_makes_something(engine: Engine, stores: Stores, what: str) -> None:
    await add_merchant(stores)
    others = [engine.stores() for _ in range(2)]
    for other in others:
        await other.connector.open()
    results = await asyncio.gather(
        *(MAKING[what](each, ANN + 1 + number) for number, each in enumerate([stores, *others] * 3)),
        return_exceptions=True,
    )
    for other in others:
        await other.connector.close()
    assert 1 == results.count(None)
    assert {Repeated, type(None)} == {type(result) for result in results}
    (made,) = await _made(stores)
    found = await stores.repeats.find(KEY_ID, "key", NOW)
    assert found is not None
    assert made == found.made_id == ANN + 1 + results.index(None)


@every_store
async def test_a_key_is_known_for_its_time_and_to_its_caller_alone(stores: Stores) -> None:
    await stores.repeats.claim(repeat(1))
    await stores.repeats.claim(repeat(2, key_id=KEY_ID + 1))
    last = NOW + REPEATS_KEPT_MICROS - 1
    with pytest.raises(Repeated):
        await stores.repeats.claim(repeat(3, at=last))
    await stores.repeats.forget(last)
    assert repeat(1) == await stores.repeats.find(KEY_ID, "key", last)
    assert await stores.repeats.find(KEY_ID, "key", last + 1) is None
    await stores.repeats.claim(repeat(4, at=last + 1))
    assert repeat(4, at=last + 1) == await stores.repeats.find(KEY_ID, "key", last + 1)
    await stores.repeats.forget(last + 1)
    assert await stores.repeats.find(KEY_ID + 1, "key", NOW) is None
    assert repeat(4, at=last + 1) == await stores.repeats.find(KEY_ID, "key", last + 1)


async def test_what_fails_uses_no_key_up(stores: Stores) -> None:
    await add_merchant(stores)
    with pytest.raises(AlreadyExists):
        await stores.api_keys.create(merchant_key(ANN), repeat=repeat(ANN))
    assert await stores.repeats.find(KEY_ID, "key", NOW) is None
    await stores.api_keys.create(merchant_key(5), repeat=repeat(5))
