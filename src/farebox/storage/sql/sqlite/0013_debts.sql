-- What requests left uncollected, and what is owed of top-ups that were taken back. Applied before the new program is
-- started.

-- Of a request that came to more than there was, the amount may be any part of what was due, or nothing.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(
    replace(sql, '(pricing IS NOT NULL OR kind IN (7, 8))', '(pricing IS NOT NULL OR uncollected IS NOT NULL OR kind IN (7, 8))'),
    'amount = unit_price * quantity', 'amount + coalesce(uncollected, 0) = unit_price * quantity'
)
WHERE type = 'table' AND name = 'transfer';
PRAGMA writable_schema = RESET;

-- What a transfer was due beyond its amount, and what is still to be paid of it, if it took a top-up back.
CREATE TABLE shortfall (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    owed INTEGER NOT NULL CHECK (owed BETWEEN 0 AND amount),
    top_up_seq INTEGER,
    PRIMARY KEY (merchant_id, seq),
    CHECK (owed = 0 OR top_up_seq IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX shortfall_owed ON shortfall (merchant_id, seq) WHERE owed > 0;
CREATE INDEX shortfall_at ON shortfall (at, merchant_id, seq);
