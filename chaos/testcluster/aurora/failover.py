"""A failover: fence the old writer, promote a reader, show it late, bring the old writer back.

    accepted --shutdown--> old writer down --promote--> new writer
                                                          +-- api lag --> the API shows it
                                                          +-- DNS lag --> the cluster endpoint answers it
                                                          +-- rejoin  --> the old writer is a reader

Sessions on the chosen reader end as those on the old writer do (Aurora restarts both); who connects to
it from then on stays, and finds a writer. Were they ended after the promotion, clients that look for the
new writer by a session on every instance, as AWS's drivers do, would lose the one on the right instance.

The old writer is dead before anything is promoted, always, and so is a reader whose promotion failed
before the next one's begins: two writers are impossible. API and DNS follow at a pace of their own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from chaos.errors import DatabaseError, HostError, WaitTimeout
from chaos.testcluster import events
from chaos.testcluster.aurora import sabotage
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    DELETING,
    FAILED,
    FAILING_OVER,
    MODIFYING,
    REBOOTING,
    Core,
    Member,
)
from chaos.testcluster.aurora.election import ranked
from chaos.testcluster.aurora.readers import (
    clone,
    restart,
    source_address,
    start_reader,
    start_writer,
)
from chaos.testcluster.profiles import Delays
from chaos.testcluster.records import ApiError
from chaos.wait import wait_until

log = logging.getLogger(__name__)

_SHUTDOWN_GRACE_S = 0.5
_CATCH_UP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One accepted failover; `target` is the first choice, `delete_old` ends in its removal."""

    number: int
    old: Member
    target: Member
    delays: Delays
    planned: bool
    delete_old: bool = False


class Failover:
    """The failovers of one cluster, one at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._begun = 0

    # -- accepting -------------------------------------------------------------------------------

    def request(self, target: str | None) -> None:
        """Accept FailoverDBCluster, and do it in the background.

        Raises:
            ApiError: the cluster or the target cannot fail over now.
        """
        core = self._core
        with core.lock:
            if core.status not in {AVAILABLE, MODIFYING}:
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"Database cluster:{core.spec.id} is not in available state; "
                    f"it is {core.status}.",
                )
            old = core.writer_member()
            if old is None or len(core.members) < 2:  # noqa: PLR2004 - a writer and a reader
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"Database cluster:{core.spec.id} should have at least two database instances "
                    "for failover",
                )
            if old.status != AVAILABLE:
                raise ApiError(
                    "InvalidDBInstanceState",
                    f"Instance {old.id} should be in valid state for failover.",
                )
            chosen = self._require_target(old, target)
            if core.defects.fakes_failover():
                sabotage.fake_failover(core, chosen)
            else:
                self._begin(old, chosen, planned=True)

    def _require_target(self, old: Member, target: str | None) -> Member:
        core = self._core
        if target is None:
            chosen = self._elect(self._begun + 1, old)
            if chosen is None:
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"Database cluster:{core.spec.id} should have at least two database instances "
                    "in valid states or a valid target instance for failover.",
                )
            return chosen
        member = core.members.get(target)
        if member is None:
            raise ApiError("DBInstanceNotFound", f"DBInstance {target} not found.")
        if member is old:
            raise ApiError(
                "InvalidDBInstanceState",
                f"Instance {target} is already the writer of cluster {core.spec.id}; "
                "a valid target instance for failover is one of its readers.",
            )
        if not member.healthy:
            raise ApiError(
                "InvalidDBInstanceState",
                f"Instance {target} should be in valid state for failover.",
            )
        return member

    def automatic(self, old: Member, *, planned: bool = False, delete_old: bool = False) -> bool:
        """Begin a failover away from `old` if a healthy reader exists; the caller holds the lock."""
        chosen = self._elect(self._begun + 1, old)
        if chosen is None:
            return False
        self._begin(old, chosen, planned=planned, delete_old=delete_old)
        return True

    def _elect(self, number: int, *excluded: Member) -> Member | None:
        """Return the best healthy reader for the `number`-th failover, None where there is none."""
        rng = self._core.pacer.generator("election", number)
        candidates = [m for m in self._core.others(*excluded) if m.healthy]
        return next(iter(ranked(candidates, rng)), None)

    def _begin(
        self, old: Member, target: Member, *, planned: bool, delete_old: bool = False
    ) -> None:
        core = self._core
        core.status = FAILING_OVER
        old.status = DELETING if delete_old else REBOOTING
        old.in_reader_endpoint = False  # Until it is back; it may have no power.
        target.status = REBOOTING
        same = old.availability_zone == target.availability_zone
        kind = events.FAILOVER_SAME_AZ if same else events.FAILOVER_CROSS_AZ
        core.record(kind, core.spec.id, name=target.id)
        self._begun += 1
        plan = Plan(
            number=self._begun,
            old=old,
            target=target,
            delays=core.pacer.delays("failover", self._begun),
            planned=planned,
            delete_old=delete_old,
        )
        core.background("failover", lambda: self._run(plan), failed=lambda: self._failed(plan))

    # -- doing it --------------------------------------------------------------------------------

    def _run(self, plan: Plan) -> None:
        core = self._core
        core.await_awake([plan.old, plan.target])  # A pause may be restarting the old one just now.
        self._fence(plan)
        if not core.spec.read_availability:
            self._restart_readers(plan)
        core.pause(plan.delays.promote + core.defects.slow_s)
        new = self._promote(plan)
        if core.defects.loses_tail:
            self._clone_again(core.others(plan.old, new))
        if new is not plan.old and not plan.delete_old:
            self._bring_back(plan)
        self._settle(plan, new)
        if new is not plan.old and plan.delete_old:
            self._remove(plan)  # Only now: until the endpoint follows, its answer is the old one.

    def _fence(self, plan: Plan) -> None:
        """End the old writer."""
        core = self._core
        sabotage.before_fencing(core, plan.old)
        if plan.planned:
            core.pause(plan.delays.shutdown)
            if core.defects.keeps_old_writer and not plan.delete_old:
                return
            plan.target.node.end_sessions()
            plan.old.node.shut_down(grace_s=_SHUTDOWN_GRACE_S)
        else:
            plan.old.node.kill()
            plan.target.node.end_sessions()
        core.record(events.INSTANCE_SHUTDOWN, plan.old.id)
        sabotage.after_fencing(core, plan.old, plan.target)

    def _promote(self, plan: Plan) -> Member:
        """Return the new writer: the target, else another healthy reader, else the old writer."""
        core = self._core
        tried: list[Member] = []
        candidate: Member | None = plan.target
        while candidate is not None:
            tried.append(candidate)
            if candidate is not plan.target:
                candidate.node.end_sessions()
            try:
                self._lift(candidate)
            except (HostError, DatabaseError, WaitTimeout, OSError) as error:
                log.warning("cannot promote %s: %s", candidate.id, error)
                candidate.node.kill()  # Before anything else: it may be writable all the same.
                self._revive(candidate)
                with core.lock:
                    candidate = self._elect(plan.number, plan.old, *tried)
                    if candidate is not None:
                        candidate.status = REBOOTING
            else:
                self._install(candidate)
                return candidate
        core.record(events.FAILOVER_BACK, core.spec.id, name=plan.old.id)
        start_writer(core, plan.old)
        self._install(plan.old)
        return plan.old

    def _lift(self, candidate: Member) -> None:
        """Promote a reader; in a secondary cluster, let it follow the primary cluster instead.

        Raises:
            HostError, DatabaseError, WaitTimeout: it cannot be done; the reader may have changed.
        """
        if self._core.source is None:
            if self._core.defects.loses_tail:
                sabotage.lose_tail(self._core, candidate)
            elif not self._core.defects.keeps_old_writer:
                self._await_caught_up(candidate)
            candidate.node.promote(keep_sessions=True)
        else:
            candidate.node.follow(source_address(self._core, candidate))

    def _await_caught_up(self, candidate: Member) -> None:
        """Wait until a reader has replayed all that storage holds of the fenced writer's history.

        Promotion would do that, too; but promoting one that cannot would lose commits.

        Raises:
            HostError: it is too far behind to read on, or cannot be asked.
            WaitTimeout: it does not get there.
        """
        candidate.node.replay.catch_up()
        core = self._core
        storage, foundation = core.foundation.storage, core.foundation

        def caught_up() -> bool:
            core.pause(0)
            lsn = candidate.node.replayed_lsn()
            if lsn is None or not storage.continues(lsn):
                raise HostError(f"{candidate.id} has replayed up to {lsn} and cannot read on")
            return not storage.holds_more(lsn, foundation.binaries, foundation.account)

        wait_until(
            caught_up,
            f"{candidate.id} to replay what {core.writer} wrote",
            timeout_s=_CATCH_UP_TIMEOUT_S,
            interval_s=0.02,
        )

    def _install(self, new: Member) -> None:
        """Make the promoted node the writer for storage, the other nodes and drivers."""
        core = self._core
        with core.lock:
            core.writer = new.id
        core.foundation.storage.attach(new.node.data)
        for other in core.others(new):
            other.node.follow(new.node.address)
        core.publish_topology()
        core.record(events.INSTANCE_RESTARTED, new.id)

    def _settle(self, plan: Plan, new: Member) -> None:
        """Let the API and the cluster endpoint follow, each after its lag; then it is complete."""
        core = self._core
        waited = 0.0
        lags = [("api", plan.delays.api_lag)]
        if not core.defects.dns_stays:
            lags.append(("dns", plan.delays.dns_lag + core.defects.dns_extra_s))
        for view, lag in sorted(lags, key=lambda view_and_lag: view_and_lag[1]):
            core.pause(lag - waited)
            waited = lag
            with core.lock:
                if view == "api":
                    core.shown_writer = new.id
                    new.status = AVAILABLE
                else:
                    core.dns_writer = new.id
                    new.in_reader_endpoint = True  # Shown only while another one is the writer.
            if view == "dns":
                core.record(events.TOPOLOGY_UPDATED, new.id)
        with core.lock:
            core.status = AVAILABLE
        core.record(events.FAILOVER_COMPLETED, core.spec.id, name=new.id)

    # -- the other instances ---------------------------------------------------------------------

    def _bring_back(self, plan: Plan) -> None:
        core, old = self._core, plan.old

        def rejoin() -> None:
            core.pause(plan.delays.rejoin)
            if core.defects.keeps_old_writer and old.node.pid is not None:
                if not sabotage.keep_writing(core, old):
                    return
            elif core.defects.loses_tail:
                clone(core, old)
            start_reader(core, old)
            self._reader_is_back(old)

        core.background(f"return of {old.id}", rejoin, failed=lambda: self._lost(old))

    def _remove(self, plan: Plan) -> None:
        core, old = self._core, plan.old

        def remove() -> None:
            core.pause(plan.delays.delete)
            old.node.remove()
            sabotage.linger(core)
            core.remove_member(old)
            core.publish_topology()
            core.record(events.INSTANCE_DELETED, old.id)

        core.background(f"deletion of {old.id}", remove, failed=lambda: self._lost(old))

    def _restart_readers(self, plan: Plan) -> None:
        """Restart the remaining readers, as versions without read availability do."""
        core = self._core
        for member in core.others(plan.old, plan.target):
            with core.lock:
                if not member.healthy:
                    continue
                member.status = REBOOTING
                member.in_reader_endpoint = False
            core.record(events.INSTANCE_SHUTDOWN, member.id)
            self._restart_reader(member)

    def _restart_reader(self, member: Member) -> None:
        core = self._core
        delays = core.pacer.next(f"restart of {member.id}")

        def work() -> None:
            restart(core, member, delays.reboot)
            self._reader_is_back(member)

        core.background(f"restart of {member.id}", work, failed=lambda: self._lost(member))

    def _clone_again(self, readers: list[Member]) -> None:
        """Replace readers that went further than the new writer's history does."""
        for member in readers:
            with self._core.lock:
                if not member.healthy:
                    continue
                member.status = REBOOTING
                member.in_reader_endpoint = False
            member.node.kill()
            self._revive(member)

    def _revive(self, member: Member) -> None:
        """Clone a killed reader that was not promoted: it may have begun a history of its own."""
        core = self._core

        def work() -> None:
            clone(core, member)
            start_reader(core, member)
            self._reader_is_back(member)

        core.background(f"recovery of {member.id}", work, failed=lambda: self._lost(member))

    def _reader_is_back(self, member: Member) -> None:
        core = self._core
        with core.lock:
            member.status = AVAILABLE
            member.in_reader_endpoint = True
        core.publish_topology()
        core.record(events.INSTANCE_RESTARTED, member.id)

    # -- when it goes wrong ----------------------------------------------------------------------

    def _lost(self, member: Member) -> None:
        member.status = FAILED
        self._core.record(events.INSTANCE_FAILED, member.id)

    def _failed(self, plan: Plan) -> None:
        for member in (plan.old, plan.target):
            if member.status == REBOOTING or (member is plan.old and plan.delete_old):
                member.status = AVAILABLE if member.node.pid is not None else FAILED
                member.in_reader_endpoint = member.status == AVAILABLE
        self._core.shown_writer = self._core.dns_writer = self._core.writer
        self._core.status = AVAILABLE
