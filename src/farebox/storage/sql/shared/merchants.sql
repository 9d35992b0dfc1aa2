-- Merchants and their accounts.

-- merchant: read a merchant's name
SELECT {merchant} FROM merchant WHERE merchant_id = $1;

-- merchant_names: read several merchants' names
SELECT merchant_id, name FROM merchant WHERE merchant_id {in $1};

-- merchants: list merchants with their accounts, in order of id; the closed ones ($3 = 1), the others (0) or both (-1),
-- with a tag, if $4 is a pattern for it
SELECT {merchant of m}, {account of a}
FROM merchant m JOIN account a ON a.merchant_id = m.merchant_id
WHERE m.merchant_id > $1 AND a.merchant_id > $1
    AND ($3 < 0 OR CASE WHEN a.closed_at IS NULL THEN 0 ELSE 1 END = $3) AND ($4 = '' OR m.tags LIKE $4 ESCAPE '!')
ORDER BY m.merchant_id LIMIT $2;

-- merchant_currencies: read the currencies of several merchants
SELECT merchant_id, currency FROM account WHERE merchant_id {in $1};

-- insert_merchant: add a merchant
INSERT INTO merchant ({merchant.stored}) VALUES ({merchant.values});

-- rename_merchant: change a merchant's name
UPDATE merchant SET name = $2 WHERE merchant_id = $1 RETURNING merchant_id;

-- set_tags: change a merchant's tags
UPDATE merchant SET tags = $2 WHERE merchant_id = $1 RETURNING merchant_id;

-- insert_note: note something about a merchant
INSERT INTO merchant_note ({merchant_note.stored}) VALUES ({merchant_note.values});

-- merchant_notes: list what was noted about a merchant, newest first, from before one
SELECT {merchant_note} FROM merchant_note WHERE merchant_id = $1 AND note_id < $2 ORDER BY note_id DESC LIMIT $3;

-- merchants_by_runs_out: list merchants by how long what they can spend now lasts at their last burn, shortest first
SELECT o.merchant_id FROM outlook o JOIN account a ON a.merchant_id = o.merchant_id
WHERE o.burn_per_day > 0 AND a.closed_at IS NULL
ORDER BY CASE
    WHEN a.wallet + a.credit_limit <= 0 THEN 0
    -- Of given credit that ends, the forecast knows what can be counted on.
    WHEN a.given > 0 AND CAST(o.runs_out_at - o.computed_at AS DOUBLE PRECISION) / 86400000000
        < CAST(a.wallet + a.credit_limit AS DOUBLE PRECISION) / o.burn_per_day
    THEN CAST(o.runs_out_at - o.computed_at AS DOUBLE PRECISION) / 86400000000
    ELSE CAST(a.wallet + a.credit_limit AS DOUBLE PRECISION) / o.burn_per_day
END, o.merchant_id
LIMIT $1 OFFSET $2;

-- merchants_by_available: list merchants by balance, lowest first
SELECT o.merchant_id FROM outlook o
WHERE (SELECT a.closed_at FROM account a WHERE a.merchant_id = o.merchant_id) IS NULL
ORDER BY o.available, o.merchant_id LIMIT $1 OFFSET $2;

-- merchants_by_last: list merchants by their last transfer, newest first
SELECT o.merchant_id FROM outlook o
WHERE (SELECT a.closed_at FROM account a WHERE a.merchant_id = o.merchant_id) IS NULL
ORDER BY o.last_at DESC, o.merchant_id DESC LIMIT $1 OFFSET $2;

-- merchants_by_age: list merchants, newest first
SELECT m.merchant_id FROM merchant m
WHERE (SELECT a.closed_at FROM account a WHERE a.merchant_id = m.merchant_id) IS NULL
ORDER BY m.merchant_id DESC LIMIT $1 OFFSET $2;

-- merchants_by_closing: list merchants that are closed, the last closed first
SELECT merchant_id FROM account WHERE closed_at IS NOT NULL
ORDER BY closed_at DESC, merchant_id DESC LIMIT $1 OFFSET $2;

-- merchants_with_tag: list merchants that have a tag, newest first
SELECT merchant_id FROM merchant WHERE tags LIKE $1 ESCAPE '!' ORDER BY merchant_id DESC LIMIT $2 OFFSET $3;

-- search_merchants: list merchants whose name, or a user of whom, holds a text in lower case; newest first
SELECT merchant_id FROM merchant m
WHERE lower(m.name) LIKE $1 ESCAPE '!' OR m.merchant_id IN (
    SELECT u.merchant_id FROM merchant_user u WHERE lower(u.email) LIKE $1 ESCAPE '!'
)
ORDER BY m.merchant_id DESC LIMIT $2 OFFSET $3;

-- account: read one account
SELECT {account} FROM account WHERE merchant_id = $1;

-- accounts_of: read merchants' accounts
SELECT {account} FROM account WHERE merchant_id {in $1};

-- lock_account: read one account, so that no batch changes it meanwhile
UPDATE account SET seq = seq WHERE merchant_id = $1 RETURNING {account};

-- set_alerts_count: write how many alerts a merchant has had
UPDATE account SET alerts_count = $2 WHERE merchant_id = $1;

-- insert_account: add a merchant's account
INSERT INTO account ({account.stored}) VALUES ({account.values});

-- counts: count merchants that are not closed and those that are, transfers, and mails and account mails that wait
SELECT count(*) - count(closed_at), count(closed_at), coalesce(CAST(sum(seq) AS BIGINT), 0),
    (SELECT count(*) FROM delivery WHERE channel = {Channel.EMAIL} AND state = {DeliveryState.WAITING}),
    (SELECT count(*) FROM letter WHERE state = {DeliveryState.WAITING})
FROM account;
