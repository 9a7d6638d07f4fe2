"""`gameday run`: carries an experiment out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chaos.cli import judgement
from chaos.cli import target as targets
from chaos.cli.defect import Defects, parsed
from chaos.cli.embedded import specification
from chaos.cli.loading import loaded_from, selected, traffic_of
from chaos.cli.options import (
    DEFAULT_RUNS,
    Arms,
    AsJson,
    Profile,
    Quiet,
    Repeat,
    RunsRoot,
    Safety,
    Variables,
    assigned,
)
from chaos.cli.terminal import Terminal
from chaos.cli.worker import Listen, Workers, force_config, gathered
from chaos.clock import Anchor
from chaos.definition.experiment import Experiment
from chaos.definition.safety import safety_of
from chaos.errors import DefinitionError, GamedayError
from chaos.model.topology import Topology
from chaos.run import folder as run_folder
from chaos.run.interrupt import InterruptibleClock, signals_to
from chaos.run.rig import Rig
from chaos.run.runner import Ended, Run
from chaos.safety.limits import SafetyFile
from chaos.testcluster.records import ClusterSpec
from loadgen.configured import ArmRules
from loadgen.distributed.force import ForceConfig
from loadgen.workload import LocustWorkload


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(name="run")(run)


def run(
    experiment: Annotated[str, typer.Argument(help="A file, or the name of a shipped experiment.")],
    *,
    cluster: Annotated[
        str | None,
        typer.Option(
            envvar="GAMEDAY_CLUSTER",
            help="A running test cluster or a real one; absent: the embedded test cluster.",
        ),
    ] = None,
    arm: Arms = None,
    repeat: Repeat = None,
    variables: Variables = None,
    profile: Annotated[
        Profile,
        typer.Option(
            envvar="GAMEDAY_PROFILE",
            help="Pace of the embedded cluster (not the workload's profile).",
        ),
    ] = Profile.FAST,
    seed: Annotated[
        int, typer.Option(envvar="GAMEDAY_SEED", help="Of arrivals and modelled durations.")
    ] = 0,
    workers: Workers = None,
    listen: Listen = None,
    defect: Defects = None,
    safety: Safety = None,
    out: RunsRoot = DEFAULT_RUNS,
    as_json: AsJson = False,
    yes: Annotated[
        bool, typer.Option("--yes", envvar="GAMEDAY_YES", help="Do not ask about a real cluster.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Carry an experiment out and say what clients felt."""
    terminal = Terminal(quiet=quiet)
    try:
        loaded, rules = loaded_from(experiment, assigned(variables))
        definition = selected(loaded, rules, arms=arm, repeat=repeat)
        defects = _planted(defect or [], cluster)
        force = force_config(workers, listen)
        clock = InterruptibleClock()
        with signals_to(clock, terminal.tell):
            folder, ended = _carried_out(
                definition,
                rules,
                cluster,
                specification(definition.test_cluster, profile=profile.value, seed=seed),
                defects=defects,
                workers=force,
                safety=safety_of(safety),
                out=out,
                clock=clock,
                terminal=terminal,
                yes=yes,
            )
            return _tell_end(folder, ended, terminal, as_json=as_json)
    except GamedayError as error:
        if as_json:
            code = int(error.exit_code)
            terminal.object({"status": None, "error": str(error), "exit_code": code})
        raise


def _planted(defects: list[str], cluster: str | None) -> list[dict[str, Any]]:
    planted = [parsed(text) for text in defects]
    if planted and cluster is not None:
        raise DefinitionError(
            "--defect is for the embedded test cluster; plant it in a running one with "
            f"`gameday cluster defect {defects[0]} --identifier {cluster}`"
        )
    return planted


def _carried_out(
    definition: Experiment,
    rules: ArmRules,
    cluster: str | None,
    spec: ClusterSpec,
    *,
    defects: list[dict[str, Any]],
    workers: ForceConfig | None,
    safety: SafetyFile,
    out: Path,
    clock: InterruptibleClock,
    terminal: Terminal,
    yes: bool,
) -> tuple[Path, Ended]:
    anchor = Anchor.take()
    with (
        run_folder.created(out, definition.name, anchor) as folder,
        targets.opened(
            cluster, spec, folder / "logs" / "cluster.log", terminal.tell, defects=defects
        ) as target,
    ):
        clock.check()
        before = target.topology()
        kind = target.kind(before)
        if kind == "aws":
            faults = [step.fault for step in definition.faults]
            targets.confirm(before, target.rds.region, faults, yes=yes)
        arms = tuple(entry.name for entry in definition.workload.arms)
        with gathered(
            workers, arms=arms, folder=folder, kind=kind, tell=terminal.tell, clock=clock
        ) as force:
            rig = Rig(
                rds=target.rds,
                control=target.control,
                cluster_kind=kind,
                connect=target.connect,
                workload=LocustWorkload(traffic_of(definition, rules), spec.seed, force),
                check_cluster=target.check,
                alarms=target.rds.alarm_states,
                undo_timeout_s=target.undo_timeout_s,
                safety=safety,
                clock=clock,
                tell=terminal.tell,
                seed=spec.seed,
            )
            run_folder.write_definition(folder, definition.resolved())
            fields = _environment(definition, rig, before, None if cluster else spec.profile)
            if defects:
                fields["defects"] = defects
            if workers:
                fields["workers"] = workers.workers
            run_folder.write_environment(folder, anchor, fields)
            return folder, Run(definition, rig, before, folder, anchor).execute()


def _tell_end(folder: Path, ended: Ended, terminal: Terminal, *, as_json: bool) -> int:
    """Judge, render and print; a run that ended by an error still tells what was recorded."""
    try:
        terminal.tell("judgement")
        judgement.judge_folder(folder)
        judgement.render(folder)
        judgement.show(folder, terminal, as_json=as_json)
    except GamedayError as error:
        if not ended.errors:
            raise
        for told in (error, *ended.errors[1:]):
            terminal.complain(str(told))
        raise ended.errors[0] from error
    for ending in ended.errors:
        terminal.complain(str(ending))
    return int(ended.errors[0].exit_code if ended.errors else judgement.exit_code(folder))


def _environment(
    definition: Experiment, rig: Rig, before: Topology, profile: str | None
) -> dict[str, Any]:
    return {
        "experiment": definition.resolved(),
        "cluster": before.cluster,
        "resource_id": before.resource_id,
        "cluster_kind": rig.cluster_kind,
        "cluster_access": "embedded" if profile else "named",
        "engine": before.engine,
        "engine_version": before.engine_version,
        "region": rig.rds.region,
        "api": rig.rds.endpoint_url,
        "profile": profile,
        "seed": rig.seed,
        "arms": rig.workload.settings(),
        "members": {
            member.id: {
                "role": member.role.value,
                "class": member.instance_class,
                "zone": member.availability_zone,
                "promotion_tier": member.promotion_tier,
            }
            for member in before.members
        },
    }
