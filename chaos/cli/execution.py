"""`gameday cluster exec`: any unmodified program, with a test cluster where AWS would be."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from chaos.errors import DefinitionError
from chaos.testcluster.exec.environment import Place, environment
from chaos.testcluster.exec.launch import Mode, end_as, run
from chaos.testcluster.process import lifecycle
from chaos.testcluster.process.state import ClusterState

_HELP = """\
Run any program with a test cluster where AWS would be.

\b
  gameday cluster exec -- psql
  gameday cluster exec --identifier shop -- aws rds describe-db-clusters

The cluster's names resolve by its own name server, as resolvers ask one; every other name does not
exist. TCP reaches this machine's loopback, and nothing else: AWS cannot be reached. Data do not pass
through us. Standard input, output, the terminal, signals and the exit status are the program's own.

Set for it are PGHOST (the cluster endpoint), PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLROOTCERT,
AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, and credentials that are known to be invented; every
other variable of libpq and of the AWS SDKs, and every proxy, is taken away.

Modes: `namespace` gives the program a network and a resolv.conf of its own, as root or where
unprivileged user namespaces are allowed. `intercept` needs neither (Docker, Ubuntu 24.04): it answers
system calls alone; there UDP goes where it likes, and programs with a resolver of their own that
compares addresses (c-ares, musl, dnspython) find no names. `auto` takes the first that this machine
allows."""


def register(app: typer.Typer) -> None:
    """Add the command to `gameday cluster`."""
    app.command(
        "exec",
        help=_HELP,
        short_help="Run any program with a test cluster where AWS would be.",
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )(_exec)


def _exec(
    command: Annotated[
        list[str], typer.Argument(help="The program and its arguments, after `--`.")
    ],
    identifier: Annotated[
        str | None, typer.Option(help="DB cluster identifier. Absent: the only one there is.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="How the program is kept apart.")] = Mode.AUTO,
) -> int:
    state = running_cluster(identifier)
    place = Place(
        access=state.access,
        api_url=state.api_url,
        region=state.region,
        ca_file=str(state.status.get("ca_file", "")),
    )
    return end_as(
        run(
            command,
            environment=environment(place, os.environ),
            name_server=state.name_server,
            mode=mode,
        )
    )


def running_cluster(identifier: str | None) -> ClusterState:
    """Return the running test cluster that is meant.

    Raises:
        DefinitionError: there is none, or more than one.
    """
    alive = [state for state in lifecycle.status(identifier) if state.alive and state.status]
    if len(alive) == 1:
        return alive[0]
    if not alive:
        what = "no test cluster" if identifier is None else f"no test cluster {identifier}"
        raise DefinitionError(f"{what} is running; `gameday cluster up` starts one")
    names = ", ".join(state.id for state in alive)
    raise DefinitionError(f"several test clusters are running ({names}); name one by --identifier")
