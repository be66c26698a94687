"""The configuration: a file, checked whole, or the embedded default."""

from gateway.config.load import ConfigError, load, parse
from gateway.config.models import Config

__all__ = ["Config", "ConfigError", "load", "parse"]
