"""`validate`, `schema` and the catalogues: what an experiment may say."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from chaos.checks import CATALOGUE as CHECKS
from chaos.cli.loading import loaded_from
from chaos.cli.options import AsJson
from chaos.cli.terminal import Terminal
from chaos.definition.experiment import Experiment
from chaos.definition.load import load, shipped
from chaos.errors import DefinitionError, ExitCode, nearest
from chaos.faults import CATALOGUE as FAULTS
from chaos.faults.base import Fault
from chaos.safety.guards import GUARDS
from loadgen.arms import CATALOGUE as ARMS
from loadgen.arms import Arm
from loadgen.arms import find as find_arm
from loadgen.families import family_of, runs_in_threads
from loadgen.profiles import CATALOGUE as PROFILES
from loadgen.profiles import STATEMENTS, StreamOf
from loadgen.profiles import find as find_profile


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (validate, schema, experiments, faults, checks, arms, profiles, guards):
        app.command()(command)


def validate(
    files: Annotated[list[str], typer.Argument(help="Files, or names of shipped experiments.")],
    as_json: AsJson = False,
) -> int:
    """Check experiment files; every mistake is file:line:column and what is allowed."""
    terminal = Terminal()
    results: list[dict[str, Any]] = []
    for file in files:
        try:
            name = loaded_from(file)[0].name
        except DefinitionError as error:
            results.append({"file": file, "valid": False, "errors": str(error).splitlines()})
            if not as_json:
                terminal.output.print(str(error), markup=False)
        else:
            results.append({"file": file, "valid": True, "name": name})
            if not as_json:
                terminal.output.print(f"{file}: a valid experiment, {name}", markup=False)
    if as_json:
        terminal.object({"files": results})
    return int(ExitCode.PASS if all(r["valid"] for r in results) else ExitCode.USAGE)


def schema() -> None:
    """Print the JSON Schema of experiment files, for editors."""
    Terminal().object(Experiment.model_json_schema())


def experiments(as_json: AsJson = False) -> None:
    """List the experiments that ship."""
    rows = [
        {"name": name, "claim": load(path).claim, "file": str(path)}
        for name, path in shipped().items()
    ]
    _show("experiments", rows, ("name", "claim"), as_json=as_json)


def faults(
    name: Annotated[
        str | None, typer.Argument(help="Explain this one's parameters; absent: list all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the faults with their parameters, where they work and what recovery undoes."""
    rows = {
        kind.model_fields["fault"].default: {
            **_described(kind),
            "name": kind.model_fields["fault"].default,
            "works_on": kind.works_on,
            "undoes": kind.undoes,
        }
        for kind in FAULTS
    }
    if name is not None and name not in rows:
        raise DefinitionError(
            f"no fault {name!r}; `gameday faults` lists them{nearest(name, rows)}"
        )
    terminal = Terminal()
    if as_json:
        terminal.object({"faults": list(rows.values()) if name is None else [rows[name]]})
    elif name is None:
        _list_faults(terminal, list(rows.values()))
    else:
        _explain_fault(terminal, rows[name])


def checks(as_json: AsJson = False) -> None:
    """List the checks that an objective may use, with their parameters."""
    rows = [{**_described(kind), "name": kind.model_fields["check"].default} for kind in CHECKS]
    _show("checks", rows, ("name", "summary", "parameters"), as_json=as_json)


def arms(
    name: Annotated[
        str | None, typer.Argument(help="Explain this one's settings; absent: list all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the client configurations that can be put under test, with what each costs and saves."""
    chosen = ARMS if name is None else (find_arm(name),)
    rows = [
        {
            "name": arm.name,
            "summary": arm.description,
            "saves": arm.saves,
            "costs": arm.costs,
            "runs_in": "threads" if runs_in_threads(arm) else "greenlets",
            "settings": arm.settings,
            "sources": list(arm.sources),
        }
        for arm in chosen
    ]
    if as_json or name is None:
        _show("arms", rows, ("name", "summary"), as_json=as_json)
    else:
        _explain_arm(Terminal(), chosen[0])


def _explain_arm(terminal: Terminal, arm: Arm) -> None:
    head = (arm.description, f"saves: {arm.saves}", f"costs: {arm.costs}", "")
    terminal.output.print("\n".join(head), markup=False)
    table = _table(("setting", "value"))
    for setting, value in arm.settings.items():
        shown = value if isinstance(value, dict) else {"": value}
        for part, one in shown.items():
            told = "none" if one is None else str(one)
            table.add_row(f"{setting}.{part}" if part else setting, Text(told))
    table.add_row("users", "threads" if runs_in_threads(arm) else "greenlets")
    terminal.output.print(table)
    allowed = ", ".join(sorted(family_of(arm).pool)) or "none"
    terminal.output.print(f"\nsettings that its pool takes: {allowed}", markup=False)
    for source in arm.sources:
        terminal.output.print(f"source: {source}", markup=False)


def profiles(
    name: Annotated[
        str | None, typer.Argument(help="Show this one's streams and SQL; absent: list all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what the clients of an arm can ask, and how much of it."""
    chosen = PROFILES if name is None else (find_profile(name),)
    rows = [
        {
            "name": profile.name,
            "summary": profile.description,
            "streams": [_stream(stream) for stream in profile.streams],
        }
        for profile in chosen
    ]
    terminal = Terminal()
    if as_json:
        terminal.object({"profiles": rows})
        return
    if name is None:
        _show("profiles", rows, ("name", "summary"), as_json=False)
        return
    terminal.output.print(f"{rows[0]['summary']}\n", markup=False)
    for stream in chosen[0].streams:
        about = f"{stream.share:.0%} {stream.name}: {stream.task.value}"
        terminal.output.print(about, style="bold", markup=False)
        for statement in STATEMENTS[stream.task]:
            terminal.output.print(f"    {' '.join(statement.split())}", markup=False)


def _stream(stream: StreamOf) -> dict[str, Any]:
    return {
        "operation": stream.kind.name.lower(),
        "endpoint": stream.endpoint,
        "share": stream.share,
        "does": stream.task.value,
        "statements": [" ".join(statement.split()) for statement in STATEMENTS[stream.task]],
    }


def guards(as_json: AsJson = False) -> None:
    """List the guards that every run must pass before any fault."""
    rows = [
        {
            "name": guard.name,
            "summary": guard.summary,
            "reads": [f"{call.service}:{call.operation}" for call in guard.reads],
        }
        for guard in GUARDS
    ]
    _show("guards", rows, ("name", "summary"), as_json=as_json)


def _list_faults(terminal: Terminal, rows: Sequence[dict[str, Any]]) -> None:
    """Print the faults by where they work, each with the parameters that not every fault has."""
    common = [name for name in Fault.model_fields if name != "fault"]
    terminal.output.print(
        f"Every fault takes {', '.join(common)}. `gameday faults NAME` explains all parameters of "
        "one, with their defaults.",
        markup=False,
    )
    for place in dict.fromkeys(row["works_on"] for row in rows):
        there = [row for row in rows if row["works_on"] == place]
        undone = {row["undoes"] for row in there}
        also = f" (recovery: {undone.pop()})" if len(undone) == 1 else ""
        terminal.output.print(f"\nWorks on {place}{also}", style="bold", markup=False)
        table = _table(("name", "does"), show_header=False)
        for row in there:
            own = ", ".join(name for name in row["parameters"] if name not in common)
            lines = [row["summary"]]
            lines += [f"parameters: {own}"] * bool(own)
            lines += [f"recovery: {row['undoes']}"] * (not also)
            table.add_row(row["name"], Text("\n".join(lines)))
        terminal.output.print(table)


def _explain_fault(terminal: Terminal, row: dict[str, Any]) -> None:
    head = (row["summary"], f"works on: {row['works_on']}", f"recovery: {row['undoes']}", "")
    terminal.output.print("\n".join(head), markup=False)
    table = _table(("name", "default", "means"))
    for name, field in row["parameters"].items():
        default = field.get("default", "(needed)")
        shown = "" if default is None else str(default)
        table.add_row(name, Text(shown), Text(field.get("description", "")))
    terminal.output.print(table)


def _described(kind: type[BaseModel]) -> dict[str, Any]:
    properties = kind.model_json_schema()["properties"]
    return {
        "summary": (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " "),
        "parameters": {
            name: {k: v for k, v in field.items() if k in {"default", "description", "type"}}
            for name, field in properties.items()
            if name not in {"fault", "check"}
        },
    }


def _show(
    name: str, rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool
) -> None:
    terminal = Terminal()
    if as_json:
        terminal.object({name: list(rows)})
        return
    table = _table(columns)
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    terminal.output.print(table)


def _table(columns: Sequence[str], *, show_header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=show_header)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column == "name")
    return table


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, dict) else str(value)
