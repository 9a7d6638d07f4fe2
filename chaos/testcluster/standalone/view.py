"""A stand-alone instance in the words of clusters, for what shows and reaches either alike."""

from __future__ import annotations

from chaos.testcluster.aurora.core import Core
from chaos.testcluster.parameters.parameter_state import GROUP_SETTING
from chaos.testcluster.records import ACCOUNT, ClusterRecord, InstanceRecord
from chaos.testcluster.standalone.records import StandaloneRecord


def as_cluster(record: StandaloneRecord, core: Core) -> ClusterRecord:
    """Return the instance as a cluster of one writer; all its endpoints are the same name."""
    instance = InstanceRecord(
        id=record.id,
        status=record.status,
        is_writer=True,
        instance_class=record.instance_class,
        availability_zone=record.zone or "",
        promotion_tier=1,
        endpoint=record.endpoint,
        port=record.port,
        created_at=record.created_at,
        tags=record.tags,
        settings=record.settings,
        address=record.address or "",
        pid=record.pid,
        capacity_acu=None,
        parameters=record.parameter_status,
    )
    return ClusterRecord(
        id=record.id,
        status=record.status,
        engine=core.engine,
        engine_version=record.engine_version,
        region=record.region,
        account=ACCOUNT,
        resource_id=record.resource_id,
        hash=core.hash,
        cluster_endpoint=record.endpoint,
        reader_endpoint=record.endpoint,
        port=record.port,
        user=record.user,
        database=record.database,
        availability_zones=tuple(zone for zone in (record.zone, record.secondary_zone) if zone),
        created_at=record.created_at,
        serverless=None,
        tags=record.tags,
        parameter_group=str(record.settings.get(GROUP_SETTING, "")),
        instances=(instance,),
        settings=record.settings,
        is_cluster=False,
    )
