"""A fault is one file and a line of the catalogue: added so, every part of the product knows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FAULT = '''
"""Rename nothing, for the test of the catalogue."""

from typing import Literal

from pydantic import Field

from chaos.faults.base import Before, Context, Fault
from chaos.model.topology import Topology
from chaos.safety.calls import Call


class RenameNothing(Fault):
    """Call nothing under another name."""

    undoes = "the name"

    fault: Literal["rename-nothing"] = "rename-nothing"
    other_name: str = Field(description="The name that it does not get.")

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        return (topology.cluster,)

    def calls(self, before: Before) -> tuple[Call, ...]:
        return (Call("ModifyDBCluster"),)

    def inject(self, context: Context, before: Before) -> None:
        context.rds.failover(None)

    def took_effect(self, context: Context, before: Before) -> str | None:
        return before.target
'''
EXPERIMENT = """
version: 1
name: added
claim: A fault that was added is used like any other.
method:
  - {fault: rename-nothing, other_name: b}
objectives:
  - {check: restored}
"""
PROGRAM = """
import contextlib, io, json, sys
from datetime import UTC, datetime
from pathlib import Path
from fix_rds import VirtualClock
from fix_service import FakeService
from chaos.cli import main
from chaos.definition.load import load
from chaos.run.admission import Around
from chaos.run.plan import plan_of
from chaos.safety.limits import SafetyFile

def gameday(*arguments):
    sys.argv = ["gameday", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main()
    return json.loads(printed.getvalue())

experiment = Path(sys.argv[1])
service = FakeService(VirtualClock())
around = Around(
    context=service.context, account=service.account, kind="aws", safety=SafetyFile(),
    now=datetime(2026, 1, 1, tzinfo=UTC), run="plan", runs=experiment.parent / "runs",
)
print(json.dumps({
    "plan": plan_of(load(experiment), service.state, around).as_json(),
    "faults": gameday("faults", "--json"),
    "schema": gameday("schema"),
    "validate": gameday("validate", "--json", str(experiment)),
}))
"""


class Tree:
    """Our packages as they are, but for one module more and the line that names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for package in ("loadgen", "reports", "experiments"):
            (folder / package).symlink_to(ROOT / package)
        self._mirror(Path("chaos"))
        self._mirror(Path("chaos") / "faults")
        (folder / "chaos" / "faults" / "rename_nothing.py").write_text(FAULT)
        catalogue = (ROOT / "chaos" / "faults" / "__init__.py").read_text()
        (folder / "chaos" / "faults" / "__init__.py").unlink()
        (folder / "chaos" / "faults" / "__init__.py").write_text(
            catalogue.replace(
                "\nCATALOGUE: tuple[type[Fault], ...] = (\n",
                "from chaos.faults.rename_nothing import RenameNothing\n"
                "\nCATALOGUE: tuple[type[Fault], ...] = (\n    RenameNothing,\n",
            )
        )

    def _mirror(self, package: Path) -> None:
        """Make a folder of links to what a package holds."""
        if (self.folder / package).is_symlink():
            (self.folder / package).unlink()
        (self.folder / package).mkdir()
        for entry in (ROOT / package).iterdir():
            if entry.name != "__pycache__":
                (self.folder / package / entry.name).symlink_to(entry)

    def run(self, program: str, *arguments: str) -> Any:
        """Run a program on this tree and return the JSON that it prints."""
        path = os.pathsep.join((str(self.folder), str(ROOT / "tests")))
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the product says of itself and of an experiment, with one fault more."""
    tree = Tree(tmp_path_factory.mktemp("tree"))
    experiment = tree.folder / "added.yaml"
    experiment.write_text(EXPERIMENT)
    answers: dict[str, Any] = tree.run(PROGRAM, str(experiment))
    return answers


def test_it_is_listed_with_its_parameters(told: dict[str, Any]) -> None:
    listed = {fault["name"]: fault for fault in told["faults"]["faults"]}
    added = listed["rename-nothing"]
    assert added["summary"] == "Call nothing under another name."
    assert added["undoes"] == "the name"
    assert added["parameters"]["other_name"]["description"] == "The name that it does not get."


def test_it_is_in_the_schema(told: dict[str, Any]) -> None:
    assert "RenameNothing" in told["schema"]["$defs"]


def test_an_experiment_of_it_is_valid(told: dict[str, Any]) -> None:
    assert told["validate"]["files"][0]["valid"], told["validate"]


def test_it_is_planned(told: dict[str, Any]) -> None:
    (step,) = told["plan"]["steps"]
    assert (step["fault"], step["targets"], step["undoes"]) == (
        "rename-nothing",
        ["c1"],
        "the name",
    )
    assert [call["operation"] for call in step["calls"]] == ["ModifyDBCluster"]
