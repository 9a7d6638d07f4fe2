"""Which instances pause and wake together: the user guide's rules, one by one."""

from __future__ import annotations

import pytest

from chaos.testcluster.serverless.capacity import Place
from chaos.testcluster.serverless.pausing import Resting, to_pause, to_wake

AFTER_S = 300.0


def instance(
    name: str,
    tier: int = 1,
    *,
    writer: bool = False,
    idle_s: float = AFTER_S,
    paused: bool = False,
    available: bool = True,
    serverless: bool = True,
) -> Resting:
    return Resting(
        place=Place(
            id=name,
            is_writer=writer,
            promotion_tier=tier,
            capacity_acu=0.0 if paused else 1.0,
            serverless=serverless,
        ),
        idle_s=idle_s,
        paused=paused,
        available=available,
    )


WRITER = instance("w", writer=True)


def test_the_writer_and_tiers_0_and_1_pause_together_the_writer_named_first() -> None:
    assert to_pause([instance("a", 0), WRITER, instance("b", 1)], AFTER_S) == ("w", "a", "b")
    assert to_pause([WRITER], AFTER_S) == ("w",)


@pytest.mark.parametrize(
    "spoiler",
    [
        instance("r", 1, idle_s=AFTER_S - 1),
        instance("r", 0, available=False),
        instance("r", 1, serverless=False),
        instance("r", 5, serverless=False),
        instance("r", 2, idle_s=0),
    ],
    ids=["used", "busy", "provisioned", "provisioned-elsewhere", "another-reader-awake"],
)
def test_the_writers_group_stays_awake_for(spoiler: Resting) -> None:
    assert to_pause([WRITER, spoiler], AFTER_S) == ()


def test_tiers_from_2_pause_on_their_own_also_beside_a_provisioned_writer() -> None:
    busy = instance("w", writer=True, idle_s=0)
    assert to_pause([busy, instance("r", 2)], AFTER_S) == ("r",)
    provisioned = instance("w", writer=True, serverless=False)
    assert to_pause([provisioned, instance("r", 15)], AFTER_S) == ("r",)


def test_readers_of_tiers_from_2_pause_before_the_writer() -> None:
    reader = instance("r", 2)
    assert to_pause([WRITER, reader], AFTER_S) == ("r",)
    assert to_pause([WRITER, instance("r", 2, paused=True)], AFTER_S) == ("w",)


def test_a_needed_writer_stays_awake_and_other_readers_pause() -> None:
    assert to_pause([WRITER], AFTER_S, writer_needed=True) == ()
    assert to_pause([WRITER, instance("r", 2)], AFTER_S, writer_needed=True) == ("r",)


def test_waking_one_of_the_group_wakes_the_group() -> None:
    asleep = [
        instance("a", 0, paused=True),
        instance("w", writer=True, paused=True),
        instance("r", 2, paused=True),
    ]
    assert to_wake(asleep, {"a"}) == (("w", "a"),)
    assert to_wake(asleep, {"w"}) == (("w", "a"),)


def test_waking_another_reader_wakes_the_writer_first() -> None:
    asleep = [
        instance("r", 2, paused=True),
        instance("s", 2, paused=True),
        instance("w", writer=True, paused=True),
    ]
    assert to_wake(asleep, {"r"}) == (("w",), ("r",))


def test_nobody_wakes_who_was_not_called_or_is_awake() -> None:
    awake = instance("w", writer=True)
    assert to_wake([awake, instance("r", 2, paused=True)], ()) == ()
    assert to_wake([awake, instance("r", 2, paused=True)], {"r"}) == (("r",),)
    assert to_wake([awake], {"w"}) == ()
