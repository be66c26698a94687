"""Promises to the SDKs of other languages, each a program of promises."""

import re
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
JS = [
    (script.stem, promise)
    for script in sorted((HERE / "js").glob("with_*.mjs"))
    for promise in re.findall(r"^export async function (\w+)", script.read_text(), re.MULTILINE)
]
GO = re.findall(r'^\t"(\w+)": +\w+,$', (HERE / "go" / "main.go").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("script", "promise"), JS)
def test_promise_to_a_client_in_javascript_is_kept(client, endpoint, bucket, script, promise):
    node = client("js", "node", NODE_EXTRA_CA_CERTS=str(endpoint.authority), BUCKET=bucket)
    for module in (HERE / "js").glob("*.mjs"):
        shutil.copy(module, node.home)  # Node.js looks for packages beside the program
    (node.home / "node_modules").symlink_to(node.folder / "node_modules")
    node(node.home / "keep.mjs", script, promise)


@pytest.mark.parametrize("promise", GO)
def test_promise_to_the_sdk_for_go_is_kept(client, endpoint, bucket, promise):
    authority = str(endpoint.authority)
    client("go-sdk", "promises", AWS_CA_BUNDLE=authority, SSL_CERT_FILE=authority, BUCKET=bucket)(promise)
