"""The aspects of a transaction in SQL that SQLite and PostgreSQL both speak, one module per group of tables."""
