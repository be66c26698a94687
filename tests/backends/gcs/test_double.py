"""The double is as strict as what it stands for, else the other tests would say little."""

import pytest
from aiohttp import ClientSession

from tests.doubles.gcs import Gcs

API = "/storage/v1/b/bucket/o"
UPLOAD = "/upload/storage/v1/b/bucket/o"
HEADERS = {"Content-Type": "multipart/related; boundary=x"}


def framed(resource, data, end="\r\n--x--\r\n"):
    return f"--x\r\nContent-Type: application/json\r\n\r\n{resource}\r\n--x\r\nContent-Type: a/b\r\n\r\n{data}{end}"


@pytest.fixture
async def ask(fake):
    async with ClientSession(fake.url, headers={"Accept-Encoding": "identity"}) as session:
        await session.post("/storage/v1/b", params={"project": "acme"}, json={"name": "bucket"})

        async def ask(method, path, **said):
            async with session.request(method, path, allow_redirects=False, **said) as response:
                await response.read()
                return response.status

        yield ask


async def test_what_is_not_known_is_refused(fake: Gcs, ask):
    fake.write("bucket", "key", b"data")
    for method, path, said in (
        ("GET", f"{API}/key", {"params": {"ifGenerationmatch": "1"}}),
        ("GET", f"{API}/key", {"params": {"fields": "nmae"}}),
        ("GET", API, {"params": {"start": "a"}}),
        ("GET", API, {"params": {"maxResults": "1001"}}),
        ("PATCH", f"{API}/key", {"json": {"metdata": {}}}),
        ("PATCH", f"{API}/key", {"json": {"metadata": {"a": 1}}}),
        ("PATCH", f"{API}/key", {"json": {"metadata": {"a": "x" * 8192}}}),
        ("POST", f"{API}/to/compose", {"json": {"sourceObjects": [{"name": "key"}] * 33, "destination": {}}}),
        ("POST", UPLOAD, {"params": {"uploadType": "media"}, "data": b"data"}),
        (
            "POST",
            UPLOAD,
            {"params": {"uploadType": "multipart"}, "data": framed('{"name": "."}', ""), "headers": HEADERS},
        ),
    ):
        assert await ask(method, path, **said) == 400, path
    assert list(fake.buckets["bucket"].blobs) == ["key"]


@pytest.mark.parametrize(
    "content",
    [
        framed('{"name": "key", "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg=="}', "data"),
        framed('{"name": "key", "crc32c": "AAAAAA=="}', "data"),
        framed('{"name": "key"}', "data", end=""),
        framed('{"name": "key"}', "data", end="\r\n--x\r\n"),
    ],
)
async def test_a_body_that_is_wrong_or_ends_early_is_not_stored(fake, ask, content):
    assert await ask("POST", UPLOAD, params={"uploadType": "multipart"}, data=content, headers=HEADERS) == 400
    assert fake.buckets["bucket"].blobs == {}


async def test_every_precondition_counts(fake, ask):
    generation = fake.write("bucket", "key", b"data").generation
    for condition, value, there, absent in (
        ("ifGenerationMatch", generation, 200, 412),
        ("ifGenerationMatch", 0, 412, 200),
        ("ifGenerationMatch", generation + 1, 412, 412),
        ("ifMetagenerationMatch", 1, 200, 412),
        ("ifMetagenerationMatch", 2, 412, 412),
        ("ifGenerationNotMatch", 0, 200, 412),
    ):
        sent = {"params": {"uploadType": "multipart", condition: str(value)}, "headers": HEADERS}
        for name, status in (("key", there), ("other", absent)):
            fake.buckets["bucket"].blobs.pop("other", None)
            fake.buckets["bucket"].blobs["key"].generation = generation
            fake.buckets["bucket"].blobs["key"].metageneration = 1
            assert await ask("POST", UPLOAD, data=framed(f'{{"name": "{name}"}}', ""), **sent) == status, condition


async def test_a_step_of_an_odd_length_is_refused_unless_it_is_the_last(fake, ask):
    assert await ask("POST", UPLOAD, params={"uploadType": "resumable", "name": "key"}, json={}) == 200
    (session,) = fake.sessions
    path = f"/session/{session}"
    assert await ask("PUT", path, data=b"odd", headers={"Content-Range": "bytes 0-2/*"}) == 400
    assert await ask("PUT", path, data=bytes(2**18), headers={"Content-Range": f"bytes 0-{2**18 - 1}/*"}) == 308
    assert await ask("PUT", path, data=b"gap", headers={"Content-Range": f"bytes {2**18 + 1}-{2**18 + 3}/*"}) == 400
    wrong = {"Content-Range": f"bytes {2**18}-{2**18}/{2**18 + 1}", "X-Goog-Hash": "crc32c=AAAAAA=="}
    assert await ask("PUT", path, data=b"x", headers=wrong) == 400
    assert fake.buckets["bucket"].blobs == {}
    assert await ask("DELETE", path) == 499


CALL = "--x\r\nContent-Type: application/http\r\n\r\nDELETE /storage/v1/b/bucket/o/key HTTP/1.1\r\n\r\n\r\n"


@pytest.mark.parametrize(
    ("calls", "status"),
    [
        (CALL, 200),
        (CALL * 100, 200),
        (CALL * 101, 400),
        (CALL.replace("application/http", "text/plain"), 400),
        (CALL.replace("/storage", "http://other/storage"), 400),
        (CALL.replace("DELETE", "DELTE"), 400),
    ],
    ids=["one", "many", "too_many", "of_another_type", "with_a_host", "of_no_method"],
)
async def test_a_batch_has_calls_of_the_api_and_not_too_many(fake, ask, calls, status):
    fake.write("bucket", "key", b"data")
    headers = {"Content-Type": "multipart/mixed; boundary=x"}
    assert await ask("POST", "/batch/storage/v1", data=f"{calls}--x--\r\n", headers=headers) == status
    assert ("key" in fake.buckets["bucket"].blobs) == (status != 200)
