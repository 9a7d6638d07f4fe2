"""What the documents promise exists, and what exists is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from chaos.cli import app, main
from chaos.definition.load import shipped
from chaos.errors import ExitCode
from chaos.faults import CATALOGUE as FAULTS
from chaos.faults.base import Fault

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND: Any = typer.main.get_command(app)


def leaves(command: Any, *path: str) -> dict[str, Any]:
    """Every command by its words, `cluster up` among them."""
    found: dict[str, Any] = {}
    for name, sub in command.commands.items():
        if hasattr(sub, "commands"):
            found |= leaves(sub, *path, name)
        else:
            found[" ".join((*path, name))] = sub
    return found


COMMANDS = leaves(COMMAND)
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for parameter in command.params
    for option in parameter.opts
    if option.startswith("--") and option != "--help"
]


def test_every_command_in_the_readme_exists() -> None:
    named = re.findall(r"^gameday ([a-z]+(?: (?:up|status|down|exec))?)", README, re.MULTILINE)
    assert len(named) > 4
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_readme_and_says_what_it_does(name: str) -> None:
    assert re.search(rf"`?{name.rsplit(maxsplit=1)[-1]}\b", README), "not in README.md"
    assert COMMANDS[name].help


@pytest.mark.parametrize(
    ("command", "variable", "value", "told"),
    [
        (["run", "control"], "GAMEDAY_RUN_REPEAT", "0", "--repeat"),
        (["run", "control"], "GAMEDAY_PROFILE", "warp", "--profile"),
        (["run", "control"], "GAMEDAY_SEED", "x", "--seed"),
        (["run", "control"], "GAMEDAY_RUN_ARM", "nobody", "--arm nobody"),
        (["cluster", "up"], "GAMEDAY_CLUSTER_UP_READERS", "99", "--readers"),
        (["cluster", "status"], "GAMEDAY_JSON", "maybe", "--json"),
        (["doctor"], "GAMEDAY_DOCTOR_ALL", "maybe", "--all"),
        (["plan", "control"], "GAMEDAY_PLAN_ARM", "nobody", "--arm nobody"),
        (["show"], "GAMEDAY_OUT", "/nowhere", "no run in /nowhere"),
    ],
)
def test_options_come_from_the_environment(
    command: list[str],
    variable: str,
    value: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["gameday", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.USAGE
    assert told in capsys.readouterr().err


def test_every_listing_takes_json() -> None:
    acting = {"policy", "schema", "cluster exec"}
    without = {name for name in COMMANDS if (name, "--json") not in OPTIONS}
    assert without == acting


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_in_the_readme(code: ExitCode) -> None:
    table = README.partition("### Exit codes")[2].partition("##")[0]
    assert re.search(rf"\b{code.value}\b", table)


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.model_fields["fault"].default)
def test_every_parameter_of_every_fault_is_in_the_language_s_reference(kind: type[Fault]) -> None:
    reference = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    common = reference.partition("## `method`")[2].partition("\n## ")[0]
    faults = reference.partition("## Faults")[2].partition("\n## ")[0]
    for field in set(kind.model_fields) - {"fault"}:
        assert f"`{field}`" in (common if field in Fault.model_fields else faults), field


def test_the_experiments_that_are_listed_are_those_that_ship() -> None:
    reference = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    table = reference.partition("## Experiments that ship")[2]
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == sorted(shipped())


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", "experiments/README.md"]
    + [f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))],
)
def test_links_and_pictures_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
    for page, section in re.findall(r"\]\(([^)#]*)#([^)]+)\)", path.read_text(encoding="utf-8")):
        text = (path.parent / page if page else path).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert section in {
            re.sub(r"[^a-z0-9_ -]", "", h.lower()).replace(" ", "-") for h in headings
        }
