"""`gameday plan`: what a run would do, in order, and what would refuse it; changes nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from chaos.cli import target as targets
from chaos.cli.embedded import specification
from chaos.cli.loading import loaded_from, selected
from chaos.cli.options import (
    DEFAULT_RUNS,
    Arms,
    AsJson,
    Quiet,
    Repeat,
    RunsRoot,
    Safety,
    Variables,
    assigned,
)
from chaos.cli.terminal import Terminal
from chaos.clock import Anchor
from chaos.db.endpoint_names import EndpointNames
from chaos.db.sessions import Sessions
from chaos.definition.experiment import Experiment
from chaos.definition.safety import safety_of
from chaos.errors import ExitCode
from chaos.faults.base import Context
from chaos.run.admission import Around
from chaos.run.plan import OF_RUN, Plan, plan_of
from chaos.safety.limits import SafetyFile
from chaos.testcluster.records import ClusterSpec

_HOUR_S = 3600


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="plan")(plan)


def plan(
    experiment: Annotated[str, typer.Argument(help="A file, or the name of a shipped experiment.")],
    *,
    cluster: Annotated[
        str | None,
        typer.Option(
            envvar="GAMEDAY_CLUSTER",
            help="A running test cluster or a real one; absent: an embedded one, ended after it.",
        ),
    ] = None,
    arm: Arms = None,
    repeat: Repeat = None,
    variables: Variables = None,
    safety: Safety = None,
    out: RunsRoot = DEFAULT_RUNS,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Tell what a run would do, step by step, and which guard would refuse it; changes nothing."""
    terminal = Terminal(quiet=quiet)
    loaded, rules = loaded_from(experiment, assigned(variables))
    definition = selected(loaded, rules, arms=arm, repeat=repeat)
    spec = specification(definition.test_cluster, profile="fast", seed=0)
    made = planned(definition, cluster, spec, safety=safety_of(safety), runs=out, terminal=terminal)
    if as_json:
        terminal.object(made.as_json())
    else:
        _show(made, terminal)
    return int(ExitCode.REFUSED if made.refused else ExitCode.PASS)


def planned(
    definition: Experiment,
    cluster: str | None,
    spec: ClusterSpec,
    *,
    safety: SafetyFile,
    runs: Path,
    terminal: Terminal,
) -> Plan:
    """Look at a cluster, which is the embedded one of `spec` where none is named."""
    with (
        tempfile.TemporaryDirectory(prefix="gameday-plan-") as scratch,
        targets.opened(cluster, spec, Path(scratch) / "cluster.log", terminal.tell) as target,
    ):
        topology = target.topology()
        access = target.connect(topology)
        anchor = Anchor.take()
        around = Around(
            context=Context(target.rds, Sessions(access), target.control, EndpointNames(access)),
            account=target.rds.account,
            kind=target.kind(topology),
            safety=safety,
            now=anchor.wall(anchor.monotonic_ns),
            run="plan",
            runs=runs,
        )
        return plan_of(definition, topology, around)


def _show(made: Plan, terminal: Terminal) -> None:
    told = made.as_json()
    output = terminal.output

    def line(text: str = "") -> None:
        output.print(text, markup=False, soft_wrap=True)

    line(f"{told['experiment']} on {told['cluster']} ({told['cluster_kind']}, {told['region']})")
    line(told["claim"])
    line()
    output.print(_guards(told["guards"]))
    line("Steps")
    for text in _steps(told["steps"], "  "):
        line(text)
    line()
    line("Undo records, on disk before the change that needs them")
    for record in told["undo"]:
        of = "run" if record["step"] == OF_RUN else f"step {record['step']}"
        line(f"  {of:8} {record['action']}: {record['command']}")
    line()
    output.print(_calls(told["calls"]))
    if told["sql"]:
        line("SQL that faults send, beside that of traffic and probes in schema gameday")
        for one in told["sql"]:
            line(f"  step {one['step']}: {one['statement']}")
        line()
    for text in _estimate(told["estimate"], told["cluster_kind"]):
        line(text)
    refused = [guard["guard"] for guard in told["guards"] if guard["refused"]]
    line(
        f"A run would be refused by {', '.join(refused)}" if refused else "A run would be admitted"
    )


def _guards(guards: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, title="Guards", title_justify="left")
    for _ in range(3):
        table.add_column(overflow="fold")
    table.show_header = False
    for guard in guards:
        mark = "✗ refuses" if guard["refused"] else "✓"
        table.add_row(mark, guard["guard"], escape(guard["why"] or ""))
    return table


def _steps(steps: Iterable[Mapping[str, Any]], indent: str) -> Iterator[str]:
    for step in steps:
        if "steps" in step:
            settings = {k: v for k, v in step.items() if k not in {"steps", "name", "do"}}
            more = ", ".join(f"{name} {value}" for name, value in settings.items())
            yield f"{indent}{step['name']} ({more})"
            yield from _steps(step["steps"], indent + "  ")
            continue
        times = f" x {step['times']}" if step["times"] > 1 else ""
        if step["refusal"]:
            yield f"{indent}{step['step']} {step['fault']}{times}: {step['refusal']}"
            continue
        calls = ", ".join(f"{c['service']}:{c['operation']}" for c in step["calls"])
        sends = "; ".join(part for part in (calls, *step["asks"]) if part)
        told = f" by {sends}" if sends else ""
        yield f"{indent}{step['step']} {step['fault']}{times} on {', '.join(step['targets'])}{told}"
        yield (
            f"{indent}  holds {step['hold_s']:g} s, undoes {step['undoes']}, "
            f"settles {step['settle_s']:g} s"
        )
        if step["unknown"]:
            yield f"{indent}  what else it sends is known only then: {step['unknown']}"


def _calls(calls: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, title="API calls", title_justify="left")
    table.add_column("operation")
    table.add_column("times", justify="right")
    table.add_column("")
    for kind, told in (("changing_at_most", "changes, at most"), ("reading_about", "reads, about")):
        for call in calls[kind]:
            operation = f"{call['service']}:{call['operation']}"
            table.add_row(operation, str(call["count"]), told)
    return table


def _estimate(estimate: Mapping[str, Any], kind: str) -> Iterator[str]:
    usual_s, longest_s = estimate["expected_s"], estimate["longest_s"]
    yield (
        f"Takes {usual_s:.0f} s usually on AWS, {longest_s / _HOUR_S:.1f} h "
        "if everything takes as long as it may"
    )
    cost, missing = estimate["cost_usd"], estimate["prices_missing"]
    if kind == "test":
        yield "Costs nothing: it is a test cluster"
    elif cost is None:
        yield (
            f"Costs: unknown; add prices of {', '.join(missing)} to gameday-safety.yaml "
            "(US dollars an hour)"
        )
    else:
        yield f"Costs {cost:.2f} USD at most for the cluster's instances meanwhile"
