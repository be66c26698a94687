"""Multipart uploads that an outage finds under way, or that outlive it."""

import hashlib
import os

import pytest

from tests.faults.history import sha256
from tests.faults.proxy import Fault
from tests.outages.world import eventually

MIB = 1024**2
PIECES = (os.urandom(5 * MIB), os.urandom(1000))
ETAG = f'"{hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in PIECES)).hexdigest()}-2"'
WHOLE = sha256(b"".join(PIECES))


class Upload:
    def __init__(self, client, key):
        self.client, self.parts = client, []
        self.at = {"Key": key, "UploadId": client.ask("create_multipart_upload", Key=key).said["UploadId"]}

    def send(self, number):
        answer = self.client.ask("upload_part", **self.at, PartNumber=number, Body=PIECES[number - 1])
        if answer.ok:
            self.parts.append({"PartNumber": number, "ETag": answer.said["ETag"]})
        return answer

    def complete(self):
        return self.client.ask("complete_multipart_upload", **self.at, MultipartUpload={"Parts": self.parts})


def test_an_upload_begun_before_an_outage_goes_on_after_it(world):
    upload = Upload(world.client, "key")
    assert upload.send(1).ok
    world.fail_over()
    assert upload.send(2).status == 503
    assert upload.complete().status == 503
    assert world.client.read("key").status == 404
    world.up()
    world.await_settled()
    assert upload.send(2).ok
    assert upload.complete().said["ETag"] == ETAG
    world.check_settled({"key": WHOLE})


def test_an_upload_begun_in_an_outage_is_completed_in_it_or_after_it(world):
    world.fail_over()
    within, after = Upload(world.client, "within"), Upload(world.client, "after")
    assert all(upload.send(1).ok for upload in (within, after))
    assert within.send(2).ok
    assert within.complete().said["ETag"] == ETAG
    assert sha256(world.client.read("within").body) == WHOLE
    world.up()
    world.await_mode("NORMAL")
    assert after.send(2).ok
    assert after.complete().said["ETag"] == ETAG
    assert sha256(world.client.read("after").body) == WHOLE
    eventually(lambda: set(world.stored("mirror")) == {"within", "after"})
    assert {world.client.ask("head_object", Key=key).said["ETag"] for key in ("within", "after")} == {ETAG}
    world.check_settled({"within": WHOLE, "after": WHOLE})


@pytest.mark.faults
def test_to_complete_an_upload_again_of_which_the_answer_was_lost_succeeds(world):
    upload = Upload(world.client, "key")
    assert upload.send(1).ok
    assert upload.send(2).ok
    world.ways["primary"].set(Fault(answer=0))
    first = upload.complete()
    assert first.ok or first.headers["x-gw-applied"] == "unknown"
    eventually(lambda: upload.complete().said.get("ETag") == ETAG)
    world.check_settled({"key": WHOLE})
