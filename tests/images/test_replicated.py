"""Variants are objects as all others: they are mirrored, and made while the primary is down."""

import sqlite3
import subprocess
from contextlib import closing

import pytest

from tests.gateway_process import GATEWAY, GatewayProcess, running, until
from tests.images.makers import jpeg, png

RULE = {"match": "in/{path*}", "key": "out/{variant}/{path}", "mode": "sync", "variants": {"small": {"width": 20}}}
LATER = {"match": "later/{path*}", "key": "made/{variant}/{path}", "variants": {"small": {"width": 20}}}


@pytest.fixture
def gateway(tmp_path):
    disks = {name: {"type": "local", "path": str(tmp_path / name)} for name in ("first", "second", "third")}
    for name in disks:
        (tmp_path / name).mkdir()
    bucket = {"backend": "first", "fallback": "second", "mirrors": ["third"], "failover": "manual"}
    extra = {
        "backends": disks,
        "buckets": {"media": {**bucket, "images": {"rules": [RULE, LATER]}}},
        "state": f"sqlite:///{tmp_path}/state/state.db",
        "images": {"workers": 1},
    }
    with running(GatewayProcess(tmp_path, extra=extra)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        yield gateway


def fail_over(gateway, *how):
    command = [str(GATEWAY), "failover", "media", *how, "--config", str(gateway.folder / "config.yaml")]
    subprocess.run(command, check=True, capture_output=True)


def told(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-gateway-images")


def test_variants_are_mirrored_and_made_during_an_outage(gateway):
    s3 = gateway.client()
    assert told(s3.put_object(Bucket="media", Key="in/x.jpg", Body=jpeg())) == "done"
    mirrored = gateway.folder / "third" / "media" / "out" / "small" / "x.jpg"
    until(mirrored.exists)
    fail_over(gateway, "--to", "fallback")
    until(lambda: "x-gw-served-by" in s3.head_object(Bucket="media", Key="in/x.jpg")["ResponseMetadata"]["HTTPHeaders"])
    answer = s3.put_object(Bucket="media", Key="in/x.jpg", Body=png())
    assert told(answer) == "done"
    small = s3.head_object(Bucket="media", Key="out/small/x.jpg")
    assert small["ContentType"] == "image/png"
    assert small["Metadata"]["gw-source-etag"] == answer["ETag"].strip('"')
    fail_over(gateway, "--back")
    on_primary = gateway.folder / "first" / "media" / "out" / "small" / "x.jpg"
    until(lambda: on_primary.read_bytes().startswith(b"\x89PNG"))
    assert s3.head_object(Bucket="media", Key="out/small/x.jpg")["ContentType"] == "image/png"


def test_variants_that_are_made_beside_the_workers_are_mirrored_and_who_makes_them_has_no_vote(gateway):
    gateway.client().put_object(Bucket="media", Key="later/x.jpg", Body=jpeg())
    until((gateway.folder / "third" / "media" / "made" / "small" / "x.jpg").exists)
    with closing(sqlite3.connect(gateway.folder / "state" / "state.db")) as state:
        nodes, votes = (state.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("node", "vote"))
    assert (nodes, votes) == (2, 1)
