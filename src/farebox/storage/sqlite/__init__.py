"""The SQLite engine."""

from farebox.storage.sqlite.connector import SqliteConnector

__all__ = ["SqliteConnector"]
