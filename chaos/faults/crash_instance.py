"""Crash one instance with `aurora_inject_crash`, asked for by SQL on its own endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import DatabaseError, GuardRefused
from chaos.faults.base import Before, Context, Fault
from chaos.faults.restarts import restarted, started
from chaos.faults.targets import ONE, select
from chaos.model.topology import Topology

_ALLOWED = (
    "SELECT pg_catalog.bool_or(pg_catalog.has_function_privilege(oid, 'execute')) "
    "FROM pg_catalog.pg_proc WHERE proname = 'aurora_inject_crash'"
)
_SHUTDOWN = "57P0"  # admin_shutdown, crash_shutdown, cannot_connect_now


class CrashInstance(Fault):
    """Run `SELECT aurora_inject_crash('instance' | 'dispatcher' | 'node')` on the target itself.

    Aurora restarts it in place and does not fail over. The session that asks dies with the server; the
    effect is that the server says that it started later than before.
    """

    expected_s: ClassVar[float] = 60.0

    fault: Literal["crash-instance"] = "crash-instance"
    target: str = Field("writer", description=ONE)
    component: Literal["instance", "dispatcher", "node"] = Field(
        "instance", description="What crashes: the database, its dispatcher, or the whole node."
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance that the selector means now; only Aurora PostgreSQL has the function."""
        if topology.engine != "aurora-postgresql":
            raise GuardRefused(
                f"crash-instance: {topology.cluster} is {topology.engine}, and only "
                "aurora-postgresql has aurora_inject_crash; reboot-instance restarts it"
            )
        return (select(self.target, topology).id,)

    def see(
        self, context: Context, topology: Topology, targets: tuple[str, ...]
    ) -> Mapping[str, datetime]:
        """Ask the instance since when it runs, and whether we may crash it."""
        ((allowed,),) = context.database.query(targets[0], _ALLOWED)
        if allowed is False:  # NULL: not listed; the server will say whether it has it
            raise GuardRefused(
                "crash-instance: this database user may not call aurora_inject_crash; grant it "
                "rds_superuser, or give the run another user"
            )
        return started(context, targets)

    def inject(self, context: Context, before: Before) -> None:
        """Ask for the crash once; the end of the session is no error.

        Raises:
            DatabaseError: the server refused.
        """
        try:
            context.database.query(before.target, f"SELECT aurora_inject_crash('{self.component}')")
        except DatabaseError as error:
            if error.sqlstate and not error.sqlstate.startswith(_SHUTDOWN):
                raise

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once its server says that it started later than before."""
        return restarted(context, before)
