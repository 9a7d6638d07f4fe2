"""Custom endpoints as options of `gameday cluster up` describe them."""

from __future__ import annotations

import re

from chaos.errors import DefinitionError
from chaos.testcluster.records import EndpointSpec

FORM = "ID:any|reader[:MEMBERS]"
_MEMBERS = re.compile(r"\d+(,\d+)*|-\d+(,-\d+)*")


def parsed(text: str) -> EndpointSpec:
    """Return the custom endpoint that `ID:KIND`, `ID:KIND:2,3` or `ID:KIND:-1` (all but 1) means.

    Raises:
        DefinitionError: it is written otherwise.
    """
    identifier, _, rest = text.partition(":")
    kind, _, members = rest.partition(":")
    if kind.lower() not in {"any", "reader"} or (members and not _MEMBERS.fullmatch(members)):
        raise DefinitionError(
            f"--custom-endpoint {text}: write {FORM}, where members are numbers of instances (1 is "
            "the first writer), such as 2,3, or those left out, such as -1"
        )
    numbers = tuple(int(number) for number in members.split(",") if number)
    return EndpointSpec(
        id=identifier,
        kind=kind.upper(),
        static=() if members.startswith("-") else numbers,
        excluded=tuple(-number for number in numbers) if members.startswith("-") else (),
    )
