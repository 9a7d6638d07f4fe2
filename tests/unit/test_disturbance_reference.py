"""The control address's reference lists every disturbance as the code has it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from chaos.testcluster.api.control import Control
from chaos.testcluster.disturbances import DISTURBANCES
from chaos.testcluster.disturbances.base import Disturbance
from chaos.testcluster.disturbances.defects import Defect

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "test-cluster.md"
KINDS = list(DISTURBANCES)


def entry(kind: type[Disturbance]) -> str:
    """What the page has to say of one kind."""
    name = kind.model_fields["kind"].default
    about = " ".join((inspect.getdoc(kind) or "").split())
    lines = [f"- **`{name}`** {about}"]
    if kind.needs:
        lines[0] += f" Needs {kind.needs}."
    if issubclass(kind, Defect):
        caught = f"`{kind.caught_by}`" if kind.caught_by else "none yet"
        lines[0] += f" Caught by: {caught}."
    schema = kind.model_json_schema()
    for field, told in schema["properties"].items():
        if field not in {"kind", "for_s", "name"}:
            lines.append(f"  - {parameter(field, told, schema.get('required', []))}")
    return "\n".join(lines)


def parameter(name: str, told: dict[str, Any], required: list[str]) -> str:
    """One parameter: its name, its default where it has one, what it means."""
    text = f"`{name}`"
    if name in required:
        text += ", required"
    elif told.get("default") is not None:
        default = told["default"]
        shown = " ".join(default) if isinstance(default, list) else str(default).lower()
        text += f", default `{shown if not isinstance(default, str) else default}`"
    about = " ".join(told.get("description", "").split()).replace("None", "absent")
    return f"{text}: {about.rstrip('.')}" if about else text


def reference() -> str:
    """The whole list, as it stands between the page's markers."""
    parts = []
    for title, category in (("Faults", "fault"), ("Planted defects", "defect")):
        entries = [entry(kind) for kind in DISTURBANCES.values() if kind.category == category]
        parts.append(f"### {title}\n\n" + "\n".join(entries))
    return "\n\n".join(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_tells_of_every_disturbance_as_the_code_does(kind: str) -> None:
    expected = entry(DISTURBANCES[kind])
    assert expected in PAGE.read_text(encoding="utf-8"), f"{PAGE.name} must say:\n{expected}"


def test_the_page_tells_of_no_other_disturbance() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^- \*\*`([a-z-]+)`\*\*", page, re.MULTILINE) == [
        kind
        for category in ("fault", "defect")
        for kind, cls in DISTURBANCES.items()
        if cls.category == category
    ]


def test_the_page_has_every_route_of_the_control_address() -> None:
    class NoEstate:
        pass

    control = Control(NoEstate(), None, lambda: None)  # type: ignore[arg-type]
    page = PAGE.read_text(encoding="utf-8")
    for verb, route in control._routes:
        path = route.replace("*", "ID")
        assert re.search(rf"`{verb} /control/{path}[ `]", page), f"{verb} {path}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_disturbance_describes_itself(kind: str) -> None:
    about = inspect.getdoc(DISTURBANCES[kind]) or ""
    assert about.partition("\n")[0].endswith("."), "its first line is a sentence"
