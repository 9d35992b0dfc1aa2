-- Reports: who wants them, which are due, what each mail tells of, and the sums over all merchants that staff read.

-- put_report_choice: write who wants which report, and when the next one falls due
INSERT INTO report_choice ({report_choice.stored}) VALUES ({report_choice.values})
ON CONFLICT (login_id, merchant_id, kind) DO UPDATE SET {report_choice.excluded};

-- remove_report_choice: write that somebody wants a report no more
DELETE FROM report_choice WHERE login_id = $1 AND merchant_id = $2 AND kind = $3;

-- remove_report_choices: write that a mailbox's user wants no report of a merchant any more
DELETE FROM report_choice WHERE merchant_id = $1 AND login_id = (
    SELECT login_id FROM login WHERE realm = {Realm.MERCHANT} AND mailbox = $2
);

-- report_choices: list which reports of a merchant somebody wants
SELECT {report_choice} FROM report_choice WHERE login_id = $1 AND merchant_id = $2 ORDER BY kind;

-- due_report_choices: list whose reports are due, the longest due first
SELECT {report_choice} FROM report_choice WHERE due_at <= $1 ORDER BY due_at, login_id, merchant_id, kind LIMIT $2;

-- advance_report_choice: go on to a reader's next report, unless another process did
UPDATE report_choice SET starts_on = $5, due_at = $6
WHERE login_id = $1 AND merchant_id = $2 AND kind = $3 AND starts_on = $4 RETURNING login_id;

-- report_of_period: tell whether a report was owed
SELECT letter_id FROM report WHERE login_id = $1 AND merchant_id = $2 AND kind = $3 AND starts_on = $4;

-- insert_report: write what a mail tells of
INSERT INTO report ({report.stored}) VALUES ({report.values});

-- report: read what a mail tells of
SELECT {report} FROM report WHERE letter_id = $1;

-- spent_by_merchants: sum up what merchants spent, less refunds, in the quarters from $3 and in those from $4 to $5; those
-- behind $1 in order, also those that spent nothing
WITH s AS MATERIALIZED (
    SELECT a.merchant_id, a.currency, coalesce(m.seq, 0) AS seq
    FROM account a LEFT JOIN usage_mark m ON m.merchant_id = a.merchant_id
    WHERE a.merchant_id > $1 ORDER BY a.merchant_id LIMIT $2
)
SELECT merchant_id, currency, CAST(sum(CASE WHEN quarter < $4 THEN spent ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN quarter >= $4 THEN spent ELSE 0 END) AS BIGINT)
FROM (
    SELECT merchant_id, currency, CAST($3 AS BIGINT) AS quarter, 0 AS spent FROM s
    UNION ALL
    SELECT s.merchant_id, s.currency, u.quarter, u.cost - u.refunded
    FROM s CROSS JOIN usage_quarter u
    WHERE u.merchant_id = s.merchant_id AND u.quarter BETWEEN $3 AND $5
    UNION ALL
    SELECT s.merchant_id, s.currency, t.committed_at / 900000000,
        CASE WHEN t.kind = {Kind.REFUND} THEN -t.amount ELSE t.amount END
    FROM s {not rolled up}
    WHERE t.kind IN ({Kind.CHARGE}, {Kind.REFUND}, {Kind.CAPTURE}) AND t.committed_at / 900000000 BETWEEN $3 AND $5
) used
GROUP BY merchant_id, currency ORDER BY merchant_id;

-- refusals_of_merchants: count what was refused of merchants, by merchant and reason
SELECT merchant_id, reason, CAST(sum(requests) AS BIGINT) FROM refusal
WHERE merchant_id {in $1} AND quarter BETWEEN $2 AND $3
GROUP BY merchant_id, reason ORDER BY merchant_id, reason;

-- uncollected_between: sum up what was left uncollected from $1 until ahead of $2, by currency, of requests and of
-- top-ups that were taken back
SELECT a.currency, CASE WHEN f.top_up_seq IS NULL THEN 0 ELSE 1 END, count(*),
    CAST(sum(f.amount / 1000000000) AS BIGINT), CAST(sum(f.amount % 1000000000) AS BIGINT)
FROM shortfall f JOIN account a ON a.merchant_id = f.merchant_id
WHERE f.at >= $1 AND f.at < $2
GROUP BY 1, 2 ORDER BY 1, 2;

-- failed_deliveries: tell what was given up of what was owed from $1 until ahead of $2, by channel and merchant; account
-- mails are channel 0
SELECT d.channel, d.merchant_id, count(*), coalesce(max(d.last_error), '')
FROM delivery d JOIN alert a ON a.merchant_id = d.merchant_id AND a.number = d.alert_number
WHERE d.state = {DeliveryState.GIVEN_UP} AND a.fired_at >= $1 AND a.fired_at < $2
GROUP BY d.channel, d.merchant_id
UNION ALL
SELECT 0, coalesce(merchant_id, 0), count(*), coalesce(max(last_error), '') FROM letter
WHERE state = {DeliveryState.GIVEN_UP} AND created_at >= $1 AND created_at < $2
GROUP BY coalesce(merchant_id, 0) ORDER BY 1, 2;
