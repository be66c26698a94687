"""The real process in front of Google Cloud Storage, killed while it writes: nothing is lost, nothing is half seen."""

import http.client
import os
import threading
import time
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from gateway.backends.gcs.names import LABELS
from tests.behind import Behind, behind
from tests.faults.history import Clients, History
from tests.gateway_process import GatewayProcess, running

BUCKET = "photos"
MIB = 1024**2
HALF = os.urandom(24 * MIB)
PATIENCE_S = 30

pytestmark = pytest.mark.slow


@pytest.fixture
def storage(tmp_path):
    with behind("gcs", tmp_path) as storage:
        yield storage


@pytest.fixture
def gateway(tmp_path, storage):
    extra = {"backends": {"cloud": dict(storage.settings)}, "buckets": {"*": {"backend": "cloud"}}}
    gateway = GatewayProcess(tmp_path / "gateway", extra=extra)
    with running(gateway):
        gateway.client().create_bucket(Bucket=BUCKET)
        yield gateway


@pytest.mark.parametrize("acknowledged", [5, 60])
def test_a_killed_gateway_has_every_acknowledged_write_and_leaves_nothing_behind(gateway, storage, acknowledged):
    history = History()
    clients = Clients(gateway.client(), BUCKET, history)
    writing = threading.Thread(target=lambda: clients.write_at_random(acknowledged, 150), daemon=True)
    writing.start()
    history.await_acknowledged(acknowledged)
    gateway.kill()
    writing.join(PATIENCE_S)
    assert any(write.ended is None for write in history.writes)

    gateway.start()
    Clients(gateway.client(), BUCKET, history).check()
    _give_up_open_uploads(gateway)
    assert _stored(storage) == _listed(gateway)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("part", [False, True], ids=["object", "part"])
def test_a_body_that_a_killed_gateway_had_half_of_is_nowhere(gateway, storage, known, part):
    client = gateway.client()
    client.put_object(Bucket=BUCKET, Key="key", Body=b"old")
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="key")["UploadId"] if part else ""
    before = set(storage.stored(BUCKET, ""))
    with closing(_half_sent(gateway, upload, known=known)):
        gateway.kill()

    gateway.start()
    client = gateway.client()
    assert client.get_object(Bucket=BUCKET, Key="key")["Body"].read() == b"old"
    assert set(storage.stored(BUCKET, "")) == before
    if part:
        assert "Parts" not in client.list_parts(Bucket=BUCKET, Key="key", UploadId=upload)
    _give_up_open_uploads(gateway)
    assert _stored(storage) == {"key"}


def test_a_gateway_killed_while_it_completes_an_upload_has_the_object_or_the_upload(gateway, storage):
    for seconds in (0.005, 0.02, 0.06):
        client = gateway.client()
        at = {"Bucket": BUCKET, "Key": f"after {seconds}"}
        upload = at | {"UploadId": client.create_multipart_upload(**at)["UploadId"]}
        content = os.urandom(5 * MIB), b"end"
        parts = [
            {"PartNumber": n, "ETag": client.upload_part(**upload, PartNumber=n, Body=data)["ETag"]}
            for n, data in enumerate(content, start=1)
        ]
        completing = threading.Thread(target=_complete, args=(client, upload, parts), daemon=True)
        completing.start()
        time.sleep(seconds)
        gateway.kill()
        completing.join(PATIENCE_S)

        gateway.start()
        if at["Key"] not in _listed(gateway):
            _complete(gateway.client(), upload, parts)
        assert gateway.client().get_object(**at)["Body"].read() == b"".join(content)
        _give_up_open_uploads(gateway)
        assert _stored(storage) == _listed(gateway)


def _complete(client, upload, parts) -> None:
    with suppress(BotoCoreError, ClientError):
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def _half_sent(gateway: GatewayProcess, upload: str, *, known: bool) -> http.client.HTTPConnection:
    """Send half of a body that is much longer than what sockets hold, so that the gateway has taken most of that."""
    client = gateway.client(signature_version="s3v4")
    said = {"Bucket": BUCKET, "Key": "key"} | ({"UploadId": upload, "PartNumber": 1} if upload else {})
    target = urlsplit(client.generate_presigned_url("upload_part" if upload else "put_object", Params=said))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE_S)
    connection.putrequest("PUT", f"{target.path}?{target.query}")
    connection.putheader(*(("Content-Length", str(2 * len(HALF))) if known else ("Transfer-Encoding", "chunked")))
    connection.endheaders()
    connection.send(HALF if known else b"%x\r\n%s\r\n" % (len(HALF), HALF))
    return connection


def _give_up_open_uploads(gateway: GatewayProcess) -> None:
    client = gateway.client()
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        with suppress(
            client.exceptions.NoSuchUpload
        ):  # its object was made already, and what is left goes all the same
            client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


def _listed(gateway: GatewayProcess) -> set[str]:
    return {entry["Key"] for entry in gateway.client().list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def _stored(storage: Behind) -> set[str]:
    """Return all that is in the bucket but what belongs to the bucket itself."""
    return set(storage.stored(BUCKET, "")) - {LABELS}
