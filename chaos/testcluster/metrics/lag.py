"""How far a replay is behind what is replicated, in time; pure.

PostgreSQL tells positions in the log, and delays only while something is written. So the writer's
positions are remembered with their instants: a reader lags by the age of what it has replayed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence

from chaos.testcluster.metrics.answers import Answer
from chaos.testcluster.metrics.subjects import Subject

_REMEMBERED = 3_600  # seconds: longer lags are told as this long


class WriterTrack:
    """The positions of one writer, one a second."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=_REMEMBERED)
        self._lsn: deque[int] = deque(maxlen=_REMEMBERED)

    def note(self, at_s: float, lsn: int) -> None:
        """Remember that the writer had written up to `lsn` at `at_s`."""
        if not self._lsn or lsn >= self._lsn[-1]:
            self._at.append(at_s)
            self._lsn.append(lsn)

    def lag_s(self, at_s: float, replayed: int) -> float:
        """Return how old, at `at_s`, the first thing is that a reader has not replayed; 0 if none.

        Between two noted positions the writer is taken to have written evenly.
        """
        if not self._lsn or replayed >= self._lsn[-1]:
            return 0.0
        after = bisect_right(self._lsn, replayed)
        if after == 0:
            return max(at_s - self._at[0], 0.0)
        low, high = self._lsn[after - 1], self._lsn[after]
        share = (replayed - low) / (high - low)
        written = self._at[after - 1] + share * (self._at[after] - self._at[after - 1])
        return max(at_s - written, 0.0)


class Lags:
    """The lags of a changing set of instances, round by round."""

    def __init__(self) -> None:
        self._tracks: dict[str, WriterTrack] = {}

    def samples(
        self, present: Sequence[Subject], answers: Mapping[str, Answer]
    ) -> dict[str, dict[str, float]]:
        """Return the samples of one round, by address: of each reader, and of all for its writer."""
        sources = {subject.follows for subject in present if subject.follows is not None}
        self._tracks = {source: self._tracks.get(source) or WriterTrack() for source in sources}
        for source, track in self._tracks.items():
            if (written := answers.get(source)) is not None:
                track.note(written.at_s, written.lsn)
        samples: dict[str, dict[str, float]] = {}
        of_writer: dict[str, list[float]] = {}
        for reader in present:
            answer = answers.get(reader.address)
            # Without the writer nobody knows how much more there is.
            if reader.follows is None or answer is None or reader.follows not in answers:
                continue
            lag_s = self._tracks[reader.follows].lag_s(answer.at_s, answer.lsn)
            if reader.cluster is None:
                samples[reader.address] = {"ReplicaLag": lag_s}
            elif reader.is_abroad:
                samples[reader.address] = {"AuroraGlobalDBReplicationLag": 1000 * lag_s}
            else:
                samples[reader.address] = {"AuroraReplicaLag": 1000 * lag_s}
                of_writer.setdefault(reader.follows, []).append(1000 * lag_s)
        for address, lags in of_writer.items():
            samples[address] = {
                "AuroraReplicaLagMaximum": max(lags),
                "AuroraReplicaLagMinimum": min(lags),
            }
        return samples
