"""What a good engineer would write by hand: FastAPI, asyncpg and PostgreSQL, a charge in one guarded statement.

It answers the requests of the canonical workload as Farebox does, as fast as this shape allows: keys, price, guard,
deduction and record are one statement and one round trip. It keeps less than Farebox: no double entry, holds, alerts,
hash chain or audit log, and no statement to verify.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Annotated, Any, Final

import asyncpg
from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from benchmarks.ledgers import Acknowledged, WrongLedger
from benchmarks.workload import FUNDS_MICROS, OWN_PRICE, OWN_PRICE_EVERY, PRICES, Population
from farebox.config import Settings
from farebox.core.money import format_amount
from farebox.service.parsing import parse_amount

TARGET: Final = "benchmarks.baseline:web_app"
POOL_CONNECTIONS: Final = 10

SCHEMA: Final = """
CREATE TABLE api_key (digest BYTEA PRIMARY KEY, merchant_id BIGINT);
CREATE TABLE price (request_type TEXT PRIMARY KEY, unit_price BIGINT NOT NULL);
CREATE TABLE own_price (
    merchant_id BIGINT, request_type TEXT, unit_price BIGINT NOT NULL, PRIMARY KEY (merchant_id, request_type)
);
CREATE TABLE account (
    merchant_id BIGINT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0)
) WITH (fillfactor = 50);
CREATE TABLE charge (
    charge_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    merchant_id BIGINT NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    request_type TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    balance_after BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (merchant_id, idempotency_key)
);
"""

CHARGE: Final = """
WITH asked AS (
    SELECT payer.merchant_id, coalesce(own_price.unit_price, price.unit_price) * $5::bigint AS cost
    FROM api_key AS service
    JOIN api_key AS payer ON payer.digest = $2
    JOIN price ON price.request_type = $3
    LEFT JOIN own_price ON own_price.merchant_id = payer.merchant_id AND own_price.request_type = $3
    WHERE service.digest = $1 AND service.merchant_id IS NULL
), charged AS (
    UPDATE account SET balance = balance - asked.cost FROM asked
    WHERE account.merchant_id = asked.merchant_id AND balance >= asked.cost
    RETURNING account.merchant_id, asked.cost, account.balance
)
INSERT INTO charge (merchant_id, idempotency_key, request_type, quantity, cost, balance_after)
SELECT merchant_id, $4, $3, $5, cost, balance FROM charged
RETURNING charge_id, cost, balance_after
"""
"""$1 is the digest of the service's key and $2 of the merchant's, $3 the request type, $4 the key, $5 the quantity."""

_REPLAY: Final = """
SELECT charge_id, cost, balance_after FROM charge JOIN api_key USING (merchant_id)
WHERE digest = $1 AND idempotency_key = $2 AND request_type = $3 AND quantity = $4
"""
_BALANCE: Final = "SELECT balance FROM account JOIN api_key USING (merchant_id) WHERE digest = $1"
_IS_SERVICE: Final = "SELECT EXISTS (SELECT FROM api_key WHERE digest = $1 AND merchant_id IS NULL)"
_CHARGED: Final = "SELECT count(*), coalesce(sum(cost), 0)::bigint FROM charge"
_BALANCES: Final = "SELECT count(*), sum(balance)::bigint FROM account"

_ApiKey = Annotated[str, Header(alias="x-api-key")]


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ChargeRequest(_Body):
    """Deduct the cost of a request."""

    merchant: str
    type: str
    idempotency_key: str
    quantity: Annotated[int, Field(ge=1)] = 1


class ChargeAnswer(_Body):
    """A charge that went through."""

    transfer_id: int
    cost: str
    balance: str


def web_app() -> FastAPI:
    """Make the application of one server process."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        url = Settings.load().database_url
        async with asyncpg.create_pool(url, min_size=POOL_CONNECTIONS, max_size=POOL_CONNECTIONS) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)
    app.get("/healthz")(_health)
    app.get("/api/balance")(_balance)
    app.post("/api/charges")(_charge)
    return app


async def seed(url: str, population: Population) -> None:
    """Create the tables in an empty database and fill them with the workload's merchants, prices and money."""
    members = list(enumerate(population.members, 1))
    own_type, own_price = OWN_PRICE
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SCHEMA)
        tables: dict[str, Sequence[tuple[Any, ...]]] = {
            "api_key": [
                (digest(population.service_key), None),
                *((digest(member.key), number) for number, member in members),
            ],
            "price": [(name, parse_amount(amount)) for name, amount in PRICES.items()],
            "own_price": [
                (number, own_type, parse_amount(own_price)) for number, _ in members if number % OWN_PRICE_EVERY == 0
            ],
            "account": [(number, FUNDS_MICROS) for number, _ in members],
        }
        for table, records in tables.items():
            await connection.copy_records_to_table(table, records=records)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def verify(url: str, told: Acknowledged) -> None:
    """Hold the tables to what clients were told.

    Raises:
        WrongLedger: they were told otherwise, or money came or went.
    """
    connection = await asyncpg.connect(url)
    try:
        charges, charged = await connection.fetchrow(_CHARGED) or (0, 0)
        merchants, balances = await connection.fetchrow(_BALANCES) or (0, 0)
    finally:
        await connection.close()
    if (charges, charged) != (told.charges, told.micros) or balances != merchants * FUNDS_MICROS - charged:
        raise WrongLedger(
            f"the baseline has {charges} charges of {format_amount(charged)} in all, "
            f"clients were told of {told.charges} of {format_amount(told.micros)}"
        )


def digest(key: str) -> bytes:
    """Digest a key, as it is stored."""
    return sha256(key.encode()).digest()


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _balance(request: Request, x_api_key: _ApiKey) -> str:
    balance = await request.app.state.pool.fetchval(_BALANCE, digest(x_api_key))
    if balance is None:
        raise HTTPException(401, "invalid_key")
    return format_amount(balance)


async def _charge(request: Request, asked: ChargeRequest, x_api_key: _ApiKey) -> ChargeAnswer:
    pool: asyncpg.Pool[asyncpg.Record] = request.app.state.pool
    service, payer = digest(x_api_key), digest(asked.merchant)
    try:
        row = await pool.fetchrow(CHARGE, service, payer, asked.type, asked.idempotency_key, asked.quantity)
    except asyncpg.UniqueViolationError:
        row = await pool.fetchrow(_REPLAY, payer, asked.idempotency_key, asked.type, asked.quantity)
        if row is None:
            raise HTTPException(409, "idempotency_conflict") from None
    if row is None:
        if not await pool.fetchval(_IS_SERVICE, service):
            raise HTTPException(401, "invalid_key")
        if await pool.fetchval(_BALANCE, payer) is None:
            raise HTTPException(404, "merchant_not_found")
        raise HTTPException(402, "insufficient_balance")
    number, cost, balance = row
    return ChargeAnswer(transfer_id=number, cost=format_amount(cost), balance=format_amount(balance))
