"""The embedded test cluster that an experiment asks for, as the specification that starts it."""

from __future__ import annotations

from chaos.definition.embedded import EmbeddedCluster
from chaos.testcluster.records import ClusterSpec, EndpointSpec, ServerlessBounds


def specification(wanted: EmbeddedCluster | None, *, profile: str, seed: int) -> ClusterSpec:
    """Return the cluster that an experiment asks for; what it leaves open is as usual."""
    usual = ClusterSpec(profile=profile, seed=seed)
    if wanted is None:
        return usual
    readers = 0 if wanted.multi_az_instance else usual.readers
    return ClusterSpec(
        profile=profile,
        seed=seed,
        readers=readers if wanted.readers is None else wanted.readers,
        reader_tiers=wanted.reader_tiers,
        serverless=_bounds(wanted, usual.serverless),
        instance_class=wanted.instance_class,
        custom_endpoints=tuple(
            EndpointSpec(
                id=endpoint.id,
                kind=endpoint.kind.upper(),
                static=endpoint.static_members,
                excluded=endpoint.excluded_members,
            )
            for endpoint in wanted.custom_endpoints
        ),
        secondary_region=wanted.secondary_region,
        multi_az_instance=wanted.multi_az_instance,
        read_availability=wanted.read_availability,
        cluster_ttl_s=wanted.cluster_ttl_s,
        reader_ttl_s=wanted.reader_ttl_s,
        instance_ttl_s=wanted.instance_ttl_s,
        dns_flip_s=wanted.dns_flip_s,
    )


def _bounds(wanted: EmbeddedCluster, usual: ServerlessBounds | None) -> ServerlessBounds | None:
    if wanted.provisioned or usual is None:
        return None
    return ServerlessBounds(
        min_acu=usual.min_acu if wanted.min_acu is None else wanted.min_acu,
        max_acu=usual.max_acu if wanted.max_acu is None else wanted.max_acu,
        pause_after_s=wanted.pause_after_s,
    )
