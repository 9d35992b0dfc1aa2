-- Who may do what among staff, whom keys and staff accounts count as, and what one person moved alone. Applied before
-- the new program is started.

-- The roles of one of the staff, and of a support key: 1 sees, 2 moves money, 4 sets up staff, keys, prices and
-- merchants; several are added up, and users of merchants and keys of services have none. Those who were there before go
-- on doing everything.
ALTER TABLE login ADD COLUMN roles INTEGER NOT NULL DEFAULT 0 CHECK (roles BETWEEN 0 AND 7);
UPDATE login SET roles = 6 WHERE realm = 2;
ALTER TABLE staff_key ADD COLUMN roles INTEGER NOT NULL DEFAULT 0 CHECK (roles BETWEEN 0 AND 7);
UPDATE staff_key SET roles = 6 WHERE kind = 3;

-- People are numbers with commas between them: a staff account's login_id, 1 for the operator's command line, 0 for
-- unknown, which is nobody else than anybody.

-- Beside itself, a staff account counts as these people until another person confirms it.
ALTER TABLE login ADD COLUMN counts_as TEXT NOT NULL DEFAULT '';

-- Of earlier accounts, those that were added from the command line are people of their own; of others it is unknown.
UPDATE login SET counts_as = '0' WHERE realm = 2 AND NOT EXISTS (
    SELECT 1 FROM audit_log a
    WHERE a.merchant_id = 0 AND a.action = 'add_staff' AND a.subject = login.email AND a.key_id IS NULL
        AND a.person LIKE 'shell:%'
);

-- The people who made a key, as of then.
ALTER TABLE staff_key ADD COLUMN people TEXT NOT NULL DEFAULT '0';

UPDATE staff_key SET people = coalesce((
    SELECT CASE
        WHEN a.person LIKE 'shell:%' THEN '1'
        ELSE (SELECT CAST(l.login_id AS TEXT) FROM login l WHERE l.realm = 2 AND l.email = a.person AND l.counts_as = '')
    END
    FROM audit_log a
    WHERE a.merchant_id = 0 AND a.at = staff_key.created_at AND a.action = 'create_key' AND a.key_id IS NULL
        AND a.detail = staff_key.hint || ' ' || staff_key.name
    LIMIT 1
), '0');

-- What one person moved without a second one; it counts towards the operator's limit for a day.
CREATE TABLE lone_move (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    people TEXT NOT NULL CHECK (length(people) > 0),
    amount INTEGER NOT NULL CHECK (amount > 0),
    PRIMARY KEY (merchant_id, at, number)
) STRICT, WITHOUT ROWID;

-- Requests for approval: 4 is a refund and 101 a credit limit, beside transfers' kinds. A reference is free again once a
-- request is rejected, and a transfer's own once it is approved. Who decided earlier ones was not kept as people.
CREATE TABLE new_approval (
    merchant_id INTEGER NOT NULL REFERENCES merchant (merchant_id),
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL CHECK (kind IN (1, 4, 9, 10, 101)),
    amount INTEGER NOT NULL CHECK (amount > 0),
    reference TEXT,
    note TEXT,
    idempotency_key TEXT NOT NULL,
    content BLOB NOT NULL CHECK (length(content) = 8),
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),
    decided_by TEXT,
    decided_at INTEGER,
    transfer_seq INTEGER,
    refers_to INTEGER,
    requested_people TEXT NOT NULL CHECK (length(requested_people) > 0),
    decided_people TEXT,
    PRIMARY KEY (merchant_id, number),
    CHECK ((kind = 4) = (refers_to IS NOT NULL)),
    CHECK ((state = 1) = (decided_by IS NULL)),
    CHECK ((state = 1) = (decided_at IS NULL)),
    CHECK ((state = 1) = (decided_people IS NULL)),
    CHECK (kind = 101 OR (state = 2) = (transfer_seq IS NOT NULL)),
    CHECK (state <> 2 OR decided_people <> requested_people)
) STRICT, WITHOUT ROWID;

INSERT INTO new_approval
SELECT merchant_id, number, kind, amount, reference, note, idempotency_key, content, requested_by, requested_at, state,
    decided_by, decided_at, transfer_seq, NULL,
    coalesce((
        SELECT CASE
            WHEN a.person LIKE 'shell:%' THEN '1'
            ELSE (
                SELECT CAST(l.login_id AS TEXT) FROM login l
                WHERE l.realm = 2 AND l.email = a.person AND l.counts_as = ''
            )
        END
        FROM audit_log a
        WHERE a.merchant_id = approval.merchant_id AND a.at = approval.requested_at AND a.action = 'request_approval'
            AND a.key_id IS NULL AND a.person = approval.requested_by
        LIMIT 1
    ), '0'),
    CASE WHEN state = 1 THEN NULL ELSE '' END
FROM approval;

DROP TABLE approval;
ALTER TABLE new_approval RENAME TO approval;

CREATE INDEX approval_number ON approval (number);
CREATE UNIQUE INDEX approval_waits ON approval (merchant_id, idempotency_key) WHERE state = 1;
CREATE INDEX approval_reference ON approval (merchant_id, idempotency_key);
CREATE INDEX approval_pending ON approval (number) WHERE state = 1;
