"""Promises to OpenDAL, the storage layer of GreptimeDB, Databend, RisingWave, sccache and others."""

import opendal
from given import BUCKET, KEYS, MIB, URL, data, fetch, same
from opendal.exceptions import ConditionNotMatch, NotFound

op = opendal.Operator("s3", bucket=BUCKET, endpoint=URL)
_CLEAN = [key for key in KEYS if key == key.strip()]


def objects_round_trip_under_any_key():
    for key in _CLEAN:
        op.write(key, data(70_000))
        assert same(op.read(key), data(70_000)), key
        assert op.stat(key).content_length == 70_000
    listed = {entry.path for entry in op.scan("") if not entry.path.endswith("/")}
    assert listed == set(_CLEAN)


def a_file_written_in_pieces_goes_up_in_parts():
    sent = data(12 * MIB + 1)
    with op.open("large", "wb", chunk=5 * MIB) as file:
        for start in range(0, len(sent), MIB):
            file.write(sent[start : start + MIB])
    assert op.stat("large").etag.endswith('-3"')
    with op.open("large", "rb") as file:
        file.seek(MIB)
        assert file.read(100) == sent[MIB : MIB + 100]
    assert same(op.read("large"), sent)


def a_write_to_a_new_key_never_replaces_an_object():
    op.write("lock", b"first", if_not_exists=True)
    try:
        op.write("lock", b"second", if_not_exists=True)
    except ConditionNotMatch:
        assert op.read("lock") == b"first"
    else:
        raise AssertionError("it was replaced")


def folders_are_listed_and_removed():
    for key in ("d/a", "d/b", "d/e/f"):
        op.write(key, b"x")
    assert {entry.path for entry in op.list("d/")} - {"d/"} == {"d/a", "d/b", "d/e/"}
    op.remove_all("d/")
    assert not list(op.scan("d/"))


def an_object_is_copied_and_a_missing_one_not_found():
    op.write("one", data(5000))
    op.copy("one", "two ü")
    op.delete("one")
    assert same(op.read("two ü"), data(5000))
    try:
        op.stat("one")
    except NotFound:
        return
    raise AssertionError("a deleted object was found")


async def presigned_requests_work_for_plain_http():
    signer = op.to_async_operator()
    put = await signer.presign_write("signed ü", 300)
    assert fetch(put.url, method=put.method, body=data(3000))[0] == 200
    get = await signer.presign_read("signed ü", 300)
    status, got = fetch(get.url)
    assert (status, same(got, data(3000))) == (200, True)
