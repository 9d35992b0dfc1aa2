-- Reports: who wants a mail about each week or month, and which were owed. Applied before the new program is started.

-- A merchant's user wants reports of that merchant, one of the staff of all merchants, who are merchant 0. Kind 1 is
-- weekly, 2 monthly. A week begins on a weekday, 1 for Monday. The next report's first day is in the reader's time zone,
-- such as 2026-11-30; it is owed when it falls due.
CREATE TABLE report_choice (
    login_id INTEGER NOT NULL REFERENCES login (login_id),
    merchant_id INTEGER NOT NULL,
    kind INTEGER NOT NULL CHECK (kind IN (1, 2)),
    zone TEXT NOT NULL,
    week_start INTEGER NOT NULL CHECK (week_start BETWEEN 1 AND 7),
    has_statement INTEGER NOT NULL CHECK (has_statement IN (0, 1)),
    starts_on TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (login_id, merchant_id, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX report_choice_due ON report_choice (due_at);

-- What an account mail that is a report tells of: once for each reader and first day.
CREATE TABLE report (
    letter_id INTEGER PRIMARY KEY REFERENCES letter (letter_id),
    login_id INTEGER NOT NULL,
    merchant_id INTEGER NOT NULL,
    kind INTEGER NOT NULL CHECK (kind IN (1, 2)),
    starts_on TEXT NOT NULL,
    zone TEXT NOT NULL,
    has_statement INTEGER NOT NULL CHECK (has_statement IN (0, 1)),
    UNIQUE (login_id, merchant_id, kind, starts_on)
) STRICT;

-- What was given up, which staff are told of.
CREATE INDEX delivery_given_up ON delivery (merchant_id, alert_number) WHERE state = 3;
CREATE INDEX letter_given_up ON letter (created_at) WHERE state = 3;
