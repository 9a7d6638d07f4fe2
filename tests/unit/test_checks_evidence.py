"""What single operations prove, by their outcome, their duration and the name of their error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fix_history import ORIGIN_NS, RunBuilder

from chaos.checks.evidence import Trace
from chaos.checks.windows import Window, find_windows, longest_silence
from chaos.clock import NS
from chaos.model.operation import Failure, Kind, OperationWriter, Outcome


def at(second: float) -> int:
    return ORIGIN_NS + round(second * NS)


def append(
    second: float,
    *,
    lasts_s: float = 0.002,
    waited_s: float = 0.0,
    error: str = "",
    attempts: int = 1,
    told: bool = True,
) -> Callable[[OperationWriter], None]:
    """Return what appends one operation; a failed one if it has an error."""
    failure = Failure(started_ns=at(second), ended_ns=at(second + lasts_s), error=error)

    def write(operations: OperationWriter) -> None:
        operations.operation(
            kind=Kind.WRITE,
            endpoint="cluster",
            intended_ns=at(second),
            started_ns=at(second),
            ended_ns=at(second + lasts_s),
            outcome=Outcome.FAILED if error else Outcome.OK,
            attempts=attempts,
            waited_us=round(waited_s * 1e6),
            error=error,
            failures=[failure] if error and told else [],
        )

    return write


def trace_of(folder: Path, *operations: Callable[[OperationWriter], None]) -> Trace:
    """Return 20 s of good operations, ten a second off the tenths, and some more."""
    run = RunBuilder(folder / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=10, until_s=20, jitter=0.0)
    for operation in operations:
        run.operation("arm", operation)
    log = run.write().arms["arm"]
    (stream,) = log.streams()
    return Trace.of(log, stream, 1.0)


def windows(folder: Path, *operations: Callable[[OperationWriter], None]) -> tuple[Window, ...]:
    return find_windows(trace_of(folder, *operations), stable_s=2.0, until_ns=at(20))


@pytest.mark.parametrize("error", ["----- Missed", "----- MissedWaiting"])
def test_a_missed_turn_is_no_operation(tmp_path: Path, error: str) -> None:
    assert windows(tmp_path, append(5.0, error=error)) == ()


def test_turns_that_no_session_could_take_were_not_served_unless_one_was_soon_after(
    tmp_path: Path,
) -> None:
    """Answers slower than 1 s are late; one is given at 6.0 s, and none in the last 8 s."""
    run = RunBuilder(tmp_path / "run")
    waiting = "----- MissedWaiting"
    for second in (4.9, 5.1, 5.9, 6.1, 18.9, 19.1):
        run.operation("probe", append(second, error=waiting, told=False))
    for second, lasts_s, error in ((2.0, 4.0, ""), (7.0, 5.0, ""), (12.5, 7.5, "----- Stopped")):
        run.operation("probe", append(second, lasts_s=lasts_s, error=error))
    run.traffic("arm", "reader", Kind.READ, per_s=1, until_s=20)
    (stream,) = (log := run.write().arms["probe"]).streams()
    trace = Trace.of(log, stream, 1.0)
    assert trace.unasked.tolist() == [at(s) for s in (4.9, 6.1, 18.9)]
    assert trace.not_asked(at(5), at(18.9)) == 1


def test_what_the_end_cut_off_in_time_is_no_failure(tmp_path: Path) -> None:
    assert windows(tmp_path, append(19.9, lasts_s=0.4, error="----- Stopped")) == ()


def test_what_the_end_cut_off_late_is_one(tmp_path: Path) -> None:
    (window,) = windows(tmp_path, append(17.0, lasts_s=2.9, error="----- Stopped"))
    assert window.first_bad_ns == at(17.0)


@pytest.mark.parametrize(
    ("error", "proves_s"),
    [
        ("----- ConnectionRefused", 0.996),
        ("25006 ReadOnlySqlTransaction", 0.996),
        ("57P03 CannotConnectNow", 0.996),
        ("----- ConnectionLost", 0.0),
        ("----- ConnectionReset", 0.0),
        ("----- ServerClosedConnection", 0.0),
        ("----- ConnectionError", 0.0),
        ("57P01 AdminShutdown", 0.0),
        ("----- QueueFull", 0.0),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_only_errors_that_speak_of_the_present_raise_the_lower_bound(
    tmp_path: Path, error: str, proves_s: float, *, told: bool
) -> None:
    """Two failures a second apart: the client was not served in between, or nothing is known."""
    (window,) = windows(
        tmp_path, append(5.0, error=error, told=told), append(6.0, error=error, told=told)
    )
    assert window.lower_s == pytest.approx(proves_s, abs=0.005)


def test_an_attempt_that_hung_proves_no_more_than_its_start(tmp_path: Path) -> None:
    """Whatever its error: it was not answered in the time that a healthy answer takes."""
    (window,) = windows(
        tmp_path,
        append(15.0, lasts_s=0.5, error="----- ConnectionLost"),
        append(16.0, lasts_s=0.5, error="----- ConnectionLost"),
    )
    assert 0.98 <= window.lower_s <= 1.0


@pytest.mark.parametrize(
    ("lasts_s", "waited_s", "proves_s"),
    [(0.6, 0.0, 0.598), (0.6, 0.05, 0.598), (0.6, 0.3, 0.498), (1.2, 1.1, 0.598)],
)
def test_a_slow_answer_proves_no_outage_if_it_only_waited_for_a_connection(
    tmp_path: Path, lasts_s: float, waited_s: float, proves_s: float
) -> None:
    """Refused at 5.0 s and at 5.5 s; the first success begins at 5.6 s, and the rest is usual."""
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=10, until_s=4.9, jitter=0.0)
    for second in (5.0, 5.5):
        run.operation("arm", append(second, error="----- ConnectionRefused"))
    run.operation("arm", append(5.6, lasts_s=lasts_s, waited_s=waited_s))
    for tenth in range(70, 100):
        run.operation("arm", append(tenth / 10))
    log = run.write().arms["arm"]
    (stream,) = log.streams()
    (window,) = find_windows(Trace.of(log, stream, 1.0), stable_s=2.0, until_ns=at(10))
    assert window.lower_s == pytest.approx(proves_s)


def test_failures_apart_by_stable_service_are_two_windows(tmp_path: Path) -> None:
    refused = "----- ConnectionRefused"
    near = (append(5.0, error=refused), append(6.9, error=refused))
    assert len(windows(tmp_path / "near", *near)) == 1
    far = (append(5.0, error=refused), append(7.2, error=refused))
    assert len(windows(tmp_path / "far", *far)) == 2


def test_a_window_begins_with_the_last_success_before_it(tmp_path: Path) -> None:
    (window,) = windows(tmp_path, append(5.0, error="----- ConnectionRefused"))
    assert window.from_ns == at(4.95)
    assert window.to_ns is not None
    assert at(5.05) < window.to_ns < at(5.06)
    assert window.preceded


def test_the_longest_silence_is_between_a_start_and_a_return(tmp_path: Path) -> None:
    trace = trace_of(tmp_path)
    begin, end = longest_silence(trace, at(5.0), at(6.0))
    assert (end - begin) / NS == pytest.approx(0.1, abs=0.005)
    begin, end = longest_silence(trace, at(19.0), at(30.0))
    assert (begin, end) == (at(19.95), at(30.0))
