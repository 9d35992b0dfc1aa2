-- The language that each login is spoken to in, and the seed of what links in mails are signed with. Applied before the
-- new program is started.

-- Empty as long as none was chosen.
ALTER TABLE login ADD COLUMN language TEXT NOT NULL DEFAULT '';

-- One row: 256 random bits, so that nobody who knows the program alone can make a link that ends another's mails.
CREATE TABLE signing_seed (
    signing_seed_id INTEGER PRIMARY KEY CHECK (signing_seed_id = 1),
    seed BLOB NOT NULL CHECK (length(seed) = 32)
) STRICT;

INSERT INTO signing_seed (signing_seed_id, seed) VALUES (1, randomblob(32));
