-- Alerts are told of by episode, that a balance is used up is told as well, and mails can be withdrawn. Applied before
-- the new program is started.

-- Requests are refused for lack of money, and that was told.
ALTER TABLE account ADD COLUMN is_exhausted BOOLEAN NOT NULL DEFAULT false;

-- A book that no money has moved in is told of by its first move: its thresholds wait for that, and were never told of.
UPDATE account SET thresholds = replace(thresholds, 'false', 'true')
WHERE revenue = 0 AND funding = 0 AND adjustments = 0 AND alerts_count = 0 AND thresholds <> '[]';

-- Kind 1 is a balance below a threshold, 2 a balance that did not cover a request of the amount `refused`. With a user_id
-- it is for that user alone, who joined meanwhile.
ALTER TABLE alert ALTER COLUMN threshold DROP NOT NULL;
ALTER TABLE alert DROP CONSTRAINT alert_threshold_check;
ALTER TABLE alert ADD COLUMN kind SMALLINT NOT NULL DEFAULT 1 CHECK (kind IN (1, 2));
ALTER TABLE alert ADD COLUMN refused BIGINT CHECK (refused > 0);
ALTER TABLE alert ADD COLUMN user_id BIGINT;
ALTER TABLE alert ADD CHECK ((kind = 1) = (threshold IS NOT NULL));
ALTER TABLE alert ADD CHECK (kind = 2 OR refused IS NULL);

-- State 4 is withdrawn.
ALTER TABLE outbox DROP CONSTRAINT outbox_state_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_state_check CHECK (state BETWEEN 1 AND 4);
ALTER TABLE letter DROP CONSTRAINT letter_state_check;
ALTER TABLE letter ADD CONSTRAINT letter_state_check CHECK (state BETWEEN 1 AND 4);

-- The program knows the purposes of mails to one person.
ALTER TABLE letter DROP CONSTRAINT letter_purpose_check;
ALTER TABLE letter ADD CONSTRAINT letter_purpose_check CHECK (purpose > 0);
