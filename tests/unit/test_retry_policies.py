"""Retry policies by a virtual clock: how often, after what waits, within what budget."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.clock import NS
from loadgen.arm import Policy, Retry, RetryOn
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.configured import arm_of
from loadgen.drivers.base import Trouble
from loadgen.retry import Tokens, retry_after

LOST = Trouble(error="----- ConnectionLost", message="lost", operational=True, lost=True)
READ_ONLY = Trouble(error="25006 ReadOnlySqlTransaction", message="read only", sqlstate="25006")
WRONG_PASSWORD = Trouble(
    error="28P01 InvalidPassword", message="no", sqlstate="28P01", operational=True
)


class VirtualClock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.ns = 5 * NS
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return self.ns

    def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.ns += int(duration_s * NS)


class Failing:
    """Attempts that fail in the same way, until so many have."""

    def __init__(self, trouble: Trouble, times: int | None = None) -> None:
        self.trouble, self.times = trouble, times
        self.made = 1  # the first one failed before anybody was asked to retry
        self.raised: tuple[object, ...] = ()
        self.clock = VirtualClock()

    def __call__(self) -> None:
        self.made += 1
        if self.times is None or self.made <= self.times:
            raise ConnectionError(self.made)

    def retried(self, retry: Retry, tokens: Tokens | None = None) -> bool:
        """Retry; whether an attempt succeeded in the end."""
        try:
            retry_after(
                ConnectionError(1),
                self,
                lambda _error: self.trouble,
                retry=retry,
                started_ns=self.clock.ns,
                clock=self.clock,
                tokens=tokens,
            )
        except ConnectionError as error:
            self.raised = error.args
            return False
        return True


def test_no_policy_tries_once() -> None:
    failing = Failing(LOST)
    assert not failing.retried(Retry.none())
    assert failing.made == 1
    assert failing.clock.slept == []


def test_fixed_waits_the_same_each_time() -> None:
    failing = Failing(LOST)
    assert not failing.retried(Retry.fixed(attempts_max=4, wait_s=0.2))
    assert failing.made == 4
    assert failing.raised == (4,), "the user sees what the last attempt raised"
    assert failing.clock.slept == [0.2, 0.2, 0.2]


def test_fixed_with_jitter_waits_a_part_of_it() -> None:
    failing = Failing(LOST)
    failing.retried(Retry.fixed(attempts_max=40, wait_s=0.2, jitter=True))
    assert len(set(failing.clock.slept)) > 20
    assert all(0 <= waited <= 0.2 for waited in failing.clock.slept)


def test_exponential_doubles_up_to_the_longest() -> None:
    failing = Failing(LOST)
    failing.retried(
        Retry.exponential(attempts_max=6, wait_s_first=0.1, wait_s_max=0.5, jitter=False)
    )
    assert failing.clock.slept == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_no_attempt_starts_after_the_time_is_over() -> None:
    failing = Failing(LOST)
    failing.retried(Retry.fixed(attempts_max=None, wait_s=0.4, elapsed_s_max=1.0))
    assert failing.clock.slept == [0.4, 0.4]


def test_a_success_ends_it() -> None:
    failing = Failing(LOST, times=2)
    assert failing.retried(Retry.fixed(attempts_max=9))
    assert failing.made == 3


@pytest.mark.parametrize(
    ("on", "trouble", "attempts"),
    [
        (RetryOn.OPERATIONAL_ERROR, LOST, 3),
        (RetryOn.OPERATIONAL_ERROR, READ_ONLY, 1),
        (RetryOn.TRANSIENT, READ_ONLY, 3),
        (RetryOn.TRANSIENT, WRONG_PASSWORD, 1),
    ],
)
def test_what_is_tried_again_after(on: RetryOn, trouble: Trouble, attempts: int) -> None:
    failing = Failing(trouble)
    failing.retried(Retry.fixed(on=on, attempts_max=3))
    assert failing.made == attempts


def test_a_budget_is_shared_and_ends_all_retries() -> None:
    retry = Retry.budget(tokens_max=3, tokens_per_success=0.5, attempts_max=None)
    tokens = Tokens.of(retry)
    first, second = Failing(LOST), Failing(LOST)
    assert not first.retried(retry, tokens)
    assert first.made == 4, "three tokens are three retries"
    assert not second.retried(retry, tokens)
    assert second.made == 1, "another user finds the budget empty"
    assert second.clock.slept == [], "who may not retry is told at once"


def test_workers_have_the_budget_of_an_arm_together() -> None:
    """As they have its rates: what an experiment says is of all users, on however many machines."""
    retry = {"policy": "budget", "tokens_max": 12.0}
    client = {"arm": "pre-ping", "changes": {"retry": retry}}
    whole = TrafficConfig(run="r", arms=(ArmTraffic(arm="mine", client=client),))
    assert arm_of(whole.arms[0]).retry.tokens_max == 12
    (part,) = whole.share(4, process=2).arms
    assert arm_of(part).retry.tokens_max == 3
    assert arm_of(part).retry.tokens_per_success == arm_of(whole.arms[0]).retry.tokens_per_success
    (least,) = whole.share(50, process=2).arms
    assert arm_of(least).retry.tokens_max == 1, "with less nobody could ever try again"
    plain = replace(whole.arms[0], client={"arm": "pre-ping", "changes": {}})
    assert arm_of(plain.share(4)) == arm_of(plain), "without a budget nothing is divided"


def test_successes_put_back_what_they_earn_and_no_more_than_it_holds() -> None:
    tokens = Tokens(2, 0.5)
    assert [tokens.take() for _ in range(3)] == [True, True, False]
    tokens.put_back()
    assert not tokens.take()
    tokens.put_back()
    assert tokens.take()
    for _ in range(100):
        tokens.put_back()
    assert tokens.left == 2


def test_an_attempt_that_the_other_limits_forbid_takes_no_token() -> None:
    retry = Retry.budget(tokens_max=5, attempts_max=2)
    tokens = Tokens.of(retry)
    assert tokens is not None
    Failing(LOST).retried(retry, tokens)
    assert tokens.left == 4


@given(st.lists(st.booleans(), max_size=300))
def test_retries_never_exceed_the_budget_and_what_successes_earned(events: list[bool]) -> None:
    """For any order of successes (True) and wishes to retry (False)."""
    tokens, granted, earned = Tokens(4, 0.25), 0, 0.0
    for success in events:
        if success:
            tokens.put_back()
            earned += 0.25
        else:
            granted += tokens.take()
    assert granted <= 4 + earned
    assert 0 <= tokens.left <= 4


def test_only_a_budget_has_tokens() -> None:
    assert Tokens.of(Retry.exponential()) is None


@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        ({"policy": "none"}, Policy.NONE),
        ({"policy": "fixed", "attempts_max": 5, "wait_s": 0.2}, Policy.FIXED),
        ({"policy": "exponential", "on": "OperationalError"}, Policy.EXPONENTIAL),
        ({"policy": "budget", "tokens_max": 3.0, "jitter": False}, Policy.BUDGET),
    ],
)
def test_what_an_experiment_says_is_a_policy(settings: dict[str, object], policy: Policy) -> None:
    retry = Retry.of(settings)
    assert retry.policy is policy
    assert retry.settings["policy"] == policy.value
    assert isinstance(retry.on, RetryOn)
