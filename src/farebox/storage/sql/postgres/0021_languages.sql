-- The language that each login is spoken to in, and the seed of what links in mails are signed with. Applied before the
-- new program is started.

-- Empty as long as none was chosen.
ALTER TABLE login ADD COLUMN language TEXT COLLATE "C" NOT NULL DEFAULT '';

-- One row of random bits, so that nobody who knows the program alone can make a link that ends another's mails.
CREATE TABLE signing_seed (
    signing_seed_id BIGINT PRIMARY KEY CHECK (signing_seed_id = 1),
    seed BYTEA NOT NULL CHECK (length(seed) = 32)
);

INSERT INTO signing_seed (signing_seed_id, seed)
VALUES (1, sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));
