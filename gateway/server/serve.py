"""The way of a request, read top to bottom: parse, verify, resolve, authorize, run, write."""

from dataclasses import dataclass
from functools import partial

import structlog

from gateway.auth.policy import Policy
from gateway.auth.verify import Verifier
from gateway.budget import BUDGET
from gateway.errors import InternalError, NoSuchBucket, S3Error
from gateway.message import Answer, Call
from gateway.operations import cors
from gateway.operations.posting import open_form
from gateway.operations.service import Service
from gateway.operations.table import POST_OBJECT, resolve
from gateway.server.connection import ClientGoneError
from gateway.server.exchange import Exchange
from gateway.server.parse import Parser
from gateway.server.throttle import Throttle
from gateway.server.write import write, write_error

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Answers one request: with what was asked for, with an error, or by breaking the connection."""

    parse: Parser
    verifier: Verifier
    policy: Policy
    service: Service
    throttle: Throttle | None = None

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a request, whatever it is."""
        try:
            call = exchange.call = self.parse(exchange)
            exchange.cors = cors.headers(self.service, call)
            async with call.keep_open:
                await write(exchange, await self._run(exchange, call))
        except ClientGoneError:
            exchange.fail("ClientGone")
        except S3Error as error:
            self._refuse(exchange, error)
        except Exception:  # the one place where the unexpected ends: the client is told nothing of it, the log all
            log.exception("request_failed", request_id=exchange.request_id)
            write_error(exchange, InternalError())

    def _refuse(self, exchange: Exchange, error: S3Error) -> None:
        """Write an error. Who may not look at a bucket is told its region: SDKs that need to know it ask unsigned.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
        """
        if exchange.operation == "HeadBucket" and not isinstance(error, NoSuchBucket):
            error.headers["x-amz-bucket-region"] = self.service.region
        write_error(exchange, error)

    async def _run(self, exchange: Exchange, call: Call) -> Answer:
        operation = resolve(call)
        call.operation = operation.name
        if self.throttle:
            self.throttle.admit(exchange, call)
        if operation is POST_OBJECT:
            await open_form(call)
        call.caller = self.verifier.verify(call)
        if self.throttle:
            self.throttle.charge(exchange, call.caller)
        call.authorize = partial(self.policy.authorize, call.caller)
        if operation.verb:
            await call.authorize(operation.verb, call.address)
        if exchange.payload.at_eof() or operation.copies:
            return await operation.run(self.service, call)
        async with BUDGET.held(call.body.most):  # before what others would have to wait for, and not while it answers
            return await operation.run(self.service, call)
