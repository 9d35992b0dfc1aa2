-- Grants of credit, what requests left uncollected, what is owed, and the key that a request named. Applied before the
-- new program is started.

-- Accounts first, as batches lock them: whichever of a migration and a batch comes second waits for the other.
LOCK TABLE account IN ACCESS EXCLUSIVE MODE;

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

-- Two more kinds of transfers, a sixth account, and a floor that given credit does not lower. Rows were checked as strictly,
-- so they need not be looked at.
ALTER TABLE transfer DROP CONSTRAINT transfer_kind_check,
    ADD CONSTRAINT transfer_kind_check CHECK (kind BETWEEN 1 AND 12) NOT VALID;
ALTER TABLE account DROP CONSTRAINT account_check,
    ADD CONSTRAINT account_check CHECK (wallet + held + revenue + funding + adjustments + promotions = 0) NOT VALID;
ALTER TABLE account DROP CONSTRAINT account_check1,
    ADD CONSTRAINT account_check1 CHECK (wallet - given + credit_limit >= 0) NOT VALID;

-- Requests for approval of grants, whose terms stand beside them, and which become no transfer before they start.
ALTER TABLE approval
    ADD COLUMN terms TEXT CHECK (length(terms) > 0),
    DROP CONSTRAINT approval_kind_check,
    DROP CONSTRAINT approval_check4,
    ADD CONSTRAINT approval_kind_check CHECK (kind IN (1, 4, 9, 10, 11, 101)),
    ADD CONSTRAINT approval_check4 CHECK (kind IN (11, 101) OR (state = 2) = (transfer_seq IS NOT NULL));

-- Credit that was not paid for, a grant a row. State 1 waits to start, 2 is open, 3 has ended. What is left of it counts
-- towards the wallet; what holds took is not in it.
CREATE TABLE credit_grant (
    merchant_id BIGINT NOT NULL REFERENCES merchant (merchant_id),
    number BIGINT NOT NULL CHECK (number > 0),
    amount BIGINT NOT NULL CHECK (amount > 0),
    remaining BIGINT NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    starts_at BIGINT NOT NULL,
    expires_at BIGINT,
    ended_at BIGINT,
    transfer_seq BIGINT CHECK (transfer_seq > 0),
    priority BIGINT NOT NULL CHECK (priority BETWEEN 0 AND 100),
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 8),
    idempotency_key TEXT COLLATE "C" NOT NULL CHECK (length(idempotency_key) > 0),
    reference TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    types TEXT COLLATE "C" CHECK (length(types) > 0),
    -- Columns of their own, so that spending changes none that an index has as long as something is left.
    is_spendable SMALLINT GENERATED ALWAYS AS (CASE WHEN state = 2 AND remaining > 0 THEN 1 ELSE 0 END) STORED,
    due_at BIGINT GENERATED ALWAYS AS (CASE state WHEN 1 THEN starts_at WHEN 2 THEN expires_at END) STORED,
    PRIMARY KEY (merchant_id, number),
    UNIQUE (merchant_id, idempotency_key),
    CHECK (starts_at < expires_at),
    CHECK (state = 2 OR remaining = 0),
    CHECK (state <> 1 OR transfer_seq IS NULL),
    CHECK (state <> 2 OR transfer_seq IS NOT NULL),
    CHECK ((state = 3) = (ended_at IS NOT NULL))
) WITH (
    -- A charge updates the grants that it takes from: with room in its page, a new version needs no new index entry.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000
);

-- The order in which a merchant's grants are spent, without those that are used up.
CREATE INDEX credit_grant_order
ON credit_grant (merchant_id, priority, (coalesce(expires_at, 9223372036854775807)), number) WHERE is_spendable = 1;

-- What starts or ends next, of one merchant and of all.
CREATE INDEX credit_grant_next ON credit_grant (merchant_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX credit_grant_due ON credit_grant (due_at) WHERE due_at IS NOT NULL;

-- The transfers that grants became, for the burn between two moments.
CREATE INDEX credit_grant_transfer ON credit_grant (merchant_id, transfer_seq) WHERE transfer_seq IS NOT NULL;

-- A merchant's holds that are open, the soonest end first, however many it ever had.
CREATE INDEX hold_open ON hold (merchant_id, expires_at, seq) WHERE state = 1;

-- A day and a month may begin at the same time, so counts go by the unit of their period, too. What was counted before was
-- counted over the unit that the type's prices have, or, if they have both, over what is a month as likely as not. A count
-- may be below zero for as long as a capture is refunded and the charge above its hold, which took units off, is not.
ALTER TABLE period_count ADD COLUMN period_unit TEXT COLLATE "C";
UPDATE period_count SET period_unit = coalesce((
    SELECT CASE WHEN min(unit) = max(unit) THEN min(unit) END FROM (
        SELECT p.rule::jsonb #>> '{period,unit}' AS unit FROM default_price p
        WHERE p.request_type = period_count.request_type AND p.withdrawn_at IS NULL
        UNION ALL
        SELECT p.rule::jsonb #>> '{period,unit}' FROM merchant_price p
        WHERE p.merchant_id = period_count.merchant_id AND p.request_type = period_count.request_type
            AND p.withdrawn_at IS NULL
    ) version
), 'month');
ALTER TABLE period_count
    ALTER COLUMN period_unit SET NOT NULL,
    ADD CHECK (period_unit IN ('day', 'month')),
    DROP CONSTRAINT period_count_units_check,
    DROP CONSTRAINT period_count_pkey,
    ADD PRIMARY KEY (merchant_id, request_type, starts_at, period_unit, line);

-- Kind 3 of an alert tells that the credit of a grant ends soon; it names the transfer that brought the grant. A grant's end
-- is told of once.
ALTER TABLE alert DROP CONSTRAINT alert_kind_check, ADD CONSTRAINT alert_kind_check CHECK (kind IN (1, 2, 3)) NOT VALID;
CREATE UNIQUE INDEX alert_of_grant ON alert (merchant_id, transfer_seq) WHERE kind = 3;
