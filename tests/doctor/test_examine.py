"""What is wrong with a backend is found, and nothing of the search stays there."""

import asyncio
import json
import time

import pytest

from gateway.backends.gcs import open_gcs
from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from gateway.doctor import ground
from gateway.doctor.examine import Patient, as_json, examine
from gateway.errors import AccessDenied, ServiceUnavailable
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address
from tests.backends.given import put
from tests.doctor.conftest import BUCKET, around, examined, left_behind, results, s3
from tests.doubles.gcs import Gcs
from tests.doubles.r2_strict import r2_strict
from tests.gateway_process import free_port
from tests.server.harness import SECRET_KEY

CHECKSUMS = ["checksum CRC32", "checksum CRC32C", "checksum CRC64NVME", "checksum SHA1", "checksum SHA256"]


async def test_a_storage_that_does_everything_has_no_problems(memory):
    diagnosis = await examined(around(memory))
    assert set(results(diagnosis).values()) == {"yes"}
    assert diagnosis.problems == []
    assert await left_behind(memory) == []


async def test_a_server_that_is_what_it_is_said_to_be_has_no_problems(upstream, memory):
    diagnosis = await examined(s3(upstream.port))
    assert diagnosis.problems == []
    found = results(diagnosis)
    assert found.pop("tags") == "no"
    assert set(found.values()) == {"yes"}
    assert await left_behind(memory) == []


async def test_what_a_dialect_does_not_claim_is_no_problem(upstream, memory):
    diagnosis = await examined(s3(upstream.port, dialect="generic"))
    assert diagnosis.problems == []
    found = results(diagnosis)
    assert (found["if-match"], found["copy"], found["checksum CRC32"]) == ("no", "emulated", "emulated")
    assert await left_behind(memory) == []


async def moto_bucket(moto):
    async with open_s3("moto", endpoint=f"http://127.0.0.1:{moto}", access_key="AK", secret_key="secret") as storage:
        if all(info.name != BUCKET for info in await storage.list_buckets()):
            await storage.create_bucket(BUCKET, {})


async def test_what_a_server_does_not_do_though_its_dialect_says_so_is_a_problem(moto):
    await moto_bucket(moto)
    diagnosis = await examined(s3(moto))
    assert [line for line in diagnosis.problems if line.startswith('backends.far: checksum CRC32: the dialect "aws"')]
    assert [line for line in diagnosis.problems if line.endswith("the condition is dropped: what it forbids was done")]
    assert results(diagnosis)["put, get, head, delete"] == "yes"
    assert results(diagnosis)["tags"] == "yes"


async def test_a_server_of_which_nothing_is_said_has_no_problems(moto):
    await moto_bucket(moto)
    diagnosis = await examined(s3(moto, dialect="generic"))
    assert diagnosis.problems == []


async def test_r2_is_what_its_dialect_says_and_not_aws(upstream, memory):
    async with r2_strict(f"http://127.0.0.1:{upstream.port}") as port:
        r2 = await examined(s3(port, dialect="r2", region="us-east-1"))
        assert r2.problems == []
        assert results(r2)["parts of any size"] == "no"
        assert {results(r2)[name] for name in CHECKSUMS} == {"emulated"}
        aws = await examined(s3(port))
    wrong = {each.name for each in aws.findings if each.problem}
    assert {"parts of any size", "trailers", "conditional delete", "part copy", *CHECKSUMS} <= wrong
    assert await left_behind(memory) == []


async def test_google_cloud_storage_is_tried_through_the_backend():
    async with Gcs().running() as fake, open_gcs("gcs", project="acme", endpoint=fake.url) as storage:
        await storage.create_bucket(BUCKET, {})
        diagnosis = await examined(around(storage, "gcs"))
        assert diagnosis.problems == []
        assert results(diagnosis)["if-match"] == "yes"
        assert await left_behind(storage) == []


async def test_a_disk_is_tried_as_a_disk_too(tmp_path):
    async with open_local("disk", tmp_path) as storage:
        await storage.create_bucket(BUCKET, {})
        diagnosis = await examined(around(storage, "local", path=tmp_path))
        assert {"writable", "fsync", "space", "upper and lower case"} <= results(diagnosis).keys()
        assert diagnosis.problems == []
        assert await left_behind(storage) == []
    assert list((tmp_path / ".gw" / "tmp").iterdir()) == []
    assert list((tmp_path / BUCKET).iterdir()) == []


async def test_a_server_that_is_not_there_is_named_with_the_setting():
    port = free_port()
    diagnosis = await examined(s3(port))
    assert results(diagnosis) == {"reached": "no"}
    (problem,) = diagnosis.problems
    assert problem.startswith("backends.far: reached: http://127")
    assert f"http://127.0.0.1:{port}" in problem
    assert "look at endpoint" in problem


@pytest.mark.parametrize(
    ("wrong", "setting"), [({"secret_key": "not-the-secret"}, "secret_key"), ({"access_key": "NOBODY"}, "access_key")]
)
async def test_wrong_credentials_are_named_with_the_setting_and_never_shown(upstream, wrong, setting):
    diagnosis = await examined(s3(upstream.port, **wrong))
    (problem,) = diagnosis.problems
    assert f"look at {setting}" in problem
    document = json.dumps(as_json([diagnosis]))
    assert SECRET_KEY not in document
    assert "not-the-secret" not in document


async def test_a_bucket_that_is_not_there_is_a_problem_of_a_cloud_only(upstream):
    far = s3(upstream.port)
    diagnosis = await examined(Patient(far.name, far.type, far.opening, written={"elsewhere": ""}))
    assert [line for line in diagnosis.problems if line.startswith("backends.far: bucket elsewhere: ")]
    assert (await examined(around(Memory()))).problems == []


async def test_where_no_bucket_is_named_or_all_are_only_read_nothing_is_written(memory):
    class Untouched(Wrapper):
        async def put(self, *_):
            raise AssertionError

    for more in ({"written": {}}, {"written": {}, "read": [BUCKET]}):
        diagnosis = await examined(around(Untouched(memory), **more))
        assert diagnosis.problems == []
        assert diagnosis.bucket == ""
        assert results(diagnosis)["tried in a bucket"] == "-"


async def test_a_storage_that_takes_no_object_is_not_tried_any_further(memory):
    class Full(Wrapper):
        async def put(self, *_):
            raise AccessDenied

    diagnosis = await examined(around(Full(memory)))
    assert diagnosis.problems == ["backends.here: put, get, head, delete: AccessDenied: Access Denied"]


async def test_a_storage_that_drops_conditions_is_found_out(memory):
    class Careless(Wrapper):
        async def put(self, at, body, *_):
            return await self.inner.put(at, body)

    found = {each.name for each in (await examined(around(Careless(memory)))).findings if each.problem}
    assert {"if-none-match: *", "if-match", "metadata", "put, get, head, delete"} & found


async def test_where_only_a_prefix_is_the_gateways_nothing_is_written_elsewhere(memory):
    class Watched(Wrapper):
        async def put(self, at, *more):
            assert at.key.startswith("team/.gw/doctor/")
            return await self.inner.put(at, *more)

    diagnosis = await examined(around(Watched(memory), written={BUCKET: "team/"}))
    assert diagnosis.problems == []
    assert await left_behind(memory) == []


class Stuck(Wrapper):
    """Never answers to a part."""

    def __init__(self, inner):
        super().__init__(inner)
        self.reached = asyncio.Event()

    async def put_part(self, *_):
        self.reached.set()
        await asyncio.Event().wait()


async def test_who_is_interrupted_leaves_nothing_behind(memory):
    storage = Stuck(memory)
    task = asyncio.create_task(examine([around(storage)]))
    await storage.reached.wait()
    assert await left_behind(memory)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left_behind(memory) == []


async def test_what_takes_too_long_is_a_problem_and_the_rest_goes_on(memory, monkeypatch):
    monkeypatch.setattr("gateway.doctor.common.PATIENCE", 0.2)
    diagnosis = await examined(around(Stuck(memory)))
    assert "backends.here: uploads: no answer in time" in diagnosis.problems
    assert results(diagnosis)["copy"] == "yes"
    assert await left_behind(memory) == []


async def test_what_cannot_be_removed_is_told(memory):
    class Keeping(Wrapper):
        async def delete(self, *_):
            raise ServiceUnavailable

    diagnosis = await examined(around(Keeping(memory)))
    (problem,) = [line for line in diagnosis.problems if "could not be removed" in line]
    assert f"{BUCKET}/.gw/doctor/" in problem


async def test_what_was_left_behind_long_ago_is_removed_and_what_is_fresh_stays(memory, monkeypatch):
    fresh = ground._ulid()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 2 * 86400)
    old = ground._ulid()
    monkeypatch.undo()
    kept = [f".gw/doctor/{fresh}/object", ".gw/doctor/something/else"]
    for key in (f".gw/doctor/{old}/object", *kept):
        await put(memory, Address(BUCKET, key))
    await examined(around(memory))
    assert await left_behind(memory) == kept
