-- Merchants and their accounts.

-- merchant: read a merchant's name
SELECT {merchant} FROM merchant WHERE merchant_id = $1;

-- merchant_names: read several merchants' names
SELECT merchant_id, name FROM merchant WHERE merchant_id {in $1};

-- merchants: list merchants with their accounts, in order of id
SELECT {merchant of m}, {account of a}
FROM merchant m JOIN account a ON a.merchant_id = m.merchant_id
WHERE m.merchant_id > $1 AND a.merchant_id > $1 ORDER BY m.merchant_id LIMIT $2;

-- insert_merchant: add a merchant
INSERT INTO merchant ({merchant.stored}) VALUES ({merchant.values});

-- rename_merchant: change a merchant's name
UPDATE merchant SET name = $2 WHERE merchant_id = $1 RETURNING merchant_id;

-- merchants_by_runs_out: list merchants by how long what they can spend now lasts at their last burn, shortest first
SELECT o.merchant_id FROM outlook o JOIN account a ON a.merchant_id = o.merchant_id
WHERE o.burn_per_day > 0
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
SELECT merchant_id FROM outlook ORDER BY available, merchant_id LIMIT $1 OFFSET $2;

-- merchants_by_last: list merchants by their last transfer, newest first
SELECT merchant_id FROM outlook ORDER BY last_at DESC, merchant_id DESC LIMIT $1 OFFSET $2;

-- merchants_by_age: list merchants, newest first
SELECT merchant_id FROM merchant ORDER BY merchant_id DESC LIMIT $1 OFFSET $2;

-- search_merchants: list merchants whose name, or a user of whom, holds a text in lower case; newest first
SELECT merchant_id FROM merchant m
WHERE lower(m.name) LIKE $1 ESCAPE '!' OR m.merchant_id IN (
    SELECT u.merchant_id FROM merchant_user u WHERE lower(u.email) LIKE $1 ESCAPE '!'
)
ORDER BY m.merchant_id DESC LIMIT $2 OFFSET $3;

-- account: read one account
SELECT {account} FROM account WHERE merchant_id = $1;

-- lock_account: read one account, so that no batch changes it meanwhile
UPDATE account SET seq = seq WHERE merchant_id = $1 RETURNING {account};

-- set_alerts_count: write how many alerts a merchant has had
UPDATE account SET alerts_count = $2 WHERE merchant_id = $1;

-- insert_account: add a merchant's account
INSERT INTO account ({account.stored}) VALUES ({account.values});

-- counts: count merchants, transfers, and mails and account mails that wait
SELECT count(*), coalesce(CAST(sum(seq) AS BIGINT), 0),
    (SELECT count(*) FROM outbox WHERE state = {MailState.WAITING}),
    (SELECT count(*) FROM letter WHERE state = {MailState.WAITING})
FROM account;
