"""Every promise, with a gateway as the server: it checks signatures, digests, checksums and conditions for real."""

import pytest

from gateway.conditions import Conditions
from gateway.errors import NotImplementedByGateway, PreconditionFailed
from gateway.storage import Address, Completion, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import etag, put, read, uploaded, uploads
from tests.backends.s3.promised import Settled, unpromised

AGAIN = "S3 answers a completion that is asked for again with the object that was made"
NEEDS_STAR = "of conditions, AWS knows If-Match, and If-None-Match only with *"


class S3Promises(BackendContract):
    """The promises, but for what S3 itself does otherwise."""

    test_an_upload_completes_once = unpromised(AGAIN)
    test_a_completed_upload_is_gone = unpromised(AGAIN)
    test_a_write_under_a_false_condition_changes_nothing = unpromised(NEEDS_STAR)
    test_a_write_under_a_true_condition_happens = unpromised(NEEDS_STAR)

    @pytest.mark.parametrize(
        "conditions",
        [Conditions(if_none_match=("*",)), Conditions(if_match=(etag(b"other"),))],
        ids=["absent", "match"],
    )
    async def test_a_write_under_a_condition_that_s3_knows_and_that_is_false(self, storage, bucket, conditions):
        at = Address(bucket, "key")
        old = await put(storage, at, b"old", WriteOptions(metadata={"a": "b"}))
        with pytest.raises(PreconditionFailed):
            await put(storage, at, bytes(1024 * 1024), WriteOptions(conditions=conditions))
        assert await storage.head(at) == old
        assert await read(storage, at) == b"old"

    @pytest.mark.parametrize("tags", [("*",), (etag(b"old"),), (etag(b"other"), etag(b"old"))])
    async def test_a_write_under_a_condition_that_s3_knows_and_that_is_true(self, storage, bucket, tags):
        at = Address(bucket, "key")
        await put(storage, at, b"old")
        await put(storage, at, b"new", WriteOptions(conditions=Conditions(if_match=tags)))
        assert await read(storage, at) == b"new"

    async def test_an_upload_keeps_what_was_said_at_its_beginning(self, storage, bucket):
        """Of the upload, S3 tells the checksum only; the object has all of it."""
        options = WriteOptions({"content-type": "text/x"}, {"name": "ä"}, {"owner": "me"}, checksum="CRC32C")
        upload = await storage.create_upload(Address(bucket, "a/key"), options)
        told = (await storage.list_parts(upload)).info
        assert (told.upload, told.options.checksum, told.options.composite) == (upload, "CRC32C", False)
        parts = await uploaded(storage, upload, [(1, b"part")])
        made = await storage.complete_upload(upload, parts, Completion())
        assert (made.headers, made.metadata, made.labels) == (options.headers, options.metadata, options.labels)

    async def test_listed_uploads_tell_when_they_began_and_whose_they_are(self, storage, bucket):
        """Whose they are stands in the labels, which the server keeps to itself."""
        upload = await storage.create_upload(Address(bucket, "key"), WriteOptions(checksum="CRC32", composite=True))
        (info,) = await uploads(storage, bucket)
        assert info.upload == upload
        assert info.initiated == (await storage.list_parts(upload)).info.initiated
        assert (info.options.checksum, info.options.composite) == ("CRC32", True)


class TestOverGateway(S3Promises):
    @pytest.fixture
    async def storage(self, s3):
        return Settled(s3)

    async def test_a_condition_that_the_server_lacks_is_refused(self, storage, bucket):
        at = Address(bucket, "key")
        await put(storage, at, b"old")
        with pytest.raises(NotImplementedByGateway):
            await put(storage, at, b"new", WriteOptions(conditions=Conditions(if_none_match=(etag(b"other"),))))
        assert await read(storage, at) == b"old"
