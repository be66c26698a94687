"""Requests signed beforehand, by botocore, so that the load client has nothing to do but send them."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY, SECRET_KEY, REGION = "BENCHMARKKEY", "benchmark-secret", "us-east-1"


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes ready for the socket: the head, and a block of the body that is sent `times` times."""

    head: bytes
    block: bytes = b""
    times: int = 1
    answer_has_body: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A server to be signed for."""

    port: int
    secret_key: str = SECRET_KEY

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def sign(self, method: str, path: str, query: dict[str, str] | None = None, block: bytes = b"") -> Request:
        """Return a request as SDKs send it over plain HTTP: the SHA-256 of the body is signed too."""
        return self._build(AWSRequest(method, self._url(path, query), data=block), block)

    def sign_upload(self, path: str, block: bytes, times: int, sha256: str) -> Request:
        """Return a PUT of `block` repeated `times`, whose hash is known, for bodies that are not to be held whole."""
        request = AWSRequest("PUT", self._url(path), headers={"X-Amz-Content-SHA256": sha256})
        return self._build(request, block, times)

    def _url(self, path: str, query: dict[str, str] | None = None) -> str:
        return f"{self.url}{quote(path)}" + ("?" + urlencode(query, quote_via=quote) if query else "")

    def _build(self, request: AWSRequest, block: bytes, times: int = 1) -> Request:
        _Signer(Credentials(ACCESS_KEY, self.secret_key), "s3", REGION).add_auth(request)
        headers = dict(request.headers.items()) | {"Host": f"127.0.0.1:{self.port}"}
        if request.method in {"PUT", "POST"}:
            headers["Content-Length"] = str(len(block) * times)
        path = request.url.split(str(self.port), 1)[1]
        lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return Request("\r\n".join([*lines, "", ""]).encode(), block, times, request.method != "HEAD")


class _Signer(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Botocore's signer, which hashes what it is not told the hash of."""

    def payload(self, request: AWSRequest) -> str:
        return request.headers.get("X-Amz-Content-SHA256") or str(super().payload(request))

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        told = request.headers.get("X-Amz-Content-SHA256")
        super()._modify_request_before_signing(request)
        if told:
            del request.headers["X-Amz-Content-SHA256"]
            request.headers["X-Amz-Content-SHA256"] = told
