"""Many at once, over the wire and through several workers: what was acknowledged is there, and is never missed."""

# ruff: noqa: B023 - each function is done before the loop goes on

import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fuzz.attacked import EXAMPLES, PATIENCE_S, Attacked, configuration
from tests.gateway_process import GatewayProcess, running

ROUNDS = 300 if EXAMPLES else 25
AT_ONCE = 8


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("storm")
    with running(GatewayProcess(folder, extra=configuration(folder, workers=2))) as process:
        site = Attacked(process)
        yield site
        process.stop()
    site.check_log()


@pytest.fixture
def bucket(site):
    assert put(site, "/storm") == (200, "")
    yield "/storm"
    for key in re.findall("<Key>([^<]*)</Key>", answer(site, "GET", "/storm?list-type=2").body.decode()):
        answer(site, "DELETE", f"/storm/{key}")
    assert answer(site, "DELETE", "/storm").status == 204


def answer(site, method, target, body=b"", fields=()):
    return site.one(site.signed(method, target, [("content-length", str(len(body))), *fields]) + body, method)


def put(site, target, body=b"", fields=()):
    reply = answer(site, "PUT", target, body, fields)
    return reply.status, reply.code


def at_once(*works):
    """Do things at the same time, and return what came of each, in their order."""
    start = threading.Barrier(len(works))

    def begin(work):
        start.wait(PATIENCE_S)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result(60) for done in [pool.submit(begin, work) for work in works]]


def keys_of(site, bucket):
    return set(re.findall("<Key>([^<]*)</Key>", answer(site, "GET", f"{bucket}?list-type=2").body.decode()))


def test_what_stays_is_always_listed_and_read_while_names_are_fought_for(site, bucket):
    """`a` and `a/b` want one name of the file system; others come and go beside them."""
    stays = ["a", "a/stays", "stays", "x/y/stays"]
    for key in stays:
        assert put(site, f"{bucket}/{key}", b"stays")[0] == 200
    over = threading.Event()

    def fight(number):
        chosen = random.Random(number)
        for _ in range(ROUNDS):
            key = chosen.choice(["a/b", "a/b/c", "a/b/c/d", "b", "b/c", "x", "x/y", "x/y/z", "a", "stays"])
            may_go = key not in stays
            if may_go and chosen.random() < 0.5:
                assert answer(site, "DELETE", f"{bucket}/{key}").status == 204
            else:
                assert put(site, f"{bucket}/{key}", b"stays")[0] == 200

    def watch():
        while not over.is_set():
            assert keys_of(site, bucket) >= set(stays)
            prefixes = answer(site, "GET", f"{bucket}?list-type=2&delimiter=/").body
            assert prefixes.count(b"<Prefix>a/</Prefix>") == prefixes.count(b"<Prefix>x/</Prefix>") == 1
            for key in stays:
                assert answer(site, "GET", f"{bucket}/{key}").body == b"stays"

    with ThreadPoolExecutor(2) as watchers:
        watching = [watchers.submit(watch) for _ in range(2)]
        try:
            at_once(*(lambda number=number: fight(number) for number in range(4)))
        finally:
            over.set()
        for one in watching:
            one.result(60)


def test_a_bucket_is_deleted_or_holds_what_was_acknowledged(site):
    for number in range(ROUNDS):
        assert put(site, "/fought")[0] == 200
        *puts, deleted = at_once(
            *(lambda key=key: put(site, f"/fought/{number}/{key}", b"x") for key in range(3)),
            lambda: answer(site, "DELETE", "/fought").status,
        )
        kept = {f"{number}/{key}" for key, (status, _) in enumerate(puts) if status == 200}
        assert all(told in {(200, ""), (404, "NoSuchBucket")} for told in puts), puts
        if deleted == 204:
            assert kept == set()
        else:
            assert deleted == 409
            assert keys_of(site, "/fought") == kept
        for key in kept:
            assert answer(site, "DELETE", f"/fought/{key}").status == 204
        answer(site, "DELETE", "/fought")


def begun(site, target):
    upload = answer(site, "POST", f"{target}?uploads").body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    reply = answer(site, "PUT", f"{target}?partNumber=1&uploadId={upload}", b"part")
    etag = reply.headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    return upload, f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()


def test_of_complete_abort_and_parts_at_once_one_outcome_remains(site, bucket):
    for number in range(ROUNDS):
        target = f"{bucket}/{number}"
        upload, document = begun(site, target)
        at = f"{target}?uploadId={upload}"
        completed, aborted, part = at_once(
            lambda: answer(site, "POST", at, document),
            lambda: answer(site, "DELETE", at),
            lambda: answer(site, "PUT", f"{at}&partNumber=1", b"another"),
        )
        assert completed.code in {"", "NoSuchUpload", "InvalidPart"}, completed
        assert aborted.status == 204 or aborted.code == "NoSuchUpload", aborted
        assert part.status == 200 or part.code == "NoSuchUpload", part
        is_there = answer(site, "GET", target)
        if completed.status == 200 and b"<Error>" not in completed.body:
            assert is_there.body == b"part"
            answer(site, "DELETE", target)
        else:
            assert is_there.code == "NoSuchKey"
            answer(site, "DELETE", at)
        assert answer(site, "GET", at).code == "NoSuchUpload"
    uploads = site.gateway.objects / ".gw" / "uploads" / "storm"
    assert not uploads.exists() or list(uploads.iterdir()) == []


def test_two_that_complete_at_once_make_one_object(site, bucket):
    for number in range(ROUNDS):
        target = f"{bucket}/{number}"
        upload, document = begun(site, target)
        told = at_once(*[lambda: answer(site, "POST", f"{target}?uploadId={upload}", document)] * 2)
        assert any(reply.status == 200 and b"<ETag>" in reply.body for reply in told), told
        assert all(reply.code in {"", "NoSuchUpload"} for reply in told), told
        assert answer(site, "GET", target).body == b"part"
        answer(site, "DELETE", target)


def test_of_many_that_create_one_wins(site, bucket):
    for number in range(ROUNDS):
        target = f"{bucket}/{number}"
        works = [lambda who=who: put(site, target, b"%d" % who, [("if-none-match", "*")]) for who in range(AT_ONCE)]
        told = at_once(*works)
        assert sorted(status for status, _ in told) == [200] + [412] * (AT_ONCE - 1), told
        assert int(answer(site, "GET", target).body) == told.index((200, ""))
        answer(site, "DELETE", target)


def test_whoever_reads_while_it_is_replaced_gets_one_version_whole(site, bucket):
    target, size = f"{bucket}/replaced", 300_000
    assert put(site, target, b"\0" * size)[0] == 200

    def read():
        for _ in range(ROUNDS):
            body = answer(site, "GET", target).body
            assert len(body) == size
            assert len(set(body)) == 1

    def write(number):
        for _ in range(ROUNDS // 2):
            assert put(site, target, bytes([number]) * size)[0] == 200

    at_once(read, read, lambda: write(1), lambda: write(2))
