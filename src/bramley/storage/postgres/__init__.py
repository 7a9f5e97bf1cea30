"""Bramley's storage on PostgreSQL 15 or newer: serializable transactions in threads, the hot path on the event loop."""

from bramley.storage.postgres.store import PostgresStore, open_store

__all__ = ["PostgresStore", "open_store"]
