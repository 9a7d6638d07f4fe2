"""What happens on the way between clients and an instance."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.disturbances.node import FILTERS, available, require_first
from chaos.testcluster.machine.holding import HELD_BY, hold
from chaos.testcluster.machine.loss import Loss
from chaos.testcluster.machine.sockets import require_filters

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

DELAY_MS_MAX = 10_000.0


class PacketLoss(Disturbance):
    """Loses packets on their way to an instance, from clients and from other instances.

    Those that it sends itself arrive. Acknowledgements to it are lost, too, so it sends some of them
    again. TCP does what it does about that: waits of 0.2 s and longer. At 100 % nothing arrives.
    """

    needs: ClassVar[str] = FILTERS

    kind: Literal["packet-loss"] = "packet-loss"
    instance: str
    percent: Annotated[float, Field(gt=0, le=100)]

    def begin(self, estate: Estate) -> Ending:
        """Begin to lose.

        Raises:
            ApiError: there is no such instance, it is not available, or it loses packets already.
            HostError: packet filters are not allowed here.
        """
        require_filters("packet loss")
        require_first(estate, self, self.instance)
        with available(estate, self.instance) as (_, member):
            node = member.node
        return Loss(node, self.percent / 100).end


class Latency(Disturbance):
    """Delays every request of a client to an instance, by the same time or varied by a jitter.

    An approximation: a session's process is stopped until its next request has waited for so long.
    Connecting and replication are not delayed, and a client that sends without a pause between an
    answer and the next request sees some requests pass at once and others wait for them, too.
    """

    needs: ClassVar[str] = HELD_BY

    kind: Literal["latency"] = "latency"
    instance: str
    delay_ms: Annotated[float, Field(gt=0, le=DELAY_MS_MAX)]
    jitter_ms: Annotated[float, Field(ge=0, le=DELAY_MS_MAX)] = 0.0

    def begin(self, estate: Estate) -> Ending:
        """Begin to delay.

        Raises:
            ApiError: there is no such instance, it is not available, or is delayed already.
            HostError: the sessions' sockets cannot be reached.
        """
        require_first(estate, self, self.instance)
        with available(estate, self.instance) as (_, member):
            node = member.node
        rng = random.Random()

        def delay_s() -> float:
            varied_ms = self.delay_ms + rng.uniform(-self.jitter_ms, self.jitter_ms)
            return max(varied_ms, 0.0) / 1000

        return hold(node, delay_s)
