import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from tests.gateway_process import GATEWAY, PATIENCE_S, GatewayProcess, free_port, running
from tests.server.certificates import make


def fetch(port, path):
    """Return status and text of a page of the admin port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def waited_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def start(folder, *arguments):
    """Start the gateway by hand in a folder; its output is read by the test."""
    return subprocess.Popen(
        [GATEWAY, "serve", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def gateway(tmp_path):
    with running(GatewayProcess(tmp_path)) as process:
        yield process


@pytest.fixture
def pair(tmp_path):
    """A gateway of two workers."""
    with running(GatewayProcess(tmp_path, extra={"workers": 2})) as process:
        waited_for(lambda: states(process) == ["ready", "ready"])
        yield process


def states(process):
    return json.loads(fetch(process.admin_port, "/readyz")[1])["workers"]


def children(process):
    return {child.pid for child in psutil.Process(process.process.pid).children()}


def test_without_a_configuration_it_serves_and_prints_what_clients_need(tmp_path):
    config = tmp_path / "ports.yaml"
    config.write_text(f"listen: 127.0.0.1:{free_port()}\nadmin: off\n")
    process = start(tmp_path, "--config", str(config))
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        mode = (tmp_path / "data" / ".gw" / "keys").stat().st_mode & 0o777
    finally:
        process.terminate()
        process.communicate()
    assert all(line.startswith("export ") for line in lines)
    printed = dict(re.findall(r"(\w+)=(\S+)", "".join(lines)))
    assert list(printed) == [
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION",
    ]  # fmt: skip
    assert mode == 0o600
    again = start(tmp_path, "--config", str(config))
    try:
        assert again.stdout.readline() == f"export AWS_ACCESS_KEY_ID={printed['AWS_ACCESS_KEY_ID']}\n"
    finally:
        again.terminate()
        again.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_that_cannot_open_a_backend_does_not_say_that_it_serves(tmp_path, workers):
    (tmp_path / "file").write_text("no folder")
    config = tmp_path / "config.yaml"
    disk = "disk: {type: local, path: file/objects}"
    config.write_text(f"listen: 127.0.0.1:{free_port()}\nadmin: off\nworkers: {workers}\n")
    config.write_text(config.read_text() + f"keys: {{file: keys}}\nbackends:\n  {disk}\n")
    process = start(tmp_path, "--config", str(config))
    said, complained = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (1, "")
    assert "backends.disk: cannot be opened" in complained


def test_workers_that_are_started_again_do_not_say_once_more_where_they_serve(pair):
    started = psutil.Process(pair.process.pid).children()
    worker = min(started, key=lambda each: (each.create_time(), each.pid)).pid  # numbers begin anew now and then
    os.kill(worker, signal.SIGKILL)
    waited_for(lambda: worker not in children(pair) and len(children(pair)) == 3)
    waited_for(lambda: states(pair) == ["ready", "ready"])
    assert pair.log.count("export AWS_ENDPOINT_URL=") == 1
    waited_for(lambda: pair.log.count('"event":"serving"') == 3)


def test_the_kept_keys_are_neither_bucket_nor_object(tmp_path):
    folder = GatewayProcess(tmp_path, extra={"keys": {"file": str(tmp_path / "objects" / ".gw" / "keys")}})
    with running(folder) as process:
        kept = dict(line.split("=", 1) for line in (process.objects / ".gw" / "keys").read_text().split())
        process.access_key, process.secret_key = kept["AWS_ACCESS_KEY_ID"], kept["AWS_SECRET_ACCESS_KEY"]
        client = process.client()
        assert client.list_buckets()["Buckets"] == []
        for bucket, key in ((".gw", "keys"), ("..", "objects/.gw/keys")):
            with pytest.raises(Exception, match=r"40\d|Invalid bucket name|NoSuch"):
                client.get_object(Bucket=bucket, Key=key)


def test_secrets_and_signatures_are_not_in_the_log(gateway):
    client = gateway.client()
    client.create_bucket(Bucket="bucket")
    url = client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key\nwith a break"})
    fetch(int(url.split(":")[2].split("/")[0]), "/" + url.split("/", 3)[3])
    assert gateway.stop() == 0
    assert gateway.secret_key not in gateway.log
    assert "Signature" not in gateway.log
    lines = [json.loads(line) for line in gateway.log.splitlines() if line.startswith("{")]
    asked = [line for line in lines if line["event"] == "request"]
    assert [(line["operation"], line["bucket"], line["status"]) for line in asked] == [
        ("CreateBucket", "bucket", 200),
        ("GetObject", "bucket", 404),
    ]
    assert asked[1]["key"] == "key\nwith a break"
    assert asked[1]["error"] == "NoSuchKey"
    assert asked[0]["key_id"] == gateway.access_key


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_zero(gateway, number):
    gateway.process.send_signal(number)
    assert gateway.process.wait(PATIENCE_S) == 0


@contextmanager
def half_an_upload(gateway):
    """Begin an upload of two bytes, and send the first."""
    client = gateway.client(signature_version="s3v4")
    client.create_bucket(Bucket="bucket")
    url = client.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "key"})
    path = url.removeprefix(gateway.endpoint)
    with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_S) as upload:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nContent-Length: 2\r\n"
        upload.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert upload.recv(1000).startswith(b"HTTP/1.1 100 ")
        upload.sendall(b"a")
        yield upload


def test_an_upload_that_is_under_way_ends_before_the_process_does(gateway):
    with half_an_upload(gateway) as upload:
        gateway.process.terminate()
        waited_for(lambda: "draining" in gateway.log)
        with pytest.raises(ConnectionRefusedError):
            waited_for(lambda: socket.create_connection(("127.0.0.1", gateway.port)).close())
        upload.sendall(b"b")
        answer = upload.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close\r\n" in answer
    assert gateway.process.wait(PATIENCE_S) == 0
    assert (gateway.objects / "bucket" / "key").read_bytes() == b"ab"


def test_a_second_signal_ends_it_at_once(gateway):
    with half_an_upload(gateway):
        gateway.process.terminate()
        waited_for(lambda: "draining" in gateway.log)
        gateway.process.terminate()
        assert gateway.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert list((gateway.objects / "bucket").iterdir()) == []


def test_the_admin_port_tells_life_readiness_and_metrics(gateway):
    gateway.client().list_buckets()
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{gateway.endpoint}/metrics")
    assert fetch(gateway.admin_port, "/livez") == (200, '{"live": true}\n')
    status, ready = fetch(gateway.admin_port, "/readyz")
    assert (status, json.loads(ready)) == (
        200, {"ready": True, "degraded": False, "workers": ["ready"], "backends": {"disk": "reachable"}},
    )  # fmt: skip
    metrics = fetch(gateway.admin_port, "/metrics")[1]
    assert 'gateway_requests_total{operation="ListBuckets",status="200"} 1.0' in metrics
    assert 'gateway_request_seconds_count{operation="ListBuckets"} 1.0' in metrics
    assert 'gateway_backend_calls_total{backend="disk",operation="list_buckets",outcome="ok"} ' in metrics
    assert "gateway_build_info{python=" in metrics
    assert "gateway_requests_in_flight 0.0" in metrics
    assert fetch(gateway.admin_port, "/elsewhere")[0] == 404


def test_it_is_not_ready_while_its_backend_is_gone(gateway):
    gateway.objects.rename(gateway.folder / "away")
    waited_for(lambda: fetch(gateway.admin_port, "/readyz")[0] == 503)
    assert json.loads(fetch(gateway.admin_port, "/readyz")[1])["backends"] == {"disk": "unreachable"}
    (gateway.folder / "away").rename(gateway.objects)
    waited_for(lambda: fetch(gateway.admin_port, "/readyz")[0] == 200)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_told_in_one_line(tmp_path, workers):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "c.yaml").write_text(f"listen: 127.0.0.1:{port}\nadmin: off\nworkers: {workers}")
        process = start(tmp_path, "--config", "c.yaml")
        _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert error == f"listen: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_what_keeps_it_from_starting_is_told_in_one_line(tmp_path, workers):
    (tmp_path / "file").write_text("")
    (tmp_path / "c.yaml").write_text(
        f"listen: 127.0.0.1:0\nadmin: off\nworkers: {workers}\nkeys: []\n"
        "backends: {disk: {type: local, path: file/folder}}"
    )
    process = start(tmp_path, "--config", "c.yaml")
    _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "backends.disk: cannot be opened: " in error
    assert "Traceback" not in error


def test_a_broken_certificate_keeps_it_from_starting(tmp_path):
    make(tmp_path, "a")
    (tmp_path / "tls.key").write_text("nonsense")
    (tmp_path / "c.yaml").write_text(
        "listen: 127.0.0.1:0\nadmin: off\ntls: {certificate: tls.crt, key: tls.key}\nbackends: {m: {type: memory}}"
    )
    process = start(tmp_path, "--config", "c.yaml")
    _, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, error.count("\n")) == (1, 1)
    assert error.startswith("tls: ")


def test_a_broken_configuration_keeps_it_from_starting(tmp_path):
    (tmp_path / "c.yaml").write_text("lisen: 1\n")
    process = start(tmp_path, "--config", "c.yaml")
    _, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, error) == (1, "c.yaml:1: lisen: unknown key, did you mean listen?\n")


def test_two_workers_share_a_port_and_their_metrics(pair):
    client = pair.client()
    client.create_bucket(Bucket="bucket")
    before = children(pair)
    assert len(before) == 3  # two workers, and what serves the admin port
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: pair.client().put_object(Bucket="bucket", Key=str(n), Body=b"x"), range(24)))
    assert client.list_objects_v2(Bucket="bucket")["KeyCount"] == 24
    metrics = fetch(pair.admin_port, "/metrics")[1]
    assert 'gateway_requests_total{operation="PutObject",status="200"} 24.0' in metrics
    assert pair.stop() == 0


def test_a_worker_that_crashes_is_replaced_and_its_gauges_forgotten(pair):
    client = pair.client(retries={"total_max_attempts": 5})
    client.create_bucket(Bucket="bucket")
    before = children(pair)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    waited_for(lambda: len(children(pair)) == 3 and victim not in children(pair))
    waited_for(lambda: states(pair) == ["ready", "ready"])
    assert client.list_buckets()["Buckets"][0]["Name"] == "bucket"
    assert pair.stop() == 0


def test_workers_do_not_outlive_their_parent(pair):
    workers = [psutil.Process(pid) for pid in children(pair)]
    os.kill(pair.process.pid, signal.SIGKILL)
    pair.process.wait()
    _, alive = psutil.wait_procs(workers, PATIENCE_S)
    assert alive == []


def test_a_terminal_that_interrupts_all_processes_ends_them_in_peace(pair):
    for pid in [*children(pair), pair.process.pid]:
        os.kill(pid, signal.SIGINT)
    assert pair.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_has_the_certificate_taken_anew(tmp_path, workers):
    certificate, key = make(tmp_path, "old")
    tls = {"certificate": str(certificate), "key": str(key)}
    with running(GatewayProcess(tmp_path / "gateway", extra={"tls": tls, "workers": workers})) as process:
        old = ssl.get_server_certificate(("127.0.0.1", process.port))
        make(tmp_path, "new")
        process.process.send_signal(signal.SIGHUP)
        waited_for(lambda: process.log.count("certificate_reloaded") == workers)
        assert ssl.get_server_certificate(("127.0.0.1", process.port)) != old
        assert process.stop() == 0
