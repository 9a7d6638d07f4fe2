"""A control address in memory, and the answers of a name server and an API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fix_rds import FakeRds, topology

from chaos.faults.base import Before, Context, Fault
from chaos.model.answers import ApiAnswer, NameAnswer
from chaos.run.session import look_before
from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.registry import parse


@dataclass
class FakeControl:
    """A control address that holds what it is asked for to the disturbances that there are."""

    begun: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    def begin(self, name: str, fields: Mapping[str, Any]) -> None:
        parse({**fields, "name": name}, DISTURBANCES)
        self.begun[name] = fields

    def end(self, name: str) -> bool:
        self.ended.append(name)
        return self.begun.pop(name, None) is not None

    def in_force(self, name: str) -> bool:
        return name in self.begun

    def status(self) -> Mapping[str, Any]:
        return {}


@pytest.fixture
def control(rds: FakeRds) -> FakeControl:
    """A cluster in two zones, whose reader endpoint leads to readers, with a control address."""
    one, two, three = rds.state.members
    rds.state = topology(members=(one, two, replace(three, availability_zone="eu-west-1b")))
    rds.named = {"i1": name("127.0.0.1"), "cluster": name("127.0.0.1"), "i2": name("127.0.0.2")}
    return FakeControl()


def name(address: str, **changes: Any) -> NameAnswer:
    fields: dict[str, Any] = {"ttl_s": 5, "error": "", "took_s": 0.001}
    return NameAnswer(addresses=(address,) if address else (), **{**fields, **changes})


def api(code: str | None = None, attempts: int = 1, duration_s: float = 0.01) -> ApiAnswer:
    return ApiAnswer(error_code=code, attempts=attempts, duration_s=duration_s)


def context_of(rds: FakeRds, control: FakeControl) -> Context:
    return replace(rds.context, control=control)


def seen(fault: Fault, rds: FakeRds, control: FakeControl) -> Before:
    return look_before(fault, context_of(rds, control), None, "key")
