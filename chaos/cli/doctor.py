"""`gameday doctor`: looks at a target and its clients before a game day."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from chaos.cli import target as targets
from chaos.cli.options import AsJson, Profile
from chaos.cli.terminal import Terminal
from chaos.db.conninfo import parameters_of
from chaos.db.endpoint_names import EndpointNames
from chaos.db.sessions import Sessions
from chaos.doctor import Client, Finding, Level, Machine, Patient, examine, worst
from chaos.errors import ControlPlaneError, DatabaseError, DefinitionError, ExitCode
from chaos.model.access import DatabaseAccess
from chaos.model.topology import Topology
from chaos.testcluster.records import ClusterSpec
from loadgen.arms import CATALOGUE, Arm, find

_PACKAGES = (
    "psycopg", "psycopg-pool", "sqlalchemy", "asyncpg", "aws-advanced-python-wrapper",
    "boto3", "locust", "gevent",
)  # fmt: skip
_SETTINGS = ("idle_in_transaction_session_timeout", "tcp_keepalives_idle")
_SYSCTL = {"net.ipv4.tcp_retries2": Path("/proc/sys/net/ipv4/tcp_retries2")}
_CACHES = {
    "nscd": Path("/run/nscd/socket"),
    "systemd-resolved": Path("/run/systemd/resolve/io.systemd.Resolve"),
    "dnsmasq": Path("/run/dnsmasq/dnsmasq.pid"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="doctor")(doctor)


def doctor(
    *,
    cluster: Annotated[
        str | None,
        typer.Option(
            envvar="GAMEDAY_CLUSTER",
            help="A running test cluster or a real one; absent: only clients and this machine.",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Arms of the catalogue (repeatable); absent: all.")
    ] = None,
    dsn: Annotated[
        list[str] | None,
        typer.Option(help="A client's own connection string or SQLAlchemy URL (repeatable)."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", envvar="GAMEDAY_DOCTOR_ALL", help="Show what is well, too.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Look at a target and its clients, with a fix for each finding; changes nothing."""
    terminal = Terminal()
    patient = _patient(cluster, terminal) if cluster else None
    clients = _clients(arm, dsn, patient)
    findings = examine(patient, clients, _machine())
    bad = worst(findings) is Level.PROBLEM
    if as_json:
        terminal.object(
            {"cluster": cluster, "healthy": not bad, "findings": [asdict(f) for f in findings]}
        )
    else:
        _show(findings, terminal, everything=everything)
    return int(ExitCode.FAIL if bad else ExitCode.PASS)


def _patient(cluster: str, terminal: Terminal) -> Patient:
    log = Path("/dev/null")  # A named cluster starts no server.
    spec = ClusterSpec(profile=Profile.FAST.value)
    with targets.opened(cluster, spec, log, terminal.tell) as target:
        topology = target.topology()
        access = target.connect(topology)
        names = EndpointNames(access)
        parameters = (
            target.rds.account.cluster_parameters(topology.parameter_group)
            if topology.parameter_group
            else {}
        )
        return Patient(
            topology=topology,
            ttl_s={endpoint: names.ask(endpoint).ttl_s_max for endpoint in access.endpoints},
            parameters=parameters,
            settings=_settings(access, topology),
            endpoints=access.endpoints,
        )


def _settings(access: DatabaseAccess, topology: Topology) -> dict[str, str]:
    """Ask the writer; a server setting is given in its own unit, milliseconds or seconds."""
    writer = topology.writer
    if writer is None:
        raise ControlPlaneError(f"{topology.cluster} has no writer to ask; wait until it has one")
    wanted = ", ".join(f"'{name}'" for name in _SETTINGS)
    rows = Sessions(access).query(
        writer.id,
        f"SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ({wanted})",  # noqa: S608 - ours
    )
    if not rows:
        raise DatabaseError(f"{writer.id} told none of its settings {wanted}")
    return dict(rows)


def _clients(
    arms: list[str] | None, strings: list[str] | None, patient: Patient | None
) -> tuple[Client, ...]:
    endpoints = patient.endpoints if patient else {}
    known = [arm for arm in CATALOGUE if arm.family != "asyncpg"]
    chosen = [find(name) for name in arms] if arms else [] if strings else known
    if strange := [arm.name for arm in chosen if arm not in known]:
        raise DefinitionError(
            f"--arm {', '.join(strange)}: doctor reads libpq's parameters, of which it has none"
        )
    of_arms = (
        Client(
            name=f"arm {arm.name}",
            connection=arm.connection_through("cluster"),
            pool=arm.pool if _keeps_demoted(arm) else None,
            session=arm.session,
            read_only_is_disconnect=arm.read_only_is_disconnect,
            deadline_s=arm.deadline_s,
            retry=arm.settings["retry"],
            idempotent=arm.idempotent,
        )
        for arm in chosen
    )
    of_strings = (
        Client(
            name=f"--dsn {number}",
            connection=(connection := parameters_of(text)),
            pool={} if "+" in text.partition("://")[0] else None,
            session=dict(_options(connection.get("options", ""))),
            endpoints=endpoints,
        )
        for number, text in enumerate(strings or (), 1)
    )
    return (*of_arms, *of_strings)


def _keeps_demoted(arm: Arm) -> bool:
    """Tell whether its connections are kept, and by something that does not look where they lead."""
    return arm.family != "aws-wrapper" and arm.pool.get("poolclass") != "NullPool"


def _options(options: str) -> Iterator[tuple[str, str]]:
    """Yield the server settings of libpq's `options`: `-c name=value`, `--name=value`."""
    words = options.replace("-c ", "-c").split()
    for word in words:
        name, equals, value = word.removeprefix("-c").removeprefix("--").partition("=")
        if equals:
            yield name.replace("-", "_"), value


def _machine() -> Machine:
    return Machine(
        versions=dict(_versions()),
        sysctl={name: int(path.read_text()) for name, path in _SYSCTL.items() if path.exists()},
        caching=tuple(name for name, path in _CACHES.items() if path.exists()),
    )


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # Not every machine has every client library.


def _show(findings: list[Finding], terminal: Terminal, *, everything: bool) -> None:
    shown = [f for f in findings if everything or f.level is not Level.OK]
    if not shown:
        terminal.output.print(f"nothing to mend: {len(findings)} rules, all well")
        return
    table = Table("", "rule", "about", "what, and how to mend it", box=None, pad_edge=False)
    for finding in shown:
        fix = f"\n-> {finding.fix}" if finding.fix else ""
        table.add_row(finding.level.value, finding.rule, finding.subject, finding.what + fix)
    terminal.output.print(table)
    if sys.stdout.isatty():
        terminal.output.print(
            f"{len(findings) - len(shown)} rules found all well; --all shows them"
        )
