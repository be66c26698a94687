"""What is told of images: in the metrics and in the log."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from gateway import metrics
from gateway.images.keeper import MEANT, Pictures, Result
from gateway.images.spec import Reason
from gateway.storage import Address

REMEMBERED: Final = 10_000  # images, by what their bytes are: to notice one that is there already
_KILLS: Final = frozenset({Reason.TIMEOUT.value, Reason.KILLED.value})

log = structlog.get_logger()


class Telling:
    """Counts and writes down what became of images."""

    def __init__(self, hook: Callable[[str, Mapping[str, Any]], None] = lambda _event, _told: None) -> None:
        self._hook = hook
        self._seen: OrderedDict[str, Address] = OrderedDict()

    def tell(self, pictures: Pictures, at: Address, result: Result, seconds: float = 0.0) -> None:
        """Tell of one image."""
        entry = pictures.entry
        if result.made:
            metrics.IMAGE_SECONDS.labels(entry).observe(seconds)
        metrics.IMAGE_JOBS.labels(entry, result.what.value, result.reason).inc()
        for name, variant in (("made", result.made), ("kept", result.kept), ("removed", result.removed)):
            if variant:
                metrics.IMAGE_VARIANTS.labels(entry, name).inc(variant)
        metrics.IMAGE_VARIANTS.labels(entry, "occupied").inc(result.occupied)
        metrics.IMAGE_VARIANTS.labels(entry, "failed").inc(len(result.failures))
        if result.made:
            saved = result.made * result.source_bytes - result.made_bytes
            metrics.IMAGE_SAVED.labels(entry).inc(max(saved, 0))
        for reason in _KILLS & {result.unfit, *result.failures.values()}:
            metrics.IMAGE_KILLS.labels(reason).inc()
        self._log(at, result, seconds)
        if "sha256" in result.told:
            self._compare(entry, at, result.told["sha256"])

    def refused(self, pictures: Pictures, at: Address, reason: str) -> None:
        """Tell of a write that was refused."""
        metrics.IMAGE_REFUSED.labels(pictures.entry, reason).inc()
        if reason in _KILLS:
            metrics.IMAGE_KILLS.labels(reason).inc()
        log.warning("image_refused", bucket=at.bucket, key=at.key, reason=reason)

    def begins(self, pictures: Pictures) -> None:
        """Tell, when the gateway starts, what whoever configured a bucket may not expect of it."""
        if pictures.rejects and not pictures.shows_uploads:
            log.warning("image_uploads_refused", bucket=pictures.entry)

    def failed(self, at: Address, error: str, attempts: int) -> None:
        """Tell of a storage that failed while variants were made."""
        log.warning("image_not_done", bucket=at.bucket, key=at.key, error=error, attempts=attempts)

    def _log(self, at: Address, result: Result, seconds: float) -> None:
        if result.made:
            told = {"bucket": at.bucket, "key": at.key, "etag": result.etag, **result.told, "variants": result.keys}
            log.info("image_made", **told, seconds=round(seconds, 6))
            self._hook("image_made", told)
        if result.reason and result.unfit not in MEANT:
            failures = {name: reason.value for name, reason in result.failures.items()}
            told = {"bucket": at.bucket, "key": at.key, "etag": result.etag}
            told |= {"reason": result.reason, "variants": failures}
            log.warning("image_unfit", **told)
            self._hook("image_unfit", told)
        if result.occupied:
            log.warning("image_keys_occupied", bucket=at.bucket, key=at.key, variants=result.occupied)

    def _compare(self, entry: str, at: Address, digest: str) -> None:
        before = self._seen.pop(digest, None)
        self._seen[digest] = at
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if before not in {None, at}:
            metrics.IMAGE_DUPLICATES.labels(entry).inc()
            log.info("image_duplicate", bucket=at.bucket, key=at.key, of=before.key if before else "")
