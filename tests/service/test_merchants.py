"""What support sets up: merchants, their people and keys, and prices."""

from pathlib import Path

import pytest

from farebox.core.commands import KeyKind
from farebox.service.errors import Conflict, FateUnknown, InvalidInput, Missing, Unavailable
from farebox.service.people import api_keys
from farebox.storage.interface import AlreadyExists, CommitUnknown, StoreUnavailable
from farebox.web.schemas.spending import ChargeRequest
from tests.service.conftest import ServiceParts
from tests.support.ledger import NOW

UNIT = 1_000_000


async def test_merchant_starts_with_an_empty_book_and_a_key_that_opens_it(ledger: ServiceParts) -> None:
    merchant, account, key = await ledger.merchants.create(
        name="Contoso", currency="EUR", thresholds=["50", "5"], credit_limit="2.5"
    )
    assert (merchant, account) == await ledger.merchants.get(merchant.merchant_id)
    assert ("Contoso", NOW) == (merchant.name, merchant.created_at)
    assert ("EUR", 0, 2_500_000, 0) == (account.currency, account.wallet, account.credit_limit, account.seq)
    # A balance that starts at zero has not fallen: nothing is to be warned of yet.
    assert [(5 * UNIT, True), (50 * UNIT, True)] == [(item.amount, item.is_armed) for item in account.thresholds]
    parsed = api_keys.parse_key(key.text)
    assert parsed is not None
    assert 0 == await ledger.balances.available(parsed)


async def test_text_of_a_key_is_stored_nowhere(ledger: ServiceParts, tmp_path: Path) -> None:
    seeds = await ledger.seed()
    kept = [*await ledger.merchants.keys(seeds.merchant_id), *await ledger.merchants.keys(None)]
    assert 3 == len(kept)
    for text in (seeds.merchant_key, seeds.service_key, seeds.support_key):
        assert text[-26:] not in repr(kept)
        files = [path.read_bytes() for path in tmp_path.glob("farebox.db*")]
        assert not any(text[-26:].encode() in content for content in files)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", " "), ("currency", "usd"), ("thresholds", ["x"]), ("thresholds", ["1"] * 6), ("credit_limit", "-1")],
)
async def test_nothing_is_added_of_a_merchant_that_is_wrong(ledger: ServiceParts, field: str, value: object) -> None:
    arguments: dict[str, object] = {"name": "N", "currency": "USD", "thresholds": [], "credit_limit": "0", field: value}
    with pytest.raises(InvalidInput) as raised:
        await ledger.merchants.create(**arguments)  # type: ignore[arg-type]  # One of them is wrong on purpose.
    assert {"credit_limit": "creditLimit"}.get(field, field) == raised.value.field
    assert [] == list(await ledger.merchants.list())


async def test_merchants_are_listed_whole_whatever_the_page(ledger: ServiceParts) -> None:
    for number in range(5):
        ledger.clock.move(1)
        await ledger.merchants.create(name=f"M{number}", currency="USD", thresholds=[], credit_limit="0")
    listed = await ledger.merchants.list(page_rows=2)
    assert [f"M{number}" for number in range(5)] == [merchant.name for merchant, _ in listed]


async def test_merchant_is_renamed(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    await ledger.merchants.rename(seeds.merchant_id, "Northwind & Söhne")
    assert "Northwind & Söhne" == (await ledger.merchants.get(seeds.merchant_id))[0].name
    with pytest.raises(InvalidInput):
        await ledger.merchants.rename(seeds.merchant_id, "")


async def test_nobody_is_missing_everywhere(ledger: ServiceParts) -> None:
    merchants = ledger.merchants
    for asked in (
        merchants.get(5),
        merchants.rename(5, "N"),
        merchants.users(5),
        merchants.add_user(5, "ann@example.com"),
        merchants.keys(5),
        merchants.create_key(KeyKind.MERCHANT, merchant_id=5),
        merchants.revoke_key(5),
        merchants.rotate_key(5),
        ledger.prices.list(5),
        ledger.prices.set("image", "1", merchant_id=5),
    ):
        with pytest.raises(Missing) as raised:
            await asked
        assert raised.value.message


async def test_people_are_registered_once_and_under_their_normal_address(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    await ledger.merchants.add_user(seeds.merchant_id, "Ann@EXAMPLE.com")
    with pytest.raises(Conflict) as raised:
        await ledger.merchants.add_user(seeds.merchant_id, "Ann@example.COM")
    assert "Ann@example.com is registered there already" == raised.value.message
    ledger.clock.move(1)
    await ledger.merchants.add_user(seeds.merchant_id, "bob@example.com")
    people = [user.email for user in await ledger.merchants.users(seeds.merchant_id)]
    assert ["Ann@example.com", "bob@example.com"] == people


async def test_key_may_have_its_end_named_but_not_in_the_past(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    created = await ledger.merchants.create_key(
        KeyKind.MERCHANT, merchant_id=seeds.merchant_id, expires="2100-01-01T00:00:00Z"
    )
    assert 4_102_444_800_000_000 == created.key.expires_at
    for text in ("2020-01-01T00:00:00Z", "2027-01-15T08:00:00Z", "tomorrow"):
        with pytest.raises(InvalidInput) as raised:
            await ledger.merchants.create_key(KeyKind.SERVICE, name="recognition", expires=text)
        assert "expires" == raised.value.field


async def test_rotated_key_goes_on_beside_its_successor_for_a_while(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="1")
    (old,) = await ledger.merchants.keys(seeds.merchant_id)
    new = await ledger.merchants.rotate_key(old.key_id, overlap_seconds=60)
    parsed = [api_keys.parse_key(text) for text in (seeds.merchant_key, new.text)]
    for moved, expected in ((0, [UNIT, UNIT]), (59, [UNIT, UNIT]), (1, [None, UNIT]), (10**6, [None, UNIT])):
        ledger.clock.move(moved)
        assert expected == [await ledger.balances.available(key) for key in parsed if key]


async def test_rotation_never_lengthens_a_keys_life(ledger: ServiceParts) -> None:
    service = await ledger.merchants.create_key(KeyKind.SERVICE, name="recognition", expires="2027-01-15T08:01:00Z")
    assert NOW + 60_000_000 == service.key.expires_at
    new = await ledger.merchants.rotate_key(service.key.key_id)
    found = {key.key_id: key for key in await ledger.merchants.keys(None)}
    assert NOW + 60_000_000 == found[service.key.key_id].expires_at
    assert (None, "recognition", KeyKind.SERVICE) == (new.key.expires_at, new.key.name, new.key.kind)


async def test_closed_key_has_no_successor(ledger: ServiceParts) -> None:
    revoked = await ledger.merchants.create_key(KeyKind.SERVICE, name="a")
    expired = await ledger.merchants.create_key(KeyKind.SERVICE, name="b", expires="2027-01-15T08:00:01Z")
    await ledger.merchants.revoke_key(revoked.key.key_id)
    ledger.clock.move(1)
    before = await ledger.merchants.keys(None)
    for key in (revoked, expired):
        with pytest.raises(Conflict, match="revoked or expired"):
            await ledger.merchants.rotate_key(key.key.key_id)
        with pytest.raises(Conflict, match="revoked or expired"):
            await ledger.merchants.expire_key(key.key.key_id, "2027-02-15T08:00:00Z")
    assert before == await ledger.merchants.keys(None)


async def test_a_key_that_has_not_ended_may_end_later(ledger: ServiceParts) -> None:
    made = await ledger.merchants.create_key(KeyKind.SERVICE, name="a", expires="2027-01-15T08:00:01Z")
    later = await ledger.merchants.expire_key(made.key.key_id, "2027-01-15T08:01:00Z")
    assert NOW + 60_000_000 == later.expires_at


async def test_key_is_revoked_once_and_for_ever(ledger: ServiceParts) -> None:
    key = await ledger.merchants.create_key(KeyKind.SERVICE, name="a")
    await ledger.merchants.revoke_key(key.key.key_id)
    ledger.clock.move(5)
    assert not await ledger.merchants.revoke_key(key.key.key_id)
    assert [NOW] == [found.revoked_at for found in await ledger.merchants.keys(None)]


async def test_price_counts_from_its_start(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    await ledger.prices.set("image", "5", starts="2027-01-15T08:00:10Z")

    async def cost(key: str) -> int:
        outcome = await ledger.operations.charge(ChargeRequest(seeds.merchant, "image", key), caller=None)
        assert outcome.transfer is not None
        return outcome.transfer.amount

    assert 10_000 == await cost("a")
    ledger.clock.move(10, micros=-1)
    assert 10_000 == await cost("b")
    ledger.clock.move(micros=1)
    assert 5 * UNIT == await cost("c")
    assert 10_000 == await cost("a")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("image!", "1"), "type"),
        (("image", "-1"), "unitPrice"),
        (("image", "0.0000001"), "unitPrice"),
    ],
)
async def test_price_that_is_wrong_is_refused_by_name(
    ledger: ServiceParts, arguments: tuple[str, str], field: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        await ledger.prices.set(*arguments)
    assert field == raised.value.field
    assert [] == list(await ledger.prices.list(None))


async def test_price_cannot_start_in_the_past(ledger: ServiceParts) -> None:
    with pytest.raises(InvalidInput) as raised:
        await ledger.prices.set("image", "1", starts="2027-01-15T07:59:59Z")
    assert "from" == raised.value.field


async def test_every_version_of_a_price_is_kept(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    ledger.clock.move(1)
    await ledger.prices.set("image", "2")
    await ledger.prices.set("image", "0.5", merchant_id=seeds.merchant_id)
    defaults = [(price.request_type, price.unit_price) for price in await ledger.prices.list(None)]
    assert [("call", None), ("image", 10_000), ("image", 2 * UNIT)] == defaults
    assert [500_000] == [price.unit_price for price in await ledger.prices.list(seeds.merchant_id)]


@pytest.mark.parametrize(
    ("raised", "told"),
    [(StoreUnavailable("away"), Unavailable), (CommitUnknown("lost"), FateUnknown), (AlreadyExists("id"), Conflict)],
)
async def test_trouble_of_the_store_is_told_in_the_services_words(
    ledger: ServiceParts, monkeypatch: pytest.MonkeyPatch, raised: Exception, told: type[Exception]
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(ledger.stores.merchants, "create", fail)
    with pytest.raises(told):
        await ledger.merchants.create(name="N", currency="USD", thresholds=[], credit_limit="0")
