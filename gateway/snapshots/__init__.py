"""Snapshots of a bucket: what it held and when, signed; taken, compared, restored, and tried out."""
