"""Base of all that travels through Temporal."""

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """Base of all that a history stores: immutable; fields of a newer version are ignored; errors hide values."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
