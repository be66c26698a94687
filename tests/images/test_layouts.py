"""The three usual layouts through a gateway as it is run, by boto3 and by URLs that browsers are given."""

import time
import urllib.error
import urllib.request

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.gateway_process import GatewayProcess, running
from tests.images.makers import jpeg, png
from tests.images.test_config import LAYOUTS

IMAGES = yaml.safe_load(LAYOUTS)["buckets"]["media"]["images"]
STRICT = {"backend": "disk", "images": {**IMAGES, "on_invalid": "reject"}}
PATIENCE_S = 30


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    extra = {
        "buckets": {"*": {"backend": "disk"}, "media": {"backend": "disk", "images": IMAGES}, "strict": STRICT},
        "state": f"sqlite:///{folder}/state/state.db",
        "images": {"workers": 1},
    }
    with running(GatewayProcess(folder, extra=extra)) as gateway:
        gateway.client().create_bucket(Bucket="media")
        gateway.client().create_bucket(Bucket="strict")
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


def refused(url, method, body, kind):
    """Return what is answered to a browser that sends what it should not."""
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind})
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request, timeout=PATIENCE_S)
    return answer.value.read()


NOT_AN_IMAGE = "InvalidArgument.*not_an_image"


def test_what_is_no_image_is_refused_whichever_way_it_comes(s3):
    evil, at = b"no image at all", {"Bucket": "strict", "Key": "designs/1/preview.png"}
    good = s3.put_object(**at, Body=png(40, 30))
    s3.put_object(Bucket="strict", Key="notes.txt", Body=evil)
    with pytest.raises(ClientError, match=NOT_AN_IMAGE):
        s3.put_object(**at, Body=evil)
    with pytest.raises(ClientError, match=NOT_AN_IMAGE):
        s3.copy_object(**at, CopySource={"Bucket": "strict", "Key": "notes.txt"})
    url = s3.generate_presigned_url("put_object", Params={**at, "ContentType": "image/png"})
    assert b"not_an_image" in refused(url, "PUT", evil, "image/png")
    assert s3.head_object(**at)["ETag"] == good["ETag"]


def test_an_upload_in_parts_is_refused_until_it_is_an_image(s3):
    at = {"Bucket": "strict", "Key": "designs/2/preview.png"}
    where = {**at, "UploadId": s3.create_multipart_upload(**at)["UploadId"]}

    def sent(data):
        part = s3.upload_part(**where, PartNumber=1, Body=data)
        return {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}}

    parts = sent(b"no image at all")
    with pytest.raises(ClientError, match=NOT_AN_IMAGE):
        s3.complete_multipart_upload(**where, **parts)
    url = s3.generate_presigned_url("complete_multipart_upload", Params=where)
    etag = parts["MultipartUpload"]["Parts"][0]["ETag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    assert b"not_an_image" in refused(url, "POST", body, "")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(**at)
    assert told(s3.complete_multipart_upload(**where, **sent(png(50, 50)))) == "done"
