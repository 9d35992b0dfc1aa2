"""What posts webhooks is made for the first one, once, and closed if it was made."""

import asyncio
from ipaddress import ip_network
from typing import TYPE_CHECKING

from farebox.service.address_guard import AddressGuard
from farebox.webhooks.client import WebhookClient
from tests.webhooks.receiver import receiving

if TYPE_CHECKING:
    from farebox.webhooks.sender import GuardedClient


class _Counted(WebhookClient):
    """Counts how often it loads what posts."""

    def __init__(self) -> None:
        super().__init__(AddressGuard([ip_network("127.0.0.0/8")]))
        self.loads = 0

    def _load(self) -> "GuardedClient":
        self.loads += 1
        return super()._load()


async def test_first_posts_at_once_load_it_once() -> None:
    client = _Counted()
    async with receiving(answer="200 thanks") as receiver:
        try:
            posts = [client.post(f"{receiver.url}/{number}", b"{}", {}) for number in range(5)]
            assert [200] * 5 == [result.status for result in await asyncio.gather(*posts)]
        finally:
            await client.close()
    assert {f"/{number}" for number in range(5)} == {request.path for request in receiver.received}
    assert 1 == client.loads


async def test_one_that_posted_nothing_loads_nothing_to_be_closed() -> None:
    client = _Counted()
    await client.close()
    assert 0 == client.loads
