"""The promises of a `Backend`, for every backend and every wrapper to be held to."""

import pytest

from tests.backends.promises.buckets import BucketPromises
from tests.backends.promises.completions import CompletionPromises
from tests.backends.promises.conditions import ReadConditionPromises, WriteConditionPromises
from tests.backends.promises.copies import CopyPromises
from tests.backends.promises.listings import ListingPromises
from tests.backends.promises.objects import ObjectPromises
from tests.backends.promises.uploads import UploadPromises


class BackendContract(
    BucketPromises,
    ObjectPromises,
    ReadConditionPromises,
    WriteConditionPromises,
    CopyPromises,
    ListingPromises,
    UploadPromises,
    CompletionPromises,
):
    """A subclass gives an async fixture `storage`, an empty one for each test."""

    @pytest.fixture
    async def bucket(self, storage):
        await storage.create_bucket("promises", {})
        return "promises"
