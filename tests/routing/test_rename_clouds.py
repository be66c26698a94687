"""Under a prefix of a bucket in a cloud, promises hold as in the bucket itself."""

import pytest

from gateway.backends.gcs import open_gcs
from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from gateway.routing.private import Private
from gateway.routing.rename import Rename
from tests.backends.promises.buckets import BucketPromises
from tests.backends.promises.copies import CopyPromises
from tests.backends.promises.listings import ListingPromises
from tests.backends.promises.uploads import UploadPromises
from tests.doubles.gcs import Gcs
from tests.routing.test_rename import Everywhere, shared
from tests.server.harness import ACCESS_KEY, SECRET_KEY, serving


class Promises(BucketPromises, CopyPromises, ListingPromises, UploadPromises):
    """What a prefix has to do with."""

    @pytest.fixture
    async def bucket(self, storage):
        await storage.create_bucket("promises", {})
        return "promises"

    # the prefix takes from the 1024 bytes that a key may have
    test_nasty_keys_are_listed_page_by_page = None
    test_a_listing_may_begin_after_anything = None

    @pytest.mark.parametrize("key", ["key", "a/b/c", "folder/", ".hidden", "..", "/", "k" * 1000])
    async def test_a_bucket_with_an_object_is_not_deleted(self, storage, bucket, key):
        await BucketPromises.test_a_bucket_with_an_object_is_not_deleted(self, storage, bucket, key)


class TestPrefixOnGcs(Promises):
    test_any_listing_is_what_the_plainest_model_says = None  # it has names that cannot be held there

    @pytest.fixture
    async def storage(self):
        async with Gcs().running() as fake, open_gcs("gcs", project="acme", endpoint=fake.url) as storage:
            yield Private(Rename(storage, Everywhere(shared)))


class TestPrefixOnS3(Promises):
    # S3 itself does otherwise
    test_an_upload_keeps_what_was_said_at_its_beginning = None
    test_a_completed_upload_is_gone = None
    test_listed_uploads_tell_when_they_began_and_whose_they_are = None

    @pytest.fixture
    async def storage(self):
        async with (
            serving(Memory()) as upstream,
            open_s3(
                "s3",
                endpoint=f"http://127.0.0.1:{upstream.port}",
                access_key=ACCESS_KEY,
                secret_key=SECRET_KEY,
                dialect="aws",
                addressing="path",
            ) as storage,
        ):
            yield Private(Rename(storage, Everywhere(shared)))
