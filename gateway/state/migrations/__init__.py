"""Alembic's revisions of the tables."""
