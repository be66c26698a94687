"""The database that nodes share: SQLite or PostgreSQL."""

from gateway.state.opening import open_store
from gateway.state.store import StateUnavailable, StateUnknown, Store, Transaction

__all__ = ["StateUnavailable", "StateUnknown", "Store", "Transaction", "open_store"]
