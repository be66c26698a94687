"""The database that nodes share: SQLite or PostgreSQL."""
