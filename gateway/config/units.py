"""Durations, sizes and addresses as people write them."""

import re
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, SecretStr

MOST_WORKERS: Final = 256
LEAST_MEMORY: Final = 16 * 1024 * 1024

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_MEGA: Final = {"": 1, "MP": 10**6}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE: Final = re.compile(r"(\d+)\s*([A-Za-z]*)")
_ENDPOINT: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]/\s]*)):(?P<port>\d{1,5})")


class Endpoint(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def seconds(value: object) -> object:
    """Read a duration such as 30s, 15m or 1h30m. Raises: ValueError."""
    if isinstance(value, float):
        return value
    text = value.replace(" ", "") if isinstance(value, str) else ""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("expected a duration such as 30s, 15m, 1h30m or 7d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size(value: object) -> object:
    """Read a size such as 64KiB or 1MiB; a plain number is bytes. Raises: ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].upper() not in _BYTES:
        raise ValueError("expected a size such as 64KiB, 1MiB or 500MB")
    return int(match[1]) * _BYTES[match[2].upper()]


def pixels(value: object) -> object:
    """Read a number of pixels such as 50MP. Raises: ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].upper() not in _MEGA:
        raise ValueError("expected a number of pixels such as 50MP")
    return int(match[1]) * _MEGA[match[2].upper()]


def endpoint(value: object) -> object:
    """Read an address such as 127.0.0.1:9000, [::1]:9000 or :9000, which is every interface. Raises: ValueError."""
    if isinstance(value, Endpoint):
        return value
    match = _ENDPOINT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match["port"]) > 65535:  # noqa: PLR2004  the ports that there are
        raise ValueError("expected an address and a port such as 127.0.0.1:9000, [::1]:9000 or :9000")
    return Endpoint(match["v6"] or match["host"] or "0.0.0.0", int(match["port"]))  # noqa: S104  what ":9000" says


def workers(value: object) -> object:
    """Read how many processes are wanted. Raises: ValueError."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if number == "auto" or (isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MOST_WORKERS):
        return number
    raise ValueError(f"expected auto or a number from 1 to {MOST_WORKERS}")


def memory(value: object) -> object:
    """Read how much memory may be used. Raises: ValueError."""
    if value == "auto":
        return value
    number = size(value)
    if isinstance(number, int) and number < LEAST_MEMORY:
        raise ValueError("expected auto or a size of at least 16MiB")
    return number


Seconds = Annotated[float, BeforeValidator(seconds)]
Bytes = Annotated[int, BeforeValidator(size)]
Pixels = Annotated[int, BeforeValidator(pixels)]
Address = Annotated[Endpoint, BeforeValidator(endpoint), PlainSerializer(str)]
Secret = Annotated[SecretStr, PlainSerializer(SecretStr.get_secret_value)]  # plain for whom it is meant, hidden in logs
Workers = Annotated[Literal["auto"] | int, BeforeValidator(workers)]
MemorySize = Annotated[Literal["auto"] | int, BeforeValidator(memory)]
