"""What every section of a config is made of: a mapping that knows its keys, and the kinds of numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A YAML mapping whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", validate_default=True)
