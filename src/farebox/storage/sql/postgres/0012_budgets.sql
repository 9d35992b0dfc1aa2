-- Names of merchants' API keys, their budgets, and usage by key. Applied before the new program is started.

ALTER TABLE merchant_key ADD COLUMN name TEXT CHECK (length(name) BETWEEN 1 AND 200);

-- The budget that a key spends from, which has the number of the first key that it was for; its successors share it.
ALTER TABLE merchant_key ADD COLUMN budget_id BIGINT;

-- A budget's limits: 1 is of a day, 2 of a week, 3 of a month, 4 in all. Of each, what was spent of the period that began
-- at starts_at, the last one in which anything was.
CREATE TABLE key_budget (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    budget_id BIGINT NOT NULL,
    unit SMALLINT NOT NULL CHECK (unit BETWEEN 1 AND 4),
    amount BIGINT NOT NULL CHECK (amount >= 0),
    zone TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    spent BIGINT NOT NULL CHECK (spent >= 0),
    PRIMARY KEY (merchant_id, budget_id, unit)
);

-- What the requests that named a key came to, by quarters of an hour. A quarter's spent is what its charges and holds
-- took, less what went back of them, whenever it did.
CREATE TABLE usage_key (
    merchant_id BIGINT NOT NULL,
    quarter BIGINT NOT NULL,
    key_id BIGINT NOT NULL,
    request_type TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, quarter, key_id, request_type)
);

-- Up to which transfer a book is rolled up by key: apart from usage_mark, as programs that still run while a database is
-- brought up to date roll usage up, and know nothing of keys. No transfer of before names one.
CREATE TABLE usage_key_mark (
    merchant_id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL
);

INSERT INTO usage_key_mark (merchant_id, seq)
SELECT a.merchant_id, a.seq FROM account a JOIN usage_mark m ON m.merchant_id = a.merchant_id;
