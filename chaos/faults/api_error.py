"""Answer requests with an error."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.of_api import PROBABILITY, OfApi
from chaos.model.answers import ApiAnswer


class ApiError(OfApi):
    """Requests are answered with an error, and not carried out."""

    fault: Literal["api-error"] = "api-error"
    code: str = Field(
        "InternalFailure",
        description="The error code: `InternalFailure` (HTTP 500), `ServiceUnavailable` (503), "
        "another common one, or any that the service's model has.",
    )
    message: str | None = Field(None, description="Absent: what AWS says with that code.")
    probability: float = PROBABILITY

    def shows(self, now: ApiAnswer) -> bool:
        """Tell whether it was answered with the error."""
        return now.error_code == self.code
