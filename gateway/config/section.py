"""What all parts of the configuration are."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: keys that are not known are errors, and nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)
