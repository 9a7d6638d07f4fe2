"""Users as Locust's: greenlets of one process, so that a thousand cost little.

Locust's own pacing is a closed loop: while a server hangs nothing is sent, and nothing shows it. So
the one task of a user never ends: it carries out arrivals (`loadgen.crew`), each from its instant on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import gevent
from locust import User, task
from locust.env import Environment
from locust.runners import LocalRunner

from loadgen.crew import Crew, Member
from loadgen.deadlines import limit
from loadgen.runtime import Failed, Runtime

_FOREVER_S = 3600.0


class ArrivalUser(User):
    """Carries out the arrivals of one stream."""

    abstract = True
    crew: ClassVar[Crew]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._member = Member(type(self).crew)

    def wait_time(self) -> float:
        """Wait to be ended, once no more arrivals will come."""
        return _FOREVER_S

    @task
    def work(self) -> None:
        """Carry out arrivals until no more will come."""
        self._member.work(gevent.sleep)


class LocustUsers:
    """The users of a process, run by Locust."""

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._runner: LocalRunner | None = None

    def start(self, crews: Sequence[Crew]) -> None:
        """Start every user of every crew."""
        users = [type(f"{crew.name}User", (ArrivalUser,), _members_of(crew)) for crew in crews]
        environment = Environment(user_classes=users)
        environment.events.user_error.add_listener(self._user_error)  # type: ignore[no-untyped-call]
        self._runner = environment.create_local_runner()
        count = sum(crew.count for crew in crews)
        self._runner.start(count, spawn_rate=count)

    def end(self, timeout_s: float) -> None:
        """End the users, whatever they are at; their operations are recorded as cut off."""
        runner, self._runner = self._runner, None
        if runner is not None:
            with gevent.Timeout(timeout_s, False):
                runner.quit()

    def _user_error(self, exception: BaseException, **_rest: object) -> None:
        self._failed(exception)


def _members_of(crew: Crew) -> dict[str, object]:
    return {"abstract": False, "fixed_count": crew.count, "crew": crew}


GREENLETS = Runtime(users=LocustUsers, limit=limit)
