"""Bramley's storage on SQLite: one file, one writer thread, readers on the event loop."""

from bramley.storage.sqlite.store import SQLiteStore, open_store

__all__ = ["SQLiteStore", "open_store"]
