"""What the tests of the doctor share: backends of every kind to examine."""

from contextlib import asynccontextmanager
from functools import partial

import pytest

from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from gateway.doctor.examine import Patient, examine
from gateway.storage import ListQuery, UploadQuery
from tests.doubles.moto import moto_server
from tests.server.harness import ACCESS_KEY, SECRET_KEY, serving

BUCKET = "tried"


@pytest.fixture
async def memory():
    storage = Memory()
    await storage.create_bucket(BUCKET, {})
    return storage


@pytest.fixture
async def upstream(memory):
    """A gateway as the server: it checks signatures, digests and conditions."""
    async with serving(memory) as site:
        yield site


@pytest.fixture(scope="session")
def moto():
    with moto_server() as port:
        yield port


def s3(port, **settings):
    said = {"endpoint": f"http://127.0.0.1:{port}", "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    quick = {"connect_timeout": 1, "answer_timeout": 10, "dialect": "aws", "addressing": "path"}
    return Patient("far", "s3", partial(open_s3, "far", **(said | quick | settings)), written={BUCKET: ""})


def around(storage, kind="memory", **more):
    """Return a patient that is a storage which is open already."""

    @asynccontextmanager
    async def opening():
        yield storage

    return Patient("here", kind, opening, **({"written": {BUCKET: ""}} | more))


async def examined(patient):
    (diagnosis,) = await examine([patient])
    return diagnosis


def results(diagnosis):
    return {each.name: each.result.value for each in diagnosis.findings}


async def left_behind(storage):
    objects = (await storage.list_objects(BUCKET, ListQuery())).objects
    uploads = (await storage.list_uploads(BUCKET, UploadQuery())).uploads
    return [info.key for info in objects] + [info.upload for info in uploads]
