"""`gameday cluster`: a test cluster by itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from chaos.cli import cluster_options as options
from chaos.cli import defect as defects
from chaos.cli import endpoints, execution
from chaos.cli.options import AsJson, Profile, Quiet
from chaos.cli.terminal import Terminal
from chaos.errors import DefinitionError, GamedayError
from chaos.model.serverless import SERVERLESS_CLASS
from chaos.testcluster.process import lifecycle
from chaos.testcluster.records import ApiError, ClusterSpec, ServerlessBounds
from chaos.testcluster.serverless.bounds import validate

app = typer.Typer(help="Keep a test cluster running by itself.", no_args_is_help=True)
execution.register(app)
defects.register(app)
Identifier = Annotated[str, typer.Option("--identifier", help="DB cluster identifier.")]


def register(parent: typer.Typer) -> None:
    """Add `cluster` with the commands of this module."""
    parent.add_typer(app, name="cluster")


@app.command()
def up(
    *,
    identifier: Identifier = "gameday",
    readers: options.Readers = 2,
    region: options.Region = "eu-west-1",
    profile: options.Pace = Profile.FAST,
    port: options.Port = None,
    seed: options.Seed = 0,
    cluster_ttl: options.Ttl = None,
    reader_ttl: options.Ttl = None,
    instance_ttl: options.Ttl = None,
    dns_flip: options.DnsFlip = None,
    min_acu: options.MinAcu = 0.5,
    max_acu: options.MaxAcu = 8.0,
    pause_after: options.PauseAfter = None,
    read_availability: options.ReadAvailability = True,
    instance_class: options.InstanceClass = None,
    reader_tier: options.ReaderTiers = None,
    custom_endpoint: options.CustomEndpoints = None,
    secondary_region: options.SecondaryRegion = None,
    multi_az_instance: options.MultiAzInstance = False,
    defect: defects.Defects = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Start a test cluster that stays until `gameday cluster down`."""
    terminal = Terminal(quiet=quiet)
    planted = [defects.parsed(text) for text in defect or ()]
    bounds = _bounds(min_acu, max_acu, pause_after)
    terminal.tell(f"starting test cluster {identifier}")
    state = lifecycle.up(
        ClusterSpec(
            id=identifier,
            readers=readers,
            region=region,
            profile=profile.value,
            port=port,
            seed=seed,
            cluster_ttl_s=cluster_ttl,
            reader_ttl_s=reader_ttl,
            instance_ttl_s=instance_ttl,
            dns_flip_s=dns_flip,
            serverless=None if instance_class not in {None, SERVERLESS_CLASS} else bounds,
            instance_class=instance_class,
            reader_tiers=tuple(reader_tier or ()),
            custom_endpoints=tuple(endpoints.parsed(text) for text in custom_endpoint or ()),
            secondary_region=secondary_region,
            multi_az_instance=multi_az_instance,
            read_availability=read_availability,
        )
    )
    try:
        defects.plant(state, planted)
    except GamedayError:
        lifecycle.down(state.id)
        raise
    if as_json:
        terminal.object(state.status_json())
    else:
        _describe(terminal, state.status_json())


def _bounds(min_acu: float, max_acu: float, pause_after_s: int | None) -> ServerlessBounds:
    bounds = ServerlessBounds(min_acu=min_acu, max_acu=max_acu, pause_after_s=pause_after_s)
    try:
        validate(bounds)
    except ApiError as error:
        raise DefinitionError(error.message) from error
    return bounds


@app.command()
def status(
    identifier: Annotated[str | None, typer.Argument(help="Absent: all of them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show running test clusters: endpoints, addresses, roles, process ids."""
    terminal = Terminal()
    states = lifecycle.status(identifier)
    if identifier is not None and not states:
        raise DefinitionError(f"no test cluster {identifier} is running; `gameday cluster up`")
    described = [state.status_json() for state in states]
    if as_json:
        terminal.object(described[0] if identifier is not None else {"clusters": described})
        return
    if not described:
        terminal.output.print("no test cluster is running; `gameday cluster up` starts one")
    for one in described:
        _describe(terminal, one)


@app.command()
def down(
    identifier: Annotated[str, typer.Argument(help="DB cluster identifier.")] = "gameday",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Stop a test cluster and remove everything of it, also after a crash of its server."""
    lifecycle.down(identifier)
    terminal = Terminal(quiet=quiet)
    terminal.tell(f"test cluster {identifier} is down")
    if as_json:
        terminal.object({"cluster": identifier, "state": "down"})


def _describe(terminal: Terminal, status: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in status.items():
        if isinstance(value, list):
            for entry in value:
                table.add_row(name, ", ".join(f"{k} {v}" for k, v in entry.items()))
        else:
            table.add_row(name, str(value))
    terminal.output.print(table)
