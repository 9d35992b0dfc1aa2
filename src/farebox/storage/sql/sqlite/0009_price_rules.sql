-- Prices are rules of several lines, requests may be free, and units are counted over periods. Applied before the new
-- program is started.

-- What a transfer was priced by, where the price is a rule.
ALTER TABLE transfer ADD COLUMN pricing TEXT;

-- Free requests are charged and held as others are. The rows stay as they are, so that a book of any size is not written
-- anew: SQLite's own way for constraints that are loosened is to change the text of the table.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, 'CHECK (amount > 0)', 'CHECK (amount > 0 OR (amount = 0 AND (pricing IS NOT NULL OR kind IN (7, 8))))')
WHERE type = 'table' AND name = 'transfer';
UPDATE sqlite_schema
SET sql = replace(
    replace(sql, 'CHECK (amount > 0)', 'CHECK (amount >= 0)'),
    'CHECK ((state = 2) = (captured > 0))', 'CHECK (state = 2 OR captured = 0)'
)
WHERE type = 'table' AND name = 'hold';
PRAGMA writable_schema = RESET;

-- A version has a rule, or a unit price, or neither if callers name the amount; or it ends the price: a merchant's own
-- gives way to the default, a default's type is retired. Versions can be withdrawn until they start.
ALTER TABLE default_price ADD COLUMN rule TEXT;
ALTER TABLE default_price ADD COLUMN is_end INTEGER NOT NULL DEFAULT 0 CHECK (is_end IN (0, 1));
ALTER TABLE default_price ADD COLUMN withdrawn_at INTEGER;
ALTER TABLE merchant_price ADD COLUMN rule TEXT;
ALTER TABLE merchant_price ADD COLUMN is_end INTEGER NOT NULL DEFAULT 0 CHECK (is_end IN (0, 1));
ALTER TABLE merchant_price ADD COLUMN withdrawn_at INTEGER;

-- Of several versions with one start the last one was in force; no two are made any more.
UPDATE default_price SET withdrawn_at = (
    SELECT max(later.created_at) FROM default_price later
    WHERE later.request_type = default_price.request_type AND later.starts_at = default_price.starts_at
)
WHERE EXISTS (
    SELECT 1 FROM default_price later
    WHERE later.request_type = default_price.request_type AND later.starts_at = default_price.starts_at
        AND later.price_id > default_price.price_id
);
UPDATE merchant_price SET withdrawn_at = (
    SELECT max(later.created_at) FROM merchant_price later
    WHERE later.merchant_id = merchant_price.merchant_id AND later.request_type = merchant_price.request_type
        AND later.starts_at = merchant_price.starts_at
)
WHERE EXISTS (
    SELECT 1 FROM merchant_price later
    WHERE later.merchant_id = merchant_price.merchant_id AND later.request_type = merchant_price.request_type
        AND later.starts_at = merchant_price.starts_at AND later.price_id > merchant_price.price_id
);
DROP INDEX default_price_in_force;
CREATE UNIQUE INDEX default_price_in_force ON default_price (request_type, starts_at) WHERE withdrawn_at IS NULL;
CREATE UNIQUE INDEX merchant_price_in_force ON merchant_price (merchant_id, request_type, starts_at)
WHERE withdrawn_at IS NULL;

-- The units that a merchant's requests of a type came to, by line, over the day or month that began at starts_at.
CREATE TABLE period_count (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    request_type TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    line TEXT NOT NULL,
    units INTEGER NOT NULL CHECK (units >= 0),
    PRIMARY KEY (merchant_id, request_type, starts_at, line)
) STRICT, WITHOUT ROWID;

-- Who runs out when is told by live balances; nothing goes by this index any more.
DROP INDEX outlook_runs_out;
