-- Who may do what among staff. Applied before the new program is started.

-- The roles of one of the staff, and of a support key: 1 sees, 2 moves money, 4 sets up staff, keys, prices and
-- merchants; several are added up, and users of merchants and keys of services have none. Those who were there before go
-- on doing everything.
ALTER TABLE login ADD COLUMN roles BIGINT NOT NULL DEFAULT 0 CHECK (roles BETWEEN 0 AND 7);
UPDATE login SET roles = 6 WHERE realm = 2;
ALTER TABLE staff_key ADD COLUMN roles BIGINT NOT NULL DEFAULT 0 CHECK (roles BETWEEN 0 AND 7);
UPDATE staff_key SET roles = 6 WHERE kind = 3;
