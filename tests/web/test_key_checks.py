"""A service asks whose a merchant's API key is: it learns that of a good key, and of a bad one no more than that."""

from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service.people.api_keys import make_key, parse_key
from farebox.web.envelope import ApiError
from farebox.web.rate_limits import CheckedKeys, Limits
from tests.support.app_client import NO_PROXIES, AppClient, open_client
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH: Final = "/api/keys/check"


class Seconds:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


async def _check(client: AppClient, seeds: Seeds, text: object) -> tuple[int, str | None, Any]:
    reply = await client.post(PATH, seeds.service_key, {"apiKey": text})
    return reply.status, reply.code, reply.json()["data"]


async def test_a_good_key_is_told_by_its_merchant_id_and_name(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    new = await farebox.services.merchants.create_key(
        KeyKind.MERCHANT, merchant_id=seeds.merchant_id, name="production", expires="2099-12-31T23:59:59Z"
    )
    told = {"merchantId": seeds.merchant, "keyId": ids.public_id(ids.KEY, new.key.key_id)}
    ending = {"name": "production", "state": "ending", "expiresAt": "2099-12-31T23:59:59.000000Z"}
    assert (200, None, told | ending) == await _check(client, seeds, new.text)
    status, _, data = await _check(client, seeds, seeds.merchant_key)
    assert (200, seeds.merchant, "valid", None) == (status, data["merchantId"], data["state"], data["expiresAt"])


async def test_what_opens_nothing_is_told_alike_whatever_it_is(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    revoked = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    await farebox.services.merchants.revoke_key(revoked.key.key_id)
    merchants_key_with_anothers_name = other.merchant_key[:17] + seeds.merchant_key[17:]
    answers = set()
    for text in (
        revoked.text,
        make_key(KeyKind.MERCHANT, seeds.merchant_id),
        merchants_key_with_anothers_name,
        seeds.merchant_key.lower(),
        seeds.service_key,
        seeds.support_key,
        seeds.merchant,
        "",
        "fbm_",
    ):
        reply = await client.post(PATH, seeds.service_key, {"apiKey": text})
        answers.add((reply.status, reply.code, reply.body))
    assert 1 == len(answers)
    assert (404, "merchant_not_found") == answers.pop()[:2]


async def test_no_other_kind_of_key_may_ask(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for key in (seeds.merchant_key, seeds.support_key):
        reply = await client.post(PATH, key, {"apiKey": seeds.merchant_key})
        assert (403, "forbidden") == (reply.status, reply.code)
    reply = await client.post(PATH, None, {"apiKey": seeds.merchant_key})
    assert (401, "invalid_api_key") == (reply.status, reply.code)


async def test_a_service_asks_about_few_bad_keys_a_second_and_about_good_ones_all_the_same(farebox: Farebox) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    seconds = Seconds()
    limits = Limits(NO_PROXIES, per_merchant_key=0, per_staff_key=0, failures_per_address=2, now=seconds)
    client = await open_client(farebox, limits=limits)
    assert 200 == (await _check(client, seeds, seeds.merchant_key))[0]
    bad = [make_key(KeyKind.MERCHANT, seeds.merchant_id) for _ in range(30)]
    statuses = [(await _check(client, seeds, text))[0] for text in bad]
    assert [404] * 20 + [429] * 10 == statuses
    # Neither the key that was good lately nor another service waits for that.
    assert 200 == (await _check(client, seeds, seeds.merchant_key))[0]
    assert 200 == (await _check(client, other, other.merchant_key))[0]
    # A key that nobody has seen yet does, and a text that is no key.
    unseen = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    for text in (unseen.text, "nothing"):
        reply = await client.post(PATH, seeds.service_key, {"apiKey": text})
        assert (429, "rate_limited", "1") == (reply.status, reply.code, reply.header("retry-after"))
    # It is no bad key of the address that asks: the service itself goes on.
    assert 200 == (await client.get("/api/prices", seeds.service_key)).status
    seconds.time += 0.5
    assert 200 == (await _check(client, seeds, unseen.text))[0]


async def test_a_key_that_was_good_and_is_no_more_counts_as_any_bad_one() -> None:
    checked_keys = CheckedKeys(1, Seconds())
    service, merchant = parse_key(make_key(KeyKind.SERVICE)), parse_key(make_key(KeyKind.MERCHANT, 7))
    assert service is not None
    assert merchant is not None
    checked_keys.record_success(merchant.digest)
    for _ in range(10):
        checked_keys.admit(service, merchant.digest)
        checked_keys.record_failure(service, merchant.digest)
    with pytest.raises(ApiError) as refused:
        checked_keys.admit(service, merchant.digest)
    assert 429 == refused.value.status
