"""What a run would do, told before it: guards, steps, undo records, calls, SQL, time and money.

Everything is looked at as a run would look at it, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.definition.experiment import Experiment
from chaos.definition.places import Placed, placed
from chaos.definition.steps import Composite
from chaos.errors import ControlPlaneError
from chaos.model.serverless import serverless_members
from chaos.model.topology import Topology
from chaos.run.admission import Around, Foreseen, foresee, records_of_run, situation_of
from chaos.run.capacity_watch import EVERY_S as CAPACITY_INTERVAL_S
from chaos.run.observer import EVENTS_INTERVAL_S, TOPOLOGY_INTERVAL_S
from chaos.run.rehearsal import Sent, rehearse
from chaos.safety.calls import Call, total
from chaos.safety.guards import GUARDS, Situation, refusals
from chaos.safety.lease import RENEWED_EVERY_S
from chaos.safety.undo import ReleaseLease
from chaos.safety.undo.base import UndoRecord

OF_RUN = "run"
"""Stands for the step where it is the run itself that does something."""
_THIS = "this run"
_EVENT_CALLS = 2  # of the cluster, and of its instances


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before it begins. `caller` is the ARN of who would run it, None where nobody tells."""

    experiment: Experiment
    situation: Situation
    refusals: Mapping[str, str | None]
    foreseen: Sequence[Foreseen]
    sent: Sequence[Sent]
    """What each fault sends beside API calls, as `foreseen`."""
    caller: str | None
    region: str

    @property
    def refused(self) -> bool:
        """Whether a run would be refused now."""
        return any(self.refusals.values())

    @property
    def records(self) -> Iterator[tuple[str, UndoRecord]]:
        """Every undo record that would be written, in order, with the step that it is for."""
        topology = self.situation.topology
        yield OF_RUN, ReleaseLease(run=_THIS, lease="", arn=topology.arn)
        for record in records_of_run(self.experiment, topology, _THIS):
            yield OF_RUN, record
        for one in self.foreseen:
            for record in one.aim.undo:
                yield one.aim.step, record

    @property
    def changing(self) -> tuple[Call, ...]:
        """The changing calls of faults, of what undoes them, and of the lease, each at most so often.

        A request without effect may be sent again, which counts here.
        """
        return total(self._changing())

    def _changing(self) -> Iterator[Call]:
        longest_s = self.situation.estimate.longest_s
        yield Call("AddTagsToResource", 1 + int(longest_s // RENEWED_EVERY_S))
        for one in self.foreseen:
            requests = one.fault.requests_max if one.fault.asks_again else 1
            yield from _times(one.aim.calls, one.aim.times * requests)
            for record in one.aim.undo:
                yield from _times(record.calls(), one.aim.times)
        for step, record in self.records:
            if step == OF_RUN:
                yield from record.calls()

    @property
    def reading(self) -> tuple[Call, ...]:
        """About how often the API is read, by who watches it all the time and by the guards."""
        topology = self.situation.topology
        watched_s = self.situation.estimate.expected_s
        topologies = int(watched_s / TOPOLOGY_INTERVAL_S + watched_s / EVENTS_INTERVAL_S)
        return total(
            (
                Call("DescribeDBClusters", topologies),
                Call("DescribeDBInstances", topologies),
                *((Call("DescribeDBClusterEndpoints", 2),) if topology.is_cluster else ()),
                *(call for one in self.foreseen for call in one.fault.reads),
                *self._capacity_reads(watched_s),
                Call("DescribeEvents", int(_EVENT_CALLS * watched_s / EVENTS_INTERVAL_S)),
                *(call for guard in GUARDS for call in guard.reads),
            )
        )

    def as_json(self) -> dict[str, Any]:
        """Return all of it as `gameday plan --json` prints it."""
        topology = self.situation.topology
        return {
            "experiment": self.experiment.name,
            "claim": self.experiment.claim,
            "cluster": topology.cluster,
            "arn": topology.arn,
            "cluster_kind": self.situation.kind,
            "region": self.region,
            "caller": self.caller,
            "refused": self.refused,
            "guards": [
                {"guard": name, "refused": why is not None, "why": why}
                for name, why in self.refusals.items()
            ],
            "steps": [self._step(step) for step in placed(self.experiment.method)],
            "undo": [
                {"step": step, "action": record.action, "command": record.command(topology.cluster)}
                for step, record in self.records
            ],
            "calls": {
                "changing_at_most": [_counted(call) for call in self.changing],
                "reading_about": [_counted(call) for call in self.reading],
            },
            "sql": [
                {"step": one.aim.step, "statement": told}
                for one, sent in zip(self.foreseen, self.sent, strict=True)
                for told in sent.sql
            ],
            "estimate": self.situation.estimate.as_json(),
        }

    def _capacity_reads(self, watched_s: float) -> tuple[Call, ...]:
        if not serverless_members(self.situation.topology):
            return ()
        looks = 1 + int(watched_s / CAPACITY_INTERVAL_S)
        return (
            Call("GetMetricData", looks, service="cloudwatch"),
            Call("DescribeDBInstances", looks),
        )

    def _step(self, step: Placed) -> dict[str, Any]:
        if isinstance(step.step, Composite):
            settings = step.step.model_dump(mode="json", exclude={"steps", "outer"})
            return {**settings, "name": step.name, "steps": [self._step(s) for s in step.within]}
        one, sent = self.foreseen[step.number - 1], self.sent[step.number - 1]
        return {
            "step": one.aim.step,
            "fault": one.aim.fault,
            "times": one.aim.times,
            "targets": list(one.aim.targets),
            "refusal": one.aim.refusal,
            "calls": [_counted(call) for call in one.aim.calls],
            "asks": list(sent.asks),
            "unknown": sent.unknown,
            "undoes": one.fault.undoes,
            "hold_s": one.fault.held_s,
            "settle_s": one.fault.settle_s,
        }


def plan_of(experiment: Experiment, topology: Topology, around: Around) -> Plan:
    """Look at a cluster and tell what a run of an experiment would do to it; changes nothing."""
    foreseen = foresee(experiment, topology, around)
    situation = situation_of(experiment, topology, around, foreseen)
    return Plan(
        experiment=experiment,
        situation=situation,
        refusals=refusals(GUARDS, situation),
        foreseen=foreseen,
        sent=[
            rehearse(one.fault, around.context, one.before) if one.before else Sent()
            for one in foreseen
        ],
        caller=_caller(around),
        region=around.context.rds.region,
    )


def _caller(around: Around) -> str | None:
    try:
        return around.account.caller().arn
    except ControlPlaneError:
        return None  # Who may not ask STS runs experiments all the same.


def _times(calls: Iterable[Call], times: int) -> Iterator[Call]:
    return (Call(call.operation, call.count * times, call.service) for call in calls)


def _counted(call: Call) -> dict[str, Any]:
    return {"service": call.service, "operation": call.operation, "count": call.count}
