"""The one way our values are declared."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value: compared by what it holds, never changed in place."""

    # A field that was renamed keeps its old name as its alias: in histories, in the records and for older workers.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)
