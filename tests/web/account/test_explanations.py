"""Why were you charged this? The pages of a transfer by a rule, the merchant's own and the console's."""

from typing import Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.service.people.users import Realm, Role
from farebox.service.price_texts import read_rule
from farebox.web.schemas.spending import ChargeRequest, HoldRequest
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULE: Final = {
    "lines": [{"name": "input", "amount": "0.15", "per": 1000000}, {"name": "output", "amount": "0.60", "per": 1000000}]
}


async def _visitors(farebox: Farebox, client: AppClient, seeds: Seeds) -> list[tuple[Visitor, str]]:
    """A person of the merchant and one of support, each with where transfers are there."""
    email = f"viewer-{seeds.merchant_id}@shop.example"
    await farebox.services.merchants.add_user(seeds.merchant_id, email, role=Role.VIEWER)
    return [
        (await Visitor.sign_in(farebox, client, Realm.MERCHANT, email), f"/accounts/{seeds.merchant}/statement"),
        (
            await Visitor.sign_in(farebox, client, Realm.SUPPORT, f"sam-{seeds.merchant_id}@farebox.example", "Sam"),
            f"/support/merchants/{seeds.merchant}/transfers",
        ),
    ]


async def test_each_component_of_a_charge_is_a_line(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.prices.set("chat", rule=read_rule("rule", RULE), merchant_id=seeds.merchant_id)
    operations = farebox.services.operations
    charged = await operations.charge(
        ChargeRequest(seeds.merchant, "chat", "charge", quantities={"input": 3, "output": 7}), caller=None
    )
    held = await operations.hold(
        HoldRequest(seeds.merchant, "chat", "hold", quantities={"input": 2_000_000}), caller=None
    )
    assert held.hold is not None
    captured = await operations.capture(
        held.hold.id, idempotency_key="part", quantity=None, amount="0.10", reference=None, caller=None
    )
    assert charged.transfer is not None
    assert captured.transfer is not None
    refunded = await operations.refund(
        charged.transfer.id, idempotency_key="back", amount="0.000001", reference=None, note=None, caller=None
    )
    assert refunded.transfer is not None
    for visitor, url in await _visitors(farebox, client, seeds):
        assert "chat: 3 input, 7 output" in await visitor.page(url)
        page = await visitor.page(f"{url}/{charged.transfer.id}")
        for text in (
            "3 input at 0.15 per 1,000,000 0.00000045",
            "7 output at 0.60 per 1,000,000 0.0000042",
            "Together, exactly 0.00000465",
            "Comes to rounded up once 0.000005",
            "own for chat, in force since",
        ):
            assert text in page, page
        assert "variable" not in page
        page = await visitor.page(f"{url}/{refunded.transfer.id}")
        assert "How chat: 3 input, 7 output came about" in page
        assert "Comes to rounded up once 0.000005" in page
        assert "variable" not in page
        page = await visitor.page(f"{url}/{captured.transfer.id}")
        assert "0.10 USD of 0.30 USD held; the rest went back at once" in page
        assert "2,000,000 input at 0.15 per 1,000,000 0.30" in page
        release = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=captured.transfer.seq + 1)
        assert "variable" not in await visitor.page(f"{url}/{release}")


async def test_a_free_request_is_explained_too(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None)
    await farebox.services.prices.set("ping", "0", merchant_id=seeds.merchant_id)
    outcome = await farebox.services.operations.charge(
        ChargeRequest(seeds.merchant, "ping", "charge", quantity=3), caller=None
    )
    assert outcome.transfer is not None
    for visitor, url in await _visitors(farebox, client, seeds):
        page = await visitor.page(f"{url}/{outcome.transfer.id}")
        assert "ping x 3" in page
        assert "3 requests, free 0.00 Comes to 0.00" in page
        assert "variable" not in page


async def test_a_refund_of_a_unit_price_names_no_variable_price(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    operations = farebox.services.operations
    charged = await operations.charge(ChargeRequest(seeds.merchant, "image", "charge", quantity=3), caller=None)
    assert charged.transfer is not None
    refunded = await operations.refund(
        charged.transfer.id, idempotency_key="back", amount=None, reference=None, note=None, caller=None
    )
    assert refunded.transfer is not None
    for visitor, url in await _visitors(farebox, client, seeds):
        page = await visitor.page(f"{url}/{refunded.transfer.id}")
        assert "variable" not in page
        assert "image x 3" in page
