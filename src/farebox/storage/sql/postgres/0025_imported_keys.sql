-- API keys that another system gave out: their text names no merchant, so whose each is stands here. Applied before the new
-- program is started.

-- The key itself is in merchant_key, with all that is true of it; neither its digest nor its merchant ever changes. The
-- number is the first 63 bits of the digest, by which many are looked up at once. The table stands by itself, so that it can
-- be spread by number where the others are spread by merchant.
CREATE TABLE imported_key (
    number BIGINT NOT NULL,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    merchant_id BIGINT NOT NULL,
    PRIMARY KEY (number, digest)
);
