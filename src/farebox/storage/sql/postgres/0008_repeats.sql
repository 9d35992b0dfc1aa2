-- What requests made, by the idempotency key that their caller gave them, so that a repeat makes nothing more. Applied
-- before the new program is started. Callers are told apart by their API key, because two of them may count alike.

CREATE TABLE repeat (
    key_id bigint NOT NULL,
    idempotency_key text NOT NULL CHECK (length(idempotency_key) > 0),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 16),
    made_id bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (key_id, idempotency_key)
);

CREATE INDEX repeat_created ON repeat (created_at);
