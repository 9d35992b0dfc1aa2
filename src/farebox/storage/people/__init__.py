"""People as they are stored: logins of all realms, their sessions, and which merchants' users they are."""
