"""Profiles: data that adds up, and work that is right on the second attempt, too."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.definition.workload import DEFAULT_PROFILE
from chaos.errors import DefinitionError
from chaos.model.operation import NO_WRITE_ID, Kind, Role
from chaos.model.record import Observation
from loadgen.config import ArmTraffic
from loadgen.crew import Crew, Member
from loadgen.drivers.base import Rows, Seat, Statement
from loadgen.profiles import CATALOGUE, DEFAULT, STATEMENTS, Profile, find, rates, require_users
from loadgen.schedule import Arrivals, Schedule
from loadgen.tables import ACCOUNTS, WriteIds, accounts_of, table_of
from loadgen.work import InsertRow, ReadTold, Told
from loadgen.work_transactions import ReadInsertUpdate, SumBalances, SumsSeen, Transfer

README = (Path(__file__).parents[2] / "experiments" / "README.md").read_text(encoding="utf-8")
TABLE, ACCOUNT_TABLE = table_of("r"), accounts_of("r")


class Answers:
    """A session that gives prepared answers, one a statement, and keeps what it was sent."""

    def __init__(self, *answers: Rows, instance: str = "i1") -> None:
        self.seat = Seat(instance, 1, Role.READER, 0)
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._answers = list(answers)

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        self.sent.append((statement.sql.split()[0], dict(parameters)))
        return self._answers.pop(0) if statement.rows else ()

    def commit(self) -> None:
        raise AssertionError("work never commits")

    def close(self) -> None:
        raise AssertionError("work never closes")


@pytest.mark.parametrize("profile", CATALOGUE, ids=lambda p: p.name)
def test_a_profile_is_whole_and_documented(profile: Profile) -> None:
    assert sum(stream.share for stream in profile.streams) == pytest.approx(1.0)
    assert len({stream.name for stream in profile.streams}) == len(profile.streams)
    kinds = {(stream.endpoint, stream.kind) for stream in profile.streams}
    assert ("reader", Kind.READ) in kinds
    assert {("cluster", Kind.WRITE), ("cluster", Kind.TRANSACTION)} & kinds
    for stream in profile.streams:
        for statement in STATEMENTS[stream.task]:
            assert TABLE in statement.format(table=TABLE, accounts=TABLE)
    assert f"`{profile.name}`" in README.partition("### Profiles")[2].partition("\n## ")[0]


def test_the_default_is_the_one_whose_writes_and_reads_have_rates() -> None:
    assert DEFAULT == DEFAULT_PROFILE == ArmTraffic(arm="a").profile
    traffic = ArmTraffic(arm="a", writes_per_s=7, reads_per_s=0)
    assert {s.name: rate for s, rate in rates(traffic).items()} == {"cluster write": 7}


@given(st.sampled_from(CATALOGUE), st.floats(0.1, 10_000))
def test_rates_add_up_to_those_in_all(profile: Profile, total: float) -> None:
    traffic = ArmTraffic(arm="a", profile=profile.name, operations_per_s=total)
    found = rates(traffic)
    assert sum(found.values()) == pytest.approx(total)
    halves = [rates(traffic.share(2)), rates(traffic.share(2))]
    assert sum(sum(half.values()) for half in halves) == pytest.approx(total)


def test_a_wrong_profile_names_the_nearest() -> None:
    with pytest.raises(DefinitionError, match=r"'bank-transfr'.*did you mean 'bank-transfer'"):
        find("bank-transfr")


@pytest.mark.parametrize(
    ("traffic", "why"),
    [
        (ArmTraffic(arm="a"), "no traffic; give it users and a rate above 0"),
        (ArmTraffic(arm="a", writes_per_s=1, users=0), "no traffic"),
        (
            ArmTraffic(arm="a", writes_per_s=40, think_time_s=1.0, users=20),
            "20 users who think for 1 s cannot carry out 40 cluster writes per second; give it 40",
        ),
        (
            ArmTraffic(
                arm="a", writes_per_s=20, think_time_s=0.5, users=20,
                shape={"ramp": {"to_s": 5, "to_factor": 3}},
            ),
            "cannot carry out 60 cluster writes per second; give it 30 users or more",
        ),
    ],
    ids=["no rate", "nobody", "thinkers", "a ramp"],
)  # fmt: skip
def test_users_who_cannot_keep_up_by_design_are_refused(traffic: ArmTraffic, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        require_users(traffic)


def test_users_who_can_are_not() -> None:
    require_users(ArmTraffic(arm="a", writes_per_s=40, reads_per_s=1, think_time_s=0.5, users=20))


def transfer(*, keyed: bool) -> Transfer:
    draw = random.Random(7)
    return Transfer("a", TABLE, ACCOUNT_TABLE, WriteIds(1), keyed=keyed, draw=draw)


def test_every_attempt_of_a_transfer_moves_the_same_between_two_accounts() -> None:
    work = transfer(keyed=False)
    write_id = work.begin()
    first, second = (Answers([(write_id,)]) for _ in range(2))
    assert work.execute(first, 1) == work.execute(second, 2) == write_id
    assert first.sent[1:] == second.sent[1:]
    moves = [parameters for verb, parameters in first.sent if verb == "UPDATE"]
    assert sum(move["amount"] for move in moves) == 0
    assert moves[0]["account"] < moves[1]["account"], "in one order, so that none wait in a ring"
    assert [parameters["attempt"] for _, parameters in (first.sent[0], second.sent[0])] == [1, 2]


def test_a_transfer_that_had_been_committed_is_not_carried_out_again() -> None:
    work = transfer(keyed=True)
    work.begin()
    again = Answers([])
    work.execute(again, 2)
    assert [verb for verb, _ in again.sent] == ["INSERT"]


@given(st.integers(0, 2**16))
def test_transfers_stay_among_the_accounts(seed: int) -> None:
    draw = random.Random(seed)
    work = Transfer("a", TABLE, ACCOUNT_TABLE, WriteIds(1), keyed=True, draw=draw)
    for _ in range(20):
        session = Answers([(work.begin(),)])
        work.execute(session, 1)
        accounts = [p["account"] for verb, p in session.sent if verb == "UPDATE"]
        assert len(set(accounts)) == 2
        assert min(accounts) >= 1
        assert max(accounts) <= ACCOUNTS


def test_a_transaction_reads_inserts_and_updates_its_own_row() -> None:
    work = ReadInsertUpdate("a", TABLE, WriteIds(1), keyed=True)
    write_id = work.begin()
    session = Answers([], [(write_id,)])
    assert work.execute(session, 1) == write_id
    assert [verb for verb, _ in session.sent] == ["SELECT", "INSERT", "UPDATE"]
    assert session.sent[2][1]["write_id"] == write_id


@pytest.mark.parametrize(
    ("newest", "asked", "seen"),
    [(9, 7, 9), (7, 7, 7), (5, 5, 5), (None, None, NO_WRITE_ID)],
    ids=["there", "the newest", "behind", "an empty table"],
)
def test_a_read_asks_for_what_was_told_and_shows_the_newest(
    newest: int | None, asked: int | None, seen: int
) -> None:
    """Told of 7 and then of 3, which was begun earlier: it asks for 7."""
    told = Told()
    writer = InsertRow("a", TABLE, WriteIds(1), keyed=True, told=told)
    for write_id in (7, 3):
        writer.acknowledged(write_id)
    work = ReadTold("a", TABLE, told, endpoint="cluster")
    assert work.begin() == NO_WRITE_ID
    session = Answers([(newest, asked)])
    assert work.execute(session, 1) == seen
    assert session.sent[0][1]["told"] == 7


def test_before_anything_was_told_a_read_shows_the_newest() -> None:
    work = ReadTold("a", TABLE, Told(), endpoint="reader")
    work.begin()
    assert work.execute(Answers([(4, None)]), 1) == 4


def test_a_sum_is_observed_when_it_is_new_on_its_instance() -> None:
    seen: list[Observation] = []
    clock = iter(range(100))
    work = SumBalances("a", TABLE, ACCOUNT_TABLE, SumsSeen("a", seen.append, lambda: next(clock)))
    for instance, total in (("i2", 10), ("i2", 10), ("i3", 10), ("i2", 9), ("i2", None)):
        work.execute(Answers([(total, 5)], instance=instance), 1)
    assert [(o.detail["instance"], o.value) for o in seen] == [
        ("i2", "10"),
        ("i3", "10"),
        ("i2", "9"),
        ("i2", "none"),
    ]
    # Changed after the start of the last read that saw the old sum, by the end of the first new one.
    assert [(o.since_ns, o.at_ns) for o in seen] == [(None, 1), (None, 5), (2, 7), (6, 9)]


def test_a_user_who_thinks_takes_no_arrival_meanwhile_and_arrivals_wait_for_nobody() -> None:
    """One user, 100 arrivals a second, half a second to think: the queue keeps their instants."""
    now_ns = time.monotonic_ns()
    performed: list[int] = []
    waits: list[float] = []
    arrivals = Arrivals(Schedule(100.0, "seed", now_ns - 10**9), 1000, lambda *_: None)

    class Client:
        def perform(self, intended_ns: int) -> None:
            performed.append(intended_ns)

    def wait(duration_s: float) -> None:
        waits.append(duration_s)
        if len(waits) == 3:
            raise StopIteration

    crew = Crew(
        "C",
        count=1,
        arrivals=arrivals,
        recorder=None,  # type: ignore[arg-type]
        client_of_user=Client,  # type: ignore[arg-type]
        think_time_s=0.5,
    )
    arrivals.admit(now_ns)
    with pytest.raises(StopIteration):
        Member(crew).work(wait)
    assert waits == [0.5] * 3
    assert performed == sorted(performed)
    assert len(performed) == 3
    assert arrivals.waiting >= 90
