"""What all typed settings share. Each section's settings stand beside the code that they steer."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A section of the configuration: unknown keys are an error, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
