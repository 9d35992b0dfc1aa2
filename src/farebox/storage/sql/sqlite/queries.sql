-- balance: read the available balance behind one merchant's API key
SELECT k.digest, a.wallet
FROM merchant_key k JOIN account a ON a.merchant_id = k.merchant_id
WHERE k.merchant_id = ?1 AND k.digest = ?2
    AND (k.expires_at IS NULL OR k.expires_at > ?3) AND (k.revoked_at IS NULL OR k.revoked_at > ?3);

-- load_account: read one account
SELECT {account} FROM account WHERE merchant_id = ?1;

-- load_merchant_key: read one merchant's API key by its digest
SELECT digest, key_id, 1, merchant_id, expires_at, revoked_at FROM merchant_key WHERE merchant_id = ?1 AND digest = ?2;

-- load_staff_key: read a service's or support's API key by its digest
SELECT digest, key_id, kind, NULL, expires_at, revoked_at, name FROM staff_key WHERE digest = ?1;

-- load_default_price: read the default price of a type in force at a time
SELECT price_id, request_type, unit_price, starts_at FROM default_price
WHERE request_type = ?1 AND starts_at <= ?2
ORDER BY starts_at DESC, price_id DESC LIMIT 1;

-- load_merchant_price: read a merchant's own price of a type in force at a time
SELECT price_id, request_type, unit_price, starts_at, merchant_id FROM merchant_price
WHERE merchant_id = ?1 AND request_type = ?2 AND starts_at <= ?3
ORDER BY starts_at DESC, price_id DESC LIMIT 1;

-- load_replay: read the transfer that an idempotency key stands for
SELECT {transfer} FROM transfer WHERE merchant_id = ?1 AND idempotency_key = ?2;

-- load_transfer: read one transfer by its seq
SELECT {transfer} FROM transfer WHERE merchant_id = ?1 AND seq = ?2;

-- load_hold: read one hold by its seq
SELECT {hold} FROM hold WHERE merchant_id = ?1 AND seq = ?2;

-- load_original: read one transfer, and the sum that refunds and reversals gave back of it
SELECT {transfer}, (
    SELECT coalesce(sum(r.amount), 0) FROM transfer r WHERE r.merchant_id = ?1 AND r.refers_to = ?2 AND r.kind IN (2, 4)
)
FROM transfer WHERE merchant_id = ?1 AND seq = ?2;

-- insert_transfer: append one transfer
INSERT INTO transfer ({transfer}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- update_account: write an account's new balances and rules
UPDATE account SET currency = ?2, wallet = ?3, held = ?4, revenue = ?5, funding = ?6, adjustments = ?7,
    credit_limit = ?8, is_frozen = ?9, seq = ?10, last_hash = ?11, last_at = ?12, alerts_count = ?13, thresholds = ?14
WHERE merchant_id = ?1;

-- insert_hold: add a hold
INSERT INTO hold ({hold}) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- update_hold: end a hold
UPDATE hold SET amount = ?3, expires_at = ?4, state = ?5, captured = ?6, quantity = ?7, request_type = ?8
WHERE merchant_id = ?1 AND seq = ?2;

-- insert_alert: record an alert
INSERT INTO alert (merchant_id, number, threshold, posted, fired_at, transfer_seq) VALUES (?, ?, ?, ?, ?, ?);

-- insert_mails: owe a mail about an alert to each registered user
INSERT INTO outbox (merchant_id, alert_number, user_id, email, state, attempts, next_attempt_at)
SELECT merchant_id, ?2, user_id, email, 1, 0, ?3 FROM merchant_user WHERE merchant_id = ?1;

-- transfers_newest_first: read a stretch of a book, newest first
SELECT {transfer} FROM transfer WHERE merchant_id = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC LIMIT ?4;

-- find_transfers: read the wanted transfers of a stretch of a book, newest first; ?4 is a set of kinds as bits
SELECT {transfer} FROM transfer WHERE merchant_id = ?1 AND seq BETWEEN ?2 AND ?3
    AND ((1 << kind) & ?4) != 0 AND (?5 IS NULL OR request_type = ?5) AND (?6 IS NULL OR reference = ?6)
ORDER BY seq DESC;

-- transfers_oldest_first: read a stretch of a book, oldest first
SELECT {transfer} FROM transfer WHERE merchant_id = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT ?4;

-- funding_after: read a book's top-ups, reversals and adjustments from a seq on
SELECT {transfer} FROM transfer WHERE merchant_id = ?1 AND seq >= ?2 AND kind IN (1, 2, 9, 10) ORDER BY seq;

-- due_holds: list open holds whose time is over
SELECT {hold} FROM hold WHERE state = 1 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2;

-- merchant: read a merchant's name
SELECT merchant_id, name, created_at FROM merchant WHERE merchant_id = ?1;

-- merchants: list merchants with their accounts
SELECT m.merchant_id, m.name, m.created_at, {account_a}
FROM merchant m JOIN account a ON a.merchant_id = m.merchant_id
WHERE m.merchant_id > ?1 ORDER BY m.merchant_id LIMIT ?2;

-- merchant_ids: list every merchant
SELECT merchant_id FROM merchant ORDER BY merchant_id;

-- insert_merchant: add a merchant
INSERT INTO merchant (merchant_id, name, created_at) VALUES (?, ?, ?);

-- insert_account: add a merchant's account
INSERT INTO account ({account}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- rename_merchant: change a merchant's name
UPDATE merchant SET name = ?2 WHERE merchant_id = ?1;

-- insert_user: register a person on a merchant's account
INSERT INTO merchant_user (merchant_id, user_id, email, created_at, role) VALUES (?, ?, ?, ?, ?);

-- users: list the people registered on a merchant's account
SELECT merchant_id, user_id, email, created_at, role FROM merchant_user WHERE merchant_id = ?1 ORDER BY user_id;

-- insert_merchant_key: add a merchant's API key
INSERT INTO merchant_key (merchant_id, digest, key_id, hint, created_at, expires_at, revoked_at)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- insert_staff_key: add a service's or support's API key
INSERT INTO staff_key (digest, key_id, kind, name, hint, created_at, expires_at, revoked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- merchant_keys: list a merchant's API keys
SELECT key_id, 1, digest, hint, created_at, merchant_id, NULL, expires_at, revoked_at, used_at
FROM merchant_key WHERE merchant_id = ?1 ORDER BY key_id;

-- staff_keys: list the services' and support's API keys
SELECT key_id, kind, digest, hint, created_at, NULL, name, expires_at, revoked_at, used_at FROM staff_key ORDER BY key_id;

-- key: find an API key of any kind by its id
SELECT key_id, 1, digest, hint, created_at, merchant_id, NULL, expires_at, revoked_at, used_at
FROM merchant_key WHERE key_id = ?1
UNION ALL
SELECT key_id, kind, digest, hint, created_at, NULL, name, expires_at, revoked_at, used_at
FROM staff_key WHERE key_id = ?1;

-- revoke_merchant_key: close a merchant's API key
UPDATE merchant_key SET revoked_at = min(coalesce(revoked_at, ?2), ?2) WHERE key_id = ?1;

-- revoke_staff_key: close a service's or support's API key
UPDATE staff_key SET revoked_at = min(coalesce(revoked_at, ?2), ?2) WHERE key_id = ?1;

-- expire_merchant_key: let a merchant's API key end at a time, or earlier if it already was to
UPDATE merchant_key SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE key_id = ?1;

-- expire_staff_key: let a service's or support's API key end at a time, or earlier if it already was to
UPDATE staff_key SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE key_id = ?1;

-- insert_default_price: add a version of a default price
INSERT INTO default_price (price_id, request_type, unit_price, starts_at, created_at) VALUES (?, ?, ?, ?, ?);

-- insert_merchant_price: add a version of a merchant's own price
INSERT INTO merchant_price (price_id, request_type, unit_price, starts_at, created_at, merchant_id)
VALUES (?, ?, ?, ?, ?, ?);

-- default_prices: list every version of the default prices
SELECT price_id, request_type, unit_price, starts_at FROM default_price ORDER BY request_type, starts_at, price_id;

-- merchant_prices: list every version of a merchant's own prices
SELECT price_id, request_type, unit_price, starts_at, merchant_id FROM merchant_price
WHERE merchant_id = ?1 ORDER BY request_type, starts_at, price_id;

-- alerts: list a merchant's alerts, newest first
SELECT merchant_id, number, threshold, posted, fired_at, transfer_seq FROM alert
WHERE merchant_id = ?1 ORDER BY number DESC LIMIT ?2;

-- claim_mails: take mails that are due and lease them
UPDATE outbox SET attempts = attempts + 1, next_attempt_at = ?2
WHERE (merchant_id, alert_number, user_id) IN (
    SELECT merchant_id, alert_number, user_id FROM outbox
    WHERE state = 1 AND next_attempt_at <= ?1 ORDER BY next_attempt_at LIMIT ?3
)
RETURNING merchant_id, alert_number, user_id;

-- mail: read one mail of the outbox with its alert
SELECT {mail} FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = ?1 AND o.alert_number = ?2 AND o.user_id = ?3;

-- settle_mail: write what became of a mail
UPDATE outbox SET state = ?4, next_attempt_at = ?5, sent_at = ?6, last_error = ?7
WHERE merchant_id = ?1 AND alert_number = ?2 AND user_id = ?3;

-- all_mails: list the outbox, newest first
SELECT {mail} FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
ORDER BY a.fired_at DESC, o.merchant_id, o.alert_number DESC, o.user_id LIMIT ?1;

-- merchant_mails: list the outbox of one merchant, newest first
SELECT {mail} FROM outbox o JOIN alert a ON a.merchant_id = o.merchant_id AND a.number = o.alert_number
WHERE o.merchant_id = ?2 ORDER BY o.alert_number DESC, o.user_id LIMIT ?1;

-- retry_mails: make every mail that is not sent due
UPDATE outbox SET state = 1, next_attempt_at = ?1 WHERE state IN (1, 3);

-- next_mail_at: tell when the next mail falls due
SELECT min(next_attempt_at) FROM outbox WHERE state = 1;

-- holds: list all of a merchant's holds
SELECT {hold} FROM hold WHERE merchant_id = ?1 ORDER BY seq;

-- insert_audit_entry: write an entry of the audit log, once
INSERT INTO audit_log ({audit_entry}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING;

-- all_audit: list the audit log, newest first
SELECT {audit_entry} FROM audit_log WHERE (at, entry_id) < (?1, ?2) ORDER BY at DESC, entry_id DESC LIMIT ?3;

-- merchant_audit: list one merchant's part of the audit log, newest first
SELECT {audit_entry} FROM audit_log WHERE merchant_id = ?1 AND (at, entry_id) < (?2, ?3)
ORDER BY at DESC, entry_id DESC LIMIT ?4;

-- approval: read one request for approval
SELECT {approval} FROM approval WHERE merchant_id = ?1 AND number = ?2;

-- approval_of_key: read the request for approval that stands under an idempotency key
SELECT {approval} FROM approval WHERE merchant_id = ?1 AND idempotency_key = ?2;

-- all_approvals: list requests for approval, newest first
SELECT {approval} FROM approval WHERE number < ?1 ORDER BY number DESC LIMIT ?2;

-- merchant_approvals: list one merchant's requests for approval, newest first
SELECT {approval} FROM approval WHERE merchant_id = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3;

-- insert_approval: write a request for approval down
INSERT INTO approval ({approval}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14);

-- close_approval: write down what became of a request
UPDATE approval SET state = ?1, decided_by = ?2, decided_at = ?3, transfer_seq = ?4
WHERE merchant_id = ?5 AND number = ?6;

-- books_to_roll_up: list merchants whose books have many transfers not summed up yet
SELECT a.merchant_id FROM account a LEFT JOIN usage_mark m ON m.merchant_id = a.merchant_id
WHERE a.merchant_id > ?1 AND a.seq - coalesce(m.seq, 0) >= ?2 ORDER BY a.merchant_id LIMIT ?3;

-- rolled_up_seq: tell up to which transfer a book was summed up
SELECT seq FROM usage_mark WHERE merchant_id = ?1;

-- set_rolled_up_seq: write up to which transfer a book was summed up
INSERT INTO usage_mark (merchant_id, seq) VALUES (?1, ?2) ON CONFLICT (merchant_id) DO UPDATE SET seq = excluded.seq;

-- roll_up_usage: sum a stretch of a book up into its usage; what a charge and a capture take, and a refund gives back
INSERT INTO usage_quarter (merchant_id, quarter, request_type, requests, cost, refunded)
SELECT merchant_id, committed_at / 900000000, request_type, sum(CASE WHEN kind = 4 THEN 0 ELSE quantity END),
    sum(CASE WHEN kind = 4 THEN 0 ELSE amount END), sum(CASE WHEN kind = 4 THEN amount ELSE 0 END)
FROM transfer WHERE merchant_id = ?1 AND seq BETWEEN ?2 AND ?3 AND kind IN (3, 4, 6)
GROUP BY 1, 2, 3
ON CONFLICT (merchant_id, quarter, request_type) DO UPDATE SET
    requests = requests + excluded.requests, cost = cost + excluded.cost, refunded = refunded + excluded.refunded;

-- usage: sum up what is summed up and what is not yet, into buckets of ?5 quarters
SELECT (quarter + ?4) / ?5, request_type, sum(requests), sum(cost), sum(refunded)
FROM (
    SELECT quarter, request_type, requests, cost, refunded FROM usage_quarter
    WHERE merchant_id = ?1 AND quarter BETWEEN ?2 AND ?3
    UNION ALL
    SELECT committed_at / 900000000 AS quarter, request_type, CASE WHEN kind = 4 THEN 0 ELSE quantity END,
        CASE WHEN kind = 4 THEN 0 ELSE amount END, CASE WHEN kind = 4 THEN amount ELSE 0 END
    FROM transfer
    WHERE merchant_id = ?1 AND seq > coalesce((SELECT seq FROM usage_mark WHERE merchant_id = ?1), 0)
        AND kind IN (3, 4, 6) AND committed_at / 900000000 BETWEEN ?2 AND ?3
)
GROUP BY 1, 2 ORDER BY 1, 2;
