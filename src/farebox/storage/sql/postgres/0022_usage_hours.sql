-- What merchants spent in each hour, which their runways are learnt from. Applied before the new program is started.

-- What charges and captures of an hour (UTC, since 1970) took, less what refunds of that hour gave back: below 0 where they
-- gave back more. The sums of quarters of an hour have a row for each type, of which a merchant may have thousands.
CREATE TABLE usage_hour (
    merchant_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, hour)
);

-- Up to which transfer a book is rolled up by hours: apart from usage_mark, as programs that still run while a database is
-- brought up to date roll usage up, and know nothing of hours.
CREATE TABLE usage_hour_mark (
    merchant_id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL CHECK (seq >= 0)
);

-- One statement, which sees one moment: between two of them, a server that still runs may roll a book up further.
WITH marked AS (
    INSERT INTO usage_hour_mark (merchant_id, seq) SELECT merchant_id, seq FROM usage_mark
)
INSERT INTO usage_hour (merchant_id, hour, spent)
SELECT merchant_id, quarter / 4, sum(cost - refunded) FROM usage_quarter GROUP BY merchant_id, quarter / 4;
