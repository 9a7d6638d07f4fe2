"""Whether a run may begin: what each fault would do now, what it is expected to take, every guard.

Nothing here changes anything; `gameday plan` tells what it finds, and a run begins with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from chaos.definition.experiment import Experiment
from chaos.definition.steps import Composite, Parallel, Random, Step
from chaos.errors import (
    ControlPlaneError,
    DatabaseError,
    GuardRefused,
    HostError,
)
from chaos.faults.base import TEST_CLUSTER, Before, Context, Fault
from chaos.model.topology import Topology
from chaos.run import folder as run_folder
from chaos.run.apart import require_apart
from chaos.run.journal import Journal, in_use
from chaos.run.recovery import left_by
from chaos.run.session import key_of
from chaos.safety.estimate import Estimate, cost
from chaos.safety.guards import GUARDS, Aim, Situation, refusals
from chaos.safety.limits import SafetyFile
from chaos.safety.ports import Account
from chaos.safety.undo import CreateInstance, DropTables, RestoreWriter
from chaos.safety.undo.base import UndoRecord

STARTING_S = 15.0
"""Usual seconds to start traffic and see the steady state, without `warmup_s`."""
STARTING_S_MAX = 150.0
_CANNOT_LOOK = (GuardRefused, ControlPlaneError, DatabaseError, HostError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What an experiment is looked at with. `run` names it, `runs` is the folder of all runs."""

    context: Context
    account: Account
    kind: str  # test | aws
    safety: SafetyFile
    now: datetime
    run: str
    runs: Path


def situation_of(
    experiment: Experiment,
    topology: Topology,
    around: Around,
    foreseen: Sequence[Foreseen] | None = None,
) -> Situation:
    """Look at everything that guards decide by; `foreseen` spares looking at each fault again."""
    if foreseen is None:
        foreseen = foresee(experiment, topology, around)
    aims = tuple(one.aim for one in foreseen)
    expected_s, longest_s = _duration_s(experiment)
    records = [record for aim in aims for record in aim.undo]
    cost_usd, unpriced = cost(topology, records, around.safety.prices, expected_s)
    return Situation(
        topology=topology,
        kind=around.kind,
        aims=aims,
        at_once=_together(experiment, foreseen),
        estimate=Estimate(
            expected_s=expected_s,
            longest_s=longest_s,
            cost_usd=0.0 if around.kind == "test" else cost_usd,
            unpriced=() if around.kind == "test" else unpriced,
        ),
        limits=experiment.guards,
        safety=around.safety,
        now=around.now,
        rds=around.context.rds,
        account=around.account,
        database=around.context.database,
        dead_runs=dead_runs(around.runs, topology),
    )


def records_of_run(experiment: Experiment, topology: Topology, run: str) -> tuple[UndoRecord, ...]:
    """Return what a run undoes of its own beside the faults' changes, but for its lease."""
    writer = topology.writer
    restores = "restore-writer" in experiment.rollback and writer is not None
    return (
        DropTables(run=run),
        *((RestoreWriter(instance=writer.id),) if restores and writer else ()),
    )


def admit(situation: Situation, journal: Journal) -> None:
    """Ask every guard and journal what each says.

    Raises:
        GuardRefused: with the reasons of all that refuse.
    """
    said = refusals(GUARDS, situation)
    for name, why in said.items():
        journal.event("guard", guard=name, refused=why is not None, why=why)
    told = [why for why in said.values() if why]
    if told:
        raise GuardRefused("; ".join(told))


def dead_runs(runs: Path, topology: Topology) -> dict[str, str]:
    """Return the runs below a folder that left something of this cluster changed and go on no more.

    Returns:
        Why the record of each cannot be read, or "", by the run's name.
    """
    found: dict[str, str] = {}
    for folder in run_folder.listing(runs):
        journal = folder / "journal.jsonl"
        try:
            environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # Nobody knows of which cluster; `gameday recover` tells of it.
        is_ours = environment.get("resource_id") == topology.resource_id
        if not is_ours or environment.get("cluster_access") == "embedded" or in_use(journal):
            continue
        left = left_by(journal)
        if left:
            found[folder.name] = "; ".join(left.unreadable.values())
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What one fault of the method would do now. `before` is None where it is refused."""

    fault: Fault
    aim: Aim
    before: Before | None


def foresee(experiment: Experiment, topology: Topology, around: Around) -> list[Foreseen]:
    """Look at what each fault of a method would do now, in the order of their numbers."""
    blind = _unreachable(around.context)
    found = []
    for number, (fault, times) in enumerate(injections(experiment.method), 1):
        aim = Aim(step=str(number), fault=fault.fault, times=times)
        try:
            before = _look(fault, number, topology, around, blind)
        except _CANNOT_LOOK as refusal:
            found.append(Foreseen(fault=fault, aim=replace(aim, refusal=str(refusal)), before=None))
        else:
            found.append(Foreseen(fault=fault, aim=_aimed(aim, fault, before), before=before))
    return found


def _together(experiment: Experiment, foreseen: Sequence[Foreseen]) -> str | None:
    """Return why two faults may not be under way at once, or None."""
    known = {id(one.fault): one.before for one in foreseen}

    def look(fault: Fault) -> Before:
        before = known[id(fault)]
        if before is None:
            raise GuardRefused("")  # Its own refusal is told.
        return before

    try:
        require_apart(experiment.method, look)
    except GuardRefused as refusal:
        return str(refusal) or None
    return None


def injections(steps: Sequence[Step], times: int = 1) -> Iterator[tuple[Fault, int]]:
    """Yield every fault of some steps once, as they are numbered, and how often it is injected."""
    for step in steps:
        if isinstance(step, Composite):
            inside = times * step.repeat * (step.times if isinstance(step, Random) else 1)
            yield from injections(step.children, inside)
        else:
            yield step, times * step.repeat


def _unreachable(context: Context) -> str | None:
    """Say why no fault can look at the database; so that not every one of them has to wait."""
    try:
        context.database.identify("cluster")
    except DatabaseError as error:
        return f"it cannot be looked at: {error}"
    return None


def _look(
    fault: Fault, number: int, topology: Topology, around: Around, blind: str | None
) -> Before:
    """Look at the cluster as right before the injection; `blind` is why the database cannot be seen."""
    if fault.works_on == TEST_CLUSTER and around.kind != "test":
        raise GuardRefused(f"{fault.fault} is for a test cluster only; AWS has no call for it")
    targets = fault.resolve(topology)
    if blind:
        raise GuardRefused(blind)
    return Before(
        topology=topology,
        first=topology,
        targets=targets,
        key=key_of(around.run, number),
        seen=fault.see(around.context, topology, targets),
    )


def _aimed(aim: Aim, fault: Fault, before: Before) -> Aim:
    undo = fault.undo(before)
    return replace(
        aim,
        targets=before.targets,
        calls=fault.calls(before),
        undo=undo,
        removed=frozenset(r.instance for r in undo if isinstance(r, CreateInstance)),
    )


def _duration_s(experiment: Experiment) -> tuple[float, float]:
    """Return the seconds that a run usually takes, and takes at most."""
    workload = experiment.workload
    traffic_s = workload.warmup_s + workload.cooldown_s
    usual_s = traffic_s + STARTING_S + sum(_usual_s(step) for step in experiment.method)
    most_s = traffic_s + STARTING_S_MAX + sum(_longest_s(step) for step in experiment.method)
    return usual_s, most_s


def _usual_s(step: Step) -> float:
    if isinstance(step, Composite):
        return _together_s(step, [_usual_s(child) for child in step.children])
    return step.repeat * (step.expected_s + step.held_s + step.settle_s)


def _longest_s(step: Step) -> float:
    if isinstance(step, Composite):
        return _together_s(step, [_longest_s(child) for child in step.children])
    effects_s = step.effect_timeout_s * len(step.stages())
    return step.repeat * (effects_s + step.held_s + 2 * step.recovery_timeout_s + step.settle_s)


def _together_s(step: Composite, parts_s: Sequence[float]) -> float:
    """Return how long steps take together: at once, in a window, or one after the other."""
    if isinstance(step, Parallel):
        once_s = max(parts_s)
    elif isinstance(step, Random):
        once_s = step.within_s + (max(parts_s) if step.overlap else step.times * sum(parts_s))
    else:
        once_s = sum(parts_s)
    return step.repeat * once_s
