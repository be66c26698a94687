"""Where tests keep state."""

from contextlib import asynccontextmanager

from gateway.state import open_store

KINDS = ["sqlite"]


@asynccontextmanager
async def opened(kind, tmp_path):
    async with open_store(f"sqlite:///{tmp_path}/state.db") as store:
        yield store
