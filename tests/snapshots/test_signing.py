"""What is signed can be changed by nobody else."""

import json

import pytest

from gateway.snapshots.signing import Signer, Untrusted

OLD, NEW, OTHER = b"a" * 32, b"b" * 32, b"c" * 32
DOCUMENT = {"a": 1, "b": ["é", "\n"]}


def test_what_was_signed_is_believed():
    assert Signer([OLD]).read(Signer([OLD]).sign(DOCUMENT)) == DOCUMENT


def test_what_another_has_signed_is_not_believed():
    with pytest.raises(Untrusted, match="none of ours"):
        Signer([OLD]).read(Signer([OTHER]).sign(DOCUMENT))


def test_a_new_key_signs_and_the_old_one_is_still_believed():
    signed = Signer([OLD]).sign(DOCUMENT)
    rotated = Signer([NEW, OLD])
    assert rotated.read(signed) == DOCUMENT
    assert Signer([NEW]).read(rotated.sign(DOCUMENT)) == DOCUMENT


@pytest.mark.parametrize("place", range(0, 130, 7))
def test_nothing_of_it_can_be_another(place):
    signed = bytearray(Signer([OLD]).sign(DOCUMENT))
    signed[place % len(signed)] ^= 1
    with pytest.raises(Untrusted):
        Signer([OLD]).read(bytes(signed))


def test_the_signature_of_another_document_does_not_do():
    line, signature = Signer([OLD]).sign(DOCUMENT).splitlines(), Signer([OLD]).sign({}).splitlines()
    with pytest.raises(Untrusted):
        Signer([OLD]).read(b"\n".join([line[0], signature[1], b""]))


@pytest.mark.parametrize("last", [b"", b"{}", b"[]", b"1", b'{"key":1}', b'{"key":"x","hmac-sha256":"\xff"}', b"\xff"])
def test_without_a_signature_nothing_is_believed(last):
    with pytest.raises(Untrusted):
        Signer([OLD]).read(json.dumps(DOCUMENT).encode() + b"\n" + last)


def test_a_signature_tells_nothing_of_its_key():
    assert OLD.hex().encode() not in Signer([OLD]).sign({})
    assert OLD not in Signer([OLD]).sign({})
