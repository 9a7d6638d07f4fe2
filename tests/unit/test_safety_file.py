"""The safety file: what it may say, where it is found, how its mistakes are told; blackouts in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chaos.definition.safety import read_safety, safety_of
from chaos.errors import DefinitionError
from chaos.safety.guards import GUARDS
from chaos.safety.limits import Blackout, Limits, SafetyFile
from chaos.safety.recurring import Recurring

DOCUMENT = Path(__file__).parents[2] / "docs" / "safety.md"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gameday-safety.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("acounts: []\n", ":1:1: acounts: unknown key; allowed are version, accounts"),
        ("acounts: []\n", "did you mean 'accounts'?"),
        ("version: 1\naccounts: [123]\n", ":2:12: accounts[0]:"),
        ("accounts: ['123']\n", "should match pattern"),
        ("refuse:\n  identifiers: ['(']\n", ":2:17: refuse.identifiers[0]: '(' is no regular"),
        ("refuse:\n  tag: {}\n", ":2:3: refuse.tag: unknown key; allowed are tags"),
        ("prices: {acu_hour: cheap}\n", ":1:20: prices.acu_hour:"),
        ("fis_safety_lever: maybe\n", "'heed' or 'ignore'"),
        ("blackouts:\n  - {begins: fri 16:00, ends: noon}\n", "'noon' is no time"),
        ("blackouts:\n  - {begins: fri 16:00, ends: '08:00'}\n", "must both name a day"),
        ("blackouts:\n  - {begins: 2026-12-20, ends: 2026-12-19}\n", "before it begins"),
        (
            "blackouts:\n  - {begins: 2026-12-20, ends: 2026-12-21, time_zone: Mars/Base}\n",
            "'Mars/Base' is not known here",
        ),
        ("- a\n", ":1:1: a safety file is a mapping"),
        ("accounts: [\n", ":2:1:"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DefinitionError) as error:
        read_safety(path)
    assert told in str(error.value)
    assert str(error.value).startswith(str(path))


def test_dates_need_no_quotes(tmp_path: Path) -> None:
    text = "blackouts:\n  - {begins: 2026-12-20, ends: 2026-12-20, why: peak}\n"
    (blackout,) = read_safety(written(tmp_path, text)).blackouts
    day = datetime(2026, 12, 20, tzinfo=UTC)
    assert [blackout.holds(day + timedelta(hours=h)) for h in (-1, 0, 23, 24)] == [
        False,
        True,
        True,
        False,
    ]
    assert str(blackout) == "2026-12-20 to 2026-12-20 UTC (peak)"


def test_the_one_named_wins_then_the_one_here_then_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GAMEDAY_ACCOUNTS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    assert safety_of(None) == SafetyFile()
    (tmp_path / "config" / "gameday").mkdir(parents=True)
    (tmp_path / "config" / "gameday" / "safety.yaml").write_text("accounts: ['111111111111']\n")
    assert safety_of(None).accounts == ("111111111111",)
    written(tmp_path, "accounts: ['222222222222']\n")
    assert safety_of(None).accounts == ("222222222222",)
    named = tmp_path / "other.yaml"
    named.write_text("accounts: ['333333333333']\n")
    assert safety_of(named).accounts == ("333333333333",)
    monkeypatch.setenv("GAMEDAY_ACCOUNTS", "444444444444, 555555555555")
    assert safety_of(named).accounts == ("333333333333", "444444444444", "555555555555")
    with pytest.raises(DefinitionError, match=r"none\.yaml"):
        safety_of(tmp_path / "none.yaml")
    monkeypatch.setenv("GAMEDAY_ACCOUNTS", "mine")
    with pytest.raises(DefinitionError, match="twelve digits"):
        safety_of(None)


def test_the_example_of_the_document_is_a_safety_file(tmp_path: Path) -> None:
    """It also names every key that there is."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    example = read_safety(written(tmp_path, text))
    assert set(example.model_fields_set) == set(SafetyFile.model_fields)
    assert example.blackouts
    assert example.prices


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("now", "within"),
    [
        ("2026-11-20 15:59", False),  # A Friday.
        ("2026-11-20 16:00", True),
        ("2026-11-22 23:59", True),
        ("2026-11-23 07:59", True),
        ("2026-11-23 08:00", False),
        ("2026-11-24 00:00", False),
    ],
)
def test_a_weekly_blackout_spans_the_end_of_the_week_in_its_own_zone(
    now: str,
    within: bool,  # noqa: FBT001 - what is expected
) -> None:
    blackout = Blackout(begins="fri 16:00", ends="mon 08:00", time_zone="Europe/Paris")
    assert blackout.holds(at(now, "Europe/Paris").astimezone(UTC)) is within


def test_a_blackout_keeps_its_hour_when_the_clocks_change() -> None:
    daily = Blackout(begins="2026-03-28 18:00", ends="2026-03-30 08:00", time_zone="Europe/Paris")
    assert not daily.holds(at("2026-03-28 16:59"))  # 17:59 in Paris, still winter.
    assert daily.holds(at("2026-03-28 17:00"))
    assert daily.holds(at("2026-03-30 05:59"))  # 07:59 in Paris, summer.
    assert not daily.holds(at("2026-03-30 06:00"))


@pytest.mark.parametrize(
    ("window", "now", "minutes"),
    [
        ("sun:04:00-sun:04:30", "2026-11-22 03:45", 15),
        ("sun:04:00-sun:04:30", "2026-11-22 04:29", 0),
        ("sun:04:00-sun:04:30", "2026-11-22 04:30", 7 * 24 * 60 - 30),
        ("sun:23:45-mon:00:15", "2026-11-23 00:10", 0),
        ("23:50-00:20", "2026-11-22 00:10", 0),
        ("02:00-02:30", "2026-11-22 03:00", 23 * 60),
    ],
)
def test_a_window_of_aws_is_told_by_when_it_begins(window: str, now: str, minutes: int) -> None:
    recurring = Recurring.of_aws(window)
    assert recurring is not None
    assert recurring.begins_in(at(now)) == timedelta(minutes=minutes)


def test_there_may_be_no_window() -> None:
    assert Recurring.of_aws("") is None


def test_every_guard_and_every_limit_is_in_the_documents() -> None:
    table = DOCUMENT.read_text(encoding="utf-8")
    for guard in GUARDS:
        assert f"| `{guard.name}` |" in table, guard.name
    reference = (DOCUMENT.parents[1] / "experiments" / "README.md").read_text(encoding="utf-8")
    section = reference.partition("## `guards`")[2].partition("\n## ")[0]
    for limit in Limits.model_fields:
        assert f"| `{limit}` |" in section, limit
