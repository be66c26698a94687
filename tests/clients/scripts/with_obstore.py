"""Promises to obstore: the object_store crate, by which Rust's data tools (DataFusion, Delta, Lance …) reach S3."""

from datetime import timedelta

import obstore
from given import BUCKET, KEYS, MIB, TLS, data, fetch, same
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

store = S3Store(BUCKET, client_options={"allow_http": not TLS})


def objects_round_trip_under_any_key():
    for key in KEYS:
        obstore.put(store, key, data(70_000))
        assert same(bytes(obstore.get(store, key).bytes()), data(70_000)), key
    listed = {entry["path"] for page in obstore.list(store) for entry in page}
    assert listed == set(KEYS)


def a_large_object_goes_up_in_parts():
    sent = data(14 * MIB + 1)
    obstore.put(store, "large", sent, chunk_size=5 * MIB)
    assert obstore.head(store, "large")["e_tag"].endswith('-3"')
    assert same(bytes(obstore.get(store, "large").bytes()), sent)
    with obstore.open_writer(store, "written") as file:
        for start in range(0, len(sent), MIB):
            file.write(sent[start : start + MIB])
    assert same(b"".join(bytes(chunk) for chunk in obstore.get(store, "written").stream()), sent)


def ranges_are_exact():
    sent = data(100_000)
    obstore.put(store, "object", sent)
    assert bytes(obstore.get_range(store, "object", start=5, end=70_000)) == sent[5:70_000]
    got = obstore.get_ranges(store, "object", starts=[0, 99_000], ends=[10, 100_000])
    assert [bytes(part) for part in got] == [sent[:10], sent[99_000:]]
    assert bytes(obstore.get(store, "object", options={"range": {"suffix": 7}}).bytes()) == sent[-7:]


def a_conditional_put_never_replaces_what_the_writer_has_not_seen():
    first = obstore.put(store, "lock", b"first", mode="create")
    _is_refused(AlreadyExistsError, b"second", "create")
    obstore.put(store, "lock", b"third", mode={"e_tag": first["e_tag"]})
    _is_refused(PreconditionError, b"fourth", {"e_tag": first["e_tag"]})
    assert bytes(obstore.get(store, "lock").bytes()) == b"third"


def folders_are_listed_one_level_at_a_time():
    for key in ("a/b/c", "a/b/d", "a/e", "f"):
        obstore.put(store, key, b"x")
    level = obstore.list_with_delimiter(store, "a")
    assert level["common_prefixes"] == ["a/b"]
    assert [entry["path"] for entry in level["objects"]] == ["a/e"]
    after = [entry["path"] for page in obstore.list(store, offset="a/b/c") for entry in page]
    assert after == ["a/b/d", "a/e", "f"]


def objects_are_copied_renamed_and_deleted_at_once():
    for number in range(30):
        obstore.put(store, f"many/{number} ü", data(number + 1))
    obstore.copy(store, "many/3 ü", "copied ü")
    obstore.rename(store, "many/4 ü", "renamed")
    assert bytes(obstore.get(store, "copied ü").bytes()) == data(4)
    assert bytes(obstore.get(store, "renamed").bytes()) == data(5)
    obstore.delete(store, [f"many/{number} ü" for number in range(30) if number != 4])
    assert {entry["path"] for page in obstore.list(store) for entry in page} == {"copied ü", "renamed"}


def signed_urls_work_for_plain_http():
    for key in KEYS:
        put, get = (obstore.sign(store, method, key, timedelta(minutes=5)) for method in ("PUT", "GET"))
        assert fetch(put, method="PUT", body=data(3000))[0] == 200
        status, got = fetch(get)
        assert (status, same(got, data(3000))) == (200, True), key


def attributes_come_back():
    attributes = {"Content-Type": "text/x-test", "Cache-Control": "no-store", "colour": "blue"}
    obstore.put(store, "object", b"x", attributes=attributes)
    assert obstore.get(store, "object").attributes == attributes


def _is_refused(error: type[Exception], content: bytes, mode: object) -> None:
    try:
        obstore.put(store, "lock", content, mode=mode)
    except error:
        return
    raise AssertionError(f"mode {mode} replaced the object")
