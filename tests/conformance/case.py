"""What a case of the conformance test is, and the kinds of cluster that cases run on.

`test_faults.py` carries out every case of `cases_FAMILY.py`: a fault on a real test cluster, injected,
effective, held, recovered. What holds for every fault is said there; a case adds what is particular.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.faults.base import Fault
from chaos.model.identity import Identity
from chaos.model.topology import CustomEndpoint, GlobalCluster, Topology
from chaos.testcluster.records import ClusterSpec, EndpointSpec, ServerlessBounds

BRIEF: dict[str, Any] = {"settle_s": 0, "effect_timeout_s": 60, "recovery_timeout_s": 120}
"""Parameters that make a fault short here, with patience for a busy machine."""

KINDS: dict[str, ClusterSpec] = {
    "standard": ClusterSpec(),
    "provisioned": ClusterSpec(
        serverless=None,
        custom_endpoints=(
            EndpointSpec(id="reports", kind="READER", static=(2,)),
            EndpointSpec(id="orders", excluded=(3,)),
        ),
    ),
    "global": ClusterSpec(secondary_region="us-east-1"),
    "multi-az": ClusterSpec(readers=0, serverless=None, multi_az_instance=True),
    "small": ClusterSpec(serverless=ServerlessBounds(min_acu=0.5, max_acu=1)),
    "scaling": ClusterSpec(),
}
"""The clusters: a writer and two readers, and what the name says. The cases of a kind share one."""

GROUPS: dict[str, int] = {"standard": 2}
"""So many clusters of a kind may work at once, each on a share of its cases; one where none is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A cluster by everybody's word: the API's, and each instance's own in SQL."""

    topology: Topology
    endpoints: tuple[CustomEndpoint, ...]
    worldwide: GlobalCluster | None
    identities: Mapping[str, Identity]


def _nothing_particular(before: State, after: State, effect: Mapping[str, Any]) -> None:
    """Ask for nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One injection on a cluster of a kind.

    `check` asserts what is particular, with the state before and after and the journal's event of the
    effect (`requested_target`, `actual_target`, `requests`, ...).
    """

    make: Callable[[Topology], Fault]
    cluster: str = "standard"
    check: Callable[[State, State, Mapping[str, Any]], None] = _nothing_particular
    needs: str = ""
    """The fixture that skips it where the machine does not allow it."""
    given: tuple[str, ...] = ()
    """SQL that the writer does first."""
    within: Callable[[Topology], Fault] | None = None
    """A fault that is carried out while this one is in force."""
    defect: Mapping[str, Any] = field(default_factory=dict)
    """A defect of the cluster for as long, by its kind and parameters."""
    moves_writer: bool = False
    """Whether another instance is the writer afterwards; else it must be the same."""
    moves_zone: bool = False
    """Whether instances may be in another Availability Zone afterwards."""


Cases = Mapping[str, Mapping[str, Case]]
"""Cases of each fault, by the fault's name and then their own."""
