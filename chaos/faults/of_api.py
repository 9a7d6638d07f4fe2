"""An API that fails, is late or forgets: what the faults `api-*` have in common."""

from __future__ import annotations

from abc import abstractmethod
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import Disturbance
from chaos.model.answers import ApiAnswer
from chaos.model.topology import Topology

NO_ANSWER = "no answer"
PROBABILITY = Field(1.0, gt=0, le=1, description="Share of the requests that it strikes.")
_TRIES = 5
_ASKED = ("DescribeDBClusters", "DescribeDBInstances", "DescribeDBClusterEndpoints")


class OfApi(Disturbance):
    """A disturbance of requests to the API: everybody's, so the run's own too.

    The effect is how a describing request is answered, so one must be among those concerned. Recovery
    goes over the control address, which is never disturbed.
    """

    operations: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Operations concerned; `*` stands for any letters."
    )
    service: Literal["rds", "sts", "monitoring", "fis", "tagging"] | None = Field(
        None, description="Only of this service, as signatures name it. Absent: of any."
    )
    seed: int = Field(0, description="Decides which requests a probability strikes.")
    after: int = Field(
        0, ge=0, description="So many of the requests that would meet it do not, at first."
    )
    times: int | None = Field(
        None, ge=1, description="So many meet it then, and no more; absent: all."
    )

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        if self.service not in {None, "rds"} or not self._asked_operation():
            raise ValueError(
                "its effect could not be seen: leave service out or say rds, and let operations "
                f"include one of {', '.join(_ASKED)}"
            )
        return self

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the cluster; its API is everybody's."""
        return (topology.cluster,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Any:
        """Ask until it is answered well, a few times at most: one may be late on a busy machine."""
        super().see(context, topology, targets)
        for _ in range(_TRIES):
            answer = context.rds.answer(self._asked_operation())
            if answer.error_code:
                raise GuardRefused(f"{self.fault}: the API answers {answer.error_code} already")
            if not self.shows(answer):
                return answer
        raise GuardRefused(f"{self.fault}: the API answers so already; wait until it does not")

    @abstractmethod
    def shows(self, now: ApiAnswer) -> bool:
        """Tell whether an answer is what the fault makes of it."""

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once a request is answered as the fault makes it."""
        now = context.rds.answer(self._asked_operation())
        return before.target if self.shows(now) else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and a request answered as before."""
        now = context.rds.answer(self._asked_operation())
        well = not now.error_code and not self.shows(now)
        return well and super().is_recovered(context, before)

    def _asked_operation(self) -> str:
        """Return a describing operation that is concerned, or nothing."""
        for name in _ASKED:
            if any(fnmatchcase(name, pattern) for pattern in self.operations):
                return name
        return ""
