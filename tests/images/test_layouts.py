"""The three usual layouts through a gateway as it is run, by boto3 and by URLs that browsers are given."""

import time
import urllib.request

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.gateway_process import GatewayProcess, running
from tests.images.makers import jpeg, png
from tests.images.test_config import LAYOUTS

IMAGES = yaml.safe_load(LAYOUTS)["buckets"]["media"]["images"]
PATIENCE_S = 30


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    extra = {
        "buckets": {"*": {"backend": "disk"}, "media": {"backend": "disk", "images": IMAGES}},
        "state": f"sqlite:///{folder}/state/state.db",
        "images": {"workers": 1},
    }
    with running(GatewayProcess(folder, extra=extra)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        yield gateway


@pytest.fixture
def s3(gateway):
    return gateway.client()


def keys(s3, prefix=""):
    return {found["Key"] for found in s3.list_objects_v2(Bucket="media", Prefix=prefix).get("Contents", ())}


def awaited(s3, wanted, prefix):
    deadline = time.monotonic() + PATIENCE_S
    while (there := keys(s3, prefix)) != wanted:
        assert time.monotonic() < deadline, there
        time.sleep(0.05)


def told(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-gateway-images")


PLATFORMS = ["thumbnail_small", "thumbnail_medium", "thumbnail_large", "compressed", "platform_facebook"]


def test_originals_have_variants_beside_them(s3):
    data = jpeg(900, 600)
    answer = s3.put_object(Bucket="media", Key="images/original/a/x.jpg", Body=data, ContentType="image/jpeg")
    assert told(answer) == "pending"
    variants = {f"images/{name}/a/x.jpg" for name in PLATFORMS}
    awaited(s3, {"images/original/a/x.jpg", *variants}, "images/")
    assert s3.get_object(Bucket="media", Key="images/original/a/x.jpg")["Body"].read() == data
    small = s3.head_object(Bucket="media", Key="images/thumbnail_small/a/x.jpg")
    assert small["ContentType"] == "image/jpeg"
    assert small["Metadata"]["gw-source"] == "images/original/a/x.jpg"
    assert small["Metadata"]["gw-source-etag"] == answer["ETag"].strip('"')
    s3.delete_object(Bucket="media", Key="images/original/a/x.jpg")
    assert keys(s3, "images/") == set()


def test_a_preview_has_its_thumbnail_when_it_is_acknowledged(s3):
    answer = s3.put_object(Bucket="media", Key="designs/42/preview.png", Body=png(800, 800), ContentType="image/png")
    assert told(answer) == "done"
    thumbnail = s3.get_object(Bucket="media", Key="designs/42/thumbnail.png")
    assert thumbnail["ContentType"] == "image/png"


def test_products_have_thumbnails_with_a_watermark(s3):
    s3.put_object(Bucket="media", Key="assets/logo.png", Body=png(50, 50), ContentType="image/png")
    s3.put_object(Bucket="media", Key="products/9/original/front.jpeg", Body=jpeg(900, 600))
    names = {"original/front.jpeg", "thumbnails/front_small.jpeg", "thumbnails/front_large.webp"}
    awaited(s3, {f"products/9/{name}" for name in names}, "products/9/")
    large = s3.head_object(Bucket="media", Key="products/9/thumbnails/front_large.webp")
    assert large["ContentType"] == "image/webp"


def test_a_browser_uploads_by_a_url_it_was_given(s3):
    url = s3.generate_presigned_url(
        "put_object", Params={"Bucket": "media", "Key": "designs/7/preview.png", "ContentType": "image/png"}
    )
    request = urllib.request.Request(url, data=png(500, 500), method="PUT", headers={"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.headers["x-gateway-images"] == "done"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "media", "Key": "designs/7/thumbnail.png"})
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        assert answer.headers["Content-Type"] == "image/png"


def test_a_multipart_upload_and_a_copy_have_variants_too(s3):
    upload = s3.create_multipart_upload(Bucket="media", Key="designs/8/preview.png", ContentType="image/png")
    where = {"Bucket": "media", "Key": "designs/8/preview.png", "UploadId": upload["UploadId"]}
    part = s3.upload_part(**where, PartNumber=1, Body=png(640, 480))
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    answer = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert told(answer) == "done"
    source = {"Bucket": "media", "Key": "designs/8/preview.png"}
    assert told(s3.copy_object(Bucket="media", Key="designs/9/preview.png", CopySource=source)) == "done"
    assert {"designs/8/thumbnail.png", "designs/9/thumbnail.png"} <= keys(s3, "designs/")


def test_other_keys_and_other_buckets_are_left_alone(s3):
    assert told(s3.put_object(Bucket="media", Key="notes.txt", Body=b"x")) is None
    s3.create_bucket(Bucket="other")
    assert told(s3.put_object(Bucket="other", Key="designs/1/preview.png", Body=png())) is None


def test_deleting_many_originals_deletes_their_variants(s3):
    for name in "ab":
        s3.put_object(Bucket="media", Key=f"designs/many-{name}/preview.png", Body=png())
    assert len(keys(s3, "designs/many-")) == 4
    objects = [{"Key": f"designs/many-{name}/preview.png"} for name in "ab"]
    s3.delete_objects(Bucket="media", Delete={"Objects": objects})
    assert keys(s3, "designs/many-") == set()


def test_what_is_no_image_is_stored_and_told(s3):
    answer = s3.put_object(Bucket="media", Key="designs/bad/preview.png", Body=b"no image at all")
    assert told(answer) == "skipped"
    with pytest.raises(ClientError, match="Not Found"):
        s3.head_object(Bucket="media", Key="designs/bad/thumbnail.png")
