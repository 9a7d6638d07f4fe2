"""Tags of the cluster and of its instances; a change is there at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.aurora.core import Core

TAGS_MAX = 50


def retag(
    core: Core, instance: str | None, *, add: Mapping[str, str], remove: Collection[str]
) -> None:
    """Add or replace tags, and remove some, of an instance or (None) of the cluster.

    Raises:
        ApiError: there is no such instance, or it would have more than `TAGS_MAX` tags.
    """
    with core.lock:
        if instance is None:
            core.spec = replace(core.spec, tags=changed_tags(core.spec.tags, add, remove))
        else:
            member = core.require_member(instance)
            member.spec = replace(member.spec, tags=changed_tags(member.spec.tags, add, remove))


def changed_tags(
    tags: Mapping[str, str], add: Mapping[str, str], remove: Collection[str]
) -> dict[str, str]:
    """Return tags after a change.

    Raises:
        ApiError: there would be more than `TAGS_MAX`.
    """
    after = {key: value for key, value in {**tags, **add}.items() if key not in remove}
    if len(after) > TAGS_MAX:
        raise ApiError("InvalidParameterValue", f"A resource can have at most {TAGS_MAX} tags.")
    return after
