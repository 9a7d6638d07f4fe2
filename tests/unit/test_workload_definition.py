"""What a workload may say of its rates: one way to say them, and shapes that mean what they say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from chaos.definition.workload import Workload
from chaos.model.shape import Shape


def workload(**fields: Any) -> Workload:
    return Workload.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "entry", "rates"),
    [
        ({}, {}, {"writes_per_s": 40, "reads_per_s": 40}),
        ({"writes_per_s": 7}, {}, {"writes_per_s": 7, "reads_per_s": 40}),
        ({"writes_per_s": 7}, {"reads_per_s": 3}, {"writes_per_s": 7, "reads_per_s": 3}),
        ({"operations_per_s": 30}, {}, {"operations_per_s": 30}),
        ({"operations_per_s": 30}, {"operations_per_s": 5}, {"operations_per_s": 5}),
        ({"operations_per_s": 30}, {"writes_per_s": 9}, {"writes_per_s": 9, "reads_per_s": 40}),
        ({"writes_per_s": 9}, {"operations_per_s": 30}, {"operations_per_s": 30}),
        (
            {"profile": "read-heavy"},
            {},
            {"profile": "read-heavy", "operations_per_s": 80},
        ),
        (
            {"writes_per_s": 9},
            {"profile": "transactions"},
            {"profile": "transactions", "operations_per_s": 80},
        ),
        (
            {"profile": "transactions", "operations_per_s": 6},
            {"profile": "oltp-small", "writes_per_s": 4},
            {"writes_per_s": 4, "reads_per_s": 40},
        ),
    ],
)
def test_an_arm_s_own_rates_win_and_others_are_the_workload_s(
    fields: dict[str, Any], entry: dict[str, Any], rates: dict[str, Any]
) -> None:
    made = workload(arms=[{"arm": "resilient", **entry}], **fields)
    assert made.rates(made.arms[0]) == {"profile": "oltp-small"} | rates
    again = workload(**made.model_dump(mode="json", exclude_none=True))
    assert again.rates(again.arms[0]) == made.rates(made.arms[0]), "as a run folder keeps it"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"operations_per_s": 3, "writes_per_s": 3}, "give operations_per_s or writes_per_s, not"),
        ({"profile": "read-heavy", "reads_per_s": 3}, "reads_per_s are of oltp-small; give read"),
        (
            {"profile": "read-heavy", "arms": [{"arm": "resilient", "writes_per_s": 3}]},
            "resilient: writes_per_s are of oltp-small; give read-heavy operations_per_s",
        ),
        ({"shape": {"step": []}}, "at least 1 item"),
        ({"shape": {"step": [{"at_s": 3, "factor": 1}] * 2}}, "at 3 s comes after that at 3 s"),
        ({"shape": {"step": [{"at_s": 3, "factor": 0}]}}, "greater than 0"),
        ({"shape": {"ramp": {"from_s": 5, "to_s": 5, "to_factor": 2}}}, "to_s 5 is not after"),
        ({"shape": {"ramp": {"to_s": 5}}}, "to_factor"),
        ({"shape": "wave"}, "constant"),
        ({"shape": 3}, "step"),
        ({"think_time_s": -1}, "greater than or equal to 0"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        workload(**fields)


@pytest.mark.parametrize(
    ("shape", "knots"),
    [
        ("constant", ((0.0, 1.0),)),
        ({"step": [{"at_s": 5, "factor": 3}]}, ((0.0, 1.0), (5.0, 1.0), (5.0, 3.0))),
        ({"ramp": {"to_s": 9, "to_factor": 3}}, ((0.0, 1.0), (9.0, 3.0))),
    ],
)
def test_a_shape_is_read_as_it_is_kept(shape: Any, knots: tuple[tuple[float, float], ...]) -> None:
    kept = workload(shape=shape).model_dump(mode="json", exclude_none=True)["shape"]
    assert Shape.of(kept).knots == knots
    assert workload(shape=kept).shape == workload(shape=shape).shape
