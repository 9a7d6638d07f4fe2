"""`gameday cluster defect`, and the option `--defect`: plant what a check has to notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from chaos.cli.execution import running_cluster
from chaos.cli.options import AsJson, Quiet
from chaos.cli.terminal import Terminal
from chaos.errors import DefinitionError
from chaos.testcluster.process import control_address, lifecycle
from chaos.testcluster.process.lifecycle import ClusterState
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.disturbances.defects import Defect

Defects = Annotated[
    list[str] | None,
    typer.Option(
        "--defect",
        metavar="NAME[:KEY=VALUE,...]",
        help="Plant a defect in the test cluster (repeatable); `gameday cluster defect` lists them.",
    ),
]


def _known() -> Mapping[str, type[Defect]]:
    """Return the defects by name; only who names one waits for the test cluster's modules."""
    from chaos.testcluster.disturbances.defects import DEFECTS  # noqa: PLC0415 - takes half a second

    return {defect.model_fields["kind"].default: defect for defect in DEFECTS}


def register(app: typer.Typer) -> None:
    """Add the command to `gameday cluster`."""
    app.command("defect")(_defect)


def parsed(text: str) -> dict[str, Any]:
    """Return what the control address is sent for `NAME:KEY=VALUE,...`.

    Raises:
        DefinitionError: no defect is called so, or a parameter is wrong.
    """
    name, _, rest = text.partition(":")
    fields: dict[str, Any] = {"kind": name}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise DefinitionError(f"--defect {text}: write NAME:KEY=VALUE, not {pair!r}")
        fields[key] = value
    from chaos.testcluster.disturbances.registry import parse  # noqa: PLC0415 - as in _known

    try:
        defect = parse(fields, _known())
    except ApiError as error:
        raise DefinitionError(f"defect {text}: {error.message}") from error
    return defect.model_dump(mode="json", exclude_none=True)


def plant(state: ClusterState, defects: Sequence[Mapping[str, Any]]) -> None:
    """Plant defects, as `parsed` gave them, in a running test cluster.

    Raises:
        HostError: the cluster refuses one.
    """
    for fields in defects:
        control_address.begin(state, fields)


def _defect(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME[:KEY=VALUE,...]]", help="Absent: list all of them."),
    ] = None,
    *,
    identifier: Annotated[
        str | None, typer.Option(help="DB cluster identifier. Absent: the only one there is.")
    ] = None,
    lift: Annotated[
        bool, typer.Option("--lift", help="Take it back, and heal what it broke.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Plant a defect in a running test cluster, to see that a check notices it."""
    terminal = Terminal(quiet=quiet)
    if name is None:
        running = identifier is not None or lifecycle.status()
        _list(terminal, running_cluster(identifier) if running else None, as_json=as_json)
        return
    fields, state = parsed(name), running_cluster(identifier)
    if lift:
        told = _lifted(state, fields["kind"])
    else:
        told = control_address.begin(state, fields)
        terminal.tell(f"{fields['kind']} is planted in {state.id}; lift it with --lift")
    if as_json:
        terminal.object(told)


def _lifted(state: ClusterState, kind: str) -> dict[str, Any]:
    planted = [one for one in control_address.active(state) if one["kind"] == kind]
    if not planted:
        raise DefinitionError(f"{kind} is not planted in test cluster {state.id}")
    for one in planted:
        control_address.end(state, one["id"])
    return {"kind": kind, "cluster": state.id, "state": "lifted"}


def _list(terminal: Terminal, state: ClusterState | None, *, as_json: bool) -> None:
    planted = {one["kind"] for one in control_address.active(state)} if state else set()
    if as_json:
        listed = [_described(name, defect, planted) for name, defect in _known().items()]
        terminal.object({"cluster": state.id if state else None, "defects": listed})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("defect", "caught by", "planted", "what goes wrong"):
        table.add_column(column, overflow="fold", no_wrap=column == "defect")
    for name, defect in _known().items():
        table.add_row(name, defect.caught_by, "yes" if name in planted else "", _about(defect))
    terminal.output.print(table)


def _described(name: str, defect: type[Defect], planted: set[str]) -> dict[str, Any]:
    from chaos.testcluster.disturbances.base import Disturbance  # noqa: PLC0415 - as in _known

    return {
        "name": name,
        "about": _about(defect),
        "caught_by": defect.caught_by,
        "planted": name in planted,
        "parameters": {
            key: parameter.get("description")
            for key, parameter in defect.model_json_schema()["properties"].items()
            if key not in Disturbance.model_fields
        },
    }


def _about(defect: type[Defect]) -> str:
    return (defect.__doc__ or "").partition("\n")[0]
