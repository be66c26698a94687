"""A gateway, or a process of it, is killed while images are written, replaced and deleted; in the end all is well."""

import os
import random
import subprocess
import time

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.gateway_process import GATEWAY, GatewayProcess, running
from tests.images.makers import jpeg

RULES = [
    {
        "match": f"{mode}/{{path*}}",
        "key": f"made/{mode}/{{variant}}/{{path.stem}}.{{ext}}",
        "mode": mode,
        "variants": {"small": {"width": 20}, "webp": {"width": 30, "format": "webp"}},
    }
    for mode in ("sync", "async")
]
SOURCES = [f"{mode}/{number}.jpg" for mode in ("sync", "async") for number in range(4)]
KILLS = int(os.environ.get("IMAGE_KILLS", "2"))
PATIENCE_S = 60


@pytest.fixture
def gateway(tmp_path):
    extra = {
        "buckets": {"media": {"backend": "disk", "images": {"rules": RULES}}},
        "state": f"sqlite:///{tmp_path}/state/state.db",
        "images": {"workers": 1},
        "replication": {"hold": "2s"},
        "workers": 2,
    }
    with running(GatewayProcess(tmp_path, extra=extra)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        yield gateway


def variants(source):
    mode, _, file = source.partition("/")
    stem = file.removesuffix(".jpg")
    return {f"made/{mode}/small/{stem}.jpg", f"made/{mode}/webp/{stem}.webp"}


def found(s3):
    return {each["Key"]: each for each in s3.list_objects_v2(Bucket="media").get("Contents", ())}


def wrong(s3):
    """Return what is not as it should be."""
    there = found(s3)
    sources = {key for key in there if key in SOURCES}
    wanted = sources | {key for source in sources for key in variants(source)}
    problems = {f"{'missing' if key in wanted else 'extra'} {key}" for key in wanted ^ set(there)}
    for source in sources:
        etag = there[source]["ETag"].strip('"')
        for key in variants(source) & set(there):
            metadata = s3.head_object(Bucket="media", Key=key)["Metadata"]
            if (metadata["gw-source"], metadata["gw-source-etag"]) != (source, etag):
                problems.add(f"stale {key}")
    return problems


def settled(s3):
    deadline = time.monotonic() + PATIENCE_S
    while problems := wrong(s3):
        assert time.monotonic() < deadline, problems
        time.sleep(0.2)


def write(s3, chance):
    source = chance.choice(SOURCES)
    try:
        if chance.random() < 0.25:
            s3.delete_object(Bucket="media", Key=source)
        else:
            size = chance.randrange(40, 400)
            s3.put_object(Bucket="media", Key=source, Body=jpeg(size, size), ContentType="image/jpeg")
    except (BotoCoreError, ClientError):
        return False
    return True


def write_for_a_while(s3, chance):
    until = time.monotonic() + chance.uniform(0.3, 1.2)
    while time.monotonic() < until:
        write(s3, chance)


@pytest.mark.timeout(3600)
def test_whenever_a_gateway_is_killed_variants_are_those_of_the_originals_in_the_end(gateway):
    chance = random.Random(20)
    s3 = gateway.client()
    for _ in range(KILLS):
        write_for_a_while(s3, chance)
        chance.choice(psutil.Process(gateway.process.pid).children()).kill()  # a worker, or what is beside them
        write_for_a_while(s3, chance)
        gateway.kill()
        gateway.start()
    settled(s3)
    assert len(found(s3)) > len(SOURCES)


def test_a_rebuild_that_is_killed_goes_on_the_next_time(gateway):
    s3 = gateway.client()
    for source in SOURCES:
        s3.put_object(Bucket="media", Key=source, Body=jpeg(300, 300))
    settled(s3)
    for key in set(found(s3)) - set(SOURCES):
        s3.delete_object(Bucket="media", Key=key)
    gateway.stop()
    command = [str(GATEWAY), "images", "rebuild", "media", "--config", str(gateway.folder / "config.yaml")]
    for seconds in (1.5, 2.0, 2.5):
        rebuilding = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        rebuilding.kill()
        rebuilding.wait()
    subprocess.run(command, check=True, capture_output=True)
    gateway.start()
    assert wrong(s3) == set()
