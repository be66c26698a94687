"""What a client can ask for: one function per S3 operation, from Call to Answer."""
