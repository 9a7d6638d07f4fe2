"""The form of every disturbance: parameters, how it begins, and what ends it.

A disturbance is what only a test cluster can suffer, because AWS has no call for it: a hung server, an
outage of a zone, a lying name server, a planted defect. It is asked of the control address.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

Ending = Callable[[], None]
"""Takes a disturbance back; called from any thread, once, or again where it raised."""

LONGEST_S = 86_400.0
NAME_LENGTH_MAX = 128


class Disturbance(BaseModel):
    """One disturbance with its parameters; the first line of a subclass's docstring describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe each parameter by the docstring below it.

        Here, not by pydantic's `use_attribute_docstrings`: that would have every start of a test
        cluster parse the source of every disturbance.
        """
        told = handler(core_schema)
        properties = handler.resolve_ref_schema(told)["properties"]
        for kind in cls.__mro__:
            if issubclass(kind, Disturbance):
                for name, about in _attribute_docstrings(kind):
                    properties[name].setdefault("description", about)
        return told


def _attribute_docstrings(kind: type) -> Iterator[tuple[str, str]]:
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(written, ast.ClassDef)
    for attribute, after in pairwise(written.body):
        match attribute, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(about))),
            ) if name in kind.model_fields:  # type: ignore[attr-defined]
                yield name, inspect.cleandoc(about)
