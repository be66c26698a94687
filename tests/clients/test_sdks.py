"""Promises to the SDKs of other languages, each a program of promises."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
JS = re.findall(r"^export async function (\w+)", (HERE / "js" / "promises.mjs").read_text(), re.MULTILINE)
GO = re.findall(r'^\t"(\w+)": +\w+,$', (HERE / "go" / "main.go").read_text(), re.MULTILINE)


@pytest.mark.parametrize("promise", JS)
def test_promise_to_the_sdk_for_javascript_is_kept(client, endpoint, bucket, promise):
    node = client("js", "node", NODE_EXTRA_CA_CERTS=str(endpoint.authority), BUCKET=bucket)
    program = node.home / "promises.mjs"
    program.write_bytes((HERE / "js" / "promises.mjs").read_bytes())
    (node.home / "node_modules").symlink_to(node.folder / "node_modules")
    node(program, promise)


@pytest.mark.parametrize("promise", GO)
def test_promise_to_the_sdk_for_go_is_kept(client, endpoint, bucket, promise):
    authority = str(endpoint.authority)
    client("go-sdk", "promises", AWS_CA_BUNDLE=authority, SSL_CERT_FILE=authority, BUCKET=bucket)(promise)
