"""The tables of CloudWatch's documentation on missing data, row by row, and how reasons are worded."""

from __future__ import annotations

import pytest

from chaos.testcluster.metrics.judgement import COMPARISONS, Datum, Judgement, Rule, judge

RETAIN = None
START_S = 1_795_000_020.0  # 18/11/26 ...


def seen(drawn: str) -> list[Datum | None]:
    """The documentation's drawing, the most recent on the right, as the newest first."""
    values = {"0": 0.0, "X": 9.0}
    return [
        None if mark == "-" else Datum(START_S - 60 * age, values[mark], 60.0)
        for age, mark in enumerate(reversed(drawn.split()))
    ]


def rule(datapoints: int | None, treat: str, periods: int = 3) -> Rule:
    return Rule(
        threshold=5.0,
        comparison="GreaterThanThreshold",
        periods=periods,
        datapoints=datapoints,
        treat_missing=treat,
    )


def state(judgement: Judgement | None) -> str | None:
    return judgement and judgement.state


THREE_OF_THREE = [
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("0 - - - -", "OK", "OK", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", RETAIN, "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", RETAIN, "ALARM", "OK"),
    # "The alarm does not go immediately into ALARM state":
    ("- - - - X", RETAIN, RETAIN, "ALARM", "OK"),
    ("- - - X -", RETAIN, RETAIN, "ALARM", "OK"),
    ("X X X 0 X", "OK", "OK", "OK", "OK"),
    ("0 0 X X X", "ALARM", "ALARM", "ALARM", "ALARM"),
]
TWO_OF_THREE = [
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
    ("- - - X -", "ALARM", RETAIN, "ALARM", "OK"),
]
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
ROWS = [
    (datapoints, drawn, treat, expected)
    for datapoints, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
    for drawn, *states in table
    for treat, expected in zip(TREATMENTS, states, strict=True)
]


@pytest.mark.parametrize(("datapoints", "drawn", "treat", "expected"), ROWS)
def test_the_documented_tables(
    datapoints: int, drawn: str, treat: str, expected: str | None
) -> None:
    assert state(judge(rule(datapoints, treat), seen(drawn))) == expected


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("value", [4.0, 5.0, 6.0])
def test_a_threshold_is_compared_as_its_name_says(name: str, value: float) -> None:
    breaches = {
        "GreaterThanOrEqualToThreshold": value >= 5,
        "GreaterThanThreshold": value > 5,
        "LessThanOrEqualToThreshold": value <= 5,
        "LessThanThreshold": value < 5,
    }[name]
    single = Rule(threshold=5.0, comparison=name, periods=1)
    judged = judge(single, [Datum(START_S, value, 1.0), None, None])
    assert state(judged) == ("ALARM" if breaches else "OK")


def said(datapoints: int | None, treat: str, drawn: str, periods: int = 3) -> str:
    judgement = judge(rule(datapoints, treat, periods), seen(drawn))
    assert judgement is not None
    return judgement.reason


def test_reasons_are_worded_as_aws_words_them() -> None:
    one = "(18/11/26 11:07:00)"
    two = "(18/11/26 11:06:00)"
    assert said(None, "missing", "- - X", 1) == (
        f"Threshold Crossed: 1 datapoint [9.0 {one}] was greater than the threshold (5.0)."
    )
    assert said(None, "missing", "- - 0", 1) == (
        f"Threshold Crossed: 1 datapoint [0.0 {one}] was not greater than the threshold (5.0)."
    )
    assert said(2, "missing", "0 0 0 X X") == (
        f"Threshold Crossed: 2 out of the last 3 datapoints [9.0 {one}, 9.0 {two}] were greater "
        "than the threshold (5.0) (minimum 2 datapoints for OK -> ALARM transition)."
    )
    assert said(2, "missing", "0 X X 0 0") == (
        f"Threshold Crossed: 2 out of the last 3 datapoints [0.0 {one}, 0.0 {two}] were not "
        "greater than the threshold (5.0) (minimum 2 datapoints for ALARM -> OK transition)."
    )
    assert said(1, "missing", "- - X", 1) == (
        f"Threshold Crossed: 1 out of the last 1 datapoints [9.0 {one}] was greater than the "
        "threshold (5.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert said(None, "missing", "- - -", 1) == "Insufficient Data: 1 datapoint was unknown."
    assert said(None, "missing", "- - - - -") == "Insufficient Data: 3 datapoints were unknown."
    assert said(None, "notBreaching", "- - -", 1) == (
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was "
        "treated as [NonBreaching]."
    )
    assert said(None, "breaching", "- - - X", 2) == (
        f"Threshold Crossed: 1 datapoint [9.0 {one}] was greater than the threshold (5.0) and "
        "1 missing datapoint was treated as [Breaching]."
    )


def test_a_reason_stays_within_its_limit() -> None:
    many = judge(rule(None, "missing", 100), seen(" ".join("X" * 102)))
    assert many is not None
    assert len(many.reason) <= 1023
