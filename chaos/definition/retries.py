"""When clients try again, as an experiment says it: a policy's name, or a mapping with its settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from chaos.definition.part import Part

Name = Literal["none", "fixed", "exponential", "budget"]


class NoRetry(Part):
    """Never: the user sees every error."""

    policy: Literal["none"] = Field(description="Never try again.")


class _Repeated(Part):
    on: Literal["OperationalError", "transient"] = Field(
        "transient",
        description="After which errors: what the driver raises as an OperationalError, or "
        "everything that may pass, 25006 among it.",
    )
    attempts_max: int | None = Field(
        None, ge=1, le=10_000, description="Attempts of an operation, the first one included."
    )
    elapsed_s_max: float | None = Field(
        None, gt=0, le=3600, description="No attempt starts later than this after the first one."
    )

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.attempts_max is None and self.elapsed_s_max is None:
            raise ValueError("retries need an end; give attempts_max or elapsed_s_max")
        return self


class FixedRetry(_Repeated):
    """After the same wait each time."""

    policy: Literal["fixed"] = Field(description="After the same wait each time.")
    attempts_max: int | None = Field(
        3, ge=1, le=10_000, description="Attempts of an operation, the first one included."
    )
    wait_s: float = Field(0.2, ge=0, le=600, description="Seconds between two attempts.")
    jitter: bool = Field(False, description="Wait a random part of that.")


class ExponentialRetry(_Repeated):
    """After waits that double."""

    policy: Literal["exponential"] = Field(description="After waits that double.")
    elapsed_s_max: float | None = Field(
        30.0, gt=0, le=3600, description="No attempt starts later than this after the first one."
    )
    wait_s_first: float = Field(
        0.05, gt=0, le=600, description="Seconds before the second attempt."
    )
    wait_s_max: float = Field(1.0, gt=0, le=600, description="Seconds that no wait exceeds.")
    jitter: bool = Field(True, description="Wait a random part of that.")

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.wait_s_first > self.wait_s_max:
            raise ValueError(
                f"wait_s_first {self.wait_s_first:g} is above wait_s_max {self.wait_s_max:g}"
            )
        return self


class BudgetRetry(ExponentialRetry):
    """The same, while the tokens last that all users of the arm share."""

    policy: Literal["budget"] = Field(  # type: ignore[assignment]
        description="After waits that double, while the arm's tokens last."
    )
    tokens_max: float = Field(
        10.0, ge=1, le=100_000, description="Tokens at most; each retry takes one."
    )
    tokens_per_success: float = Field(
        0.1, ge=0, le=100, description="Tokens that a successful operation puts back."
    )


def _named(told: Any) -> Any:
    return {"policy": told} if isinstance(told, str) else told


Retry = Annotated[
    NoRetry | FixedRetry | ExponentialRetry | BudgetRetry, Field(discriminator="policy")
]
AnyRetry = Annotated[Retry, BeforeValidator(_named, json_schema_input_type=Name | Retry)]
"""A policy with its settings; in a file also its name alone, for those that it has unasked."""
