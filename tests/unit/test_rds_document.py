"""The page about RDS lists the parameters that there are."""

from __future__ import annotations

import re
from pathlib import Path

from chaos.testcluster.parameters.offered import PARAMETERS

PAGE = Path(__file__).parents[2] / "docs" / "rds-resources.md"


def test_the_page_lists_every_parameter_as_it_is() -> None:
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| (\w+) \| (.+?) \| (yes|no) \|$", PAGE.read_text(), re.MULTILINE
    )
    listed = {name: tuple(rest) for name, *rest in rows}
    assert listed == {
        name: (
            parameter.apply_type,
            parameter.allowed.replace(",", ", ") or "anything",
            "no" if parameter.cluster_only else "yes",
        )
        for name, parameter in PARAMETERS.items()
    }
