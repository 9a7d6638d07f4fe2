"""Disturbances in force are known by id and by name, and an end meets a begin that is going on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chaos.testcluster.disturbances import registry
from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.disturbances.registry import Disturbances, parse
from chaos.testcluster.records import ApiError

PATIENCE_S = 60.0


class Nothing(Disturbance):
    """Does nothing but note its ends."""

    kind: str = "nothing"

    def begin(self, estate: Any) -> Ending | None:
        ending: Ending | None = estate(self)
        return ending


@pytest.fixture
def ended() -> list[str]:
    return []


@pytest.fixture
def disturbances(ended: list[str]) -> Disturbances:
    """Those of an estate that notes what ends."""

    def begun(disturbance: Nothing) -> Ending:
        return lambda: ended.append(disturbance.name or "")

    return Disturbances(begun)  # type: ignore[arg-type]


def estate_of(act: Callable[[Nothing], Ending | None]) -> Disturbances:
    return Disturbances(act)  # type: ignore[arg-type]


def test_a_name_is_shown_and_ends_its_disturbance(
    disturbances: Disturbances, ended: list[str]
) -> None:
    named = disturbances.begin(Nothing(name="run 1/step 2"))
    plain = disturbances.begin(Nothing())
    assert named.as_json()["name"] == "run 1/step 2"
    assert "name" not in plain.as_json()
    assert disturbances.end("run 1/step 2")
    assert not disturbances.end("run 1/step 2")
    assert not disturbances.end(named.id)
    assert ended == ["run 1/step 2"]
    assert disturbances.active() == (plain,)
    assert disturbances.end(plain.id)


def test_a_named_one_ends_by_its_id_too(disturbances: Disturbances, ended: list[str]) -> None:
    assert disturbances.end(disturbances.begin(Nothing(name="a")).id)
    assert ended == ["a"]
    disturbances.begin(Nothing(name="a"))
    assert len(disturbances.active()) == 1, "the name is free again"


def test_a_second_one_of_a_name_is_refused_and_the_first_stays(disturbances: Disturbances) -> None:
    first = disturbances.begin(Nothing(name="same"))
    with pytest.raises(ApiError, match="same is in force already"):
        disturbances.begin(Nothing(name="same"))
    with pytest.raises(ApiError, match="in force already"):
        disturbances.begin(Nothing(name=first.id))
    assert disturbances.active() == (first,)


def test_no_id_is_anybodys_name(disturbances: Disturbances) -> None:
    named = disturbances.begin(Nothing(name="nothing-2"))
    other = disturbances.begin(Nothing())
    assert other.id not in {named.id, "nothing-2"}
    assert disturbances.end("nothing-2")
    assert disturbances.active() == (other,)


@pytest.mark.parametrize("name", ["", "x" * 129, 7])
def test_a_name_has_1_to_128_characters(name: object) -> None:
    with pytest.raises(ApiError, match="name"):
        parse({"kind": "nothing", "name": name}, {"nothing": Nothing})


def test_one_that_is_refused_or_over_at_once_frees_its_name() -> None:
    def refused(_: Nothing) -> None:
        raise ApiError("Nope", "not now")

    with pytest.raises(ApiError, match="not now"):
        (refusing := estate_of(refused)).begin(Nothing(name="a"))
    with pytest.raises(ApiError, match="not now"):
        refusing.begin(Nothing(name="a"))
    brief = estate_of(lambda _: None)
    for _ in range(2):
        brief.begin(Nothing(name="a"))
    assert not brief.end("a")


def test_an_end_waits_for_what_is_being_begun() -> None:
    """Whoever was killed during its request, and is followed by another, leaves nothing in force."""
    begins, goes_on, over = threading.Event(), threading.Event(), threading.Event()

    def slow(_: Nothing) -> Ending:
        begins.set()
        assert goes_on.wait(PATIENCE_S)
        return over.set

    disturbances = estate_of(slow)
    with ThreadPoolExecutor() as pool:
        begun = pool.submit(disturbances.begin, Nothing(name="slow"))
        assert begins.wait(PATIENCE_S)
        end = pool.submit(disturbances.end, "slow")
        assert not end.done()
        goes_on.set()
        assert end.result(PATIENCE_S)
        begun.result(PATIENCE_S)
    assert over.is_set()
    assert not disturbances.active()


def test_an_end_that_waits_for_ever_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_SETTLE_TIMEOUT_S", 0.01)
    disturbances = estate_of(lambda _: None)
    disturbances._busy.add("stuck")
    with pytest.raises(Exception, match="stuck is still being begun"):
        disturbances.end("stuck")


def test_what_cannot_be_taken_back_is_still_in_force() -> None:
    trouble = [OSError("not yet")]

    def end() -> None:
        if trouble:
            raise trouble.pop()

    disturbances = estate_of(lambda _: end)
    active = disturbances.begin(Nothing(name="a"))
    with pytest.raises(OSError, match="not yet"):
        disturbances.end("a")
    assert disturbances.active() == (active,)
    assert disturbances.end("a")
    assert not disturbances.active()
