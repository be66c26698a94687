"""A form as browsers send it, multipart/form-data, taken apart piece by piece: fields, then one file, then nothing.

https://www.rfc-editor.org/rfc/rfc7578, https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1
"""

import re
from collections.abc import Callable
from typing import Final

from gateway.errors import InvalidArgument, MalformedPOSTRequest, MaxPostPreDataLengthExceeded, S3Error

LIMIT: Final = 20 * 1024  # "The form data and boundaries (excluding the contents of the file) cannot exceed 20KB."
TYPE: Final = "multipart/form-data"

_FILE: Final = "file"
_BOUNDARY: Final = re.compile(r"[ -~]{0,69}[!-~]")
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)=(?:"((?:\\"|[^"])*)"|([^\s;"]*))')
_ESCAPED: Final = re.compile(r'\\"|%22|%0D|%0A')
_CHARACTERS: Final = {r"\"": '"', "%22": '"', "%0D": "\r", "%0A": "\n"}

Step = Callable[["FormData", bytes, int, list[bytes]], int]


class FormData:
    """Takes the parts of a body that is fed to it out of their frame.

    `fields` are those in front of the file, by lower-case name; the values of one that comes more than once are joined
    by commas, as S3 does. What follows the file is ignored. `found` tells that the file has begun, `filename` how its
    sender calls it, None where he does not say. `feed` returns bytes of the file, `finish` says that all was there.
    What is not the file's is limited to LIMIT, and with it the number of fields.
    Raises: MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument (not just one file).
    """

    def __init__(self, boundary: str) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.found = False
        self._delimiter = f"\r\n--{boundary}".encode()
        self._step: Step = FormData._part  # unbound: a cycle would keep what is held until the collector comes
        self._rest = b"\r\n"  # a first delimiter may stand at the very beginning
        self._beside = 0  # bytes that are not the file's
        self._in_file = False
        self._name = ""  # of the field whose value comes in, "" for what is ignored
        self._value: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the body, return those of the file."""
        content: list[bytes] = []
        self._beside += len(data)
        data, position = self._rest + data if self._rest else data, 0
        while position < len(data):
            step = self._step
            taken = step(self, data, position, content)
            if taken == position and self._step is step:  # the end of what it looks for has not come yet
                break
            position = taken
        self._rest = data[position:]
        self._beside -= sum(map(len, content))
        if self._beside - (len(self._rest) if self._in_file else 0) > LIMIT:
            raise MaxPostPreDataLengthExceeded(MaxPostPreDataLengthBytes=str(LIMIT))
        return content

    def finish(self) -> None:
        """Raise MalformedPOSTRequest unless the form has ended, and InvalidArgument if there was no file in it."""
        if self._step is not FormData._epilogue:
            raise MalformedPOSTRequest
        if not self.found:
            raise _one_file(0)

    def _part(self, data: bytes, position: int, content: list[bytes]) -> int:
        """Take what stands in front of the next delimiter: a file, a value, or what is ignored."""
        end, found = self._end(data, position)
        if self._in_file and end > position:
            content.append(data[position:end])
        elif self._name:
            self._value.append(data[position:end])
        if not found:
            return end
        self._close()
        self._step = FormData._line
        return end + len(self._delimiter)

    def _end(self, data: bytes, position: int) -> tuple[int, bool]:
        """Return where the content of a part ends, as far as it has come, and whether a delimiter follows.

        What may be the beginning of one is held back. It begins with its only carriage return.
        """
        end = data.find(self._delimiter, position)
        if end >= 0:
            return end, True
        last = data.rfind(b"\r", max(position, len(data) - len(self._delimiter) + 1))
        return (last if last >= 0 and self._delimiter.startswith(data[last:]) else len(data)), False

    def _close(self) -> None:
        if self._name:
            value = _text(b"".join(self._value))
            self.fields[self._name] = f"{self.fields[self._name]},{value}" if self._name in self.fields else value
        self._in_file, self._name, self._value = False, "", []

    def _line(self, data: bytes, position: int, _content: list[bytes]) -> int:
        """Take the rest of a delimiter's line. One that goes on otherwise would be no more than its beginning."""
        if data.startswith(b"--", position):
            self._step = FormData._epilogue
            return position + 2
        end = data.find(b"\r\n", position)
        if end < 0:
            return position
        if data[position:end].strip(b" \t"):
            raise MalformedPOSTRequest
        self._step = FormData._head
        return end + 2

    def _head(self, data: bytes, position: int, _content: list[bytes]) -> int:
        """Take the headers of a part, which say which field it is."""
        end = data.find(b"\r\n\r\n", position)
        if end < 0:
            return position
        name, filename = _disposition(data[position:end])
        self._in_file = name.lower() == _FILE
        if self._in_file and self.found:
            raise _one_file(2)
        if self._in_file:
            self.found, self.filename = True, filename
        elif not self.found:
            self._name = name.lower()
        self._step = FormData._part
        return end + 4

    def _epilogue(self, data: bytes, _position: int, _content: list[bytes]) -> int:
        return len(data)


def boundary_of(content_type: str) -> str | None:
    """Return the boundary of a form, None for another type of content. Raises MalformedPOSTRequest."""
    kind, parameters = _parameters(content_type)
    if kind != TYPE:
        return None
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise MalformedPOSTRequest
    return boundary


def _disposition(head: bytes) -> tuple[str, str | None]:
    """Return the name that the headers of a part give it, and that of its file. All other headers are ignored."""
    for line in _text(head).split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedPOSTRequest
        if name.lower() == "content-disposition":
            kind, parameters = _parameters(value)
            if kind == "form-data" and parameters.get("name"):
                return parameters["name"], parameters.get("filename")
    raise MalformedPOSTRequest


def _parameters(header: str) -> tuple[str, dict[str, str]]:
    """Return the value of a header in lower case, and its parameters, of a name the first.

    Browsers escape quotes and the ends of lines as in URLs and nothing else, other clients a quote by a backslash.
    https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
    """
    found: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(header):
        found.setdefault(name.lower(), token or _ESCAPED.sub(lambda escaped: _CHARACTERS[escaped[0]], quoted))
    return header.partition(";")[0].strip().lower(), found


def _text(data: bytes) -> str:
    """Decode: "The form and policy must be UTF-8 encoded."."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedPOSTRequest from None


def _one_file(count: int) -> S3Error:
    message = "POST requires exactly one file upload per request."
    return InvalidArgument(message, ArgumentName=_FILE, ArgumentValue=str(count))
