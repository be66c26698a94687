"""Fakes of what gives out temporary credentials: STS, the metadata of an instance, the agent of a container."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from aiohttp import web

ROLE = "the-role"


@dataclass
class Giver:
    """Gives keys that are good for `seconds`, each another one: `given` are the ways in which they were asked for."""

    access_key: str
    secret_key: str
    seconds: int = 3600
    given: list[str] = field(default_factory=list)
    authorization: str = ""
    port: int = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/latest/api/token":
            return web.Response(text="a-token")
        if path.endswith("/security-credentials/"):
            return web.Response(text=ROLE)
        if path.startswith(("/latest/", "/container")):
            self.authorization = request.headers.get("Authorization", "")
            self.given.append("container" if path == "/container" else "instance")
            return web.json_response(self._document("Token", Code="Success"))
        form = dict(parse_qsl((await request.read()).decode()))
        self.given.append(form["Action"])
        self.authorization = request.headers.get("Authorization", "")
        return web.Response(text=self._sts(form["Action"]), content_type="text/xml")

    def _expires(self) -> str:
        return (datetime.now(UTC) + timedelta(seconds=self.seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _document(self, token: str, **more: str) -> dict[str, str]:
        keys = {"AccessKeyId": self.access_key, "SecretAccessKey": self.secret_key, token: "the-session"}
        return {**keys, "Expiration": self._expires(), **more}

    def _sts(self, action: str) -> str:
        content = "".join(f"<{name}>{value}</{name}>" for name, value in self._document("SessionToken").items())
        arn = "<Arn>arn:aws:sts::1:assumed-role/r/s</Arn>"
        user = f"<AssumedRoleUser>{arn}<AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>"
        inner = f"<Credentials>{content}</Credentials>{user}"
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>{inner}'
            f"</{action}Result></{action}Response>"
        )


@asynccontextmanager
async def giving(giver: Giver) -> AsyncIterator[Giver]:
    """Serve on a free port."""
    runner = web.ServerRunner(web.Server(giver.handle), handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    giver.port = runner.addresses[0][1]
    try:
        yield giver
    finally:
        await runner.cleanup()
