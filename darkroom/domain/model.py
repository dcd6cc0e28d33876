"""The one way our values are declared."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Value(BaseModel):
    """An immutable value: compared by what it holds, never changed in place."""

    # A field that was renamed keeps its old name as its alias: in histories, in the records and for older workers.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


def is_none(value: object) -> bool:
    """For fields that are left out when they have nothing to say."""
    return value is None


class Compact(Value):
    """A value that is written without what it has by default."""

    @model_serializer(mode="wrap")
    def _compactly(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {name: value for name, value in written.items() if getattr(self, name) != fields[name].default}
