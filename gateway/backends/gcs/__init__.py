"""Google Cloud Storage: objects under their natural names, S3's promises kept by generations and metadata."""

from gateway.backends.gcs.opening import open_gcs

__all__ = ["open_gcs"]
