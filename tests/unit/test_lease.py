"""The lease: one run at a time, whoever is killed, however two of them meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, topology

from chaos.clock import NS
from chaos.errors import ControlPlaneError, GuardRefused
from chaos.run.journal import Journal
from chaos.run.restore import replay
from chaos.run.tenancy import Tenancy, require_free
from chaos.safety.lease import LASTS, LEASE_TAG, Lease
from chaos.safety.undo import ReleaseLease, undo_from_json

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
ALLOWED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.:/=+-@")


@pytest.fixture
def tenancy(rds: FakeRds, clock: VirtualClock) -> Callable[..., Tenancy]:
    """Make a run's tenancy of the cluster; what is `lost` is appended."""

    def make(run: str, lost: list[str] | None = None) -> Tenancy:
        return Tenancy(
            rds,
            clock,
            run,
            now=lambda: START + timedelta(seconds=clock.now_ns() / NS),
            settle_s=1.0,
            lost=(lost if lost is not None else []).append,
        )

    return make


@pytest.fixture
def journal(clock: VirtualClock, tmp_path: Path) -> Iterator[Callable[[str], Journal]]:
    made: list[Journal] = []

    def make(run: str) -> Journal:
        made.append(Journal(tmp_path / f"{run}.jsonl", clock, lambda _: None))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_lease_fits_into_a_tag_and_is_read_as_it_was_written() -> None:
    lease = Lease.of("r" * 200, "abc", "Ünïcode host! (laptop)" * 10, START)
    tag = lease.as_tag()[LEASE_TAG]
    assert len(tag) <= 256
    assert set(tag) <= ALLOWED
    assert Lease.on(topology(tags=lease.as_tag())) == lease


@pytest.mark.parametrize("value", ["", "nonsense", "run=a id=b host=c until=never"])
def test_a_lease_that_cannot_be_read_is_held_for_ever(value: str) -> None:
    lease = Lease.on(topology(tags={LEASE_TAG: value}))
    assert lease is not None
    assert lease.is_valid(START + timedelta(days=10_000))


def test_it_is_taken_after_its_undo_record_and_released_by_it(
    tenancy: Any, journal: Any, rds: FakeRds, clock: VirtualClock
) -> None:
    mine, written = tenancy("r1"), journal("r1")
    wrote_at: list[int] = []
    rds.set_tags = _watched(rds.set_tags, lambda: wrote_at.append(len(written.open_undo)))  # type: ignore[method-assign]
    number = mine.take(written)
    mine.stop()
    assert wrote_at == [1], "the record was on disk first"
    held = Lease.on(rds.state)
    assert held is not None
    assert held.run == "r1"
    assert held.until == START + LASTS
    assert replay(written, rds, clock, "c1", only={number}) == []
    assert rds.state.tags == {"gameday": "allowed"}


def _watched(call: Callable[..., None], told: Callable[[], None]) -> Callable[..., None]:
    def watched(*given: Any) -> None:
        told()
        call(*given)

    return watched


def test_while_one_run_has_it_another_is_refused_and_writes_nothing(
    tenancy: Any, journal: Any, rds: FakeRds, clock: VirtualClock
) -> None:
    first = tenancy("r1")
    first.take(journal("r1"))
    first.stop()
    before = list(rds.calls)
    with pytest.raises(GuardRefused, match="r1 on"):
        tenancy("r2").take(journal("r2"))
    assert rds.calls == before
    clock.sleep(LASTS.total_seconds())
    second = tenancy("r3")
    second.take(journal("r3"))  # It has expired, though nobody released it.
    second.stop()


@pytest.mark.parametrize("later_s", [0.0, 0.5, 0.99])
def test_of_two_that_read_no_lease_and_write_the_later_one_goes_on(
    tenancy: Any, journal: Any, rds: FakeRds, clock: VirtualClock, later_s: float
) -> None:
    first, second = tenancy("r1"), tenancy("r2")
    clock.after(later_s, lambda: rds.set_tags(second._lease.as_tag()))  # It had read before.
    with pytest.raises(GuardRefused, match="took cluster c1 at the same moment: r2"):
        first.take(journal("r1"))
    second.confirm()


def test_one_that_wrote_late_is_told_by_the_last_look_before_the_first_fault(
    tenancy: Any, journal: Any, rds: FakeRds, clock: VirtualClock
) -> None:
    first, second = tenancy("r1"), tenancy("r2")
    clock.after(3, lambda: rds.set_tags(second._lease.as_tag()))
    first.take(journal("r1"))
    first.stop()
    clock.sleep(5)
    with pytest.raises(GuardRefused, match="r2"):
        first.confirm()
    second.confirm()


def test_a_write_that_takes_too_long_gives_up(
    tenancy: Any, journal: Any, rds: FakeRds, clock: VirtualClock
) -> None:
    rds.set_tags = _watched(rds.set_tags, lambda: clock.sleep(6))  # type: ignore[method-assign]
    written = journal("r1")
    with pytest.raises(GuardRefused, match="run again"):
        tenancy("r1").take(written)
    replay(written, rds, clock, "c1")
    assert LEASE_TAG not in rds.state.tags


def test_renewing_extends_it_and_tells_when_another_has_it(
    tenancy: Any, journal: Any, rds: FakeRds, clock: VirtualClock
) -> None:
    mine = tenancy("r1")
    mine.take(journal("r1"))
    mine.stop()
    clock.sleep(100)
    mine.renew()
    held = Lease.on(rds.state)
    assert held is not None
    assert held.until > START + LASTS + timedelta(seconds=100)
    mine.confirm()
    other = replace(held, id="other", run="r2")
    rds.set_tags(other.as_tag())
    with pytest.raises(GuardRefused, match="r2"):
        mine.renew()
    assert Lease.on(rds.state) == other


def test_a_lease_that_could_not_be_extended_ends_when_it_ended(
    tenancy: Any, journal: Any, rds: FakeRds, clock: VirtualClock
) -> None:
    """What was not written must not count, or an expired lease would be thought to be held."""
    mine = tenancy("r1")
    mine.take(journal("r1"))
    mine.stop()
    written = mine._lease

    def denied(tags: Any) -> None:
        raise ControlPlaneError("tagging: denied", code="AccessDenied")

    rds.set_tags = denied  # type: ignore[method-assign]
    for _ in range(3):
        clock.sleep(LASTS.total_seconds() / 2)
        with pytest.raises(ControlPlaneError, match="denied"):
            mine.renew()
    assert mine._lease == written
    assert not written.is_valid(mine._now())


def test_renewing_writes_it_again_where_it_was_taken_off(
    tenancy: Any, journal: Any, rds: FakeRds
) -> None:
    mine = tenancy("r1")
    mine.take(journal("r1"))
    mine.stop()
    rds.remove_tags((LEASE_TAG,))
    mine.renew()
    mine.confirm()


def test_a_release_leaves_another_run_s_lease_alone(
    journal: Any, rds: FakeRds, clock: VirtualClock
) -> None:
    other = Lease.of("r2", "other", "h", START + LASTS)
    rds.set_tags(other.as_tag())
    written = journal("r1")
    written.undo(ReleaseLease(run="r1", lease="mine", arn=rds.state.arn), "c1")
    assert replay(written, rds, clock, "c1") == []
    assert Lease.on(rds.state) == other


def test_the_record_survives_the_journal_and_says_what_to_type() -> None:
    record = ReleaseLease(run="r1", lease="abc", arn="arn:aws:rds:eu-west-1:1:cluster:c1")
    assert undo_from_json(record.model_dump(mode="json")) == record
    assert "remove-tags-from-resource --resource-name arn:aws" in record.command("c1")


def test_recover_waits_for_another_run_and_not_for_its_own() -> None:
    held = Lease.of("r2", "other", "h", START + LASTS)
    state = topology(tags=held.as_tag())
    mine = ReleaseLease(run="r1", lease="mine", arn=state.arn)
    with pytest.raises(GuardRefused, match="r2 on h"):
        require_free(state, [mine], START)
    require_free(state, [mine], START + LASTS)
    require_free(state, [ReleaseLease(run="r2", lease="other", arn=state.arn)], START)
    require_free(topology(), [mine], START)


def test_an_api_that_does_not_answer_while_taking_is_told(
    tenancy: Any, journal: Any, rds: FakeRds
) -> None:
    def denied(tags: Any) -> None:
        raise ControlPlaneError("not allowed to tag", code="AccessDenied")

    rds.set_tags = denied  # type: ignore[method-assign]
    with pytest.raises(ControlPlaneError, match="not allowed to tag"):
        tenancy("r1").take(journal("r1"))
