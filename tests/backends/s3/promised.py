"""How the promises of a backend are looked at where S3 itself tells a thing later, or not at all."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, Body, ObjectInfo, WriteOptions

SECOND = timedelta(seconds=2)


class Settled(Wrapper):
    """Looks at an object that was put for its time: S3 does not tell it in its answer, which is near to it."""

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        stored = await self.inner.put(at, body, options)
        there = await self.inner.head(at)
        assert abs(stored.modified - there.modified) <= SECOND or stored.etag != there.etag
        return replace(stored, modified=there.modified)


def unpromised(reason: str):
    """Stand for a promise that cannot be kept, with the reason."""

    @pytest.mark.skip(reason=reason)
    def test(self):
        pass

    return test
