"""No page and no list of the API runs one statement per row: many more rows take as many statements.

Statements are counted where SQLite runs them, by apsw's own hook for new connections, so nothing that reads is passed
over. Storage is written once for both engines, so what holds here holds on PostgreSQL.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, cast

import apsw
import pytest
import pytest_asyncio

from farebox.core.commands import Actor, KeyKind, RequestApproval, TopUp
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.parsing import parse_amount
from farebox.service.people.api_keys import Principal
from farebox.services import Services
from farebox.storage import sql
from farebox.web.api import routes
from farebox.web.pages.live import Live
from farebox.web.pages.routes import Audience, PageRoute
from farebox.web.pages.table import page_routes
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.schemas.spending import ChargeRequest
from tests.security.people import Site, open_site
from tests.support.server import seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEW: Final = 3
MANY: Final = 12
POINT_LOOK_UP: Final = sql.statements("sqlite")["transfers_at"]
"""A time is searched for in a book by one of these for each doubling of its length, which tests/service/test_history.py
and test_statements.py hold to the logarithm."""

SUPPORT: Final = Principal("sam@farebox.example", roles=EVERY_ROLE)
PAGES: Final[list[PageRoute]] = [
    route
    for route in page_routes(SignInThrottle(), Live())
    if route.get is not None and not route.path.endswith("/live")
]
API: Final = [route for route in routes(cast(Services, None)) if route.method == "GET"]


QUERIES: Final = {"/api/admin/destinations/{destination_id:str}/attempts": "?event={event:str}"}
"""What a list has to be told beside its path."""


class StatementCounter:
    """Counts the statements that SQLite runs for this process."""

    def __init__(self) -> None:
        self.count = 0

    def attach(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self._note

    def _note(self, _: apsw.Cursor, statement: str, __: Any) -> bool:
        self.count += statement != POINT_LOOK_UP
        return True


class Counted:
    """The statements of each page and list, with few rows and with many."""

    def __init__(self, site: Site, counter: StatementCounter) -> None:
        self._site = site
        self._counter = counter
        self._grown = 0
        self.few: dict[str, int] = {}
        self.many: dict[str, int] = {}

    async def measure(self) -> dict[str, int]:
        """Count the statements of everything that is read, the second time that it is."""
        support_key = (await self._site.farebox.services.merchants.create_key(KeyKind.SUPPORT, name="sam")).text
        counts = {}
        for path, who in READS:
            for _ in range(2):
                self._counter.count = 0
                if who in ("merchant key", "support key"):
                    key = support_key if who == "support key" else self._site.seeds.merchant_key
                    reply = await self._site.client.get(self._site.path(path + QUERIES.get(path, "")), key)
                else:
                    reply = await self._site.ask("GET", self._site.path(path), who)
                assert reply.status < 400 or "{link" in path or "{approval" in path, (path, reply)
                counts[path] = self._counter.count
        return counts

    async def grow(self, rows: int) -> None:
        """Add so many of everything that a page or list shows."""
        farebox, merchant_id = self._site.farebox, self._site.seeds.merchant_id
        services = farebox.services
        for number in range(self._grown, self._grown + rows):
            name = f"more-{number}"
            await services.merchants.add_user(merchant_id, f"{name}@northwind.example")
            await services.merchants.create_key(KeyKind.MERCHANT, merchant_id=merchant_id)
            await services.merchants.create_key(KeyKind.SERVICE, name=name)
            await services.prices.set(name, "1")
            await services.prices.set(name, "2", merchant_id=merchant_id)
            await services.staff.add(f"{name}@farebox.example", name, principal=SUPPORT)
            other = await seed(farebox)
            await services.merchants.add_user(other.merchant_id, "owner@northwind.example")
            await services.operations.top_up(merchant_id, amount="500", reference=name, note=None, principal=SUPPORT)
            await services.operations.set_thresholds(merchant_id, [str(100_000 + number)], principal=SUPPORT)
            move = TopUp(other.merchant_id, parse_amount("5000"), name, actor=Actor(number + 1, "sam@farebox.example"))
            await farebox.committer.submit(RequestApproval(move, number + 1))
            await services.operations.charge(ChargeRequest(self._site.seeds.merchant, name, name), caller=None)
        self._grown += rows


READS: Final = [
    *[(route.path, "support" if route.sees == Audience.SUPPORT or route.is_console else "owner") for route in PAGES],
    *[(route.path, "support key" if KeyKind.SUPPORT in route.keys else "merchant key") for route in API],
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counted]:
    """Everything read with few rows, and again with many."""
    counter = StatementCounter()
    apsw.connection_hooks.append(counter.attach)
    try:
        async with open_site(tmp_path_factory.mktemp("ledger")) as site:
            counted = Counted(site, counter)
            await counted.grow(FEW)
            counted.few = await counted.measure()
            await counted.grow(MANY)
            counted.many = await counted.measure()
            yield counted
    finally:
        apsw.connection_hooks.remove(counter.attach)


@pytest.mark.parametrize("path", [path for path, _ in READS])
async def test_many_rows_take_as_many_statements_as_few(counted: Counted, path: str) -> None:
    assert 0 < counted.few[path]
    assert counted.few[path] == counted.many[path]
