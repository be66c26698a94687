"""The parameters with which a client pages: limits, and tokens that say where the next page begins."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from gateway.errors import InvalidArgument

_VERSION: Final = b"\x01"
_LARGEST: Final = 2**31 - 1


def token(item: str) -> str:
    """Return the continuation token of the page that ends with `item`."""
    return urlsafe_b64encode(_VERSION + item.encode()).decode()


def item(token: str) -> str:
    """Return the item that a continuation token stands for; "" stands for the beginning. Raises InvalidArgument."""
    if not token:
        return ""
    try:
        data = urlsafe_b64decode(token)
        if data[:1] == _VERSION and urlsafe_b64encode(data).decode() == token:
            return data[1:].decode()
    except ValueError:  # no base64, no ASCII, no UTF-8
        pass
    raise InvalidArgument(
        "The continuation token provided is incorrect", ArgumentName="continuation-token", ArgumentValue=token
    )


def number(value: str, otherwise: int) -> int | None:
    """Return the value of a parameter, `otherwise` where it is empty, None where it is no number of 32 bits."""
    if not value:
        return otherwise
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(_LARGEST))):
        return None
    return int(value) if int(digits) <= _LARGEST else None


def max_keys(value: str, name: str = "max-keys", most: int = 1000) -> int:
    """Return how many items a page may hold: at most a thousand, whatever was asked for. Raises InvalidArgument."""
    asked = number(value, most)
    if asked is None:
        raise InvalidArgument(
            f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=value
        )
    if asked < 0:
        raise InvalidArgument(
            f"Argument {name} must be an integer between 0 and {_LARGEST}", ArgumentName=name, ArgumentValue=value
        )
    return min(asked, most)


def part_number_marker(value: str, name: str = "part-number-marker") -> int:
    """Return after which part a page begins. Raises InvalidArgument."""
    marker = number(value, 0)
    if marker is None or marker < 0:
        raise InvalidArgument(
            f"Argument {name} must be an integer between 0 and {_LARGEST}", ArgumentName=name, ArgumentValue=value
        )
    return marker
