"""What an experiment needs the embedded test cluster to be like; a named cluster is as it is."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chaos.definition.part import Part
from chaos.model.serverless import (
    ACU_MAX,
    PAUSE_AFTER_MAX_S,
    PAUSE_AFTER_MIN_S,
    SERVERLESS_CLASS,
    STEP_ACU,
)

_REGION = r"^[a-z]{2}(-[a-z]+)+-\d$"

Number = Annotated[int, Field(ge=1, le=16)]
"""Of an instance: the first writer's is 1, its readers' are 2, 3..."""
Tier = Annotated[int, Field(ge=0, le=15)]
Ttl = Annotated[int, Field(ge=0, le=86_400)]


class CustomEndpoint(Part):
    """A custom endpoint that leads to some instances: those named, or all but the excluded."""

    id: str = Field(
        pattern=r"^[a-z](-?[a-z0-9])*$", max_length=60, description="Identifier of the endpoint."
    )
    kind: Literal["any", "reader"] = Field(
        "any", description="Whether it leads to readers only, or to any instance."
    )
    static_members: tuple[Number, ...] = Field(
        (), description="Numbers of the instances that it leads to; 1 is the first writer."
    )
    excluded_members: tuple[Number, ...] = Field(
        (), description="Numbers of the instances that it does not lead to."
    )

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if self.static_members and self.excluded_members:
            raise ValueError("a custom endpoint has static_members or excluded_members, not both")
        return self


class EmbeddedCluster(Part):
    """The embedded test cluster that an experiment runs on where no other is named."""

    readers: int | None = Field(
        None, ge=0, le=15, description="Readers beside the writer; absent: 2."
    )
    reader_tiers: tuple[Tier, ...] = Field(
        (), description="Promotion tiers of the readers in their order; 1 where none is given."
    )
    instance_class: str | None = Field(
        None,
        pattern=r"^db\.[a-z0-9.-]+$",
        description="Class of its instances; absent: db.serverless. Any other is provisioned.",
    )
    min_acu: float | None = Field(
        None,
        ge=0,
        le=ACU_MAX,
        multiple_of=STEP_ACU,
        description="Serverless v2 minimum; absent: 0.5. With 0 idle instances pause.",
    )
    max_acu: float | None = Field(
        None,
        ge=1,
        le=ACU_MAX,
        multiple_of=STEP_ACU,
        description="Serverless v2 maximum; absent: 8.",
    )
    pause_after_s: int | None = Field(
        None,
        ge=PAUSE_AFTER_MIN_S,
        le=PAUSE_AFTER_MAX_S,
        description="Idle seconds before an instance pauses, which the profile shortens.",
    )
    custom_endpoints: tuple[CustomEndpoint, ...] = Field(
        (), max_length=5, description="Custom endpoints that it begins with."
    )
    secondary_region: str | None = Field(
        None,
        pattern=_REGION,
        description="Region of a second cluster; with it, it is a global cluster.",
    )
    multi_az_instance: bool = Field(
        False,
        description="An RDS instance with a hidden standby instead of a cluster.",
    )
    read_availability: bool = Field(
        True, description="Whether readers stay up when the writer fails over or restarts."
    )
    cluster_ttl_s: Ttl | None = Field(
        None, description="Seconds for which answers for the cluster endpoint may be kept."
    )
    reader_ttl_s: Ttl | None = Field(None, description="The same for the reader endpoint.")
    instance_ttl_s: Ttl | None = Field(None, description="The same for instance endpoints.")
    dns_flip_s: float | None = Field(
        None, ge=0, le=3600, description="Seconds from promotion to the cluster endpoint's flip."
    )

    @property
    def provisioned(self) -> bool:
        """Whether its instances have a class, so no bounds of capacity."""
        return self.multi_az_instance or self.instance_class not in {None, SERVERLESS_CLASS}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Refuse what no cluster can be."""
        for why in (self._capacity(), self._members(), self._standby()):
            if why:
                raise ValueError(why)
        return self

    def _capacity(self) -> str | None:
        bounds = (self.min_acu, self.max_acu, self.pause_after_s)
        if self.provisioned and any(bound is not None for bound in bounds):
            return "min_acu, max_acu and pause_after_s are for instances of db.serverless alone"
        least = 0.5 if self.min_acu is None else self.min_acu
        most = 8.0 if self.max_acu is None else self.max_acu
        if least > most:
            return f"min_acu {least:g} is above max_acu {most:g}"
        if self.pause_after_s is not None and least > 0:
            return "pause_after_s needs min_acu: 0"
        return None

    def _members(self) -> str | None:
        readers = 2 if self.readers is None else self.readers
        if len(self.reader_tiers) > readers:
            return f"{len(self.reader_tiers)} reader_tiers for {readers} readers"
        for endpoint in self.custom_endpoints:
            most = max((*endpoint.static_members, *endpoint.excluded_members), default=1)
            if most > readers + 1:
                return f"{endpoint.id} names instance {most}; there are 1 to {readers + 1}"
        ids = [endpoint.id for endpoint in self.custom_endpoints]
        if len(set(ids)) < len(ids):
            return f"two custom endpoints have one id: {', '.join(sorted(ids))}"
        return None

    def _standby(self) -> str | None:
        members = self.readers or self.custom_endpoints or self.secondary_region
        if self.multi_az_instance and (members or self.instance_class == SERVERLESS_CLASS):
            return (
                "a multi_az_instance is in no cluster: it has no readers, custom_endpoints, "
                "secondary_region or class db.serverless"
            )
        return None
