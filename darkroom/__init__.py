"""Orders of generated pictures, delivered exactly and charged exactly once, on Temporal."""

from darkroom._version import __version__

__all__ = ["__version__"]
