"""What `gameday cluster up` can be told of a test cluster: its options, each with its help."""

from __future__ import annotations

from typing import Annotated

import typer

from chaos.cli import endpoints
from chaos.cli.options import Profile

Readers = Annotated[int, typer.Option(min=0, max=15, help="Readers beside the writer.")]
Region = Annotated[str, typer.Option(help="AWS Region it claims to be in.")]
Pace = Annotated[Profile, typer.Option(help="Pace of failovers.")]
Port = Annotated[int | None, typer.Option(min=1024, max=65535, help="Absent: 5432, or a free one.")]
Seed = Annotated[int, typer.Option(help="Of the modelled durations.")]
Ttl = Annotated[
    int | None,
    typer.Option(
        min=0, help="Seconds for which such DNS answers may be kept; absent: the profile's."
    ),
]
DnsFlip = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds from promotion to the cluster endpoint's flip."),
]
MinAcu = Annotated[
    float, typer.Option(help="Serverless v2 minimum capacity; 0: idle instances pause.")
]
MaxAcu = Annotated[float, typer.Option(help="Serverless v2 maximum capacity.")]
PauseAfter = Annotated[
    int | None,
    typer.Option(help="SecondsUntilAutoPause with a minimum of 0; the profile shortens it."),
]
ReadAvailability = Annotated[
    bool, typer.Option(help="Whether readers survive a writer's failover (older versions: no).")
]
InstanceClass = Annotated[
    str | None,
    typer.Option(help="Such as db.r6g.large: provisioned, so without Serverless v2 capacity."),
]
ReaderTiers = Annotated[
    list[int] | None,
    typer.Option(help="Promotion tier of the next reader (repeatable); absent: 1."),
]
CustomEndpoints = Annotated[
    list[str] | None,
    typer.Option(
        metavar=endpoints.FORM,
        help="A custom endpoint (repeatable); members by number, 2,3 or all but -1.",
    ),
]
SecondaryRegion = Annotated[
    str | None,
    typer.Option(help="Make it the primary of a global cluster, with another one there."),
]
MultiAzInstance = Annotated[
    bool,
    typer.Option(
        "--multi-az-instance", help="An RDS instance with a hidden standby, not a cluster."
    ),
]
