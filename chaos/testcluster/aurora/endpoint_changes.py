"""Creating, modifying and deleting custom endpoints, at the profile's pace.

creating --> available <--> modifying
                 +--> deleting --> gone
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from chaos.testcluster.aurora.core import AVAILABLE, CREATING, DELETING, MODIFYING, Core
from chaos.testcluster.aurora.endpoints import ANY, CUSTOM_MAX, KINDS, CustomEndpoint, Group
from chaos.testcluster.aurora.founding import instance_name
from chaos.testcluster.aurora.tags import changed_tags
from chaos.testcluster.records import ApiError, EndpointSpec


class EndpointChanges:
    """The operations on one cluster's custom endpoints."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._created = 0

    def begin_with(self, specs: Iterable[EndpointSpec]) -> None:
        """Add endpoints to a cluster that is being launched; they are available at once."""
        core = self._core
        for spec in specs:
            static, excluded = (
                tuple(instance_name(core.spec, number) for number in numbers)
                for numbers in (spec.static, spec.excluded)
            )
            group = new_group(spec.kind, static or None, excluded or None)
            endpoint = self._new(spec.id, group, {})
            with core.lock:
                core.endpoints[spec.id] = replace(endpoint, status=AVAILABLE, group=group)

    def create(self, identifier: str, group: Group, tags: Mapping[str, str]) -> None:
        """Accept CreateDBClusterEndpoint; that the name is free in the Region is the caller's to know.

        Raises:
            ApiError: there are five already, an instance is not there, the cluster is not available.
        """
        core = self._core
        with core.lock:
            self._require_usable(group)
            if len(core.endpoints) >= CUSTOM_MAX:
                raise ApiError(
                    "DBClusterEndpointQuotaExceededFault",
                    f"DBCluster {core.spec.id} already has the maximum of {CUSTOM_MAX} custom "
                    "endpoints.",
                )
            core.endpoints[identifier] = self._new(identifier, group, tags)
        self._later(identifier, "create")

    def _new(self, identifier: str, group: Group, tags: Mapping[str, str]) -> CustomEndpoint:
        core = self._core
        self._created += 1
        return CustomEndpoint(
            id=identifier,
            resource_id=_resource_id(f"{core.hash} {core.spec.id} {identifier} {self._created}"),
            status=CREATING,
            wanted=group,
            tags=changed_tags({}, tags, ()),
        )

    def modify(self, identifier: str, change: Callable[[Group], Group]) -> None:
        """Accept ModifyDBClusterEndpoint; until it is done the name leads to the old group.

        Raises:
            ApiError: the endpoint is busy, an instance is not there, the cluster is not available.
        """
        core = self._core
        with core.lock:
            endpoint = self._require_available(identifier)
            wanted = change(endpoint.wanted)
            self._require_usable(wanted)
            core.endpoints[identifier] = replace(endpoint, status=MODIFYING, wanted=wanted)
        self._later(identifier, "modify")

    def delete(self, identifier: str) -> None:
        """Accept DeleteDBClusterEndpoint; the name is gone at once, sessions stay.

        Raises:
            ApiError: the endpoint is busy.
        """
        core = self._core
        with core.lock:
            endpoint = self._require_available(identifier)
            core.endpoints[identifier] = replace(endpoint, status=DELETING, group=None)
        delay_s = core.pacer.next("deletion of a custom endpoint").delete

        def work() -> None:
            core.pause(delay_s)
            with core.lock:
                core.endpoints.pop(identifier, None)

        core.background(f"deletion of {identifier}", work, failed=work)

    def retag(self, identifier: str, *, add: Mapping[str, str], remove: Collection[str]) -> None:
        """Change an endpoint's tags at once.

        Raises:
            ApiError: there is no such endpoint, or it would have too many tags.
        """
        core = self._core
        with core.lock:
            endpoint = self._require(identifier)
            tags = changed_tags(endpoint.tags, add, remove)
            core.endpoints[identifier] = replace(endpoint, tags=tags)

    def _later(self, identifier: str, duration: str) -> None:
        """Let the group that is wanted be in force after the profile's time for it."""
        core = self._core
        delay_s: float = getattr(core.pacer.next(f"{duration} of a custom endpoint"), duration)

        def settle() -> None:
            with core.lock:
                endpoint = core.endpoints[identifier]
                core.endpoints[identifier] = replace(
                    endpoint, status=AVAILABLE, group=endpoint.wanted
                )

        def work() -> None:
            core.pause(delay_s)
            settle()

        core.background(f"{duration} of {identifier}", work, failed=settle)

    def _require_usable(self, group: Group) -> None:
        core = self._core
        if core.status in {CREATING, DELETING}:
            raise ApiError(
                "InvalidDBClusterStateFault",
                f"DBCluster {core.spec.id} is not in available state; it is {core.status}.",
            )
        if group.kind not in KINDS:
            raise ApiError(
                "InvalidParameterValue",
                f"Invalid endpoint type {group.kind}: a custom endpoint is of type "
                f"{' or '.join(KINDS)}.",
            )
        for instance in (*(group.static or ()), *group.excluded):
            core.require_member(instance)

    def _require(self, identifier: str) -> CustomEndpoint:
        endpoint = self._core.endpoints.get(identifier)
        if endpoint is None:
            raise not_found(identifier)
        return endpoint

    def _require_available(self, identifier: str) -> CustomEndpoint:
        endpoint = self._require(identifier)
        if endpoint.status != AVAILABLE:
            raise ApiError(
                "InvalidDBClusterEndpointStateFault",
                f"DBClusterEndpoint {identifier} is not in available state; it is "
                f"{endpoint.status}.",
            )
        return endpoint


def new_group(
    kind: str | None,
    static: Iterable[str] | None,
    excluded: Iterable[str] | None,
    before: Group | None = None,
) -> Group:
    """Return the group that a request asks for; what it does not name stays as it was.

    Raises:
        ApiError: both lists are given.
    """
    chosen = Group(kind=kind or (before.kind if before else ANY))
    if static and excluded:
        raise ApiError(
            "InvalidParameterCombination",
            "StaticMembers and ExcludedMembers cannot both be specified for a custom endpoint.",
        )
    if static:
        return replace(chosen, static=tuple(dict.fromkeys(static)))
    if static is None and excluded is None and before is not None:
        return replace(chosen, static=before.static, excluded=before.excluded)
    return replace(chosen, excluded=tuple(dict.fromkeys(excluded or ())))


def not_found(identifier: str) -> ApiError:
    """Return the error about a custom endpoint that is not there."""
    return ApiError("DBClusterEndpointNotFoundFault", f"DBClusterEndpoint {identifier} not found.")


def _resource_id(text: str) -> str:
    return "cluster-endpoint-" + hashlib.sha256(text.encode()).hexdigest()[:26].upper()
