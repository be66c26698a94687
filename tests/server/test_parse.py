from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.harness import head, receive, serving


async def asked(site, target, host="a", method="GET"):
    """Return the Call that a target becomes, None if it is refused before that."""
    reader, writer = await site.connect()
    writer.write(head(f"{method} {target} HTTP/1.1", {"Host": host}))
    await receive(reader, bodiless=method == "HEAD")
    return (await site.end()).call


async def refused(site, target):
    reader, writer = await site.connect()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"))
    reply = await receive(reader)
    return reply.status, (await site.end()).error


@pytest.mark.parametrize(
    ("target", "bucket", "key"),
    [
        ("/", "", ""),
        ("/bucket", "bucket", ""),
        ("/bucket/", "bucket", ""),
        ("/bucket/key", "bucket", "key"),
        ("/bucket//key", "bucket", "/key"),
        ("/bucket/a/b/", "bucket", "a/b/"),
        ("/bucket/a%2Fb", "bucket", "a/b"),
        ("/bucket/a+b", "bucket", "a b"),
        ("/bucket/a%2Bb", "bucket", "a+b"),
        ("/bucket/a%20b", "bucket", "a b"),
        ("/bucket/%C3%A9", "bucket", "é"),
        ("/bucket/../other/key", "bucket", "../other/key"),
        ("/bucket/./key", "bucket", "./key"),
        ("/bucket/%00", "bucket", "\0"),
        ("//key", "", "key"),
        ("/bucket/a?b=c", "bucket", "a"),
        ("/bucket/a%3Fb", "bucket", "a?b"),
        ("http://elsewhere/bucket/key", "bucket", "key"),
        ("http://elsewhere", "", ""),
        ("HTTPS://elsewhere:1/bucket/key?a", "bucket", "key"),
    ],
)
async def test_the_path_names_bucket_and_key(site, target, bucket, key):
    call = await asked(site, target)
    assert (call.bucket, call.key) == (bucket, key)


async def test_path_and_query_are_kept_as_they_were_sent(site):
    call = await asked(site, "/bucket/a%2fb%7E?x=%2f&y")
    assert (call.path, call.query_string) == ("/bucket/a%2fb%7E", "x=%2f&y")


async def test_parameters_are_decoded_and_the_first_of_a_name_counts(site):
    call = await asked(site, "/bucket?prefix=a%2Fb+c&prefix=other&&acl&%C3%A9=%26&empty=")
    assert call.query == {"prefix": "a/b c", "acl": "", "é": "&", "empty": ""}


@pytest.mark.parametrize(
    "target", ["/bucket/%", "/bucket/%zz", "/bucket/%e9", "/bucket/\xe9", "/bucket?%ff", "/bucket?a=%ff", "/b?a=%4"]
)
async def test_what_cannot_be_decoded_is_refused(site, target):
    assert await refused(site, target) == (400, "InvalidURI")


async def test_a_key_may_have_1024_bytes_and_no_more(site):
    assert (await asked(site, "/bucket/" + "%C3%A9" * 512)).key == "é" * 512
    assert await refused(site, "/bucket/" + "%C3%A9" * 512 + "x") == (400, "KeyTooLongError")


@pytest.mark.parametrize(
    ("host", "bucket", "key"),
    [
        ("media.s3.example.com", "media", "a/b"),
        ("MEDIA.S3.Example.com:9000", "media", "a/b"),
        ("media.s3.example.com.", "media", "a/b"),
        ("me.dia.s3.example.com", "me.dia", "a/b"),
        ("media.other.example", "media", "a/b"),
        ("s3.example.com", "a", "b"),
        ("s3.example.com:9000", "a", "b"),
        ("elsewhere.com", "a", "b"),
        ("evils3.example.com", "a", "b"),
        ("[::1]:9000", "a", "b"),
        ("127.0.0.1", "a", "b"),
    ],
)
async def test_a_bucket_may_stand_in_the_host(host, bucket, key):
    async with serving(domains=["s3.example.com", "Other.example"]) as site:
        call = await asked(site, "/a/b", host)
        assert (call.bucket, call.key) == (bucket, key)
        assert call.virtual_host == (bucket != "a")


async def test_the_host_of_an_absolute_target_counts():
    async with serving(domains=["s3.example.com"]) as site:
        call = await asked(site, "http://media.s3.example.com/key", "other")
        assert (call.bucket, call.key, call.host) == ("media", "key", "media.s3.example.com")


async def test_without_domains_the_host_says_nothing(site):
    assert (await asked(site, "/a/b", "media.s3.example.com")).bucket == "a"


async def test_headers_that_are_no_utf8_are_read_all_the_same(site):
    reader, writer = await site.connect()
    writer.write(b"GET /open/key HTTP/1.1\r\nHost: a\r\nX-Amz-Meta-A: \xe9\r\nX-Amz-Meta-B: x\r\n\r\n")
    await receive(reader)
    assert (await site.end()).call.headers.get("x-amz-meta-a") == "é"


async def test_any_target_gets_an_answer_that_is_no_internal_error():
    """Whatever is asked for, the server neither fails nor falls silent."""
    targets = st.text(st.characters(codec="utf-8", exclude_characters=" \r\n\t\0"), max_size=60)

    async with serving(domains=["a"]) as site:

        async def check(target: str) -> int:
            reader, writer = await site.connect()
            writer.write(f"GET /{target} HTTP/1.1\r\nHost: b.a\r\n\r\n".encode())
            reply = await receive(reader)
            writer.close()
            return reply.status

        examples = []

        @settings(max_examples=150, deadline=None, database=None)
        @given(targets)
        def collect(target):
            examples.append(target)

        collect()
        assert {await check(target) for target in examples} <= {400, 403, 404, 405, 501}


PROXY, FURTHER = ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("proxies", "said", "remote"),
    [
        ([], "192.0.2.1", "127.0.0.1"),
        ([FURTHER], "192.0.2.1", "127.0.0.1"),
        ([PROXY], "192.0.2.1", "192.0.2.1"),
        ([PROXY], "198.51.100.7, 192.0.2.1", "192.0.2.1"),
        ([PROXY, FURTHER], "198.51.100.7, 192.0.2.1, 10.1.2.3", "192.0.2.1"),
        ([PROXY, FURTHER], "10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ([PROXY], "::ffff:192.0.2.1", "192.0.2.1"),
        ([PROXY], "2001:DB8::1", "2001:db8::1"),
        ([PROXY], "unknown", "127.0.0.1"),
        ([PROXY], "192.0.2.1, ", "127.0.0.1"),
        ([PROXY], None, "127.0.0.1"),
    ],
)
async def test_who_asks_is_told_by_proxies_that_are_trusted_and_nobody_else(proxies, said, remote):
    async with serving(proxies=proxies) as site:
        reader, writer = await site.connect()
        writer.write(head("GET / HTTP/1.1", {"Host": "a", **({"X-Forwarded-For": said} if said else {})}))
        await receive(reader)
        assert (await site.end()).remote == remote
