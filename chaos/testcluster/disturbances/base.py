"""The form of every disturbance: parameters, how it begins, and what ends it.

A disturbance is what only a test cluster can suffer, because AWS has no call for it: a hung server, an
outage of a zone, a lying name server, a planted defect. It is asked of the control address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

Ending = Callable[[], None]
"""Takes a disturbance back; called from any thread, once, or again where it raised."""

LONGEST_S = 86_400.0
NAME_LENGTH_MAX = 128


class Disturbance(BaseModel):
    """One disturbance with its parameters; the first line of a subclass's docstring describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    category: ClassVar[Literal["fault", "defect"]] = "fault"
    needs: ClassVar[str] = ""
    """The privilege or program without which it is refused, empty for none."""

    kind: str
    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX)] | None = None
    """By which whoever begins it takes it back; no two in force have the same."""
    for_s: Annotated[float, Field(gt=0, le=LONGEST_S)] | None = None
    """Ends by itself after so long; None: when it is asked to, or with the cluster."""

    def begin(self, estate: Estate) -> Ending | None:
        """Take effect now; return what takes it back, or None where there is nothing to.

        Raises:
            ApiError: it names something that is not there, or that cannot suffer it now.
            HostError: this machine does not allow it; says what would be needed.
        """
        raise NotImplementedError
