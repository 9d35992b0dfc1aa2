-- Grants of credit, what requests left uncollected, what is owed, and the key that a request named. Applied before the
-- new program is started.

-- What of a transfer's amount was given credit, what was due beyond the amount, and the merchant's key that it named.
ALTER TABLE transfer ADD COLUMN given TEXT;
ALTER TABLE transfer ADD COLUMN uncollected BIGINT CHECK (uncollected > 0);
ALTER TABLE transfer ADD COLUMN key_id BIGINT;

-- The wallet's given part, how many grants were made, when the next one starts or ends, and what is owed.
ALTER TABLE account ADD COLUMN promotions BIGINT NOT NULL DEFAULT 0 CHECK (promotions <= 0);
ALTER TABLE account ADD COLUMN given BIGINT NOT NULL DEFAULT 0 CHECK (given >= 0);
ALTER TABLE account ADD COLUMN grants_count BIGINT NOT NULL DEFAULT 0 CHECK (grants_count >= 0);
ALTER TABLE account ADD COLUMN grants_due_at BIGINT;
ALTER TABLE account ADD COLUMN owed BIGINT NOT NULL DEFAULT 0 CHECK (owed >= 0);

-- What a grant of credit that is requested is to be.
ALTER TABLE approval ADD COLUMN terms TEXT;

-- Two more kinds of transfers, and a sixth account. Rows were checked more strictly, so they need not be looked at.
ALTER TABLE transfer DROP CONSTRAINT transfer_kind_check,
    ADD CONSTRAINT transfer_kind_check CHECK (kind BETWEEN 1 AND 12) NOT VALID;
ALTER TABLE account DROP CONSTRAINT account_check,
    ADD CONSTRAINT account_check CHECK (wallet + held + revenue + funding + adjustments + promotions = 0) NOT VALID;
