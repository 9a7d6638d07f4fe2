"""The RDS operations that the test cluster offers, each a function of Region and parameters.

To offer one more, write the function in its family's file and list it in that file's `ACTIONS`.
Messages are AWS's where they are known; a member of a request that would have no effect here is
refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster.api import (
    account,
    catalogue,
    clusters,
    endpoints,
    events,
    global_clusters,
    instances,
    logs,
    parameter_groups,
    restores,
    standalone,
    tags,
)
from chaos.testcluster.api.lookup import Action

FAMILIES = (
    account,
    catalogue,
    clusters,
    endpoints,
    events,
    global_clusters,
    instances,
    logs,
    parameter_groups,
    restores,
    standalone,
    tags,
)

# Of an operation in two families the later one's is taken: `standalone` asks `instances` in turn.
ACTIONS: Mapping[str, Action] = dict(
    sorted({name: act for family in FAMILIES for name, act in family.ACTIONS.items()}.items())
)
