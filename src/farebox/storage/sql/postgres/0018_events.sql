-- More kinds of alerts, each with its facts, told by mail, webhook and chat; which of them each user wants; where webhooks and
-- chat messages go. Applied before the new program is started.

-- Accounts first, as batches lock them: whichever of a migration and a batch comes second waits for the other.
LOCK TABLE account IN ACCESS EXCLUSIVE MODE;

-- The program knows the kinds. The facts are what a kind tells beside the columns, as JSON; alerts of before have none.
ALTER TABLE alert
    ADD COLUMN facts TEXT CHECK (length(facts) > 0),
    DROP CONSTRAINT alert_kind_check,
    ADD CONSTRAINT alert_kind_check CHECK (kind > 0);

-- The newest of a kind, among however many of others.
CREATE INDEX alert_kind ON alert (merchant_id, kind, number);

-- One delivery per alert, channel and recipient: channel 1 is e-mail to a user, 2 a webhook and 3 chat, both to a destination.
-- State 1 waits until next_attempt_at, 2 is sent, 3 is given up, 4 is withdrawn.
CREATE TABLE delivery (
    merchant_id BIGINT NOT NULL,
    alert_number BIGINT NOT NULL,
    recipient_id BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    sent_at BIGINT,
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    channel SMALLINT NOT NULL CHECK (channel BETWEEN 1 AND 3),
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 4),
    email TEXT COLLATE "C" NOT NULL CHECK ((channel = 1) = (email <> '')),
    last_error TEXT,
    PRIMARY KEY (merchant_id, alert_number, channel, recipient_id),
    -- A delivery is written with its alert, and rarely: what this costs is no charge's.
    FOREIGN KEY (merchant_id, alert_number) REFERENCES alert (merchant_id, number),
    CHECK ((state = 2) = (sent_at IS NOT NULL))
) WITH (
    -- Each attempt moves its delivery within delivery_due, and a queue always starts at that index's low end: what is dead
    -- there is to be cleared away soon, however many deliveries are kept.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500
);

INSERT INTO delivery (
    merchant_id, alert_number, channel, recipient_id, email, state, attempts, next_attempt_at, sent_at, last_error
)
SELECT merchant_id, alert_number, 1, user_id, email, state, attempts, next_attempt_at, sent_at, last_error FROM outbox;
DROP TABLE outbox;

-- What waits, by time and by whose turn it is; and all of a recipient's, in the order of its merchants' books.
CREATE INDEX delivery_due ON delivery (channel, next_attempt_at) WHERE state = 1;
CREATE INDEX delivery_turn ON delivery (channel, merchant_id, next_attempt_at) WHERE state = 1;
CREATE INDEX delivery_recipient ON delivery (channel, recipient_id, merchant_id, alert_number);

-- What waits for destinations: in the order of each, as long as a failing one holds the later ones back, and by time after.
CREATE INDEX delivery_line ON delivery (channel, recipient_id, merchant_id, alert_number)
WHERE state = 1 AND channel <> 1 AND attempts < 8;
CREATE INDEX delivery_late ON delivery (channel, next_attempt_at) WHERE state = 1 AND channel <> 1 AND attempts >= 8;

-- What a destination answered to each attempt, for some time; status is HTTP's, if there was an answer.
CREATE TABLE delivery_attempt (
    merchant_id BIGINT NOT NULL,
    alert_number BIGINT NOT NULL,
    recipient_id BIGINT NOT NULL,
    number BIGINT NOT NULL CHECK (number > 0),
    at BIGINT NOT NULL,
    took BIGINT NOT NULL CHECK (took >= 0),
    status BIGINT,
    channel SMALLINT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (merchant_id, alert_number, channel, recipient_id, number),
    FOREIGN KEY (merchant_id, alert_number, channel, recipient_id)
        REFERENCES delivery (merchant_id, alert_number, channel, recipient_id)
);

CREATE INDEX delivery_attempt_at ON delivery_attempt (at);
CREATE INDEX delivery_attempt_recipient ON delivery_attempt (channel, recipient_id, at);

-- Where webhooks (channel 2) and chat messages (3) go. One without a merchant is the operator's; one with a user is that
-- user's own. A kind of alert is wanted if the bit of its number is set. State 1 is on, 2 off, 3 disabled by failures.
-- failures are those of its server in a row, since failing_since; one that hangs is told nothing before paused_until.
CREATE TABLE destination (
    destination_id BIGINT PRIMARY KEY,
    merchant_id BIGINT REFERENCES merchant (merchant_id),
    user_id BIGINT CHECK (user_id IS NULL OR merchant_id IS NOT NULL),
    kinds BIGINT NOT NULL CHECK (kinds >= 0),
    secret_before_until BIGINT,
    failing_since BIGINT,
    failures BIGINT NOT NULL DEFAULT 0 CHECK (failures >= 0),
    paused_until BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    version BIGINT NOT NULL CHECK (version > 0),
    channel SMALLINT NOT NULL CHECK (channel IN (2, 3)),
    state SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    name TEXT COLLATE "C" NOT NULL CHECK (length(name) > 0),
    url TEXT COLLATE "C" NOT NULL CHECK (length(url) > 0),
    disabled_reason TEXT,
    secret BYTEA CHECK (length(secret) > 0),
    secret_before BYTEA CHECK (length(secret_before) > 0),
    CHECK ((secret_before IS NULL) = (secret_before_until IS NULL)),
    CHECK ((state = 3) = (disabled_at IS NOT NULL)),
    CHECK (state = 3 OR disabled_reason IS NULL)
);

CREATE INDEX destination_merchant ON destination (merchant_id, user_id);

-- Which kinds of alerts a user wants by mail, a bit each; from the start 1, 2, 3, 10 and 12.
ALTER TABLE merchant_user ADD COLUMN mail_kinds BIGINT NOT NULL DEFAULT 5134 CHECK (mail_kinds >= 0);

-- The start of the last period of a limit in which a refusal for it was told.
ALTER TABLE key_budget ADD COLUMN told_starts_at BIGINT;
