"""Every fault and check is documented, tested, and used by an experiment that ships."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
from conformance.families import all_cases

import chaos.faults
from chaos.checks import CATALOGUE as CHECKS
from chaos.definition.load import load, shipped
from chaos.faults import CATALOGUE as FAULTS
from chaos.faults.base import Fault

ROOT = Path(__file__).parents[2]
EXPERIMENTS = [load(path) for path in shipped().values()]
README = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
CASES = all_cases()


def name_of(kind: type) -> str:
    fields = kind.model_fields  # type: ignore[attr-defined]
    return str((fields.get("fault") or fields["check"]).default)


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_a_fault_is_used_documented_and_tested_on_the_test_cluster(fault: type[Fault]) -> None:
    name = name_of(fault)
    assert any(step.fault == name for e in EXPERIMENTS for step in e.faults), (
        "no experiment uses it"
    )
    assert f"`{name}`" in README, "experiments/README.md does not name it"
    assert CASES.get(name), "tests/conformance has no case of it"


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_a_check_is_used_and_documented(check: type) -> None:
    name = name_of(check)
    assert any(c.check == name for e in EXPERIMENTS for c in e.objectives), "no experiment uses it"
    assert f"`{name}`" in README, "experiments/README.md does not name it"


@pytest.mark.parametrize("kind", [*FAULTS, *CHECKS], ids=name_of)
def test_every_parameter_is_described(kind: type) -> None:
    assert inspect.getdoc(kind)
    for name, field in kind.model_fields.items():  # type: ignore[attr-defined]
        if name not in {"fault", "check"}:
            assert field.description, f"{name_of(kind)}.{name} has no description"


def holds_a_fault(module: str) -> bool:
    """Whether a module holds what a step can name, and not only what several of these share."""
    kinds = [k for _, k in inspect.getmembers(importlib.import_module(module), inspect.isclass)]
    return any(
        issubclass(kind, Fault)
        and kind.__module__ == module
        and isinstance(kind.model_fields["fault"].default, str)
        for kind in kinds
    )


def test_adding_a_fault_touches_one_file_and_the_catalogue() -> None:
    """Every module of a fault is in the catalogue, and its name says which fault it holds."""
    modules = {
        module.name
        for module in pkgutil.iter_modules(chaos.faults.__path__)
        if holds_a_fault(f"chaos.faults.{module.name}")
    }
    assert {fault.__module__.rsplit(".", 1)[1] for fault in FAULTS} == modules
    assert {name_of(fault).replace("-", "_") for fault in FAULTS} == modules
