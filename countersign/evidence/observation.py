"""One pair of agent and person as evidence, and the base of all states that are stored."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """Immutable, strict about unknown fields, and the same after a round trip through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Observation(Frozen):
    """What a person decided about one item, against what the agents said.

    `agreement` is in [0, 1] and weighted by severity (`agreement.review_agreement`). `propensity` is the probability
    with which this item was chosen to be looked at, fixed before anyone looked; `least` the smallest that any item
    could have had at that moment. Both are 1 where a person looks at everything. `critical` marks a severity-1 error.
    """

    agreement: float = Field(ge=0, le=1)
    propensity: float = Field(default=1.0, gt=0, le=1)
    least: float = Field(default=1.0, gt=0, le=1)
    critical: bool = False

    @model_validator(mode="after")
    def _least_is_least(self) -> Self:
        if self.least > self.propensity:
            raise ValueError("least: is above the item's propensity; it is the smallest that any item could have had")
        return self

    @property
    def weight(self) -> float:
        """`least / propensity`, in (0, 1]: inverse-propensity weighting on a scale that keeps every bet bounded."""
        return self.least / self.propensity
