"""The policy of a form: what its signer lets others put into its fields, and how large their file may be.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, NoReturn

from gateway.errors import AccessDenied, EntityTooSmall, InvalidPolicyDocument, S3Error
from gateway.storage import Body

EQUAL, BEGINS, RANGE = "eq", "starts-with", "content-length-range"

_WITH_OPERANDS: Final = 3
_EXPIRATION: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_NO_JSON: Final = {r"\$": "$", r"\v": r"\u000b"}  # escapes that S3's policies have beside those of JSON
# "Each form field that you specify in a form (except x-amz-signature, file, policy, and field names that have an
# x-ignore- prefix) must appear in the list of conditions." A checksum tells of the file, and can only have it refused.
_NEED_NOT: Final = frozenset({"x-amz-signature", "awsaccesskeyid", "signature", "policy"})
_NEED_NOT_BEGIN: Final = ("x-ignore-", "x-amz-checksum-")


class Condition(NamedTuple):
    """What must hold of one field, as the policy writes it: `name` begins with a dollar sign, or nothing is meant."""

    operation: str
    name: str
    value: str

    @property
    def field(self) -> str:
        """The field, in lower case."""
        return self.name[1:].lower() if self.name.startswith("$") else ""

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Say whether the field is there and as it must be; of Content-Type each of several that commas separate."""
        if self.field not in fields:
            return False
        value = fields[self.field]
        if self.operation == EQUAL:
            return value == self.value
        if self.field == "content-type":
            return all(one.strip().startswith(self.value) for one in value.split(","))
        return value.startswith(self.value)


@dataclass(frozen=True, slots=True)
class FormPolicy:
    """The policy, good until `expiration` in seconds since the epoch; sizes are those of the file."""

    expiration: float
    conditions: Sequence[Condition]
    sizes: Sequence[tuple[int, int]]

    @classmethod
    def parse(cls, encoded: str) -> "FormPolicy":
        """Read a policy from its field. Raises: InvalidPolicyDocument, AccessDenied (a size that is none)."""
        document = _document(encoded)
        if unknown := sorted(document.keys() - {"expiration", "conditions"}):
            raise _invalid(f"Unexpected: '{unknown[0].lower()}'")
        expiration = _expiration(document)
        if "conditions" not in document:
            raise _invalid("Policy missing conditions.")
        if not isinstance(document["conditions"], list):
            raise _invalid("Invalid 'conditions' value: must be a List.")
        read = [_condition(one) for one in document["conditions"]]
        conditions = [one for one in read if isinstance(one, Condition)]
        return cls(expiration, conditions, [one for one in read if not isinstance(one, Condition)])

    def check(self, form: Mapping[str, str], bucket: str, now: float) -> None:
        """Raise AccessDenied unless the policy still holds, and the fields are as it says, and no others are there.

        The bucket is that of the URL, whatever a field says, and must be named as a field must.
        """
        if now >= self.expiration:
            raise AccessDenied("Invalid according to Policy: Policy expired.")
        fields = {**form, "bucket": bucket}
        for condition in self.conditions:
            if not condition.holds(fields):
                raise _failed(condition)
        covered = {condition.field for condition in self.conditions} | _NEED_NOT
        if extra := [name for name in fields if name not in covered and not name.startswith(_NEED_NOT_BEGIN)]:
            raise AccessDenied(f"Invalid according to Policy: Extra input fields: {', '.join(extra)}")

    def hold(self, body: Body) -> None:
        """Have the file refused if it is too large, or too small: EntityTooLarge, EntityTooSmall."""
        smallest = max((low for low, _ in self.sizes), default=0)
        largest = [high for _, high in self.sizes]
        body.limit = min(largest if body.limit is None else [*largest, body.limit], default=None)

        def check() -> None:
            if body.received < smallest:
                raise EntityTooSmall(ProposedSize=str(body.received), MinSizeAllowed=str(smallest))

        body.check(check)


def _document(encoded: str) -> dict[str, Any]:
    try:
        text = b64decode("".join(encoded.split()), validate=True)
    except ValueError:
        raise _invalid("invalid Base64 encoding.") from None
    try:
        written = _ESCAPE.sub(lambda found: _NO_JSON.get(found[0], found[0]), text.decode())
        document = json.loads(written, object_pairs_hook=_object, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    return document


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Make an object. A name that is there twice could mean two things, of which one would go unseen."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number} is no whole number")


def _expiration(document: Mapping[str, Any]) -> float:
    if "expiration" not in document:
        raise _invalid("Policy missing expiration.")
    said = document["expiration"]
    try:
        if isinstance(said, str) and _EXPIRATION.fullmatch(said):
            return datetime.fromisoformat(said).timestamp()
    except ValueError:  # a day that there is not
        pass
    raise _invalid(f"Invalid 'expiration' value: '{said}'")


def _condition(said: object) -> Condition | tuple[int, int]:
    """Return a condition, or the smallest and largest size of a file."""
    if isinstance(said, dict):
        return _simple(said)
    if not isinstance(said, list):
        raise _invalid("Invalid condition: must be a List or Object.")
    if not said or not isinstance(said[0], str):
        raise _invalid("Invalid Condition: missing operation identifier.")
    operation = said[0].lower()
    if operation not in {EQUAL, BEGINS, RANGE}:
        raise _invalid(f"Invalid Condition: unknown operation '{said[0]}'.")
    if len(said) != _WITH_OPERANDS:
        raise _invalid(f"Invalid {operation}: wrong number of arguments.")
    if operation == RANGE:
        low, high = _sizes(said)
        return low, high
    if not all(isinstance(operand, str) for operand in said):
        raise _invalid("Invalid JSON.")
    return Condition(operation, said[1], said[2])


def _simple(said: Mapping[str, object]) -> Condition:
    if len(said) != 1:
        raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    name, value = next(iter(said.items()))
    if not isinstance(value, str):
        raise _invalid("Invalid Simple-Condition: value must be a string.")
    return Condition(EQUAL, f"${name}", value)


def _sizes(said: Sequence[object]) -> Iterator[int]:
    for bound in said[1:]:
        if isinstance(bound, str) and not _NUMBER.fullmatch(bound):
            raise _failed(said)
        if not isinstance(bound, str | int) or isinstance(bound, bool) or int(bound) < 0:
            raise _invalid(f"Invalid {RANGE}: bounds must be whole numbers of bytes.")
        yield int(bound)


def _invalid(reason: str) -> S3Error:
    return InvalidPolicyDocument(f"Invalid Policy: {reason}")


def _failed(condition: Sequence[object]) -> S3Error:
    written = json.dumps(list(condition), ensure_ascii=False)
    return AccessDenied(f"Invalid according to Policy: Policy Condition failed: {written}")
