-- What requests left uncollected, and what is owed of top-ups that were taken back. Applied before the new program is
-- started.

-- Of a request that came to more than there was, the amount may be any part of what was due, or nothing.
-- Rows were checked more strictly, so they need not be looked at.
ALTER TABLE transfer DROP CONSTRAINT transfer_amount_check,
    ADD CONSTRAINT transfer_amount_check CHECK (
        amount > 0 OR (amount = 0 AND (pricing IS NOT NULL OR uncollected IS NOT NULL OR kind IN (7, 8)))
    ) NOT VALID;
ALTER TABLE transfer DROP CONSTRAINT transfer_check,
    ADD CONSTRAINT transfer_check
    CHECK (unit_price > 0 AND amount + coalesce(uncollected, 0) = unit_price * quantity) NOT VALID;

-- What a transfer was due beyond its amount, and what is still to be paid of it, if it took a top-up back.
CREATE TABLE shortfall (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    owed BIGINT NOT NULL CHECK (owed BETWEEN 0 AND amount),
    top_up_seq BIGINT,
    PRIMARY KEY (merchant_id, seq),
    CHECK (owed = 0 OR top_up_seq IS NOT NULL)
);

CREATE INDEX shortfall_owed ON shortfall (merchant_id, seq) WHERE owed > 0;
CREATE INDEX shortfall_at ON shortfall (at, merchant_id, seq);
