"""Variants for which no client waits are made beside the workers, by a process that may be killed as they may be."""

import asyncio
import json
import signal
import subprocess

import psutil
import pytest

from gateway.config import load, parse
from gateway.images.bell import Bell
from gateway.imaging import share_of, works_here
from tests.cli.test_reload import Reloaded
from tests.cli.test_serve import fetch, states
from tests.gateway_process import GATEWAY, running, until
from tests.images.makers import jpeg
from tests.images.test_hook import Program, listening

RULE = {"match": "in/{path*}", "key": "out/{variant}/{path}", "variants": {"small": {"width": 20}}}
OTHER = {**RULE, "variants": {"large": {"width": 40}}}
SYNC = {"match": "now/{path*}", "key": "made/{variant}/{path}", "mode": "sync", "variants": {"small": {"width": 20}}}


def of_rules(*rules):
    return {"buckets": {"media": {"backend": "disk", "images": {"rules": list(rules)}}}}


def gateway_of(folder, *rules, images=None, **extra):
    said = {"state": f"sqlite:///{folder}/state/state.db", "images": {"workers": 1, **(images or {})}}
    return Reloaded(folder, extra={**said, **of_rules(*rules), **extra})


@pytest.fixture
def gateway(tmp_path):
    with running(gateway_of(tmp_path, RULE, SYNC)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        yield gateway


def children(gateway):
    return psutil.Process(gateway.process.pid).children()


def encoders(process):
    return [each for each in process.children() if "gateway.images.worker" in each.cmdline()]


def put(gateway, name, folder="in"):
    gateway.client().put_object(Bucket="media", Key=f"{folder}/{name}.jpg", Body=jpeg())


def awaited(gateway, name, variant="small"):
    until((gateway.objects / "media" / "out" / variant / f"{name}.jpg").exists)


def maker(gateway):
    """Return the process that makes variants for which no client waits, once it has made one."""
    put(gateway, "first")
    awaited(gateway, "first")
    (found,) = filter(encoders, children(gateway))
    return found


def metric(gateway, name):
    lines = fetch(gateway.admin_port, "/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_only_what_clients_wait_for(tmp_path, workers):
    with running(gateway_of(tmp_path, RULE, SYNC, workers=workers)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        beside = maker(gateway)
        put(gateway, "x", "now")
        assert len(encoders(beside)) == 1
        assert len([each for each in children(gateway) if encoders(each)]) == 2
        assert '"event":"serving","worker":"images"' in gateway.log
        until(lambda: states(gateway) == ["ready"] * workers)


def test_one_process_does_everything_where_nothing_is_made_later(tmp_path):
    with running(gateway_of(tmp_path, SYNC)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        put(gateway, "x", "now")
        assert len(children(gateway)) == len(encoders(psutil.Process(gateway.process.pid))) == 1
        gateway.reload(of_rules(SYNC, RULE))  # what is to be made from now on, it makes itself
        put(gateway, "x")
        awaited(gateway, "x")


def test_who_makes_them_is_started_again_and_does_what_has_come_meanwhile(gateway):
    beside = maker(gateway)
    beside.kill()
    put(gateway, "second")
    assert fetch(gateway.admin_port, "/readyz")[0] == 200
    awaited(gateway, "second")
    assert '"event":"worker_ended","worker":"images","code":-9' in gateway.log
    assert beside.pid not in {each.pid for each in children(gateway)}


def test_other_rules_hold_for_who_makes_them_too(gateway):
    maker(gateway)
    gateway.write(of_rules(OTHER))
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: all(f'"config_reloaded","worker":{name},' in gateway.log for name in ("0", '"images"')))
    put(gateway, "second")
    awaited(gateway, "second", "large")
    assert not (gateway.objects / "media" / "out" / "small" / "second.jpg").exists()


def waiting(gateway):
    """Return what `gateway images status` says: how much waits, is being written, and was given up."""
    command = [str(GATEWAY), "images", "status", "--json", "--config", str(gateway.folder / "config.yaml")]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return told["jobs"], told["writing"], told["failed"]


def test_what_waits_when_the_gateway_ends_is_done_when_it_is_back(gateway):
    beside = maker(gateway)
    until(lambda: waiting(gateway) == (0, 0, 0))
    beside.kill()
    put(gateway, "second")
    family = children(gateway)
    assert gateway.stop() == 0
    assert not any(each.is_running() for each in family)
    gateway.start()
    awaited(gateway, "second")


async def test_what_was_made_is_counted_and_told_once(tmp_path):
    program = Program()
    async with listening(program, tmp_path / "tls") as receiver:
        webhook = {"url": receiver.url, "secret": receiver.secret, "ca": str(receiver.ca)}
        gateway = gateway_of(tmp_path, RULE, SYNC, images={"webhook": webhook})
        await asyncio.to_thread(gateway.start)
        try:
            await asyncio.to_thread(write_some, gateway)
            told = [json.loads((await program.told())[1]) for _ in range(3)]
            await asyncio.to_thread(check_metrics, gateway)
        finally:
            await asyncio.to_thread(gateway.stop)
        assert sorted(each["key"] for each in told) == ["in/a.jpg", "in/b.jpg", "now/c.jpg"]
        assert program.got.empty()


def write_some(gateway):
    gateway.client().create_bucket(Bucket="media")
    for name in "ab":
        put(gateway, name)
    put(gateway, "c", "now")


def check_metrics(gateway):
    until(lambda: metric(gateway, 'gateway_image_hooks_total{result="delivered"}') == 3)
    assert metric(gateway, 'gateway_image_jobs_total{bucket="media",outcome="done"') == 3
    assert metric(gateway, 'gateway_image_variants_total{bucket="media",result="made"}') == 3
    assert metric(gateway, "gateway_image_seconds_count") == 3
    assert metric(gateway, 'gateway_requests_total{operation="PutObject"') == 3
    until(lambda: metric(gateway, 'gateway_image_queue_jobs{state="waiting"}') == 0)
    config = load(gateway.folder / "config.yaml")
    assert metric(gateway, "gateway_body_memory_limit_bytes") == pytest.approx(config.body_memory, rel=0.01)


DISK = {"type": "local", "path": "x"}
MEMORY = {"type": "memory"}


@pytest.mark.parametrize(
    ("rules", "backends", "is_beside"),
    [
        ([RULE], {"disk": DISK}, True),
        ([SYNC, RULE], {"disk": DISK}, True),
        ([SYNC], {"disk": DISK}, False),
        ([RULE], {"disk": MEMORY}, False),
        ([RULE], {"disk": DISK, "other": MEMORY}, False),
    ],
)
def test_there_is_a_process_beside_where_something_is_made_later_of_what_it_can_see(rules, backends, is_beside):
    config = parse(json.dumps({"backends": backends, **of_rules(*rules)}), "c.yaml", {})
    assert config.images_beside is is_beside
    assert config.is_one_process is not is_beside


@pytest.mark.parametrize(
    ("rules", "backends", "workers_do"),
    [([RULE], {"disk": DISK}, False), ([SYNC], {"disk": DISK}, True), ([RULE], {"disk": DISK, "ram": MEMORY}, True)],
)
def test_the_workers_make_them_while_the_one_beside_them_could_not(rules, backends, workers_do):
    config = parse(json.dumps({"backends": backends, **of_rules(*rules)}), "c.yaml", {})
    assert [works_here(config, number, Bell(1)) for number in (0, 1)] == [workers_do, not workers_do]
    assert works_here(config, 0, None)


@pytest.mark.parametrize(
    ("rules", "decoding", "workers", "each"),
    [
        ([RULE], 8, 4, [1, 1, 1, 1, 8]),
        ([SYNC, RULE], 8, 4, [1, 1, 1, 1, 4]),
        ([SYNC, RULE], 2, 1, [1, 1]),
        ([RULE], 2, 2, [1, 1, 2]),
    ],
)
def test_those_that_decode_are_shared_out(rules, decoding, workers, each):
    said = {"backends": {"disk": DISK}, "workers": workers, "images": {"workers": decoding}}
    config = parse(json.dumps({**said, **of_rules(*rules)}), "c.yaml", {})
    assert [share_of(config, number, Bell(workers)) for number in range(workers + 1)] == each
    assert share_of(config, 0, None) == max(decoding // workers, 1)
