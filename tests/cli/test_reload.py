"""A configuration that changes while it is served: nobody notices but those whom the change is about."""

import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from threading import Event

import boto3
import psutil
import pytest
import yaml
from botocore.exceptions import ClientError

from tests.cli.test_serve import fetch, waited_for
from tests.cli.test_signals import SIZE, begun_upload
from tests.gateway_process import GatewayProcess, running, until

ADDED = {"access_key": "ADDED", "secret_key": "added-secret"}


class Reloaded(GatewayProcess):
    """A gateway whose configuration is changed while it runs."""

    def write(self, changes):
        """Replace the configuration, and let it be found."""
        scratch = self.folder / "scratch"
        scratch.write_text(changes if isinstance(changes, str) else yaml.safe_dump({**self.config(), **changes}))
        scratch.replace(self.folder / "config.yaml")

    def reload(self, changes):
        """Change the configuration, and return when every worker serves by it."""
        before = self.log.count('"config_reloaded"')
        self.write(changes)
        self.process.send_signal(signal.SIGHUP)
        workers = self.config()["workers"]
        waited_for(lambda: self.log.count('"config_reloaded"') == before + workers)

    def refuse(self, changes):
        """Write a configuration that is refused, and return when it was."""
        before = self.log.count('"config_refused"')
        self.write(changes)
        self.process.send_signal(signal.SIGHUP)
        waited_for(lambda: self.log.count('"config_refused"') > before)

    def key(self, access_key="TESTKEY", secret_key="test-secret-key", **said):
        return {"access_key": access_key, "secret_key": secret_key, **said}

    def client_of(self, access_key, secret_key):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=boto3.session.Config(retries={"total_max_attempts": 1}),
        )

    def metric(self, name):
        lines = fetch(self.admin_port, "/metrics")[1].splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), None)

    def processes(self):
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children()]


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def gateway(tmp_path, request):
    with running(Reloaded(tmp_path, extra={"workers": request.param})) as gateway:
        gateway.client().create_bucket(Bucket="bucket")
        yield gateway


def code_of(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


@contextmanager
def load(gateway, clients=4):
    """Have clients write and read without a pause; every request has to succeed."""
    done = Event()
    numbers = count()

    def ask():
        client, asked = gateway.client(), 0
        while not done.is_set():
            key, body = f"load/{next(numbers)}", b"x" * 20_000
            client.put_object(Bucket="bucket", Key=key, Body=body)
            assert client.get_object(Bucket="bucket", Key=key)["Body"].read() == body
            asked += 2
        return asked

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask) for _ in range(clients)]
        try:
            yield asking
        finally:
            done.set()
        assert min(one.result() for one in asking) > 0


def test_keys_come_and_go_and_buckets_move_under_load_without_a_failed_request(gateway, tmp_path):
    mine, other = gateway.key(), tmp_path / "other"
    backends = {**gateway.config()["backends"], "other": {"type": "local", "path": str(other)}}
    moved = {"backends": backends, "buckets": {"*": {"backend": "disk"}, "moving": {"backend": "other"}}}
    added = gateway.client_of(**ADDED)
    with load(gateway) as asking:
        assert code_of(added.list_buckets) == "InvalidAccessKeyId"
        for _ in range(3):
            gateway.reload({"keys": [mine, ADDED]})
            assert code_of(added.list_buckets) == ""
            gateway.reload({"keys": [mine, {**ADDED, "allow": "list bucket"}], **moved})
            assert code_of(added.put_object, Bucket="bucket", Key="k", Body=b"x") == "AccessDenied"
            if not (other / "moving").exists():
                gateway.client().create_bucket(Bucket="moving")
            gateway.client().put_object(Bucket="moving", Key="key", Body=b"there")
            gateway.reload({"keys": [mine]})
            assert {code_of(added.list_buckets) for _ in range(8)} == {"InvalidAccessKeyId"}
            assert code_of(gateway.client().head_bucket, Bucket="moving") == "404"
        assert not any(one.done() for one in asking)
    assert (other / "moving" / "key").read_bytes() == b"there"
    assert gateway.metric('gateway_config_reloads_total{result="applied"}') == 9
    assert gateway.metric("gateway_config_last_reload_successful") == 1
    assert gateway.stop() == 0


def test_a_file_that_is_wrong_changes_nothing_and_is_told_of(gateway):
    gateway.reload({"keys": [gateway.key(), ADDED]})
    gateway.refuse("listen: nowhere\n")
    assert "config.yaml:1: listen: expected an address and a port" in gateway.log
    assert gateway.metric("gateway_config_last_reload_successful") == 0
    assert gateway.metric('gateway_config_reloads_total{result="invalid"}') == 1
    assert code_of(gateway.client_of(**ADDED).list_buckets) == ""
    gateway.refuse({"listen": "127.0.0.1:1"})
    assert "config.yaml: listen: cannot be changed without a restart" in gateway.log
    assert gateway.metric('gateway_config_reloads_total{result="restart_needed"}') == 1
    assert code_of(gateway.client_of(**ADDED).list_buckets) == ""
    gateway.reload({})
    assert gateway.metric("gateway_config_last_reload_successful") == 1


def test_pages_are_let_in_and_kept_out_while_running(gateway):
    origin = "https://app.example.com"
    client = gateway.client()
    client.meta.events.register("before-send.s3", lambda request, **_: request.headers.__setitem__("Origin", origin))

    def allowed():
        return client.head_bucket(Bucket="bucket")["ResponseMetadata"]["HTTPHeaders"].get("access-control-allow-origin")

    assert allowed() is None
    rule = {"allowed_origins": [origin], "allowed_methods": ["HEAD"], "max_age": "1h"}
    gateway.reload({"buckets": {"*": {"backend": "disk", "cors": [rule]}}})
    assert allowed() == origin
    gateway.reload({"buckets": {"*": {"backend": "disk", "cors": [rule]}, "bucket": {"backend": "disk"}}})
    assert allowed() is None


def test_a_backend_that_cannot_be_opened_leaves_the_old_configuration_in_force(gateway, tmp_path):
    (tmp_path / "file").write_text("no folder")
    broken = {"type": "local", "path": str(tmp_path / "file")}
    gateway.refuse({"keys": [ADDED], "backends": {**gateway.config()["backends"], "broken": broken}})
    assert "backends.broken: cannot be opened: " in gateway.log
    assert gateway.metric("gateway_config_last_reload_successful") == 0
    assert code_of(gateway.client().list_buckets) == ""


def test_a_change_of_the_file_is_found_without_a_signal(gateway):
    gateway.write({"keys": [gateway.key(), ADDED]})
    added = gateway.client_of(**ADDED)
    waited_for(lambda: gateway.log.count('"config_reloaded"') == gateway.config()["workers"])
    assert code_of(added.list_buckets) == ""


def test_the_level_of_the_log_changes_while_running(gateway):
    client = gateway.client()
    client.list_buckets()
    waited_for(lambda: '"operation":"ListBuckets"' in gateway.log)
    gateway.reload({"log": {"level": "info"}})
    gateway.write({"log": {"level": "warning"}})
    gateway.process.send_signal(signal.SIGHUP)
    waited_for(lambda: gateway.metric('gateway_config_reloads_total{result="applied"}') == 2)

    def is_quiet():
        before = gateway.log.count('"operation":"ListBuckets"')
        for _ in range(4):
            client.list_buckets()
        return gateway.log.count('"operation":"ListBuckets"') == before

    waited_for(is_quiet)
    assert gateway.log.count('"config_reloaded"') == gateway.config()["workers"]  # it is of the level info


def test_an_upload_that_is_under_way_ends_where_it_began(gateway, tmp_path):
    with begun_upload(gateway) as client:
        gateway.reload({"backends": {"disk": {"type": "local", "path": str(tmp_path / "elsewhere")}}})
        assert code_of(gateway.client().head_bucket, Bucket="bucket") == "404"
        client.sendall(b"x" * (SIZE // 2))
        assert client.recv(10_000).startswith(b"HTTP/1.1 200 ")
    assert (gateway.objects / "bucket" / "key").read_bytes() == b"x" * SIZE


def test_a_worker_that_is_started_again_serves_by_the_newest_configuration(tmp_path):
    with running(Reloaded(tmp_path, extra={"workers": 2})) as gateway:
        gateway.reload({"keys": [ADDED]})
        gateway.write("lisen: wrong")
        for worker in psutil.Process(gateway.process.pid).children():
            worker.kill()
        waited_for(lambda: fetch_or_none(gateway))
        assert {code_of(gateway.client_of(**ADDED).list_buckets) for _ in range(8)} == {""}
        assert {code_of(gateway.client().list_buckets) for _ in range(8)} == {"InvalidAccessKeyId"}


def fetch_or_none(gateway):
    try:
        return '"workers": ["ready", "ready"]' in fetch(gateway.admin_port, "/readyz")[1]
    except OSError:
        return None


def test_many_reloads_leave_nothing_behind(gateway, tmp_path):
    others = [{"type": "local", "path": str(tmp_path / f"other{number}")} for number in range(2)]
    configs = [
        {"keys": [gateway.key()], "backends": {**gateway.config()["backends"], "other": other}} for other in others
    ]
    client = gateway.client()

    def descriptors():
        return [process.num_fds() for process in gateway.processes()]

    def threads():
        return max(process.num_threads() for process in gateway.processes())

    for number in range(4):  # what is made once, is made
        gateway.reload(configs[number % 2])
        client.list_objects_v2(Bucket="bucket")
    time.sleep(0.2)
    before = descriptors()
    for number in range(50):
        gateway.reload(configs[number % 2])
        client.list_objects_v2(Bucket="bucket")
    waited_for(lambda: descriptors() == before)
    waited_for(lambda: threads() < 20)


@pytest.fixture
def copied(tmp_path):
    """A gateway whose bucket has a fallback and a mirror."""
    names = ("one", "two", "three")
    backends = {name: {"type": "local", "path": str(tmp_path / name)} for name in names}
    extra = {
        "state": f"sqlite:///{tmp_path}/state.db",
        "backends": backends,
        "buckets": {"bucket": {"backend": "one", "fallback": "two", "mirrors": ["three"]}},
    }
    with running(Reloaded(tmp_path / "gateway", extra=extra)) as gateway:
        gateway.client().create_bucket(Bucket="bucket")
        yield gateway


def nodes(gateway):
    """Return those who ever took part."""
    with closing(sqlite3.connect(gateway.config()["state"].removeprefix("sqlite:///"))) as database:
        return {row[0] for row in database.execute("SELECT id FROM node")}


def test_a_bucket_with_copies_goes_on_as_the_node_that_it_is_when_nothing_about_it_changes(copied):
    before = nodes(copied)
    with load(copied, clients=2):
        for _ in range(3):
            copied.reload({"keys": [copied.key(), ADDED]})
            copied.reload({})
    assert nodes(copied) == before
    assert copied.stop() == 0


def test_a_backend_that_is_reached_another_way_loses_no_write_for_its_mirrors(copied, tmp_path):
    backends = copied.config()["backends"]
    others = {name: {**backend, "fsync": False} for name, backend in backends.items()}
    with load(copied, clients=2):
        for _ in range(3):
            copied.reload({"backends": others})
            copied.reload({})
    one, three = tmp_path / "one" / "bucket", tmp_path / "three" / "bucket"
    wanted = {file.relative_to(one) for file in one.rglob("*") if file.is_file()}
    assert wanted
    until(lambda: {file.relative_to(three) for file in three.rglob("*") if file.is_file()} >= wanted)
    assert copied.stop() == 0


def test_where_copies_are_takes_a_restart(copied):
    copied.refuse({"buckets": {"bucket": {"backend": "one", "mirrors": ["three"]}}})
    assert "config.yaml: buckets.bucket: cannot be changed without a restart" in copied.log
    assert copied.stop() == 0


def test_limits_hold_in_all_workers_together_and_change_while_running(tmp_path):
    with running(Reloaded(tmp_path, extra={"workers": 2})) as gateway:
        slow = {"keys": [gateway.key(), {**ADDED, "limits": {"rate": 5}}]}
        gateway.reload(slow)
        began, codes = time.monotonic(), []
        with ThreadPoolExecutor(4) as pool:  # on connections of their own, so that both workers are asked
            codes = list(pool.map(lambda _: code_of(gateway.client_of(**ADDED).list_buckets), range(60)))
        taken = 5 * (time.monotonic() - began)
        assert 5 <= codes.count("") <= 5 + taken + 1
        assert set(codes) == {"", "SlowDown"}
        assert gateway.metric('gateway_limited_total{limit="key_rate"}') == codes.count("SlowDown")
        gateway.reload({"keys": [gateway.key(), ADDED]})
        assert {code_of(gateway.client_of(**ADDED).list_buckets) for _ in range(20)} == {""}
