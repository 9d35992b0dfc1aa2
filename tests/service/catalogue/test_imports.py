"""Imports: what one would change is what it changes, all or nothing, and once."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.prices import Price
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service import inputs
from farebox.service.catalogue.difference import Change, Difference, differences
from farebox.service.catalogue.imports import Comparison, ListImport, ListKind
from farebox.service.catalogue.listed import Listed, Offer, Problem, Reason
from farebox.service.errors import Conflict, InvalidInput, UnknownMerchant
from farebox.service.people.api_keys import Principal
from tests.support.server import open_farebox

ANN = Principal("ann", roles=EVERY_ROLE)
IMAGE = {"image": {"unitPrice": "0.008"}}
CHAT = {"chat": {"rule": {"lines": [{"name": "input", "amount": "0.15", "per": 1000000}]}}}


@pytest.fixture
async def farebox(tmp_path: Path) -> AsyncIterator[Farebox]:
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        yield farebox


def own(values: Any, **options: Any) -> ListImport:
    return ListImport(data=json.dumps(values).encode(), **options)


def told(comparison: Comparison) -> list[tuple[str, str]]:
    return [(difference.listed.request_type, difference.change.value) for difference in comparison.differences]


async def prices(farebox: Farebox, merchant_id: int | None = None) -> list[tuple[str, int | None, bool]]:
    versions = await farebox.services.prices.list(merchant_id)
    return [(price.request_type, price.unit_price, price.rule is not None) for price in versions]


async def test_what_would_change_is_told_and_then_changed_and_then_nothing_changes(farebox: Farebox) -> None:
    imports = farebox.services.price_imports
    price_list = own(IMAGE | CHAT | {"any": {"variable": True}, "free": {"unitPrice": "0"}})
    would = await imports.compare(price_list)
    assert [] == await prices(farebox)
    made = await imports.make(price_list, principal=ANN)
    assert [(name, "new") for name in ("any", "chat", "free", "image")] == told(would) == told(made)
    expected = [("any", None, False), ("chat", None, True), ("free", None, True), ("image", 8_000, False)]
    assert expected == await prices(farebox)
    again = await imports.make(price_list, principal=ANN)
    assert {Change.NEW: 0, Change.CHANGED: 0, Change.UNCHANGED: 4, Change.LEFT_OUT: 0} == again.counts
    assert expected == await prices(farebox)
    (audit_entry,) = (await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=10))[0]
    assert "import_prices" == audit_entry.action
    assert f"4 new, 0 changed from {inputs.format_time(made.starts_at)}, own" == audit_entry.detail


async def test_an_import_that_starts_at_once_is_in_force_when_it_is_made(farebox: Farebox) -> None:
    await farebox.services.price_imports.make(own({f"type-{number}": IMAGE["image"] for number in range(100)}))
    assert 100 == len(await farebox.services.prices.in_force(None))


async def test_an_import_of_five_thousand_types_takes_less_than_ten_seconds(farebox: Farebox) -> None:
    started = time.monotonic()
    entry = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": 1e-07}
    litellm = {f"provider/model-{number}": entry for number in range(5_000)}
    made = await farebox.services.price_imports.make(own(litellm, kind=ListKind.LITELLM))
    assert 5_000 == made.counts[Change.NEW]
    assert time.monotonic() - started < 10


async def test_changes_tell_what_was_before(farebox: Farebox) -> None:
    imports = farebox.services.price_imports
    await farebox.services.prices.set("image", "0.01")
    await farebox.services.prices.set("other", "0.01")
    comparison = await imports.make(own(IMAGE | CHAT))
    assert [("chat", "new"), ("image", "changed")] == told(comparison)
    assert [None, Offer(10_000)] == [difference.before for difference in comparison.differences]
    assert 1 == comparison.others
    assert 0 == (await imports.compare(own(IMAGE | CHAT, pattern="?hat"))).others


async def test_the_versions_of_an_import_are_found_by_any_of_them(farebox: Farebox) -> None:
    merchant, _, _ = await farebox.services.merchants.create(
        name="Acme", currency="USD", thresholds=[], credit_limit="0"
    )
    imports = farebox.services.price_imports
    await farebox.services.prices.set("other", "0.01")
    for merchant_id in (None, merchant.merchant_id):
        await imports.make(own(IMAGE | CHAT, merchant_id=merchant_id), principal=ANN)
        (entry, *_), _ = await farebox.services.audit_log.page(merchant_id=merchant_id, cursor=None, limit=1)
        assert entry.subject is not None
        price_id = inputs.public_id("id", ids.PRICE, entry.subject)
        made = await imports.made_with(merchant_id, price_id)
        assert [("chat", merchant_id), ("image", merchant_id)] == [
            (price.request_type, price.merchant_id) for price in made
        ]
        assert [] == await imports.made_with(merchant_id, 1)


async def test_a_markup_a_filter_and_a_start(farebox: Farebox) -> None:
    starts = "2100-01-01T00:00:00Z"
    price_list = own(IMAGE | CHAT, markup="+50%", pattern="im*", starts=starts)
    await farebox.services.price_imports.make(price_list)
    (price,) = await farebox.services.prices.list(None)
    assert ("image", 12_000, inputs.time("starts", starts)) == (price.request_type, price.unit_price, price.starts_at)


async def test_other_lists_are_read_by_their_names(farebox: Farebox) -> None:
    imports = farebox.services.price_imports
    litellm = {"m": {"input_cost_per_second": 0.0005666666666666667}, "a b": {"input_cost_per_token": 1e-06}}
    left_out = await imports.compare(own(litellm, kind=ListKind.LITELLM))
    assert [Reason.NAME, Reason.REST] == [
        difference.listed.problem.reason for difference in left_out.differences if difference.listed.problem
    ]
    read = await imports.compare(own(litellm, kind=ListKind.LITELLM, reads_fractions=True, markup="0%"))
    assert [("a b", "left out"), ("m", "new")] == told(read)
    genai = [{"id": "p", "models": [{"id": "m", "prices": {"requests_kcount": 0.001, "input_mtok": 1}}]}]
    assert [("p/m", "new")] == told(await imports.compare(own(genai, kind=ListKind.GENAI_PRICES)))
    fee = await imports.compare(own(genai, kind=ListKind.GENAI_PRICES, markup="+50%"))
    assert [("p/m", "left out")] == told(fee)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"markup": "dear"}, "markup"),
        ({"pattern": "/(/"}, "filter"),
        ({"starts": "soon"}, "starts"),
        ({"starts": "2001-01-01T00:00:00Z"}, "starts"),
        ({"kind": ListKind.GENAI_PRICES}, "FILE"),
    ],
)
async def test_what_is_wrong_names_its_field(farebox: Farebox, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await farebox.services.price_imports.make(own(IMAGE, **options))
    assert field == refused.value.field


async def test_a_merchant_must_be_there(farebox: Farebox) -> None:
    with pytest.raises(UnknownMerchant):
        await farebox.services.price_imports.compare(own(IMAGE, merchant_id=5))


async def test_more_prices_than_an_import_may_have_are_refused(farebox: Farebox) -> None:
    with pytest.raises(InvalidInput, match="20,000 at most"):
        await farebox.services.price_imports.compare(own({f"t{number}": IMAGE["image"] for number in range(20_001)}))


DAY = 86_400_000_000
OLD, NEW = Offer(1), Offer(2)


def item(offer: Offer | None, start: int | None = None, problem: Problem | None = None) -> Listed:
    return Listed("t", "t", offer, problem, start)


def version(offer: Offer | None, start: int, withdrawn_at: int | None = None) -> Price:
    price = Price(start, "t", None, start, None, None, offer is None, withdrawn_at)
    return price if offer is None else Price(start, "t", offer.unit_price, start, None, offer.rule, False, withdrawn_at)


@pytest.mark.parametrize(
    ("listed", "versions", "expected"),
    [
        ([item(NEW)], [], [("new", None)]),
        ([item(NEW)], [version(OLD, 1)], [("changed", OLD)]),
        ([item(NEW)], [version(NEW, 1)], [("unchanged", NEW)]),
        ([item(NEW)], [version(NEW, 1), version(OLD, 2)], [("changed", OLD)]),
        # What ended has no price, and a version that was withdrawn never was one.
        ([item(NEW)], [version(OLD, 1), version(None, 2)], [("new", None)]),
        ([item(NEW)], [version(NEW, 1, withdrawn_at=1)], [("new", None)]),
        # A price of later does not count before it starts.
        ([item(NEW)], [version(NEW, 200)], [("new", None)]),
        # Versions of the list follow one another.
        ([item(OLD), item(NEW, 200)], [], [("new", None), ("changed", OLD)]),
        ([item(NEW), item(NEW, 200)], [version(NEW, 1)], [("unchanged", NEW), ("unchanged", NEW)]),
        ([item(NEW), item(NEW, 200)], [version(OLD, 150)], [("new", None), ("changed", OLD)]),
        # The same start as another version: equal is unchanged, another is left out.
        ([item(NEW)], [version(NEW, 100)], [("unchanged", NEW)]),
        ([item(NEW)], [version(OLD, 100)], [("left out", OLD)]),
        ([item(NEW)], [version(OLD, 100, withdrawn_at=50)], [("new", None)]),
        ([item(NEW), item(OLD, 100)], [], [("new", None), ("left out", NEW)]),
        ([item(NEW, 50)], [], [("left out", None)]),
        ([item(NEW, 50)], [version(NEW, 50)], [("unchanged", NEW)]),
        ([item(None, None, Problem(Reason.NAME, "x"))], [version(OLD, 1)], [("left out", OLD)]),
    ],
)
def test_what_becomes_of_a_type(
    listed: list[Listed], versions: list[Price], expected: list[tuple[str, Offer | None]]
) -> None:
    found = differences(listed, versions, 100)
    assert expected == [(difference.change.value, difference.before) for difference in found]
    assert [] == [found for found in found if not _is_sound(found)]


def _is_sound(difference: Difference) -> bool:
    return (difference.change == Change.LEFT_OUT) == (difference.listed.offer is None)


async def test_a_price_that_was_set_meanwhile_keeps_the_whole_import_out(farebox: Farebox) -> None:
    starts = "2100-01-01T00:00:00Z"
    imports = farebox.services.price_imports

    class Between:
        """Sets a price between the comparison and the import, as another process may."""

        def __init__(self) -> None:
            self._list = farebox.stores.prices.list

        async def __call__(self, merchant_id: int | None) -> Any:
            versions = await self._list(merchant_id)
            await farebox.services.prices.set("image", "1", starts=starts)
            return versions

    farebox.stores.prices.list = Between()  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await imports.make(own(IMAGE | CHAT, starts=starts))
    del farebox.stores.prices.list
    assert [("image", 1_000_000, False)] == await prices(farebox)


async def test_a_name_that_no_type_can_have_is_told_so_that_it_can_be_shown(farebox: Farebox) -> None:
    entry = {"input_cost_per_token": 1e-06}
    litellm = {"\x1b[31mred": entry, "x" * 300: entry, "a\nb": {"input_cost_per_\x07": 1}}
    comparison = await farebox.services.price_imports.compare(own(litellm, kind=ListKind.LITELLM))
    assert [("\\x1b[31mred", "left out"), ("a\\nb", "left out"), (f"{'x' * 200}…", "left out")] == told(comparison)
    problems = [difference.listed.problem for difference in comparison.differences]
    assert all(problem is not None and problem.detail.isprintable() for problem in problems)
