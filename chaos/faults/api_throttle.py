"""Refuse requests over a rate, or a share of them, as throttled."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from chaos.faults.of_api import OfApi
from chaos.model.answers import ApiAnswer


class ApiThrottle(OfApi):
    """Requests are refused with a throttling error (HTTP 400), which clients are to send again later."""

    fault: Literal["api-throttle"] = "api-throttle"
    code: Literal["Throttling", "ThrottlingException", "RequestLimitExceeded"] = Field(
        "Throttling", description="The error code; RDS answers `Throttling`."
    )
    rate_per_s: float | None = Field(
        None, ge=0, description="Requests a second that pass; all concerned count together."
    )
    burst: int = Field(1, ge=1, description="Requests that pass at once after a pause.")
    probability: float | None = Field(
        None, gt=0, le=1, description="Instead of a rate: the share of requests that is refused."
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.rate_per_s is None) == (self.probability is None):
            raise ValueError("give either rate_per_s or probability")
        return self

    def shows(self, now: ApiAnswer) -> bool:
        """Tell whether the request was throttled, and perhaps sent again."""
        return now.attempts > 1 or now.error_code == self.code
