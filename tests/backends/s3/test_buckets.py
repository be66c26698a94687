"""A bucket belongs to who created it first, whoever else tries at the same moment."""

import asyncio

import pytest

from gateway.backends.s3.backend import open_s3
from gateway.errors import BucketAlreadyExists, S3Error
from tests.doubles.scripted import answer, error, scripted


async def test_of_many_who_create_a_bucket_exactly_one_owns_it(s3):
    async def create(owner):
        await s3.create_bucket("bucket", {"owner": owner})
        return owner

    told = await asyncio.gather(*(create(f"owner {n}") for n in range(8)), return_exceptions=True)
    owners = [owner for owner in told if not isinstance(owner, S3Error)]
    assert len(owners) == 1
    assert [type(error) for error in told if isinstance(error, S3Error)] == [BucketAlreadyExists] * 7
    assert (await s3.head_bucket("bucket")).labels == {"owner": owners[0]}


async def test_a_name_that_somebody_else_has_taken_is_told_as_taken():
    """AWS answers HEAD of another account's bucket with 403; only the creation says that the name is taken."""
    async with (
        scripted(answer(403), error(409, "BucketAlreadyExists")) as server,
        open_s3("s3", endpoint=f"http://127.0.0.1:{server.port}", access_key="KEY", secret_key="secret") as storage,
    ):
        with pytest.raises(BucketAlreadyExists):
            await storage.create_bucket("taken", {})
    assert [head.split()[0] for head in server.asked] == ["HEAD", "PUT"]
