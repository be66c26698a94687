"""Answers as botocore reads them: what its parsers do not find was not said in S3's words."""

import botocore.parsers
import botocore.session

from gateway.message import Answer

_MODEL = botocore.session.get_session().get_service_model("s3")
_PARSER = botocore.parsers.create_parser("rest-xml")


def as_botocore(operation: str, answer: Answer, body: bytes | None = None) -> dict:
    """Return what boto3 would, for an answer whose content is (or, with `body`, would be written as) bytes."""
    content = answer.content if body is None else body
    assert isinstance(content, bytes)
    response = {"status_code": answer.status, "headers": _Headers(answer.headers), "body": content, "context": {}}
    shape = _MODEL.operation_model(operation).output_shape
    if shape and "payload" in shape.serialization and shape.members[shape.serialization["payload"]].type_name == "blob":
        response["body"] = content
    parsed = _PARSER.parse(response, shape)
    parsed.pop("ResponseMetadata")
    return parsed


class _Headers(dict):
    """Headers by name in any case, as urllib3 gives them to botocore."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def get(self, name: str, default: object = None) -> object:
        return super().get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())
