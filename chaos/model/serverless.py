"""Serverless v2: which bounds Aurora accepts on which cluster.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ServerlessV2ScalingConfiguration.html
and the user guide's "Scaling to zero ACUs with automatic pause and resume" and "Performance and
scaling for Aurora Serverless v2".
"""

from __future__ import annotations

from chaos.model.topology import Capacity, Member, Topology

SERVERLESS_CLASS = "db.serverless"
STEP_ACU = 0.5
ACU_MAX = 256.0
PAUSE_AFTER_MIN_S = 300
PAUSE_AFTER_MAX_S = 86_400

_ACU_MAX_OF_PLATFORM = {"1": 128.0}
# The versions of Aurora PostgreSQL from which a minimum of 0 ACU is accepted: major -> minor.
_PAUSING_SINCE = {13: 15, 14: 12, 15: 7, 16: 3}


def can_pause(engine_version: str) -> bool:
    """Tell whether Aurora PostgreSQL of that version accepts a minimum of 0 ACU."""
    major, minor = (int(part) for part in (*engine_version.split("."), "0")[:2])
    return (
        minor >= _PAUSING_SINCE[major] if major in _PAUSING_SINCE else major > max(_PAUSING_SINCE)
    )


def serverless_members(topology: Topology) -> tuple[Member, ...]:
    """Return the instances that have a capacity of their own."""
    return tuple(m for m in topology.members if m.instance_class == SERVERLESS_CLASS)


def refusal(topology: Topology, wanted: Capacity) -> str | None:
    """Say why a cluster cannot have these bounds, or why they would change nothing; None: it can."""
    name = topology.cluster
    if topology.capacity is None:
        return f"cluster {name} has no Serverless v2 capacity"
    if not serverless_members(topology):
        classes = ", ".join(sorted({member.instance_class for member in topology.members}))
        return f"no instance of cluster {name} is {SERVERLESS_CLASS}; they are {classes}"
    most = _ACU_MAX_OF_PLATFORM.get(topology.serverless_platform, ACU_MAX)
    if wanted.max_acu > most:
        return (
            f"cluster {name} is on Serverless v2 platform {topology.serverless_platform}, whose "
            f"limit is {most:g} ACU"
        )
    if wanted.min_acu == 0 and not can_pause(topology.engine_version):
        return (
            f"cluster {name} runs {topology.engine} {topology.engine_version}, which cannot pause; "
            "choose min_acu of 0.5 at least"
        )
    return None
