import os
import ssl

import pytest
from cryptography import x509

from gateway.backends.memory import Memory
from gateway.server.bind import StartError
from gateway.server.tls import Certificate
from gateway.storage import File
from tests.server.certificates import make
from tests.server.harness import receive, serving
from tests.server.test_write import GET, Given


def trusting():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def name_of(site):
    """Return how the certificate of a new connection calls itself."""
    _, writer = await site.connect()
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    subject = x509.load_der_x509_certificate(certificate).subject
    return subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


async def test_objects_and_files_are_served_over_tls(tmp_path):
    data = os.urandom(3 * 2**20 + 5)
    (tmp_path / "file").write_bytes(data)
    storage = Given(Memory())
    async with serving(storage, context=Certificate(*make(tmp_path, "a")).context) as site:
        site.secure = trusting()
        await site.put("key", b"any")
        storage.content, storage.announced = File(os.open(tmp_path / "file", os.O_RDONLY), 0), len(data)
        reader, writer = await site.connect()
        for _ in range(2):
            writer.write(GET)
            assert (await receive(reader)).body == data
        assert (await site.end()).call.secure
        os.close(storage.content.descriptor)


async def test_uploads_pass_over_tls(tmp_path):
    async with serving(context=Certificate(*make(tmp_path, "a")).context) as site:
        site.secure = trusting()
        reader, writer = await site.connect()
        writer.write(site.signed("PUT", "/open/key", {"Content-Length": "3000000"}) + b"x" * 3_000_000)
        assert (await receive(reader)).status == 200
        assert await site.read("key") == b"x" * 3_000_000


async def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path):
    certificate = Certificate(*make(tmp_path, "old"))
    async with serving(context=certificate.context) as site:
        site.secure = trusting()
        assert await name_of(site) == "old"
        assert not certificate.reload()
        make(tmp_path, "new")
        assert await name_of(site) == "old"
        assert certificate.reload()
        assert await name_of(site) == "new"


async def test_a_broken_certificate_leaves_the_old_one_in_place(tmp_path):
    certificate = Certificate(*make(tmp_path, "old"))
    async with serving(context=certificate.context) as site:
        site.secure = trusting()
        key = (tmp_path / "tls.key").read_bytes()
        make(tmp_path, "new")
        (tmp_path / "tls.key").write_bytes(key)
        assert not certificate.reload()
        assert await name_of(site) == "old"
        (tmp_path / "tls.crt").unlink()
        assert not certificate.reload()
        assert await name_of(site) == "old"
        make(tmp_path, "newest")
        assert certificate.reload()
        assert await name_of(site) == "newest"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1])
async def test_old_versions_of_tls_are_refused(tmp_path, version):
    async with serving(context=Certificate(*make(tmp_path, "a")).context) as site:
        site.secure = trusting()
        with pytest.warns(DeprecationWarning, match="TLSVersion"):
            site.secure.minimum_version = site.secure.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await site.connect()


async def test_plain_http_on_the_port_of_tls_gets_no_answer(tmp_path):
    async with serving(context=Certificate(*make(tmp_path, "a")).context) as site:
        assert b"HTTP" not in await site.ask(GET)


@pytest.mark.parametrize("broken", ["tls.crt", "tls.key"])
def test_files_that_cannot_be_used_stop_the_start_with_one_line(tmp_path, broken):
    files = make(tmp_path, "a")
    (tmp_path / broken).write_text("nonsense")
    with pytest.raises(StartError, match=r"^tls: [^\n]+$"):
        Certificate(*files)
    (tmp_path / broken).unlink()
    with pytest.raises(StartError, match=rf"^tls: [^\n]+{broken}: No such file or directory$"):
        Certificate(*files)
