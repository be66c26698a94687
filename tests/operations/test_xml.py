import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import process_time

import pytest
import xmltodict

from gateway.errors import InvalidPart, MalformedXML, MaxMessageLengthExceeded, MissingRequestBodyError, NoSuchKey
from gateway.operations import xml
from gateway.storage import Body

S3 = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def body(text: str | bytes, size: int | None = None) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        yield text if isinstance(text, bytes) else text.encode()

    return Body(chunks(), size)


async def read(text: str | bytes, root: str = "Delete", lists: tuple[str, ...] = ("Object",)) -> dict:
    return await xml.read(body(text), root, lists)


def test_document_is_in_the_namespace_of_s3_and_reads_back():
    content = {"Name": "b", "Contents": [{"Key": "a&b<c>", "Size": 5}, {"Key": '"', "Size": 0}], "IsTruncated": False}
    root = xmltodict.parse(xml.document("ListBucketResult", content))["ListBucketResult"]
    assert root["@xmlns"] == "http://s3.amazonaws.com/doc/2006-03-01/"
    assert root["Contents"] == [{"Key": "a&b<c>", "Size": "5"}, {"Key": '"', "Size": "0"}]
    assert root["IsTruncated"] == "false"


def test_document_leaves_out_none_and_writes_attributes_and_text():
    written = xml.document("A", {"B": None, "C": {"@xsi:type": 'x"y'}, "#text": "<eu>"})
    assert written.endswith(b'>&lt;eu&gt;<C xsi:type="x&quot;y"></C></A>')


@pytest.mark.parametrize("key", ["a\nb", "a\rb", "a\tb", " a ", "\x85", "😀"])
def test_document_carries_what_parsers_would_change(key):
    assert xmltodict.parse(xml.document("A", {"Key": key}), strip_whitespace=False)["A"]["Key"] == key


def test_document_gives_control_characters_as_references_and_lone_surrogates_as_unreadable():
    assert b"<Key>a&#x1;b&#x0;\xef\xbf\xbd&#xFFFE;</Key>" in xml.document("A", {"Key": "a\x01b\x00\ud800\ufffe"})


def test_document_of_a_thousand_keys_costs_little():
    entry = {"LastModified": "2009-10-12T17:50:30.000Z", "ETag": '"' + 32 * "a" + '"', "Size": 1, "StorageClass": "S"}
    content = {"Contents": [{"Key": f"some/long/key/{i}", **entry} for i in range(1000)]}
    started = process_time()
    xml.document("ListBucketResult", content)
    assert process_time() - started < 0.05


def test_error_tells_its_fields_and_where_it_happened():
    root = xmltodict.parse(xml.error(NoSuchKey(Key="a<b"), "/b/a%3Cb", "REQ", "HOST"))["Error"]
    assert root == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "Key": "a<b",
        "Resource": "/b/a%3Cb",
        "RequestId": "REQ",
        "HostId": "HOST",
    }


def test_error_takes_the_own_message_of_an_error():
    assert b"<Message>part 7</Message>" in xml.error(InvalidPart("part 7"), "/", "", "")


def test_timestamp_is_in_whole_seconds():
    assert xml.timestamp(datetime(2009, 10, 12, 17, 50, 30, 999999, UTC)) == "2009-10-12T17:50:30.000Z"


@pytest.mark.parametrize("root", ["<Delete>", f"<Delete {S3}>", "\ufeff<?xml version='1.0'?>\n<Delete>"])
async def test_read_takes_documents_with_and_without_namespace(root):
    assert await read(f"{root}\n <Object><Key>a</Key></Object> <Quiet>true</Quiet></Delete>\n") == {
        "Object": [{"Key": "a"}],
        "Quiet": "true",
    }


async def test_read_takes_a_prefixed_namespace_and_ignores_attributes():
    text = (
        '<s:Delete xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        '<s:Grantee xsi:type="Group"><s:URI a="b">u</s:URI></s:Grantee></s:Delete>'
    )
    assert await read(text) == {"Grantee": {"URI": "u"}}


@pytest.mark.parametrize("key", [" a ", "a\nb", "<&>", ""])
async def test_read_keeps_keys_as_they_stand(key):
    escaped = key.replace("&", "&amp;").replace("<", "&lt;")
    assert await read(f"<Delete><Object><Key>{escaped}</Key></Object></Delete>") == {"Object": [{"Key": key}]}


async def test_read_keeps_the_order_of_repeated_elements_also_of_many():
    many = [{"Key": f"some/key/{i}"} for i in range(10_000)]
    text = "".join(f"<Object><Key>{one['Key']}</Key></Object>" for one in many)
    assert await read(f"<Delete>{text}</Delete>") == {"Object": many}


async def test_read_of_a_long_document_lets_others_work_meanwhile():
    text = "<Delete>" + "<Object><Key>some/key</Key></Object>" * 20_000 + "</Delete>"
    reading, turns = asyncio.create_task(read(text)), 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await reading)["Object"]) == 20_000
    assert turns > 100


async def test_read_of_an_empty_element_is_an_empty_document():
    assert await read("<Delete/>") == {}


@pytest.mark.parametrize(
    "text",
    [
        "<Other/>",
        "<Delete>",
        "<Delete/><Delete/>",
        "<Delete>text</Delete>",
        "<Delete>text<Quiet/></Delete>",
        "<Delete><Quiet/>text</Delete>",
        "<Delete><Quiet>true</Quiet><Quiet>false</Quiet></Delete>",
        '<Delete xmlns="http://example.com/"/>',
        "<x:Delete/>",
        "no xml",
        b"\xff\xfe<\x00D\x00",
        b"<Delete><Key>\xff</Key></Delete>",
        "<Delete>&#1;</Delete>",
        '<Delete><Key xmlns="http://example.com/">a</Key></Delete>',
        "<Delete><Quiet/><Quiet/></Delete>",
        '<!DOCTYPE Delete [<!ENTITY a "b">]><Delete>&a;</Delete>',
        '<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete/>',
        "<Delete>" + "<a>" * 20 + "</a>" * 20 + "</Delete>",
    ],
)
async def test_read_refuses_what_is_no_such_document(text):
    with pytest.raises(MalformedXML):
        await read(text)


@pytest.mark.parametrize("text", ["", " \n"])
async def test_read_wants_a_body(text):
    with pytest.raises(MissingRequestBodyError):
        await read(text)


async def test_read_refuses_a_document_that_is_too_long_before_reading_it():
    announced = body("", size=xml.LIMIT + 1)
    with pytest.raises(MaxMessageLengthExceeded):
        await xml.read(announced, "Delete")
    assert not announced.started


async def test_read_refuses_a_document_that_turns_out_too_long():
    with pytest.raises(MaxMessageLengthExceeded):
        await read("<Delete>" + " " * xml.LIMIT + "</Delete>")


async def test_read_has_the_body_checked():
    checked = body("<Delete/>")
    checked.check(lambda: (_ for _ in ()).throw(InvalidPart))
    with pytest.raises(InvalidPart):
        await xml.read(checked, "Delete")


def test_text_and_children_refuse_the_other_kind():
    assert xml.text({"Key": "a"}, "Key") == "a"
    assert xml.text({}, "Key", "b") == "b"
    assert xml.children({}, "Object") == []
    for wrong in (lambda: xml.text({}, "Key"), lambda: xml.text({"Key": {"a": "b"}}, "Key")):
        with pytest.raises(MalformedXML):
            wrong()
    with pytest.raises(MalformedXML):
        xml.children({"Object": ["text"]}, "Object")
