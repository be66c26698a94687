"""The certificate of the TLS listener, taken anew when its files change."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

import structlog

from gateway.server.bind import StartError

INTERVAL: Final = 5.0

log = structlog.get_logger()


class Certificate:
    """A context for the listener whose certificate follows the files: connections made later see the new one."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load the pair. Raises: StartError."""
        self._files = (certificate, key)
        try:
            self._seen = self._look()
            self.context = self._load()
        except OSError as error:
            raise StartError(f"tls: {_reason(error)}") from error

    def reload(self) -> bool:
        """Take the files anew if they have changed; what cannot be used is logged and leaves the old pair in place."""
        try:
            seen = self._look()
            if seen == self._seen:
                return False
            self._seen = seen
            self._load()  # into a context of its own first: a broken pair would break the live one
            self.context.load_cert_chain(*self._files)
        except OSError as error:
            log.warning("certificate_not_reloaded", reason=_reason(error))
            return False
        log.info("certificate_reloaded", certificate=str(self._files[0]))
        return True

    async def follow(self) -> None:
        """Look again and again whether the files have changed, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.reload()

    def _look(self) -> list[tuple[int, int, int]]:
        stats = [file.stat() for file in self._files]
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(*self._files)
        return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"certificate and key cannot be used: {error.reason or error.strerror or error}"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
