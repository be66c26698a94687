"""docs/faq.md quotes what clients are really told."""

import html
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.gateway_process import GatewayProcess, free_port, running

PAGE = re.sub(r"\s+", " ", (Path(__file__).parent.parent / "docs" / "faq.md").read_text())


class Asker(GatewayProcess):
    """A gateway that is asked for what it must refuse."""

    def told(
        self, operation: str, bucket: str, key: str = "TESTKEY", secret: str = "test-secret-key"
    ) -> tuple[str, str]:
        """Return the code and the message of an error."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
        )
        parameters = {
            "put_object": {"Key": "k"},
            "get_object": {"Key": "nothing"},
            "put_bucket_policy": {"Policy": "{}"},
        }
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(Bucket=bucket, **parameters.get(operation, {}))
        return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]

    def told_without_boto(self, method: str, **headers: str) -> str:
        """Return the body of an error."""
        request = urllib.request.Request(f"{self.endpoint}/media/k", method=method, headers=headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        with caught.value as answer:
            return answer.read().decode()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Iterator[Asker]:
    folder = tmp_path_factory.mktemp("faq")
    none = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    extra = {
        "keys": [
            {"access_key": "TESTKEY", "secret_key": "test-secret-key"},
            {"access_key": "READER", "secret_key": "reader-secret", "allow": ["read,list media/*", "list media"]},
        ],
        "backends": {
            "disk": {"type": "local", "path": str(folder / "objects")},
            "strange": {"type": "s3", "endpoint": f"http://127.0.0.1:{free_port()}"},
        },
        "buckets": {
            "*": {"backend": "disk"},
            "strange": {"backend": "strange"},
            "ro": {"backend": "disk", "read_only": True},
        },
    }
    with running(Asker(folder, extra=extra, environment=none)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        yield gateway


@pytest.mark.parametrize(
    "ask",
    [
        lambda gateway: gateway.told("list_objects_v2", "media", key="NOBODY"),
        lambda gateway: gateway.told("list_objects_v2", "media", secret="another-secret"),
        lambda gateway: gateway.told("put_object", "media", key="READER", secret="reader-secret"),
        lambda gateway: gateway.told("list_objects_v2", "missing"),
        lambda gateway: gateway.told("get_object", "media"),
        lambda gateway: gateway.told("put_bucket_policy", "media"),
        lambda gateway: gateway.told("get_object", "strange"),
    ],
)
def test_the_page_quotes_the_code_and_the_message(gateway: Asker, ask: Callable[[Asker], tuple[str, str]]):
    code, message = ask(gateway)
    assert f"`{code}`" in PAGE or code in PAGE
    assert f"`{message}`" in PAGE


def test_the_page_quotes_what_is_said_of_a_read_only_bucket(gateway: Asker):
    assert f"`{gateway.told('put_object', 'ro')[1]}`" in PAGE


def _signed(at: float) -> dict[str, str]:
    """Return the headers of a request that is signed for another region, by nobody."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    scope = f"TESTKEY/{moment[:8]}/eu-west-1/s3/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    return {"Authorization": header, "x-amz-date": moment, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}


def test_the_page_quotes_what_is_told_of_another_region(gateway: Asker):
    body = html.unescape(gateway.told_without_boto("GET", **_signed(time.time())))
    assert "<Code>AuthorizationHeaderMalformed</Code>" in body
    assert "the region 'eu-west-1' is wrong; expecting 'us-east-1'" in body
    assert "`the region 'eu-west-1' is wrong; expecting 'us-east-1'`" in PAGE


def test_the_page_quotes_what_is_told_of_another_time(gateway: Asker):
    body = gateway.told_without_boto("GET", **_signed(time.time() - 3600))
    assert (
        "<Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time" in body
    )
    assert "`The difference between the request time and the current time is too large.`" in PAGE


def test_the_page_quotes_what_a_browser_is_told(gateway: Asker):
    asked = {"Origin": "http://page.example", "Access-Control-Request-Method": "GET"}
    assert "CORSResponse: CORS is not enabled for this bucket." in gateway.told_without_boto("OPTIONS", **asked)
    assert "`CORSResponse: CORS is not enabled for this bucket.`" in PAGE
    assert "<Message>Access Denied</Message>" in gateway.told_without_boto("GET")


def test_the_log_says_what_the_page_says_of_credentials_that_are_missing(gateway: Asker):
    gateway.told("get_object", "strange")
    assert '"event":"backend_credentials_missing"' in gateway.log
    assert "`backend_credentials_missing`" in PAGE


def test_what_the_page_allows_is_enough_to_read_and_list(gateway: Asker):
    gateway.client().put_object(Bucket="media", Key="there", Body=b"")
    reader = Asker(gateway.folder / "reader", access_key="READER", secret_key="reader-secret")
    reader.port = gateway.port
    assert '`allow: ["read,list media/*", "list media"]`' in PAGE
    assert reader.client().list_objects_v2(Bucket="media")["KeyCount"] == 1
    assert reader.client().get_object(Bucket="media", Key="there")["ContentLength"] == 0
