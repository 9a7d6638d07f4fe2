"""What the control address tells about Serverless beyond what AWS's API shows."""

from __future__ import annotations

from typing import Any

from chaos.testcluster.profiles import profile_named
from chaos.testcluster.records import ClusterRecord, InstanceRecord
from chaos.testcluster.serverless.bounds import pause_after_s
from chaos.testcluster.serverless.settings import modelled_shared_buffers
from chaos.testcluster.serverless.share import means


def cluster_status(cluster: ClusterRecord, profile: str) -> dict[str, Any]:
    """Return the members of a cluster's status."""
    bounds = cluster.serverless
    if bounds is None:
        return {"serverless": None}
    used = profile_named(profile)
    after_s = pause_after_s(bounds)
    return {
        "serverless": {
            "min_acu": bounds.min_acu,
            "max_acu": bounds.max_acu,
            "pause_after_s": after_s,
            "pause_after_modelled_s": None if after_s is None else after_s * used.idle_time_scale,
            "cores_per_acu": used.cores_per_acu,
        },
        "capacity_means": means(),
    }


def instance_status(instance: InstanceRecord) -> dict[str, Any]:
    """Return the members of an instance's status."""
    if instance.capacity_acu is None:
        return {"capacity_acu": None, "paused": False}
    return {
        "capacity_acu": instance.capacity_acu,
        "paused": instance.paused,
        "aurora_shared_buffers_pages": modelled_shared_buffers(instance.capacity_acu),
    }
