"""Whether what is asked of a new test cluster can be had, before anything is started for it."""

from __future__ import annotations

from dataclasses import replace

from chaos.errors import DefinitionError
from chaos.model.serverless import SERVERLESS_CLASS
from chaos.testcluster.aurora.endpoints import CUSTOM_MAX, KINDS
from chaos.testcluster.identifiers import LENGTH_MAX, RULE, is_identifier, is_region
from chaos.testcluster.records import ClusterSpec, EndpointSpec

READERS_MAX = 15
TIER_MAX = 15
_CLASS_PREFIX = "db."
_LONGEST_ADDITION = f"-secondary-instance-{READERS_MAX + 1}"


def checked(spec: ClusterSpec) -> ClusterSpec:
    """Return the specification with its identifiers as AWS would store them.

    Raises:
        DefinitionError: what is wrong with it.
    """
    addition = _LONGEST_ADDITION if spec.secondary_region else f"-instance-{READERS_MAX + 1}"
    longest = LENGTH_MAX - len(addition)
    if not is_identifier(spec.id) or len(spec.id) > longest:
        raise DefinitionError(
            f"{spec.id!r} cannot be the identifier of a test cluster. {RULE} At most {longest} "
            "characters, since its instances add to it."
        )
    if not is_region(spec.region):
        raise DefinitionError(f"{spec.region!r} is not an AWS Region such as eu-west-1")
    if not 0 <= spec.readers <= READERS_MAX:
        raise DefinitionError(f"a cluster has 0 to {READERS_MAX} readers, not {spec.readers}")
    _require_classes(spec)
    _require_tiers(spec)
    if spec.secondary_region is not None:
        _require_second_region(spec.region, spec.secondary_region)
    if spec.multi_az_instance and (
        spec.custom_endpoints or spec.secondary_region or spec.reader_tiers
    ):
        raise DefinitionError(
            "a Multi-AZ instance is in no cluster: it has neither custom endpoints, nor a secondary "
            "Region, nor promotion tiers"
        )
    endpoints = tuple(_endpoint(spec, endpoint) for endpoint in spec.custom_endpoints)
    names = [endpoint.id for endpoint in endpoints]
    if len(names) > CUSTOM_MAX or len(set(names)) < len(names):
        raise DefinitionError(
            f"a cluster has at most {CUSTOM_MAX} custom endpoints, each with a name of its own; "
            f"asked for are {', '.join(names)}"
        )
    return replace(spec, id=spec.id.lower(), custom_endpoints=endpoints)


def _require_classes(spec: ClusterSpec) -> None:
    wanted = spec.instance_class
    if wanted is None:
        return
    if not wanted.startswith(_CLASS_PREFIX) or wanted == _CLASS_PREFIX:
        raise DefinitionError(f"{wanted!r} is not an instance class such as db.r6g.large")
    if wanted == SERVERLESS_CLASS and (spec.serverless is None or spec.multi_az_instance):
        raise DefinitionError(f"{SERVERLESS_CLASS} needs a cluster with Serverless v2 capacity")


def _require_tiers(spec: ClusterSpec) -> None:
    if len(spec.reader_tiers) > spec.readers:
        raise DefinitionError(
            f"{len(spec.reader_tiers)} promotion tiers are given, for {spec.readers} readers"
        )
    for tier in spec.reader_tiers:
        if not 0 <= tier <= TIER_MAX:
            raise DefinitionError(f"a promotion tier is 0 to {TIER_MAX}, not {tier}")


def _require_second_region(first: str, second: str) -> None:
    if not is_region(second):
        raise DefinitionError(f"{second!r} is not an AWS Region such as us-east-1")
    if second == first:
        raise DefinitionError(
            f"the secondary cluster of a global cluster is in another Region than {first}"
        )


def _endpoint(spec: ClusterSpec, endpoint: EndpointSpec) -> EndpointSpec:
    what = f"custom endpoint {endpoint.id!r}"
    if not is_identifier(endpoint.id):
        raise DefinitionError(f"{what} cannot be called so. {RULE}")
    if endpoint.kind not in KINDS:
        raise DefinitionError(f"{what} is of type {' or '.join(KINDS)}, not {endpoint.kind!r}")
    if endpoint.static and endpoint.excluded:
        raise DefinitionError(f"{what} has either static or excluded members, not both")
    for number in (*endpoint.static, *endpoint.excluded):
        if not 1 <= number <= spec.readers + 1:
            raise DefinitionError(
                f"{what} names instance {number}; there are 1 to {spec.readers + 1}, and 1 is the "
                "first writer"
            )
    return replace(endpoint, id=endpoint.id.lower())
