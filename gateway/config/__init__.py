"""The configuration: a file, checked whole, or the embedded default."""

from gateway.config.load import ConfigError, is_exposed, load, parse
from gateway.config.models import Config

__all__ = ["Config", "ConfigError", "is_exposed", "load", "parse"]
