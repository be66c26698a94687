"""GetObjectTagging: no object has tags, and clients that copy objects with all that belongs to them ask."""

from gateway.errors import NoSuchKey
from gateway.message import Answer, Call
from gateway.operations import xml
from gateway.operations.objects import told
from gateway.operations.service import Service


async def get_object_tagging(service: Service, call: Call) -> Answer:
    """Tell of an object that is there that it has no tags: PutObjectTagging is refused.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html
    """
    try:
        await service.storage.head(call.address)
    except NoSuchKey as error:
        raise await told(call, call.address, error) from error
    return xml.answer("Tagging", {"TagSet": {}})
