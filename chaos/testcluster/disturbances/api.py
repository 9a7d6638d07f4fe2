"""What happens to the API: throttled, failing, slow, silent, eventually consistent."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, Self

from botocore.loaders import Loader
from pydantic import Field, model_validator

from chaos.clock import MonotonicClock
from chaos.testcluster.api.behaviour import Fixed, Loss, Stale, Throttle, Treatment, Turn
from chaos.testcluster.api.past import Sight, Watch
from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

LONGEST_DELAY_S = 600.0
BEHIND_S_MAX = 600.0

Service = Literal["rds", "sts", "monitoring", "fis", "tagging"]
# The names of the services in signatures, and in botocore's models.
_MODELS: Mapping[str, str] = {
    "rds": "rds",
    "sts": "sts",
    "monitoring": "cloudwatch",
    "fis": "fis",
    "tagging": "resourcegroupstaggingapi",
}
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/CommonErrors.html
_COMMON = {
    "InternalFailure": "The request processing has failed because of an unknown error, exception "
    "or failure.",
    "OptInRequired": "The AWS access key ID needs a subscription for the service.",
    "RequestExpired": "The request reached the service more than 15 minutes after the date stamp "
    "on the request.",
    "ServiceUnavailable": "The request has failed due to a temporary failure of the server.",
    "Throttling": "Rate exceeded",
    "ThrottlingException": "Rate exceeded",
    "RequestLimitExceeded": "Request limit exceeded.",
    "AccessDenied": "User is not authorized to perform this operation.",
    "ExpiredToken": "The security token included in the request is expired",
}
_CHANGES_NOTHING = ("Describe*", "List*", "Get*")
_TAG = re.compile(r"<[^>]+>\s*")


class ApiFault(Disturbance):
    """One that concerns some requests to the API; the others are answered as always."""

    operations: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Operations concerned; `*` stands for any letters."
    )
    service: Service | None = Field(
        None, description="Only of this service, as signatures name it; absent: of any."
    )
    seed: int = Field(0, description="Decides which requests a probability strikes.")
    after: int = Field(
        0, ge=0, description="So many of the requests that would meet it do not, at first."
    )
    times: int | None = Field(
        None, ge=1, description="So many meet it then, and no more; absent: all."
    )

    def turn(self) -> Turn:
        """Return what counts the requests."""
        return Turn(self.after, self.times)

    def require_operations(self) -> None:
        """Refuse names that no operation has, since they would disturb nothing.

        Raises:
            ApiError: names the first of them.
        """
        known = _operations(self.service)
        for pattern in self.operations:
            if not any(fnmatchcase(name, pattern) for name in known):
                where = self.service or ", ".join(_MODELS)
                raise ApiError(
                    "InvalidParameterValue", f"{self.kind}: no operation {pattern} of {where}"
                )


class ApiThrottle(ApiFault):
    """Requests over a rate, or a share of them, are refused with a throttling error (HTTP 400)."""

    kind: Literal["api-throttle"] = "api-throttle"
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

    def begin(self, estate: Estate) -> Ending:
        """Refuse from now on."""
        self.require_operations()
        error = ApiError(self.code, _COMMON[self.code])
        if self.rate_per_s is not None:
            return estate.api_behaviour.add(
                Throttle(
                    error,
                    rate_per_s=self.rate_per_s,
                    burst=self.burst,
                    operations=self.operations,
                    service=self.service,
                    turn=self.turn(),
                )
            )
        return estate.api_behaviour.add(_fixed(self, Treatment(error=error), self.probability))


class ApiErrors(ApiFault):
    """Requests are answered with an error, and not carried out."""

    kind: Literal["api-error"] = "api-error"
    code: str = Field(
        "InternalFailure",
        description="The error code: `InternalFailure` (HTTP 500), `ServiceUnavailable` (503), "
        "another common one, or any that the service's model has.",
    )
    message: str | None = Field(None, description="Absent: what AWS says with that code.")
    probability: float = Field(
        1.0, gt=0, le=1, description="The share of requests that it strikes."
    )

    def begin(self, estate: Estate) -> Ending:
        """Answer with errors from now on."""
        self.require_operations()
        known = _errors()
        if self.code not in known:
            raise ApiError(
                "InvalidParameterValue",
                f"{self.kind}: no service has the error code {self.code}; there are "
                f"{', '.join(_COMMON)} and those of the service's model",
            )
        error = ApiError(self.code, self.message or known[self.code])
        return estate.api_behaviour.add(_fixed(self, Treatment(error=error), self.probability))


class ApiSlow(ApiFault):
    """Requests are carried out and answered so much later."""

    kind: Literal["api-slow"] = "api-slow"
    delay_s: float = Field(
        gt=0, le=LONGEST_DELAY_S, description="Seconds before it is carried out."
    )
    probability: float = Field(
        1.0, gt=0, le=1, description="The share of requests that it strikes."
    )

    def begin(self, estate: Estate) -> Ending:
        """Be slow from now on."""
        self.require_operations()
        treatment = Treatment(delay_s=self.delay_s)
        return estate.api_behaviour.add(_fixed(self, treatment, self.probability))


class ApiDrop(ApiFault):
    """The connection is closed without an answer, or stays open and silent."""

    kind: Literal["api-drop"] = "api-drop"
    silent: bool = Field(
        False,
        description="Never answer, instead of closing the connection; at the end it is closed.",
    )
    carried_out: bool = Field(
        False, description="The operation takes effect all the same; only its answer is lost."
    )
    probability: float = Field(
        1.0, gt=0, le=1, description="The share of requests that it strikes."
    )

    def begin(self, estate: Estate) -> Ending:
        """Lose answers from now on."""
        self.require_operations()
        loss = Loss(is_silent=self.silent, is_carried_out=self.carried_out, over=threading.Event())
        end = estate.api_behaviour.add(_fixed(self, Treatment(loss=loss), self.probability))

        def ending() -> None:
            end()
            loss.over.set()

        return ending


class ApiStale(ApiFault):
    """Descriptions of clusters, instances and events are those of some seconds ago."""

    kind: Literal["api-stale"] = "api-stale"
    operations: tuple[str, ...] = Field(
        ("Describe*",), min_length=1, description="Operations concerned, which change nothing."
    )
    behind_s: float = Field(
        gt=0, le=BEHIND_S_MAX, description="So old they are, or as old as the disturbance."
    )
    probability: float = Field(
        1.0, gt=0, le=1, description="Below 1 old and new answers alternate at random."
    )

    def begin(self, estate: Estate) -> Ending:
        """Answer as of now until `behind_s` have passed, then as of so long ago."""
        self.require_operations()
        changing = [o for o in self.operations if not _changes_nothing(o)]
        if changing:
            raise ApiError(
                "InvalidParameterValue",
                f"{self.kind}: {', '.join(changing)} may change something; name operations that "
                f"begin with {', '.join(n.rstrip('*') for n in _CHANGES_NOTHING)}",
            )
        watch = Watch(lambda: _sights(estate), horizon_s=self.behind_s, clock=MonotonicClock())
        end = estate.api_behaviour.add(
            Stale(
                watch.view_at,
                behind_s=self.behind_s,
                operations=self.operations,
                service=self.service,
                probability=self.probability,
                seed=self.seed,
                turn=self.turn(),
            )
        )

        def ending() -> None:
            end()
            watch.close()

        return ending


def _fixed(fault: ApiFault, treatment: Treatment, probability: float | None) -> Fixed:
    return Fixed(
        treatment,
        fault.operations,
        service=fault.service,
        probability=1.0 if probability is None else probability,
        seed=fault.seed,
        turn=fault.turn(),
    )


def _sights(estate: Estate) -> tuple[Sight, ...]:
    return tuple(
        Sight(region.name, cluster, cluster.snapshot())
        for region in estate.regions()
        for cluster in region.clusters()
    )


def _changes_nothing(pattern: str) -> bool:
    return any(pattern.startswith(known.rstrip("*")) for known in _CHANGES_NOTHING)


@functools.cache
def _model(service: str) -> Mapping[str, Any]:
    model: Mapping[str, Any] = Loader().load_service_model(_MODELS[service], "service-2")
    return model


def _operations(service: str | None) -> Iterable[str]:
    """Return the operations of a service, or of all that are served."""
    services = _MODELS if service is None else (service,)
    return [name for one in services for name in _model(one)["operations"]]


@functools.cache
def _errors() -> Mapping[str, str]:
    """Return the messages of every error code that the services have."""
    known = {}
    for service in _MODELS:
        for name, shape in _model(service)["shapes"].items():
            if shape.get("exception"):
                code = shape.get("error", {}).get("code", name)
                known[code] = _TAG.sub("", shape.get("documentation", "")).strip() or code
    return known | _COMMON
