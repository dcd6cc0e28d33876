"""The one way our values are declared."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value: compared by what it holds, never changed in place."""

    model_config = ConfigDict(frozen=True, extra="forbid")
