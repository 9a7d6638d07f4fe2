"""The workers as the runner has them: joined before anything begins, then the traffic of the run.

The runner's process imports neither Locust nor gevent; its orders go to the master beside it.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from chaos.clock import NS, Clock
from chaos.errors import DefinitionError, HostError, WaitTimeout
from chaos.model.access import DatabaseAccess
from chaos.wait import wait_until
from chaos.worker import WorkerProcess
from loadgen.config import TrafficConfig
from loadgen.distributed.channel import State

MASTER = "loadgen.distributed.master_process"
WORKER = "loadgen.distributed.worker_process"
TOKEN_VARIABLE = "GAMEDAY_WORKERS_TOKEN"  # noqa: S105 - the variable's name
TOKEN_LENGTH_MIN = 16
WORKERS_MAX = 100
"""Write ids have room for more (loadgen.tables.WriteIds); nobody needed them."""
JOIN_S_MAX = 600.0
"""How long people may take to start the workers on other machines."""
LISTEN_S_MAX = 30.0
JOIN_LOCAL_S_MAX = 60.0
STOP_S_MIN = 42.0
"""What `stop` needs at most: traffic drains, its last records are handed over."""
_ABANDON_S_MAX = 10.0
_LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceConfig:
    """How many workers, and where to wait for them; without `listen` they run on this machine."""

    workers: int
    listen: tuple[str, int] | None = None
    token: str | None = field(default=None, repr=False)
    """As people chose it, so that nobody is told it; None: one is made, and told to people."""

    @property
    def on_this_machine(self) -> bool:
        """Whether nobody on another machine can join."""
        return self.listen is None or is_loopback(self.listen[0])


def is_loopback(host: str) -> bool:
    """Tell whether only processes of this machine reach an address; a name is none of those."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parsed_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`.

    Raises:
        DefinitionError: it is written otherwise.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004
        raise DefinitionError(f"{text}: write HOST:PORT, such as 10.0.0.5:5557")
    return host.strip("[]"), int(port)


def strong_token(text: str) -> str:
    """Return a token that people chose, if it is no short word.

    What bears a code can be overheard, and tokens tried against it for as long as one likes.

    Raises:
        DefinitionError: it is short.
    """
    if len(text.strip()) < TOKEN_LENGTH_MIN:
        raise DefinitionError(
            f"{TOKEN_VARIABLE} has fewer than {TOKEN_LENGTH_MIN} characters, so that it could be "
            "guessed; make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return text


class Force:
    """The workers of one run: `with Force(...)` they are there; `traffic` is what they send."""

    def __init__(
        self,
        config: ForceConfig,
        arms: tuple[str, ...],
        folder: Path,
        tell: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """Describe them; `folder` is the run folder, `clock` what an interrupted wait raises from."""
        self.config = config
        self._token = config.token or secrets.token_urlsafe()
        self._arms = arms
        self._folder = folder
        self._tell = tell
        self._clock = clock
        self._master: WorkerProcess | None = None
        self._locals: list[WorkerProcess] = []
        self._said: dict[str, int] = {}
        """How often the master said that a state was reached."""

    def __enter__(self) -> Self:
        """Start the master and wait for every worker.

        Raises:
            HostError: the address cannot be listened at, or not all workers joined in time.
            RunInterrupted: a signal came while it waited.
        """
        try:
            self._gather()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process of it that is left."""
        self._abandon()

    def traffic(self, config: TrafficConfig, access: DatabaseAccess) -> ForceTraffic:
        """Make the traffic of the run, not started yet."""
        given = access.as_json()
        if not self.config.on_this_machine:  # no password leaves it: each worker has its own login
            given |= {"user": "", "password": ""}
        return ForceTraffic(self, {"traffic": asdict(config), "access": given})

    def require_reach(self, kind: str) -> None:
        """Hold the workers of a test cluster to this machine: it answers on loopback alone.

        Raises:
            DefinitionError: they could join from elsewhere.
        """
        if kind == "test" and not self.config.on_this_machine:
            host, port = self.config.listen or (_LOCAL, 0)
            raise DefinitionError(
                f"--listen {host}:{port}: a test cluster is reached from its own machine alone; "
                f"listen at {_LOCAL}:{port}, or leave --listen out"
            )

    def order(self, kind: State, timeout_s: float, **fields: Any) -> None:
        """Give an order to every worker that is there, and wait until each has obeyed.

        Raises:
            HostError: one did not in time, or none is left; says why.
        """
        assert self._master is not None
        before = self._said.get(kind, 0)
        self._master.send({"order": kind, **fields})
        try:
            wait_until(
                lambda: self._heard(kind) > before,
                f"every worker to be {kind}",
                timeout_s=timeout_s,
            )
        except WaitTimeout as error:
            raise HostError(f"{error}; see {self._master.log}") from error

    def check(self) -> None:
        """Tell who was lost or came back.

        Raises:
            HostError: none is left, or the master has ended; says why.
        """
        self._heard("")

    def close(self, timeout_s: float) -> None:
        """End the traffic, take in the last records, end every process.

        Raises:
            HostError: the master did not end properly, so that newest records may be missing.
        """
        master, self._master = self._master, None
        if master is None:
            return
        local, self._locals = self._locals, []
        deadline_ns = time.monotonic_ns() + int(timeout_s * NS)
        status = master.stop(timeout_s)
        for message in iter(master.take, None):
            if message["state"] == "member":
                self._tell(message["message"])
        for worker in local:
            worker.stop(max(1.0, (deadline_ns - time.monotonic_ns()) / NS))
        if status != 0:
            why = master.last_error() or f"exit status {status}"
            raise HostError(f"{master.name} did not end properly: {why}; see {master.log}")

    def _abandon(self) -> None:
        """End what is left; the error that led here, if any, is the one to tell."""
        with suppress(HostError):
            self.close(_ABANDON_S_MAX)

    def _gather(self) -> None:
        listen = self.config.listen
        host, port = listen or (_LOCAL, 0)
        self._master = WorkerProcess(
            "the workers' master",
            MASTER,
            {
                "host": host,
                "port": port,
                "token": self._token,
                "workers": self.config.workers,
                "folder": str(self._folder),
                "arms": list(self._arms),
            },
            self._folder / "logs" / "workers.log",
        )
        port = self._master.await_ready(LISTEN_S_MAX)["port"]
        if listen is None:
            self._tell(f"starting {self.config.workers} workers on this machine")
            self._locals = [self._local(n, port) for n in range(1, self.config.workers + 1)]
        else:
            self._tell(self._invitation(f"gameday worker --join {host}:{port}"))
        timeout_s = JOIN_LOCAL_S_MAX if listen is None else JOIN_S_MAX
        try:
            wait_until(
                lambda: self._heard(State.JOINED),
                f"{self.config.workers} workers to join at {host}:{port}",
                timeout_s=timeout_s,
                clock=self._clock,
            )
        except WaitTimeout as error:
            raise HostError(f"{error}; nothing was disturbed") from error

    def _invitation(self, command: str) -> str:
        waiting = f"waiting for {self.config.workers} workers; start each with"
        if self.config.token is None:
            return f"{waiting} {TOKEN_VARIABLE}={self._token} {command}"
        return f"{waiting} {command}, and this run's {TOKEN_VARIABLE} in its environment"

    def _local(self, number: int, port: int) -> WorkerProcess:
        return WorkerProcess(
            f"worker {number}",
            WORKER,
            {
                "host": _LOCAL,
                "port": port,
                "token": self._token,
                "login": None,
                "folder": str(self._folder / "workers" / str(number)),
                "join_s_max": JOIN_LOCAL_S_MAX,
            },
            self._folder / "logs" / f"worker-{number}.log",
        )

    def _heard(self, state: str) -> int:
        """Return how often a state was reached, having listened to what was said since.

        Raises:
            HostError: the master gave up or died; says why.
        """
        master = self._master
        if master is None:
            raise HostError("the workers' master has ended")
        for message in iter(master.take, None):
            told = message["state"]
            if told == "member":
                self._tell(message["message"])
            elif told in {"error", "ended"}:
                why = message.get("message") or "it died"
                raise HostError(f"{master.name} ended: {why}; see {master.log}")
            else:
                self._said[told] = self._said.get(told, 0) + 1
        return self._said.get(state, 0)


class ForceTraffic:
    """The traffic of one run, sent by all its workers; in the shape that the runner asks for."""

    def __init__(self, force: Force, given: dict[str, Any]) -> None:
        """Take the workers, and what each needs to know to begin."""
        self._force = force
        self._given = given

    def start(self, timeout_s: float) -> None:
        """Let every worker start its share; return when each arm of each worker is served.

        Raises:
            HostError: not every worker got that far.
        """
        self._force.order(State.SERVING, timeout_s, within_s=timeout_s * 0.9, **self._given)

    def check(self) -> None:
        """Raise if no worker is left.

        Raises:
            HostError: no worker is left, or their master has ended.
        """
        self._force.check()

    def pause(self, timeout_s: float) -> None:
        """Let nothing new arrive, finish what is in flight, end every session; then stand still.

        Raises:
            HostError: a worker did not get there in `timeout_s`.
        """
        self._force.order(State.PAUSED, timeout_s)

    def resume(self, at_ns: int, timeout_s: float) -> None:
        """Go on after a pause, with arrivals that are due from `at_ns` on.

        Raises:
            HostError: a worker did not go on in `timeout_s`.
        """
        self._force.order(State.RUNNING, timeout_s, at_ns=at_ns)

    def shape(self, at_ns: int, timeout_s: float) -> None:
        """Let second 0 of the rates' shape be at an instant.

        Raises:
            HostError: a worker did not obey in `timeout_s`.
        """
        self._force.order(State.SHAPED, timeout_s, at_ns=at_ns)

    def stop(self, timeout_s: float) -> None:
        """Let nothing new arrive, finish what is in flight, take in every record that there is.

        Raises:
            HostError: the workers' master did not end properly.
        """
        self._force.close(timeout_s)
