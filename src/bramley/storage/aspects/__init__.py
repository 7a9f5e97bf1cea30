"""The aspects of a transaction in SQL that SQLite and PostgreSQL both speak, one module per group of tables.

Statements of a fixed shape are constants of their module: SQLAlchemy takes several times as long to put one together as to run
it. An UPDATE sets the columns that its parameters name, so those of its WHERE bear names that no column has, such as `which`.
"""
