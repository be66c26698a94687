"""Local disk: objects are files with natural names, beneath one folder that several processes may share."""

from gateway.backends.local.backend import open_local

__all__ = ["open_local"]
