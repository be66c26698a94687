"""Storages made of storages: every class here is a Backend around Backends."""
