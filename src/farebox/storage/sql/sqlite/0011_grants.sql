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

-- What a grant of credit that is requested is to be.
ALTER TABLE approval ADD COLUMN terms TEXT;

-- Two more kinds of transfers, and a sixth account. The rows stay as they are, so that a book of any size is not written
-- anew: SQLite's own way for constraints that are loosened is to change the text of the table.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (kind BETWEEN 1 AND 10)', 'CHECK (kind BETWEEN 1 AND 12)')
WHERE type = 'table' AND name = 'transfer';
UPDATE sqlite_schema
SET sql = replace(
    sql, 'CHECK (wallet + held + revenue + funding + adjustments = 0)',
    'CHECK (wallet + held + revenue + funding + adjustments + promotions = 0)'
)
WHERE type = 'table' AND name = 'account';
PRAGMA writable_schema = RESET;
