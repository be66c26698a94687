"""A store whose clock can be set forward, and which fails when it is told to."""

from collections import deque

from gateway.state import StateUnavailable, StateUnknown


class Later:
    """A transaction at another time."""

    def __init__(self, inner, store):
        self._inner, self._store = inner, store

    def __getattr__(self, name):
        return getattr(self._inner, name)

    @property
    def now(self):
        return self._inner.now + self._store.ahead


class Timed:
    """A Store. `failures` are what the next writes end with: "before" (nothing is done), "after" (it is), "" (none)."""

    def __init__(self, inner):
        self.inner = inner
        self.ahead = 0.0
        self.failures = deque()
        self.writes = 0

    def later(self, seconds):
        self.ahead += seconds

    def admit(self):
        self.inner.admit()

    async def run(self, work):
        self.writes += 1
        failure = self.failures.popleft() if self.failures else ""
        if failure == "before":
            raise StateUnavailable
        result = await self.inner.run(lambda tx: work(Later(tx, self)))
        if failure == "after":
            raise StateUnknown
        return result

    async def read(self, work):
        return await self.inner.read(lambda tx: work(Later(tx, self)))

    async def glance(self, work):
        return await self.inner.glance(lambda tx: work(Later(tx, self)))
