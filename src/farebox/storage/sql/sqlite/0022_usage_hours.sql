-- What merchants spent in each hour, which their runways are learnt from. Applied before the new program is started.

-- What charges and captures of an hour (UTC, since 1970) took, less what refunds of that hour gave back: below 0 where they
-- gave back more. The sums of quarters of an hour have a row for each type, of which a merchant may have thousands.
CREATE TABLE usage_hour (
    merchant_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    PRIMARY KEY (merchant_id, hour)
) STRICT, WITHOUT ROWID;

-- Up to which transfer a book is rolled up by hours: apart from usage_mark, as programs that still run while a database is
-- brought up to date roll usage up, and know nothing of hours.
CREATE TABLE usage_hour_mark (
    merchant_id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL CHECK (seq >= 0)
) STRICT;

INSERT INTO usage_hour (merchant_id, hour, spent)
SELECT merchant_id, quarter / 4, sum(cost - refunded) FROM usage_quarter GROUP BY merchant_id, quarter / 4;

INSERT INTO usage_hour_mark (merchant_id, seq) SELECT merchant_id, seq FROM usage_mark;
