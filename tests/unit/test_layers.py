"""Imports point down: a package imports what lies below it; libraries stay in their place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Lower first. A module may import from its own line and from the lines that its entry names.
LAYERS: dict[str, set[str]] = {
    "chaos.errors": set(),
    "chaos.clock": set(),
    "chaos.wait": {"chaos.errors", "chaos.clock"},
    "chaos.names": set(),
    "chaos.worker": {"chaos.errors"},
    "chaos.startup": set(),
    "chaos.model": {"chaos.clock", "chaos.names"},
}
_BASE = {
    "chaos",
    "chaos.errors",
    "chaos.clock",
    "chaos.wait",
    "chaos.names",
    "chaos.worker",
    "chaos.startup",
    "chaos.model",
}
LAYERS |= {
    "chaos.aws": _BASE,
    "chaos.db": _BASE,
    "chaos.safety": _BASE,
    "chaos.checks": _BASE,
    "chaos.faults": _BASE | {"chaos.aws", "chaos.db", "chaos.safety"},
    "chaos.definition": _BASE | {"chaos.faults", "chaos.checks", "chaos.safety"},
    "chaos.run": _BASE
    | {"chaos.aws", "chaos.db", "chaos.safety", "chaos.checks", "chaos.faults", "chaos.definition"},
    "chaos.doctor": _BASE,
    "loadgen": _BASE,
    "reports": _BASE,
    "chaos.testcluster": _BASE,
    "chaos.cli": _BASE
    | {"chaos.aws", "chaos.db", "chaos.safety", "chaos.checks", "chaos.faults"}
    | {"chaos.definition"}
    | {"chaos.run", "chaos.doctor", "loadgen", "reports", "chaos.testcluster"},
    "chaos.__main__": {"chaos.cli"},
    "chaos": set(),
}  # fmt: skip

PLACES: dict[str, set[str]] = {
    "boto3": {"chaos.aws"},
    "botocore": {"chaos.aws", "chaos.testcluster"},
    "psycopg": {"chaos.db", "loadgen", "chaos.testcluster"},
    "cryptography": {"chaos.testcluster"},
    "sqlalchemy": {"chaos.db", "loadgen", "chaos.testcluster"},
    "locust": {"loadgen"},
    "gevent": {"loadgen"},
    "typer": {"chaos.cli"},
    "jinja2": {"reports"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("chaos", "loadgen", "reports"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(p for p in parts if p != "__init__"), path


def layer_of(module: str) -> str:
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in LAYERS:
            return name
    raise AssertionError(f"{module} is in no layer: add it to LAYERS")


@cache
def imports(path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


@pytest.mark.parametrize(
    ("module", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_imports_point_down_and_libraries_stay_in_their_place(module: str, path: Path) -> None:
    layer = layer_of(module)
    for imported in imports(path):
        top = imported.split(".")[0]
        if top in {"chaos", "loadgen", "reports"}:
            below = layer_of(imported)
            assert below == layer or below in LAYERS[layer], f"{module} must not import {imported}"
        else:
            allowed = PLACES.get(top)
            assert allowed is None or layer in allowed, f"{module} must not import {imported}"


def test_the_command_line_reaches_locust_only_through_a_process() -> None:
    """Importing locust patches the process, so only modules that run as processes may."""
    importers = {
        module
        for module, path in modules()
        if any(i.split(".")[0] == "locust" for i in imports(path))
    }
    several = {"loadgen.distributed.master_process", "loadgen.distributed.worker_process"}
    assert importers <= several | {"loadgen.locust_process", "loadgen.users"}
