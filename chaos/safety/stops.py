"""Stop conditions: during the method each tells why the run must end now, or nothing.

They are data of the experiment, composable with `any` and `all`, and judge only what a `Live` view
shows: the run's own traffic as it is recorded, the ledger so far, CloudWatch alarms, the time.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from chaos.clock import NS
from chaos.model.ledger import LostSoFar


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """What one stream recorded in the last seconds. `last_success_ns` is of the whole run."""

    operations: int
    failed: int
    last_success_ns: int | None


class Live(Protocol):
    """A run while it lasts. A question that has no answer yet is answered by None."""

    @property
    def method_since_ns(self) -> int:
        """When the method began."""

    @property
    def asked_since_ns(self) -> int:
        """Since when traffic has flowed: the method's begin, the end of a pause, or now in one."""

    def recent(self, arm: str, endpoint: str, operation: str, over_s: float) -> Recent:
        """Return what a stream recorded in the last `over_s` seconds."""

    def lost_so_far(self) -> LostSoFar | None:
        """Return how many acknowledged writes are missing."""

    def alarm(self, name: str) -> str | None:
        """Return the state of a CloudWatch alarm (`OK`, `ALARM`, `INSUFFICIENT_DATA`, `missing`)."""

    def silent_s(self, source: str) -> float:
        """Return for how long a source (`alarms`, `ledger`) has had no answer."""


class Stop(BaseModel):
    """One condition; `why` is asked several times a second while the method lasts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop: str

    @abstractmethod
    def why(self, live: Live, now_ns: int) -> str | None:
        """Return why the run must end, or None."""


class OfStream(Stop):
    """A condition on the operations of one arm."""

    arm: str = Field(description="Arm whose operations are watched.")
    endpoint: str = Field("cluster", description="`cluster`, `reader` or an instance identifier.")
    operation: Literal["write", "read", "transaction"] = Field(
        "write", description="Kind of operation."
    )

    @property
    def _stream(self) -> str:
        return f"{self.arm} {self.operation}s on {self.endpoint}"


class ErrorRatio(OfStream):
    """Too large a share of an arm's operations failed in the last seconds."""

    stop: Literal["error-ratio"] = "error-ratio"
    ratio_above: float = Field(ge=0, lt=1, description="Share of operations that may fail.")
    over_s: float = Field(5.0, ge=1, le=300, description="Length of the stretch looked at.")
    operations_min: int = Field(
        20, ge=1, le=100_000, description="Fewer operations than this tell nothing."
    )

    def why(self, live: Live, now_ns: int) -> str | None:  # noqa: ARG002 - others need the time
        """Compare the share with the bound."""
        recent = live.recent(self.arm, self.endpoint, self.operation, self.over_s)
        if recent.operations < self.operations_min:
            return None
        ratio = recent.failed / recent.operations
        if ratio <= self.ratio_above:
            return None
        return (
            f"{recent.failed} of {recent.operations} {self._stream} failed in {self.over_s:g} s: "
            f"{ratio:.0%}, above {self.ratio_above:.0%}"
        )


class NoSuccess(OfStream):
    """An arm has had no success for longer than it may be interrupted."""

    stop: Literal["interruption"] = "interruption"
    longer_than_s: float = Field(gt=0, le=86_400, description="Seconds without any success.")

    def why(self, live: Live, now_ns: int) -> str | None:
        """Compare the time since the last success, or since traffic flowed, with the bound."""
        recent = live.recent(self.arm, self.endpoint, self.operation, 1.0)
        since_ns = max(recent.last_success_ns or 0, live.asked_since_ns)
        silent_s = (now_ns - since_ns) / NS
        if silent_s <= self.longer_than_s:
            return None
        return (
            f"no success among {self._stream} for {silent_s:.1f} s, "
            f"longer than {self.longer_than_s:g} s"
        )


class LostWrites(Stop):
    """The writer lacks writes that a client was told are committed."""

    stop: Literal["lost-writes"] = "lost-writes"
    lost_writes_max: int = Field(0, ge=0, description="Lost writes that are accepted.")

    def why(self, live: Live, now_ns: int) -> str | None:  # noqa: ARG002 - others need the time
        """Compare the writes found missing so far with the bound."""
        found = live.lost_so_far()
        if found is None or found.lost <= self.lost_writes_max:
            return None
        return f"{found.lost} of {found.checked} acknowledged writes are missing on the writer"


class Alarm(Stop):
    """A CloudWatch alarm is in ALARM, or nobody can tell any more whether it is."""

    stop: Literal["alarm"] = "alarm"
    alarm: str = Field(min_length=1, max_length=255, description="Name of the alarm.")
    silent_s_max: float = Field(
        60.0, gt=0, le=3600, description="Seconds for which CloudWatch may not answer."
    )

    def why(self, live: Live, now_ns: int) -> str | None:  # noqa: ARG002 - others need the time
        """Look at the state; one that was not told for long stops the run as well."""
        state = live.alarm(self.alarm)
        if state in {"ALARM", "missing"}:
            return f"alarm {self.alarm} is {'in ALARM' if state == 'ALARM' else 'not there'}"
        silent_s = live.silent_s("alarms")
        if silent_s > self.silent_s_max:
            return f"CloudWatch has not told the state of {self.alarm} for {silent_s:.0f} s"
        return None


class Deadline(Stop):
    """The method takes longer than it may."""

    stop: Literal["deadline"] = "deadline"
    after_s: float = Field(gt=0, le=7 * 86_400, description="Seconds after the method began.")

    def why(self, live: Live, now_ns: int) -> str | None:
        """Compare the time since the method began with the bound."""
        if now_ns - live.method_since_ns <= self.after_s * NS:
            return None
        return f"the method has taken longer than {self.after_s:g} s"


class StopFile(Stop):
    """A file exists. `gameday stop RUN` makes the one of its run, which is always looked at."""

    stop: Literal["stop-file"] = "stop-file"
    path: str = Field(min_length=1, description="The file; its first line is the reason told.")

    def why(self, live: Live, now_ns: int) -> str | None:  # noqa: ARG002 - others need the time
        """Look whether it is there."""
        path = Path(self.path)
        return stop_file_says(path, f"stopped by {path.name}")


class AnyOf(Stop):
    """One of several conditions holds."""

    stop: Literal["any"] = "any"
    of: tuple[Condition, ...] = Field(min_length=1, description="Conditions.")

    def why(self, live: Live, now_ns: int) -> str | None:
        """Return the first reason."""
        return next((why for one in self.of if (why := one.why(live, now_ns))), None)


class AllOf(Stop):
    """All of several conditions hold at the same time."""

    stop: Literal["all"] = "all"
    of: tuple[Condition, ...] = Field(min_length=1, description="Conditions.")

    def why(self, live: Live, now_ns: int) -> str | None:
        """Return their reasons together, if each has one."""
        reasons = [one.why(live, now_ns) for one in self.of]
        told = [why for why in reasons if why]
        return " and ".join(told) if len(told) == len(reasons) else None


STOPS: tuple[type[Stop], ...] = (
    ErrorRatio,
    NoSuccess,
    LostWrites,
    Alarm,
    Deadline,
    StopFile,
    AnyOf,
    AllOf,
)

if TYPE_CHECKING:  # The union grows with the tuple; mypy sees the base class.
    Condition = Stop
else:
    Condition = Annotated[reduce(or_, STOPS), Field(discriminator="stop")]
    AnyOf.model_rebuild()
    AllOf.model_rebuild()


def every(conditions: tuple[Stop, ...]) -> tuple[Stop, ...]:
    """Return conditions and those within them, without the composites."""
    found: list[Stop] = []
    for one in conditions:
        found += every(one.of) if isinstance(one, AnyOf | AllOf) else [one]
    return tuple(found)


def stop_file_says(path: Path, prefix: str) -> str | None:
    """Return the reason in a stop file after a prefix, None where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}), so it is taken as a stop"
    told = text.strip().partition("\n")[0][:200]
    return f"{prefix}: {told}" if told else prefix
