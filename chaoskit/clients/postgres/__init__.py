"""The PostgreSQL client type."""

from chaoskit.clients.postgres.client import PostgresClient

__all__ = ["PostgresClient"]
