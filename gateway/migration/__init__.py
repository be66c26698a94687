"""The way of a bucket from one storage into another that takes its place."""
