-- Thresholds in days left, what merchants spend at most, and keys that are suspended. Applied before the new program is
-- started.

-- The days left to be warned below, ascending, with commas between them; empty without any.
ALTER TABLE merchant ADD COLUMN runway_thresholds TEXT NOT NULL DEFAULT '';

-- Since when a key is suspended: it opens nothing until it is resumed.
ALTER TABLE merchant_key ADD COLUMN suspended_at BIGINT;

-- A threshold in days left that the money is near: since when it was seen so, and the alert that told of it, with the
-- book's last transfer then. One that the money is not near has no row.
CREATE TABLE runway_episode (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    days BIGINT NOT NULL CHECK (days BETWEEN 1 AND 90),
    near_since BIGINT NOT NULL,
    alert_number BIGINT CHECK (alert_number > 0),
    told_seq BIGINT CHECK (told_seq >= 0),
    PRIMARY KEY (merchant_id, days),
    CHECK ((alert_number IS NULL) = (told_seq IS NULL))
);

-- What a merchant spent in the five minutes of a day (UTC, since 1970) in which it spent most.
CREATE TABLE spending_peak (
    merchant_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    PRIMARY KEY (merchant_id, day)
);

-- The last time that a merchant spent far more than is usual for it: the alert that told of it, the key that spent most,
-- and when it was last seen.
CREATE TABLE unusual_spending (
    merchant_id BIGINT PRIMARY KEY,
    alert_number BIGINT NOT NULL CHECK (alert_number > 0),
    key_id BIGINT,
    began_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL CHECK (seen_at >= began_at)
);

CREATE INDEX unusual_spending_seen ON unusual_spending (seen_at);
-- What is rolled up tells of a quarter of an hour, which is more than any five minutes of it.
INSERT INTO spending_peak (merchant_id, day, amount)
SELECT merchant_id, quarter / 96, max(cost)
FROM (SELECT merchant_id, quarter, sum(cost) AS cost FROM usage_quarter GROUP BY merchant_id, quarter) spent
WHERE cost > 0
GROUP BY merchant_id, quarter / 96;
