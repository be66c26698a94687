"""A real Ceph does what its dialect says."""

from functools import partial

import pytest

from gateway.backends.s3.backend import open_s3
from gateway.doctor.examine import Patient
from tests.doctor.conftest import BUCKET, examined, left_behind, results

pytestmark = pytest.mark.ceph


async def test_what_the_dialect_says_of_ceph_is_so(settings):
    async with open_s3("ceph", **settings) as storage:
        await storage.create_bucket(BUCKET, {})
        diagnosis = await examined(Patient("ceph", "s3", partial(open_s3, "ceph", **settings), written={BUCKET: ""}))
        assert diagnosis.problems == []
        found = results(diagnosis)
        assert (found["if-match"], found["conditional completion"], found["copy"]) == ("yes", "no", "yes")
        assert await left_behind(storage) == []


async def test_ceph_is_not_aws(settings):
    settings |= {"dialect": "aws", "addressing": "path"}
    async with open_s3("ceph", **settings) as storage:
        await storage.create_bucket(BUCKET, {})
        diagnosis = await examined(Patient("ceph", "s3", partial(open_s3, "ceph", **settings), written={BUCKET: ""}))
        wrong = {each.name for each in diagnosis.findings if each.problem}
        assert {"if-match", "conditional completion", "conditional delete", "copy", "checksum CRC32"} <= wrong
        assert await left_behind(storage) == []
