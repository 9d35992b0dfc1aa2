-- Grants of credit, what requests left uncollected, what is owed, and the key that a request named. Applied before the
-- new program is started.

-- What of a transfer's amount was given credit, what was due beyond the amount, and the merchant's key that it named.
ALTER TABLE transfer ADD COLUMN given TEXT;
ALTER TABLE transfer ADD COLUMN uncollected INTEGER CHECK (uncollected > 0);
ALTER TABLE transfer ADD COLUMN key_id INTEGER;

-- The wallet's given part, how many grants were made, when the next one starts or ends, and what is owed.
ALTER TABLE account ADD COLUMN promotions INTEGER NOT NULL DEFAULT 0 CHECK (promotions <= 0);
ALTER TABLE account ADD COLUMN given INTEGER NOT NULL DEFAULT 0 CHECK (given >= 0);
ALTER TABLE account ADD COLUMN grants_count INTEGER NOT NULL DEFAULT 0 CHECK (grants_count >= 0);
ALTER TABLE account ADD COLUMN grants_due_at INTEGER;
ALTER TABLE account ADD COLUMN owed INTEGER NOT NULL DEFAULT 0 CHECK (owed >= 0);

-- Two more kinds of transfers, a sixth account, and a floor that given credit does not lower; requests for approval of
-- grants, whose terms stand beside them, and which become no transfer before they start. The rows stay as they are, so
-- that a book of any size is not written anew: SQLite's own way for constraints that need no look at the rows is to
-- change the text of the table.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (kind BETWEEN 1 AND 10)', 'CHECK (kind BETWEEN 1 AND 12)')
WHERE type = 'table' AND name = 'transfer';
UPDATE sqlite_schema
SET sql = replace(
    sql, 'CHECK (wallet + held + revenue + funding + adjustments = 0)',
    'CHECK (wallet + held + revenue + funding + adjustments + promotions = 0)'
)
WHERE type = 'table' AND name = 'account';
UPDATE sqlite_schema
SET sql = replace(sql, 'CHECK (wallet + credit_limit >= 0)', 'CHECK (wallet - given + credit_limit >= 0)')
WHERE type = 'table' AND name = 'account';
UPDATE sqlite_schema
SET sql = replace(
    replace(sql, 'CHECK (kind IN (1, 4, 9, 10, 101))', 'CHECK (kind IN (1, 4, 9, 10, 11, 101))'),
    'CHECK (kind = 101 OR (state = 2)', 'CHECK (kind IN (11, 101) OR (state = 2)'
)
WHERE type = 'table' AND name = 'approval';
-- Kind 3 of an alert tells that the credit of a grant ends soon; it names the transfer that brought the grant.
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (kind IN (1, 2))', 'CHECK (kind IN (1, 2, 3))')
WHERE type = 'table' AND name = 'alert';
PRAGMA writable_schema = RESET;
ALTER TABLE approval ADD COLUMN terms TEXT CHECK (length(terms) > 0);

-- Credit that was not paid for, a grant a row. State 1 waits to start, 2 is open, 3 has ended. What is left of it counts
-- towards the wallet; what holds took is not in it.
CREATE TABLE credit_grant (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    number INTEGER NOT NULL CHECK (number > 0),
    amount INTEGER NOT NULL CHECK (amount > 0),
    remaining INTEGER NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    starts_at INTEGER NOT NULL,
    expires_at INTEGER,
    ended_at INTEGER,
    transfer_seq INTEGER CHECK (transfer_seq > 0),
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 100),
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 8),
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) > 0),
    reference TEXT NOT NULL,
    reason TEXT NOT NULL,
    types TEXT CHECK (length(types) > 0),
    -- Columns of their own, so that spending changes none that an index has as long as something is left.
    is_spendable INTEGER GENERATED ALWAYS AS (CASE WHEN state = 2 AND remaining > 0 THEN 1 ELSE 0 END) VIRTUAL,
    due_at INTEGER GENERATED ALWAYS AS (CASE state WHEN 1 THEN starts_at WHEN 2 THEN expires_at END) VIRTUAL,
    PRIMARY KEY (merchant_id, number),
    UNIQUE (merchant_id, idempotency_key),
    CHECK (starts_at < expires_at),
    CHECK (state = 2 OR remaining = 0),
    CHECK (state <> 1 OR transfer_seq IS NULL),
    CHECK (state <> 2 OR transfer_seq IS NOT NULL),
    CHECK ((state = 3) = (ended_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- The order in which a merchant's grants are spent, without those that are used up.
CREATE INDEX credit_grant_order
ON credit_grant (merchant_id, priority, (coalesce(expires_at, 9223372036854775807)), number) WHERE is_spendable = 1;

-- What starts or ends next, of one merchant and of all.
CREATE INDEX credit_grant_next ON credit_grant (merchant_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX credit_grant_due ON credit_grant (due_at) WHERE due_at IS NOT NULL;

-- The transfers that grants became, for the burn between two moments.
CREATE INDEX credit_grant_transfer ON credit_grant (merchant_id, transfer_seq) WHERE transfer_seq IS NOT NULL;

-- A merchant's holds that are open, the soonest end first, however many it ever had.
CREATE INDEX hold_open ON hold (merchant_id, expires_at, seq) WHERE state = 1;

-- A day and a month may begin at the same time, so counts go by the unit of their period, too. What was counted before was
-- counted over the unit that the type's prices have, or, if they have both, over what is a month as likely as not. A count
-- may be below zero for as long as a capture is refunded and the charge above its hold, which took units off, is not.
CREATE TABLE new_period_count (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    request_type TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    period_unit TEXT NOT NULL CHECK (period_unit IN ('day', 'month')),
    line TEXT NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, request_type, starts_at, period_unit, line)
) STRICT, WITHOUT ROWID;

INSERT INTO new_period_count (merchant_id, request_type, starts_at, period_unit, line, units)
SELECT merchant_id, request_type, starts_at, coalesce((
    SELECT CASE WHEN min(unit) = max(unit) THEN min(unit) END FROM (
        SELECT json_extract(p.rule, '$.period.unit') AS unit FROM default_price p
        WHERE p.request_type = period_count.request_type AND p.withdrawn_at IS NULL
        UNION ALL
        SELECT json_extract(p.rule, '$.period.unit') FROM merchant_price p
        WHERE p.merchant_id = period_count.merchant_id AND p.request_type = period_count.request_type
            AND p.withdrawn_at IS NULL
    ) version
), 'month'), line, units
FROM period_count;

DROP TABLE period_count;
ALTER TABLE new_period_count RENAME TO period_count;

-- A grant's end is told of once.
CREATE UNIQUE INDEX alert_of_grant ON alert (merchant_id, transfer_seq) WHERE kind = 3;
