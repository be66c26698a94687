"""AWS S3, Cloudflare R2, MinIO and every other server that speaks S3.

Its parts are imported where they are used: the configuration needs only the smallest of them.
"""
