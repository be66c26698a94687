"""One S3 endpoint in front of every storage a team has."""
