"""The edge: HTTP in, HTTP out; the only place besides app.py that knows the web framework."""
