-- Refusals: how many requests were refused, by quarter of an hour (900 seconds) since 1970, request type and reason.
-- Applied before the new program is started.

-- The type is empty for those beyond the types that a quarter of an hour has by name.
CREATE TABLE refusal (
    merchant_id INTEGER NOT NULL,
    quarter INTEGER NOT NULL,
    request_type TEXT NOT NULL,
    reason TEXT NOT NULL CHECK (length(reason) > 0),
    requests INTEGER NOT NULL CHECK (requests > 0),
    PRIMARY KEY (merchant_id, quarter, request_type, reason)
) STRICT, WITHOUT ROWID;

CREATE INDEX refusal_quarter ON refusal (quarter);
