"""The version, once: the build reads it here, and so do the API, `--version` and the User-Agent."""

__version__ = "0.2.0"
