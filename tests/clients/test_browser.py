"""A page of another origin uploads by presigned URLs and by forms, and reads, in a browser as people have it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from urllib.parse import parse_qsl

import pytest
from botocore.exceptions import ClientError

from tests.gateway_process import GatewayProcess, running

pytestmark = pytest.mark.clients

CHROMIUM = shutil.which("chromium")
PATIENCE_S = 60

PAGE = """<!doctype html><script type="module">
const told = [];
for (const [url, asked] of ASKED) {
  try {
    const answer = await fetch(url, asked);
    told.push({status: answer.status, etag: answer.headers.get("ETag"), text: await answer.text()});
  } catch (error) {
    told.push({error: error.name});
  }
}
await fetch("/told", {method: "POST", body: JSON.stringify(told)});
</script>"""

FORM = """<!doctype html><meta charset="utf-8"><form method="post" enctype="multipart/form-data"></form>
<script type="module">
const [url, fields, name, content] = POSTED, form = document.forms[0];
const add = (field, type) => {
  const input = document.createElement("input");
  [input.name, input.type] = [field, type];
  form.append(input);
  return input;
};
for (const [field, value] of Object.entries(fields)) add(field, "hidden").value = value;
const chosen = new DataTransfer();
chosen.items.add(new File([content], name));
add("file", "file").files = chosen.files;
form.action = url;
form.submit();
</script>"""


class Site(ThreadingHTTPServer):
    """The origin of a page that asks for `asked`, which are the arguments of a fetch each, and tells what it saw.

    Its other page sends a form, `posted`: where to, its fields, the name of a file and what is in it.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, dict]] = []
        self.posted: tuple[str, dict, str, str] = ("", {}, "", "")
        self.told: Queue[list[dict]] = Queue()


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/thanks":
            self.server.told.put([dict(parse_qsl(query))])
        page = FORM.replace("POSTED", json.dumps(self.server.posted)) if path == "/form" else PAGE
        self._answer(page.replace("ASKED", json.dumps(self.server.asked)).encode())

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"")
        self.server.told.put(told)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def gateway(tmp_path: Path, site: Site) -> Iterator[GatewayProcess]:
    rule = {"allowed_origins": [site.origin], "allowed_methods": ["GET", "PUT"], "allowed_headers": ["content-type"]}
    buckets = {
        "*": {"backend": "disk"},
        "pages": {"backend": "disk", "cors": [{**rule, "expose_headers": ["ETag"]}]},
        "unexposed": {"backend": "disk", "cors": [rule]},
    }
    with running(GatewayProcess(tmp_path / "gateway", extra={"buckets": buckets})) as gateway:
        for name in ("pages", "unexposed", "other"):
            gateway.client().create_bucket(Bucket=name)
        yield gateway


@contextmanager
def browser(profile: Path, url: str) -> Iterator[None]:
    """Show a page to nobody."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server"]
    process = subprocess.Popen(
        [str(CHROMIUM), *quiet, f"--user-data-dir={profile}", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.skipif(CHROMIUM is None, reason="this machine has no chromium")
def test_a_page_can_do_what_the_rules_of_the_bucket_say_and_nothing_else(
    gateway: GatewayProcess, site: Site, tmp_path: Path
) -> None:
    client = gateway.client()

    def presigned(method: str, bucket: str, **more: str) -> str:
        return client.generate_presigned_url(method, Params={"Bucket": bucket, "Key": "key", **more})

    text = {"ContentType": "text/plain"}
    put = {"method": "PUT", "body": "by a page", "headers": {"Content-Type": "text/plain"}}
    site.asked = [
        (presigned("put_object", "pages", **text), put),
        (presigned("get_object", "pages"), {}),
        (presigned("put_object", "pages", ContentType="text/html"), put),
        (presigned("put_object", "unexposed", **text), put),
        (presigned("put_object", "other", **text), put),
        (presigned("delete_object", "pages"), {"method": "DELETE"}),
    ]
    with browser(tmp_path / "profile", site.origin):
        uploaded, read, refused, unexposed, other, deleted = site.told.get(timeout=PATIENCE_S)
    etag = client.head_object(Bucket="pages", Key="key")["ETag"]
    assert uploaded == {"status": 200, "etag": etag, "text": ""}
    assert read == {"status": 200, "etag": etag, "text": "by a page"}
    assert refused["status"] == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in refused["text"]
    assert unexposed == {"status": 200, "etag": None, "text": ""}
    assert other == deleted == {"error": "TypeError"}
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket="other", Key="key")


@pytest.mark.skipif(CHROMIUM is None, reason="this machine has no chromium")
def test_a_form_uploads_and_its_sender_is_thanked(gateway: GatewayProcess, site: Site, tmp_path: Path) -> None:
    client = gateway.client()
    thanks = {"success_action_redirect": f"{site.origin}/thanks"}
    allowed = [thanks, ["content-length-range", 1, 100]]
    post = client.generate_presigned_post("other", "up/${filename}", Fields=thanks, Conditions=allowed)
    site.posted = (post["url"], post["fields"], 'größe "1" 50%.txt', "by a form")
    with browser(tmp_path / "profile", f"{site.origin}/form"):
        (told,) = site.told.get(timeout=PATIENCE_S)
    key = 'up/größe "1" 50%.txt'
    stored = client.get_object(Bucket="other", Key=key)
    assert stored["Body"].read() == b"by a form"
    assert told == {"bucket": "other", "key": key, "etag": stored["ETag"]}
