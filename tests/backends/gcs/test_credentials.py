"""Tokens come in time, one request for all, and what is wrong with them is told without the secret."""

import asyncio
import json

import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.backends.gcs import open_gcs
from gateway.backends.gcs.credentials import Credentials, find_token
from gateway.errors import ServiceUnavailable
from gateway.storage import Address
from tests.backends.given import MIB, put, read, some
from tests.doubles.gcs import Fault


@pytest.fixture(scope="module")
def private_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.fixture
def account(fake, tmp_path, private_key):
    said = {
        "type": "service_account",
        "project_id": "acme",
        "client_email": "gateway@acme.iam.gserviceaccount.com",
        "private_key": private_key,
        "token_uri": f"{fake.url}/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(said))
    fake.tokens = set()
    return tmp_path / "account.json"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def clocked(account):
    clock = Clock()
    async with ClientSession() as session:
        credentials = Credentials("gcs", find_token(account, session), clock)
        yield credentials, clock
        await credentials.close()


async def test_a_service_account_gets_in_and_names_its_project(fake, account):
    async with open_gcs("gcs", credentials=account, endpoint=fake.url) as storage:
        await storage.create_bucket("bucket", {})
        await put(storage, Address("bucket", "key"), some(MIB))
        assert await read(storage, Address("bucket", "key")) == some(MIB)
        assert [info.name for info in await storage.list_buckets()] == ["bucket"]
    assert fake.tokens_given == 1


async def test_many_wait_for_one_token(fake, account):
    async with open_gcs("gcs", credentials=account, endpoint=fake.url) as storage:
        await asyncio.gather(*(storage.list_buckets() for _ in range(20)))
    assert fake.tokens_given == 1


async def test_a_waiter_that_leaves_does_not_take_the_token_from_the_others(fake, clocked):
    credentials, _ = clocked
    waiting = [asyncio.create_task(credentials.bearer()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == ["Bearer token-1"] * 2


async def test_a_token_is_renewed_behind_the_back_of_those_who_use_it(fake, clocked):
    credentials, clock = clocked
    assert await credentials.bearer() == "Bearer token-1"
    clock.now += fake.token_life * 0.4
    assert await credentials.bearer() == "Bearer token-1"
    clock.now += fake.token_life * 0.2
    fake.faults = [Fault("POST", "/token", status=503)]
    assert await credentials.bearer() == "Bearer token-1"
    await asyncio.gather(credentials._renewing, return_exceptions=True)
    assert await credentials.bearer() == "Bearer token-1"
    await credentials._renewing
    assert await credentials.bearer() == "Bearer token-2"


async def test_a_token_that_has_ended_is_not_used(fake, clocked):
    credentials, clock = clocked
    await credentials.bearer()
    clock.now += fake.token_life * 0.96
    fake.faults = [Fault("POST", "/token", status=503)]
    with pytest.raises(ServiceUnavailable):
        await credentials.bearer()
    assert await credentials.bearer() == "Bearer token-2"


async def test_why_there_is_no_token_is_told_in_the_log(fake, clocked, capsys):
    credentials, _ = clocked
    fake.faults = [Fault("POST", "/token", status=503)]
    with pytest.raises(ServiceUnavailable):
        await credentials.bearer()
    told = capsys.readouterr().out
    assert "backend_credentials_missing" in told
    assert "503" in told


async def test_a_token_that_is_refused_before_its_time_is_replaced(fake, account):
    async with open_gcs("gcs", credentials=account, endpoint=fake.url) as storage:
        await storage.create_bucket("bucket", {})
        fake.tokens.clear()
        assert (await storage.head_bucket("bucket")).name == "bucket"
    assert fake.tokens_given == 2


async def test_credentials_that_get_no_token_are_told_in_the_log_without_the_secret(fake, account, capsys, private_key):
    fake.faults = [Fault("POST", "/token", status=400)]
    async with open_gcs("gcs", credentials=account, endpoint=fake.url) as storage:
        with pytest.raises(ServiceUnavailable):
            await storage.head(Address("bucket", "key"))
    told = capsys.readouterr().out
    assert "backend_credentials_refused" in told
    assert private_key[100:140] not in told


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"type": "unknown"}'])
async def test_a_file_that_holds_no_credentials_is_refused_at_once(tmp_path, content):
    (tmp_path / "file.json").write_text(content)
    with pytest.raises(OSError, match=r"file\.json"):
        async with open_gcs("gcs", credentials=tmp_path / "file.json"):
            pass
    with pytest.raises(FileNotFoundError):
        async with open_gcs("gcs", credentials=tmp_path / "missing.json"):
            pass


async def test_an_emulator_is_found_by_the_environment_and_shown_no_token(fake, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url.removeprefix("http://"))
    async with open_gcs("gcs", project="acme") as storage:
        await storage.create_bucket("bucket", {})
    assert "bucket" in fake.buckets


async def test_without_a_project_it_is_the_project_that_is_told_to_be_missing(fake, capsys):
    async with open_gcs("gcs", endpoint=fake.url) as storage:
        with pytest.raises(ServiceUnavailable):
            await storage.list_buckets()
    assert "backends.gcs.project" in capsys.readouterr().out
