-- Figures of the whole ledger for monitoring. Each reads a bounded number of rows, by an index that has those alone.

-- oldest_event: tell when the oldest event was that waits for a channel, of so many due first and as many due last
-- Those that were tried most often are due last, and those that nobody tries are due first.
SELECT min((SELECT a.fired_at FROM alert a WHERE a.merchant_id = w.merchant_id AND a.number = w.alert_number)) AS fired_at
FROM (
    SELECT f.merchant_id, f.alert_number FROM (
        SELECT merchant_id, alert_number FROM delivery
        WHERE channel = $1 AND state = {DeliveryState.WAITING} ORDER BY next_attempt_at LIMIT $2
    ) f
    UNION ALL
    SELECT l.merchant_id, l.alert_number FROM (
        SELECT merchant_id, alert_number FROM delivery
        WHERE channel = $1 AND state = {DeliveryState.WAITING} ORDER BY next_attempt_at DESC LIMIT $2
    ) l
) w;

-- waiting_events: count the deliveries that wait for a channel, up to so many
SELECT count(*) FROM (
    SELECT 1 AS one FROM delivery WHERE channel = $1 AND state = {DeliveryState.WAITING}
    ORDER BY next_attempt_at LIMIT $2
) w;

-- oldest_account_mail: tell when the oldest account mail was owed that waits, of so many due first and as many due last
SELECT min(w.created_at) FROM (
    SELECT f.created_at FROM (
        SELECT created_at FROM letter WHERE state = {DeliveryState.WAITING} ORDER BY next_attempt_at LIMIT $1
    ) f
    UNION ALL
    SELECT l.created_at FROM (
        SELECT created_at FROM letter WHERE state = {DeliveryState.WAITING} ORDER BY next_attempt_at DESC LIMIT $1
    ) l
) w;

-- waiting_account_mails: count the account mails that wait, up to so many
SELECT count(*) FROM (
    SELECT 1 AS one FROM letter WHERE state = {DeliveryState.WAITING} ORDER BY next_attempt_at LIMIT $1
) w;

-- open_holds_figures: count the open holds, up to so many, and tell when the first of them ends
SELECT count(*), min(h.expires_at) FROM (
    SELECT expires_at FROM hold WHERE state = {HoldState.HELD} ORDER BY expires_at LIMIT $1
) h;

-- oldest_hold: tell when the oldest open hold was made, of so many that end first and as many that end last
SELECT min((
    SELECT t.committed_at FROM transfer t
    WHERE t.merchant_id = h.merchant_id AND t.seq BETWEEN h.seq AND h.seq ORDER BY t.seq LIMIT 1
)) AS committed_at
FROM (
    SELECT f.merchant_id, f.seq FROM (
        SELECT merchant_id, seq FROM hold WHERE state = {HoldState.HELD} ORDER BY expires_at LIMIT $1
    ) f
    UNION ALL
    SELECT l.merchant_id, l.seq FROM (
        SELECT merchant_id, seq FROM hold WHERE state = {HoldState.HELD} ORDER BY expires_at DESC LIMIT $1
    ) l
) h;

-- last_verification: read when the last verification ended, and how many problems it found
SELECT finished_at, problems FROM verification
WHERE finished_at IS NOT NULL ORDER BY verification_id DESC LIMIT 1;

-- accounts_after: list what tells whether accounts are at risk, of those after one, in order
SELECT merchant_id, wallet, held, credit_limit, seq, closed_at, thresholds FROM account
WHERE merchant_id > $1 ORDER BY merchant_id LIMIT $2;
