"""The PostgreSQL engine."""

from farebox.storage.postgres.connector import PostgresConnector

__all__ = ["PostgresConnector"]
