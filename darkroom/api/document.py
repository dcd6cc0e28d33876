"""The OpenAPI document: FastAPI's, less what our routes never answer."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from darkroom.api.problems import MEDIA_TYPE

_METHODS = ("get", "post", "put", "patch", "delete")
_UNUSED = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI, *, local: bool) -> None:
    """Serve a document that says of errors what is true of ours.

    Args:
        app: with all its routes.
        local: whether requests need no sign-in.
    """
    write = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _mend(write(), local)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of changing it


def _mend(document: dict[str, Any], local: bool) -> None:
    for operation in _operations(document):
        responses = operation["responses"]
        # Wrong parameters are a 400 of ours; FastAPI adds its own 422 to every route that has parameters.
        if _UNUSED[0] in str(responses.get("422", {})):
            del responses["422"]
        for response in responses.values():
            content = response.get("content", {})
            if MEDIA_TYPE in content:
                response["content"] = {MEDIA_TYPE: content[MEDIA_TYPE]}
        if local and "security" in operation:
            operation["security"].append({})
    for name in _UNUSED:
        document["components"]["schemas"].pop(name, None)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for method in _METHODS:
            if method in path:
                yield path[method]
