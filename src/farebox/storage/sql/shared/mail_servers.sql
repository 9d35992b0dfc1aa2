-- Mail servers that take no mail at present.

-- paused_mail_server: read for how long a mail server is given up, and why
SELECT {mail_server} FROM mail_server WHERE server = $1;

-- pause_mail_server: give a mail server up for a while
INSERT INTO mail_server ({mail_server.stored}) VALUES ({mail_server.values})
ON CONFLICT (server) DO UPDATE SET {mail_server.excluded};

-- resume_mail_server: take it that a mail server works
DELETE FROM mail_server WHERE server = $1;

-- resume_mail_servers: take it that all mail servers work
DELETE FROM mail_server;
