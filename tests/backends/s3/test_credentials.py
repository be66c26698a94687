"""Credentials are found wherever AWS's own tools find them, and renewed before they expire."""

import json
import os
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from gateway.backends.s3.backend import open_s3
from gateway.errors import ServiceUnavailable
from tests.doubles.metadata_service import Giver, giving
from tests.doubles.scripted import answer, scripted
from tests.server.harness import ACCESS_KEY, SECRET_KEY

KEYS = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
ARN = "arn:aws:iam::123456789012:role/reader"


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """Nothing of the machine's own is found."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def giver(monkeypatch):
    async with giving(Giver(ACCESS_KEY, SECRET_KEY)) as giver:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{giver.port}")
        yield giver


@pytest.fixture
def account(settings):
    """Return an account of the server of the tests, which knows one key, without saying that key."""
    rest = {name: value for name, value in settings.items() if name not in {"access_key", "secret_key"}}
    return lambda **more: open_s3("account", **{**rest, **more})


def write_profile(tmp_path, name, **content):
    lines = "\n".join(f"{key} = {value}" for key, value in content.items())
    with (tmp_path / "config").open("a") as file:
        file.write(f"[profile {name}]\n{lines}\n")


@pytest.fixture
async def temporary(settings):
    """Return an account of a server that keeps what it is asked, as the server of the tests takes no session token."""
    async with scripted(answer(200, "<ListAllMyBucketsResult/>")) as server:
        rest = {name: value for name, value in settings.items() if name not in {"access_key", "secret_key"}}
        rest["endpoint"] = f"http://127.0.0.1:{server.port}"
        yield lambda **more: open_s3("account", **{**rest, **more})
        assert server.asked
        for head in server.asked:
            assert f"Credential={ACCESS_KEY}/" in head
            assert "x-amz-security-token: the-session" in head
            assert "x-amz-security-token" in head.partition("SignedHeaders=")[2].partition(",")[0]


async def works(storage):
    return "open" in [info.name for info in await storage.list_buckets()]


async def test_keys_of_the_environment(account, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name.upper(), value)
    async with account() as storage:
        assert await works(storage)


async def test_keys_of_a_profile(account, tmp_path):
    write_profile(tmp_path, "mine", **KEYS)
    async with account(profile="mine") as storage:
        assert await works(storage)


async def test_a_profile_that_is_not_there_is_missing_credentials(account):
    async with account(profile="nobody") as storage:
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await storage.list_buckets()
    assert (logs[0]["event"], logs[0]["setting"]) == ("backend_credentials_missing", "profile")


async def test_no_credentials_at_all_are_told_in_the_log(account):
    async with account() as storage:
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await storage.list_buckets()
    assert logs[0]["event"] == "backend_credentials_missing"


async def test_a_role_is_assumed_with_given_keys(temporary, giver):
    async with temporary(access_key="AKOTHER", secret_key="another-secret", role=ARN, external_id="an-id") as storage:
        await storage.list_buckets()
        await storage.list_buckets()
    assert giver.given == ["AssumeRole"]
    assert "AKOTHER" in giver.authorization


async def test_a_role_of_a_profile_is_assumed(temporary, giver, tmp_path):
    write_profile(tmp_path, "base", aws_access_key_id="AKBASE", aws_secret_access_key="base-secret")
    write_profile(tmp_path, "assuming", role_arn=ARN, source_profile="base", region="us-east-1")
    async with temporary(profile="assuming") as storage:
        await storage.list_buckets()
    assert giver.given == ["AssumeRole"]


async def test_a_web_identity_is_exchanged(temporary, giver, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("a-web-token")
    monkeypatch.setenv("AWS_ROLE_ARN", ARN)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    async with temporary() as storage:
        await storage.list_buckets()
    assert giver.given == ["AssumeRoleWithWebIdentity"]


async def test_a_container_is_given_credentials(temporary, giver, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("a-pod-token")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{giver.port}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    async with temporary() as storage:
        await storage.list_buckets()
    assert (giver.given, giver.authorization) == (["container"], "a-pod-token")


async def test_an_instance_is_given_credentials(temporary, giver, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{giver.port}")
    async with temporary() as storage:
        await storage.list_buckets()
    assert giver.given == ["instance"]


async def test_a_process_gives_credentials(account, tmp_path):
    keys = {"Version": 1, "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    command = f"{sys.executable} -c \"print(open('{tmp_path}/keys.json').read())\""
    write_profile(tmp_path, "process", credential_process=command)
    async with account(profile="process") as storage:
        assert await works(storage)


async def test_credentials_are_renewed_before_they_expire(temporary, giver):
    giver.seconds = 60  # within the time in which they have to be renewed
    async with temporary(access_key="AKOTHER", secret_key="another-secret", role=ARN) as storage:
        await storage.list_buckets()
        asked = len(giver.given)
        await storage.list_buckets()
    assert len(giver.given) > asked


async def test_who_gives_credentials_may_be_gone(account, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    async with account(access_key="AKOTHER", secret_key="another-secret", role=ARN) as storage:
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await storage.list_buckets()
    assert logs[0]["setting"] == "role"
    assert "another-secret" not in repr(logs)


def test_keys_that_are_given_load_no_sdk():
    code = """
import sys
from gateway.backends import registry
from gateway.backends.s3.credentials import keychain_of
from gateway.backends.s3.settings import Settings
keychain_of("cloud", Settings(access_key="KEY", secret_key="secret"))
print([name for name in ("aiobotocore", "botocore") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
