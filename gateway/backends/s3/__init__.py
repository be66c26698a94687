"""AWS S3, Cloudflare R2, MinIO and every other server that speaks S3."""

from gateway.backends.s3.backend import open_r2, open_s3

__all__ = ["open_r2", "open_s3"]
