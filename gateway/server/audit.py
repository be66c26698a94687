"""The audit log: a line for each call that was denied, and for each that administers buckets and their rights."""

from collections.abc import Callable, Iterator
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from gateway.auth.claimed import claimed_key
from gateway.operations.table import OPERATIONS
from gateway.server.exchange import Exchange
from gateway.server.logs import Format, in_console, now, plain

AUTHENTICATION: Final = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
DENIALS: Final = AUTHENTICATION | {"AccessDenied"}
ADMINISTRATION: Final = frozenset({"CreateBucket", *(row.name for row in OPERATIONS if row.verb == "admin")})
DONE, DENIED, FAILED = "done", "denied", "failed"

Write = Callable[[Exchange, str, str, str], str]  # given the key that it is about, the error and the result


def audit_log(form: Format) -> Callable[[Exchange], Iterator[str]]:
    """Return what makes the lines of a request; most have none."""
    write = _console if in_console(form) else _json

    def lines(exchange: Exchange) -> Iterator[str]:
        call, error = exchange.call, exchange.error
        if error in DENIALS:
            yield write(exchange, call.key if call else "", error, DENIED)
        elif exchange.operation in ADMINISTRATION:
            yield write(exchange, call.key if call else "", error, FAILED if error else DONE)
        for key in call.denied if call else ():
            yield write(exchange, key, "AccessDenied", DENIED)

    return lines


def _who(exchange: Exchange) -> tuple[str, bool]:
    """Return the id of the key that was named, and whether its signature was right."""
    if exchange.access_key or exchange.call is None:
        return exchange.access_key, bool(exchange.access_key)
    return claimed_key(exchange.call), False


def _json(exchange: Exchange, key: str, error: str, result: str) -> str:
    key_id, proven = _who(exchange)
    return (
        f'{{"time":"{now()}","level":"info","event":"audit","request_id":"{exchange.request_id}",'
        f'"method":"{exchange.method}","operation":"{exchange.operation}",'
        f'"bucket":{quoted(exchange.call.bucket if exchange.call else "")},"key":{quoted(key)},'
        f'"key_id":{quoted(key_id)},"proven":{"true" if proven else "false"},'
        f'"remote":{quoted(exchange.remote)},'
        f'"status":{exchange.status},"error":"{error}","result":"{result}"}}\n'
    )


def _console(exchange: Exchange, key: str, error: str, result: str) -> str:
    key_id, proven = _who(exchange)
    bucket = exchange.call.bucket if exchange.call else ""
    return (
        f"{now()} info    audit {result} {exchange.operation} {plain(f'{bucket}/{key}' if key else bucket)} "
        f"{exchange.status} {error or '-'} key={plain(key_id or '-')}{'' if proven else ' (not proven)'} "
        f"from={exchange.remote} id={exchange.request_id}\n"
    )
