"""The HTTP API and the page. `create_app` and `mount` are for applications of others (docs/embedding.md)."""

from darkroom.api.embedding import create_app, mount

__all__ = ["create_app", "mount"]
