import subprocess
import urllib.request

import pytest

from tests.gateway_process import GATEWAY, PATIENCE_S, GatewayProcess, running


def gateway(*arguments, folder=None, environment=None):
    command = [GATEWAY, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["check", "-h"], ["presign", "--help"]])
def test_help_is_there(arguments):
    done = gateway(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: gateway")


def test_an_unknown_command_is_an_error():
    assert gateway("serv").returncode == 2


def test_check_tells_what_is_there(tmp_path):
    (tmp_path / "objects" / "bucket").mkdir(parents=True)
    (tmp_path / "c.yaml").write_text("backends: {disk: {type: local, path: objects}}\nadmin: off")
    done = gateway("check", "--config", "c.yaml", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert ["disk", "local", "1"] in [line.split() for line in done.stdout.splitlines()]
    assert not (tmp_path / "data").exists()


def test_check_tells_where_the_configuration_is_wrong(tmp_path):
    (tmp_path / "c.yaml").write_text("region: a\nbuckets: {media: {backend: aws}}")
    done = gateway("check", "--config", "c.yaml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'c.yaml:2: buckets.media.backend: there is no backend "aws", there are: disk\n'


def test_check_tells_which_backend_cannot_be_opened(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "c.yaml").write_text("backends: {disk: {type: local, path: file/x}}")
    done = gateway("check", "--config", "c.yaml", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("backends.disk: cannot be opened: ")
    assert done.stderr.count("\n") == 1


def test_a_secret_that_everybody_may_read_is_warned_about(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("keys: [{access_key: a, secret_key: long-enough}]\nbackends: {m: {type: memory}}")
    file.chmod(0o644)
    done = gateway("check", "--config", "c.yaml", folder=tmp_path)
    assert done.returncode == 0
    assert "chmod 600" in done.stderr
    assert "long-enough" not in done.stderr + done.stdout


def test_a_presigned_url_works(tmp_path):
    with running(GatewayProcess(tmp_path)) as process:
        process.client().create_bucket(Bucket="bucket")
        config = str(tmp_path / "config.yaml")
        url = gateway("presign", "--config", config, "--method", "PUT", "bucket/a b/é?&").stdout.strip()
        put = urllib.request.Request(url, data=b"bytes", method="PUT")
        assert urllib.request.urlopen(put).status == 200
        url = gateway("presign", "--config", config, "--expires", "1m", "bucket/a b/é?&").stdout.strip()
        assert urllib.request.urlopen(url).read() == b"bytes"


def test_presign_takes_keys_from_the_environment(tmp_path):
    environment = {
        "AWS_ACCESS_KEY_ID": "from-the-environment",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "https://s3.example.com/",
        "AWS_REGION": "eu-west-1",
    }
    done = gateway("presign", "bucket/key", folder=tmp_path, environment=environment)
    assert done.stdout.startswith("https://s3.example.com/bucket/key?")
    assert "from-the-environment%2F" in done.stdout
    assert "%2Feu-west-1%2F" in done.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [["bucket"], ["bucket/key", "--expires", "8d"], ["bucket/key", "--expires", "x"]])
def test_presign_refuses_what_cannot_be_signed(tmp_path, arguments):
    assert gateway("presign", *arguments, folder=tmp_path).returncode == 2


def test_presign_without_any_key_says_so(tmp_path):
    done = gateway("presign", "bucket/key", folder=tmp_path, environment={})
    assert (done.returncode, "no key" in done.stderr) == (1, True)
