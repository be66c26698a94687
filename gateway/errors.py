"""A failure in S3's own words: the class name is the code that the client is told.

Codes, statuses and wording: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import ClassVar, Final, Self


class S3Error(Exception):
    """What a client is told. `fields` are further elements of the XML body, such as Key."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "InternalError"
    message: ClassVar[str] = "We encountered an internal error. Please try again."

    def __init_subclass__(cls) -> None:
        cls.code = cls.__dict__.get("code", cls.__name__)

    def __init__(self, message: str | None = None, **fields: str) -> None:
        super().__init__(message or self.message)
        self.fields = fields
        self.headers: dict[str, str] = {}


# --- the storage's answers ---


class NoSuchKey(S3Error):
    status, message = 404, "The specified key does not exist."


class NoSuchBucket(S3Error):
    status, message = 404, "The specified bucket does not exist"


class NoSuchUpload(S3Error):
    status = 404
    message = (
        "The specified upload does not exist. The upload ID may be invalid, "
        "or the upload may have been aborted or completed."
    )


class NoSuchVersion(S3Error):
    status, message = 404, "The specified version does not exist."


class BucketAlreadyExists(S3Error):
    status = 409
    message = (
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again."
    )


class BucketAlreadyOwnedByYou(S3Error):
    status, message = 409, "Your previous request to create the named bucket succeeded and you already own it."


class BucketNotEmpty(S3Error):
    status, message = 409, "The bucket you tried to delete is not empty"


class PreconditionFailed(S3Error):
    status, message = 412, "At least one of the pre-conditions you specified did not hold"


class ConditionalRequestConflict(S3Error):
    status = 409
    message = "The conditional request cannot succeed due to a conflicting operation against this resource."


class OperationAborted(S3Error):
    status = 409
    message = "A conflicting conditional operation is currently in progress against this resource. Please try again."


class NotModified(S3Error):
    """The answer without a body that a conditional read wants; it carries what a GET would have said."""

    status, message = 304, "Not Modified"

    @classmethod
    def of(cls, etag: str, modified: datetime) -> Self:
        """Return the answer for an object."""
        error = cls()
        error.headers = {"ETag": f'"{etag}"', "Last-Modified": format_datetime(modified, usegmt=True)}
        return error


class InvalidRange(S3Error):
    status, message = 416, "The requested range is not satisfiable"

    @classmethod
    def of(cls, size: int, asked: str = "") -> Self:
        """Return the answer for an object of `size` bytes."""
        error = cls(ActualObjectSize=str(size), **({"RangeRequested": asked} if asked else {}))
        error.headers = {"Content-Range": f"bytes */{size}"}
        return error


class InvalidPartNumber(S3Error):
    status, message = 416, "The requested partnumber is not satisfiable"


class InvalidPart(S3Error):
    status = 400
    message = (
        "One or more of the specified parts could not be found.  The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag."
    )


class InvalidPartOrder(S3Error):
    status = 400
    message = "The list of parts was not in ascending order. Parts must be ordered by part number."


class EntityTooSmall(S3Error):
    status, message = 400, "Your proposed upload is smaller than the minimum allowed size"


class EntityTooLarge(S3Error):
    status, message = 400, "Your proposed upload exceeds the maximum allowed size"


class InvalidBucketState(S3Error):
    status, message = 409, "The request is not valid for the current state of the bucket."


class InvalidObjectState(S3Error):
    status, message = 403, "The operation is not valid for the current state of the object."


# --- what is wrong with the request ---


class InvalidRequest(S3Error):
    status, message = 400, "Invalid Request"


class InvalidArgument(S3Error):
    status, message = 400, "Invalid Argument"


class InvalidURI(S3Error):
    status, message = 400, "Couldn't parse the specified URI."


class InvalidBucketName(S3Error):
    status, message = 400, "The specified bucket is not valid."


class KeyTooLongError(S3Error):
    status, message = 400, "Your key is too long"


class MetadataTooLarge(S3Error):
    status, message = 400, "Your metadata headers exceed the maximum allowed metadata size"


class RequestHeaderSectionTooLarge(S3Error):
    status, message = 400, "Your request header section exceeds the maximum allowed size."


class MalformedXML(S3Error):
    status = 400
    message = "The XML you provided was not well-formed or did not validate against our published schema"


class MaxMessageLengthExceeded(S3Error):
    status, message = 400, "Your request was too big."


class MissingRequestBodyError(S3Error):
    status, message = 400, "Request body is empty."


class MissingContentLength(S3Error):
    status, message = 411, "You must provide the Content-Length HTTP header."


class MissingSecurityHeader(S3Error):
    status, message = 400, "Your request was missing a required header"


class MethodNotAllowed(S3Error):
    status, message = 405, "The specified method is not allowed against this resource."


class BadRequest(S3Error):
    status, message = 400, "An error occurred when parsing the HTTP request."


class InvalidStorageClass(S3Error):
    status, message = 400, "The storage class you specified is not valid"


class InvalidEncryptionAlgorithmError(S3Error):
    status, message = 400, "The encryption request you specified is not valid."


class InvalidLocationConstraint(S3Error):
    status, message = 400, "The specified location-constraint is not valid"


class IllegalLocationConstraintException(S3Error):
    status = 400
    message = (
        "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to."
    )


class InvalidBucketAclWithObjectOwnership(S3Error):
    status, message = 400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"


class AccessControlListNotSupported(S3Error):
    status, message = 400, "The bucket does not allow ACLs"


class NotImplementedByGateway(S3Error):
    status, code = 501, "NotImplemented"
    message = "A header or query you provided requested a function that is not implemented."


# --- the body ---


class IncompleteBody(S3Error):
    status, message = 400, "You did not provide the number of bytes specified by the Content-Length HTTP header"


class RequestTimeout(S3Error):
    status = 400
    message = "Your socket connection to the server was not read from or written to within the timeout period."


class BadDigest(S3Error):
    status, message = 400, "The Content-MD5 you specified did not match what we received."


class InvalidDigest(S3Error):
    status, message = 400, "The Content-MD5 you specified was invalid."


class XAmzContentSHA256Mismatch(S3Error):
    status, message = 400, "The provided 'x-amz-content-sha256' header does not match what was computed."


class XAmzContentChecksumMismatch(S3Error):
    status, message = 400, "The provided 'x-amz-checksum' header does not match what was computed."


class MalformedTrailerError(S3Error):
    status, message = (
        400,
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    )


class InvalidChunkSizeError(S3Error):
    status, message = 403, "Only the last chunk is allowed to have a size less than 8192 bytes"


# --- forms of browsers ---


class InvalidPolicyDocument(S3Error):
    status = 400
    message = "The content of the form does not meet the conditions specified in the policy document."


class MalformedPOSTRequest(S3Error):
    status, message = 400, "The body of your POST request is not well-formed multipart/form-data."


class MaxPostPreDataLengthExceeded(S3Error):
    status, message = 400, "Your POST request fields preceding the upload file were too large."


# --- who asks ---


class AccessDenied(S3Error):
    status, message = 403, "Access Denied"


class AccessForbidden(S3Error):
    status, message = 403, "CORSResponse: CORS is not enabled for this bucket."


class NoSuchCORSConfiguration(S3Error):
    status, message = 404, "The CORS configuration does not exist"


class InvalidAccessKeyId(S3Error):
    status, message = 403, "The AWS Access Key Id you provided does not exist in our records."


class SignatureDoesNotMatch(S3Error):
    status = 403
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )


class RequestTimeTooSkewed(S3Error):
    status, message = 403, "The difference between the request time and the current time is too large."


class AuthorizationHeaderMalformed(S3Error):
    status, message = 400, "The authorization header that you provided is not valid."


class AuthorizationQueryParametersError(S3Error):
    status, message = 400, "The authorization query parameters that you provided are not valid."


class InvalidToken(S3Error):
    status, message = 400, "The provided token is malformed or otherwise not valid."


# --- no answer: the one kind that a fallback may catch ---


class InternalError(S3Error):
    status = 500


class ServiceUnavailable(S3Error):
    status, message = 503, "Service is unable to handle request."


class SlowDown(ServiceUnavailable):
    status, message = 503, "Please reduce your request rate."


_ALL: list[type[S3Error]] = [S3Error, *S3Error.__subclasses__(), *ServiceUnavailable.__subclasses__()]

ERRORS: Final[Mapping[str, type[S3Error]]] = MappingProxyType({kind.code: kind for kind in _ALL})
"""Every error by its code: what a backend says in S3's words becomes the same error here."""


class CredentialsRefused(ServiceUnavailable):
    """A storage that answers, but not to us: no repetition mends it, and it is no business of the client."""

    code = ServiceUnavailable.code
