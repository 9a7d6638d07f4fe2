"""Steps made of steps: told strictly, bounded, numbered, counted, and kept as they are."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds
from fix_threads import ThreadClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.cli.loading import selected
from chaos.definition.experiment import Experiment
from chaos.definition.load import load
from chaos.definition.places import placed
from chaos.definition.steps import COMPOSITES, LEVELS_MAX, Composite, levels_of
from chaos.errors import DefinitionError
from chaos.model.record import read_events
from chaos.model.steps import declared_injections
from chaos.run.folder import write_definition
from chaos.run.journal import Journal
from chaos.run.method import Method
from loadgen.configured import ArmRules

ROOT = Path(__file__).parents[2]
GOOD = """\
version: 1
name: drill
claim: Nothing happens.
method:
  - do: parallel
    steps:
      - fault: delete-reader
      - do: nested
        outer: {fault: noop}
        when: recovering
        steps:
          - fault: failover-cluster
  - do: random
    within_s: 60
    times: 2
    steps:
      - {fault: reboot-instance, target: writer}
objectives:
  - check: restored
"""


def experiment(*method: dict[str, Any]) -> Experiment:
    return Experiment.model_validate(
        {
            "version": 1,
            "name": "drill",
            "claim": "c",
            "method": method,
            "objectives": [{"check": "restored"}],
        }
    )


def refusal(folder: Path, old: str, new: str) -> str:
    assert old in GOOD
    path = folder / "drill.yaml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DefinitionError) as raised:
        load(path)
    return str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("do: parallel", "do: paralell", "drill.yaml:5:9: method[0].do: unknown do 'paralell'"),
        ("do: parallel", "do: paralell", "did you mean 'parallel'?"),
        ("fault: delete-reader", "fault: delete-raeder", "drill.yaml:7:16: method[0].steps[0].fault"),
        ("fault: delete-reader", "hold_s: 1", "drill.yaml:7:9: method[0].steps[0]: missing key 'fault'"),
        ("fault: delete-reader", "hold_s: 1", "or 'do' for several steps"),
        ("{fault: noop}", "{fault: noop, hold: 1}", "drill.yaml:9:30: method[0].steps[1].outer.hold: "),
        ("{fault: noop}", "{fault: noop, hold: 1}", "did you mean 'hold_s'?"),
        ("{fault: noop}", "{do: sequence}", "method[0].steps[1].outer: missing key 'fault'"),
        ("{fault: noop}", "{fault: noop, repeat: 2}", "outer is done once"),
        ("when: recovering", "when: recovered", "'in-force' or 'recovering', not 'recovered'"),
        ("when: recovering", "wen: recovering", "drill.yaml:10:9: method[0].steps[1].wen: unknown key"),
        ("within_s: 60", "within_s: 0", "drill.yaml:14:15: method[1].within_s: "),
        ("    within_s: 60\n", "", "drill.yaml:13:5: method[1]: missing key 'within_s'"),
        ("times: 2", "times: 101", "drill.yaml:15:12: method[1].times: "),
        ("times: 2", "times: 2\n    overlap: true", "two reboot-instance on 'writer' would be"),
        ("- fault: delete-reader\n", "- fault: delete-reader\n      - fault: delete-reader\n",
         "drill.yaml:5:5: method[0]: two delete-reader on 'any reader' would be under way at once"),
        ("fault: delete-reader", "fault: failover-cluster", "two failover-cluster would be under way"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_composite_is_told_where_it_stands(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert told in refusal(tmp_path, old, new)


def test_composites_lie_three_deep_at_most(tmp_path: Path) -> None:
    inner = "{do: sequence, steps: [{do: sequence, steps: [{fault: noop}]}]}"
    deep = f"do: sequence\n        steps: [{inner}]"
    told = refusal(tmp_path, "fault: delete-reader", deep)
    assert f"method[0]: composites within composites: {LEVELS_MAX} levels at most" in told


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("  - {fault: noop, repeat: 99}\n" * 3, "drill.yaml:5:3: method: 297 injections"),
        (
            "  - do: random\n    within_s: 9\n    times: 50\n    steps: [{fault: noop, repeat: 5}]\n",
            "drill.yaml:5:5: method[0]: 250 injections with every repeat; 200 are allowed",
        ),
    ],
)
def test_injections_are_bounded(tmp_path: Path, method: str, where: str) -> None:
    start, end = GOOD.index("  - do: parallel"), GOOD.index("objectives")
    assert where in refusal(tmp_path, GOOD[start:end], method)


def test_repeat_is_of_every_step_at_the_top_level(tmp_path: Path) -> None:
    path = tmp_path / "drill.yaml"
    path.write_text(GOOD, encoding="utf-8")
    repeated = selected(load(path), ArmRules(tmp_path), arms=None, repeat=3)
    assert [step.repeat for step in repeated.method] == [3, 3]
    assert {fault.repeat for fault in repeated.faults} == {1}


def test_every_composite_and_its_parameters_are_in_the_reference() -> None:
    text = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    section = text.partition("### Steps made of steps")[2].partition("\n## ")[0]
    for composite in COMPOSITES:
        for name, field in composite.model_fields.items():
            assert f"`{field.default if name == 'do' else name}`" in section, name
            assert name == "do" or field.description


def test_the_schema_lets_an_editor_complete_composites() -> None:
    schema = Experiment.model_json_schema()
    faults, composites = schema["properties"]["method"]["items"]["oneOf"]
    assert "failover-cluster" in faults["discriminator"]["mapping"]
    assert set(composites["discriminator"]["mapping"]) == {
        "sequence",
        "parallel",
        "random",
        "nested",
    }


faults = st.fixed_dictionaries(
    {"fault": st.just("noop"), "settle_s": st.just(0.0)},
    optional={"repeat": st.integers(1, 2), "hold_s": st.sampled_from([0.0, 0.5, 7.0])},
)


def composites(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def one(do: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        least = 2 if do == "parallel" else 1
        return st.fixed_dictionaries(
            {"do": st.just(do), "steps": st.lists(steps, min_size=least, max_size=2), **fields},
            optional={"repeat": st.integers(1, 2)},
        )

    outer = faults.map(lambda fault: {**fault, "repeat": 1})
    return st.one_of(
        one("sequence"),
        one("parallel"),
        one(
            "random",
            within_s=st.sampled_from([1.0, 30.0]),
            times=st.integers(1, 2),
            overlap=st.booleans(),
        ),
        one("nested", outer=outer, when=st.sampled_from(["in-force", "recovering"])),
    )


level_1 = composites(faults)
level_2 = composites(st.one_of(faults, level_1))
methods = st.lists(st.one_of(faults, level_1, level_2), min_size=1, max_size=2).filter(
    lambda method: declared_injections(method) <= 40
)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(method=methods)
def test_what_a_run_folder_keeps_is_the_same_experiment(
    tmp_path: Path, method: list[dict[str, Any]]
) -> None:
    given_ = experiment(*method)
    write_definition(tmp_path, given_.resolved())
    assert load(tmp_path / "experiment.yaml") == given_


@given(method=methods)
@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
def test_faults_are_numbered_in_the_order_in_which_they_are_read(
    method: list[dict[str, Any]],
) -> None:
    steps = experiment(*method).method
    found = [one for step in placed(steps) for one in step.faults]
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert tuple(one.step for one in found) == experiment(*method).faults
    assert len({one.place for one in found if one.place}) == sum(bool(one.place) for one in found)
    assert all(levels_of(step) <= LEVELS_MAX for step in steps)
    assert all(isinstance(one.step, Composite) == bool(one.within) for one in placed(steps))


RUNS = count()


@settings(max_examples=25, deadline=None, suppress_health_check=QUIET)
@given(method=methods)
def test_a_method_makes_every_injection_that_it_declares(
    tmp_path: Path, method: list[dict[str, Any]]
) -> None:
    clock = ThreadClock()
    rds = FakeRds(clock)
    path = tmp_path / f"{next(RUNS)}.jsonl"
    journal = Journal(path, clock, lambda _: None)
    Method(
        steps=experiment(*method).method,
        run="run",
        first=rds.state,
        context=rds.context,
        restorer=rds,
        journal=journal,
        clock=clock,
        tell=lambda _: None,
    ).carry_out()
    journal.close()
    begun = [e.data for e in read_events(path) if (e.data.get("verb"), e.data.get("state")) ==
             ("inject", "started")]  # fmt: skip
    assert len(begun) == declared_injections(experiment(*method).resolved()["method"])
    assert len({(data["step"], data["repeat"]) for data in begun}) == len(begun)
